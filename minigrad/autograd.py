"""The whole of automatic differentiation: Op, Tensor, the graph, ``grad`` and ``backward``.

A Tensor is a node of the graph: it holds an array, the ``op`` that made it and the ``inputs`` the
op was given. Nodes point at their inputs and never at their outputs, so a graph lives exactly as
long as somebody holds its last tensor. Reverse-mode differentiation is two short functions:
``find_topo_sort`` orders the graph, and ``_accumulate`` walks it from the outputs to the inputs,
adding up ``op.gradient(out_grad, node)``.

``gradient`` takes Tensors and returns Tensors, so that its own operations can be recorded and
differentiated again (``create_graph=True``). Without that they run with recording off.

Tensor's operators (``a + b``, ``a @ b``, ``a.sum()`` ...) need the ops and the ops need Tensor. The
knot is cut once: ``minigrad/ops/__init__.py`` fills in the operators when it is imported.

Leaves out: forward mode, hooks, in-place operations, lazy evaluation and graph compilation.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ContextDecorator
from typing import Any

import numpy

from . import backend
from .backend import Array, Device
from .errors import AnomalyError, DTypeError, ShapeError, VersionError

__all__ = [
    "Op",
    "Tensor",
    "TensorOp",
    "TensorTuple",
    "TensorTupleOp",
    "Value",
    "compute_gradient_of_variables",
    "constant",
    "course_mode",
    "default_dtype",
    "detect_anomaly",
    "enable_grad",
    "find_topo_sort",
    "grad",
    "is_recording",
    "no_grad",
    "set_default_dtype",
]


class _State:
    """What is global: four switches and the clock of in-place writes."""

    __slots__ = ("anomaly", "clock", "course", "default_dtype", "recording")

    def __init__(self) -> None:
        self.recording = True  # are operations written into the graph?
        self.anomaly = False  # is every result searched for NaN and infinity?
        self.course = False  # the course's dtypes, recorded backward, .grad of intermediates
        self.default_dtype = numpy.dtype("float32")
        self.clock = 0  # counts in-place writes; see Tensor.mark_written


_state = _State()
_FLOAT64 = numpy.dtype("float64")


# ------------------------------------------------------------------------------------- switches


class _Switch(ContextDecorator):
    """Set one attribute of the state inside a ``with`` block or a decorated function."""

    attribute: str
    value: Any

    def __init__(self) -> None:
        self._previous: list[Any] = []

    def __enter__(self) -> _Switch:
        self._previous.append(getattr(_state, self.attribute))
        setattr(_state, self.attribute, self.value)
        return self

    def __exit__(self, *exc: object) -> None:
        setattr(_state, self.attribute, self._previous.pop())


class no_grad(_Switch):
    """Record no operations inside: a context manager and a decorator."""

    attribute, value = "recording", False


class enable_grad(_Switch):
    """Record operations inside, also within ``no_grad``: a context manager and a decorator."""

    attribute, value = "recording", True


class detect_anomaly(_Switch):
    """Inside, the first operation or gradient that makes NaN or infinity raises AnomalyError."""

    attribute, value = "anomaly", True


class course_mode:
    """Switch the three departures from the course's semantics off (``True``) or on (``False``).

    In course mode input arrays keep NumPy's dtype and every tensor may carry a gradient, backward
    passes are recorded, and intermediate tensors keep their ``.grad``. The call itself sets the
    mode; as a context manager it restores what was set before.
    """

    def __init__(self, on: bool = True) -> None:
        self._previous = _state.course
        _state.course = bool(on)

    def __enter__(self) -> course_mode:
        return self

    def __exit__(self, *exc: object) -> None:
        _state.course = self._previous


def in_course_mode() -> bool:
    """Whether the course's semantics are switched on."""
    return _state.course


def is_recording() -> bool:
    """Whether operations are written into the graph at the moment."""
    return _state.recording


def default_dtype() -> numpy.dtype:
    """The element type of tensors made from Python numbers, lists and float64 arrays."""
    return _state.default_dtype


def set_default_dtype(dtype: Any) -> None:
    """Set the default element type.

    Raises
    ------
    DTypeError
        If ``dtype`` is not ``float32`` or ``float64``.
    """
    dtype = numpy.dtype(dtype)
    if dtype not in (numpy.dtype("float32"), numpy.dtype("float64")):
        raise DTypeError(f"set_default_dtype: want float32 or float64, got {dtype}")
    _state.default_dtype = dtype


# ------------------------------------------------------------------------------------------ ops


class Op:
    """A differentiable operation: ``compute`` on arrays, ``gradient`` on Tensors.

    An op object may carry settings (axes, a scalar) but no state of a call, so that one object can
    stand in many nodes.

    Attributes
    ----------
    reads_inputs, reads_output : bool
        Whether ``gradient`` reads the values of the inputs or of the output: these arrays must not
        change in place before the backward pass.
    returns_view : bool
        Whether the output may look into the memory of the first input.
    """

    reads_inputs = True
    reads_output = True
    returns_view = False

    def __call__(self, *inputs: Value) -> Value:
        raise NotImplementedError(f"{type(self).__name__}.__call__")

    def compute(self, *arrays: Array) -> Array:
        """The output array, from the input arrays (NumPy or CuPy)."""
        raise NotImplementedError(f"{type(self).__name__}.compute")

    def gradient(self, out_grad: Any, node: Any) -> Any:
        """The gradient with respect to each input, from that with respect to the output.

        Parameters
        ----------
        out_grad : Tensor
            Gradient of the final result with respect to ``node``, of ``node``'s shape.
        node : Tensor
            The output of the op; ``node.inputs`` are its inputs and ``node.wanted`` says which of
            their gradients are asked for.

        Returns
        -------
        Tensor, or a tuple with one Tensor (or None) per input.
        """
        raise NotImplementedError(f"{type(self).__name__}.gradient")

    def gradient_as_tuple(self, out_grad: Value, node: Value) -> tuple[Value | None, ...]:
        """``gradient``, always as a tuple with one entry per input."""
        result = self.gradient(out_grad, node)
        if result.__class__ is tuple:
            return result
        return tuple(result) if isinstance(result, list) else (result,)


class TensorOp(Op):
    """An op that makes one Tensor. Calling it with Tensors computes and, if needed, records."""

    def __call__(self, *inputs: Value) -> Tensor:
        try:
            arrays = (inputs[0].cached_data,) if len(inputs) == 1 else [*map(_array_of, inputs)]
        except AttributeError:
            raise TypeError(_not_tensors(self, inputs)) from None
        data = self.compute(*arrays)
        if type(data) is not numpy.ndarray and isinstance(data, numpy.generic):
            data = numpy.asarray(data)  # NumPy reduces to scalars, which cannot be written to
        if data.dtype is _FLOAT64 and _from_integers(arrays):
            data = data.astype(_state.default_dtype)
        if _state.anomaly:
            _refuse_nonfinite(f"{type(self).__name__} made", data)
        out = _new(Tensor)
        out.cached_data = data
        out.grad = out._wanted = out._cell = None
        recorded = False
        if _state.recording:
            for x in inputs:
                if x.requires_grad:
                    recorded = True
                    break
        out.requires_grad = recorded
        if recorded:
            out.op = self
            out.inputs = inputs
            out._clock = _state.clock
        else:
            out.op = None
            out.inputs = ()
        if self.returns_view and backend.shares_storage(data, arrays[0]):
            out._cell = inputs[0]._storage_cell()
        return out


class TensorTupleOp(Op):
    """An op that makes a TensorTuple."""

    def __call__(self, *inputs: Value) -> TensorTuple:
        try:
            arrays = [x.cached_data for x in inputs]
        except AttributeError:
            raise TypeError(_not_tensors(self, inputs)) from None
        out = _new(TensorTuple)
        out.cached_data = self.compute(*arrays)
        out.grad = out._wanted = out._cell = None
        out._clock = _state.clock
        out.requires_grad = _state.recording and any(x.requires_grad for x in inputs)
        out.op = self if out.requires_grad else None
        out.inputs = inputs if out.requires_grad else ()
        if self.returns_view:
            out._cell = inputs[0]._storage_cell()
        return out


def _from_integers(arrays: Sequence[Any]) -> bool:
    """Whether NumPy chose float64 because all inputs are integers; the course leaves it at that."""
    return not _state.course and all(getattr(a, "dtype", _FLOAT64).kind in "iub" for a in arrays)


def _not_tensors(op: Op, inputs: Sequence[Any]) -> str:
    kinds = ", ".join(type(x).__name__ for x in inputs)
    return f"{type(op).__name__}: wants Tensors, got ({kinds}); wrap arrays in minigrad.Tensor(...)"


# --------------------------------------------------------------------------------------- values


class Value:
    """A node of the graph: what Tensor and TensorTuple have in common."""

    __slots__ = ("_cell", "_clock", "_wanted", "cached_data", "inputs", "op", "requires_grad")

    op: Op | None
    inputs: tuple[Value, ...]
    cached_data: Any
    requires_grad: bool

    def realize_cached_data(self) -> Any:
        """The raw array (a tuple of them for a TensorTuple)."""
        return self.cached_data

    def is_leaf(self) -> bool:
        """Whether no recorded operation made this value."""
        return self.op is None

    @property
    def wanted(self) -> tuple[bool, ...]:
        """One bool per input: whether its gradient is asked for.

        A backward pass sets this before it calls ``gradient``; when ``gradient`` is called by hand
        it follows the inputs' ``requires_grad``.
        """
        if self._wanted is None:
            return tuple(x.requires_grad for x in self.inputs)
        return self._wanted

    def _storage_cell(self) -> list[int]:
        """The version cell of this value's storage, made when it is first shared or written."""
        if self._cell is None:
            self._cell = [0]
        return self._cell


class Tensor(Value):
    """An array that remembers how it was computed.

    Parameters
    ----------
    array : Tensor, NumPy or CuPy array, number, or (nested) list of numbers
        The values; copied, unless it is a Tensor of the same device and dtype. Python numbers,
        lists and float64 arrays take the default dtype; other arrays keep theirs.
    device : Device, optional
        Where the array shall live; the default is where ``array`` lives, else the default device.
    dtype : optional
        Element type; always wins over the rules above.
    requires_grad : bool
        Whether gradients flow to it. Integer and bool tensors never carry one.

    Raises
    ------
    DTypeError
        If ``array`` is not numeric.
    """

    __slots__ = ("grad", "home")  # home: where an optimizer keeps the values; unset elsewhere
    __array_ufunc__ = None  # numpy_array + tensor asks Tensor, and is refused with a clear message

    grad: Tensor | None

    def __init__(
        self,
        array: Any,
        *,
        device: Device | None = None,
        dtype: Any = None,
        requires_grad: bool = True,
    ) -> None:
        self.op = None
        self.inputs = ()
        self.grad = self._wanted = self._cell = None
        self._clock = _state.clock
        if isinstance(array, Tensor):
            data = backend.to_device(array.cached_data, device or array.device, dtype)
            if data is array.cached_data:
                self._cell = array._storage_cell()
        else:
            data = _as_array(array, device, dtype)
        self.cached_data = data
        self.requires_grad = bool(requires_grad) and (_state.course or data.dtype.kind == "f")

    @staticmethod
    def make_from_op(op: TensorOp, inputs: Sequence[Value]) -> Tensor:
        """Apply ``op`` to ``inputs``: the same as ``op(*inputs)``."""
        return op(*inputs)

    @staticmethod
    def make_const(data: Any, requires_grad: bool = False) -> Tensor:
        """A leaf around ``data`` (a Tensor or an array), sharing its memory."""
        out = constant(data.cached_data if isinstance(data, Value) else data)
        out.requires_grad = requires_grad
        if isinstance(data, Value):
            out._cell = data._storage_cell()
        return out

    # ---- the array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.cached_data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.cached_data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.cached_data.size

    @property
    def dtype(self) -> numpy.dtype:
        """The element type."""
        return self.cached_data.dtype

    @property
    def device(self) -> Device:
        """The device on which the array lives."""
        return backend.device_of(self.cached_data)

    def numpy(self) -> numpy.ndarray:
        """A copy of the array on the host."""
        return numpy.array(backend.to_numpy(self.cached_data))

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number.

        Raises
        ------
        ShapeError
            If it has more or fewer elements than one.
        """
        if self.cached_data.size != 1:
            raise ShapeError(f"item: wants one element, got shape {self.shape}")
        return self.cached_data.item()

    @property
    def data(self) -> Tensor:
        """The same array without its history; assigning copies values in.

        The assigned tensor must have equal shape and dtype (ShapeError, DTypeError). The copy is a
        write: a graph that still needs the old values will refuse to run backward.
        """
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: wants a Tensor, got {type(value).__name__}")
        if value.dtype != self.dtype:
            raise DTypeError(f"data: dtype must stay {self.dtype}, got {value.dtype}")
        if value.shape != self.shape:
            if not _state.course:
                raise ShapeError(f"data: shape must stay {self.shape}, got {value.shape}")
            self.cached_data = value.cached_data.copy()  # in the course, the shape may change
            self.mark_written()
        else:
            self.copy_(value.cached_data)

    def copy_(self, array: Array) -> None:
        """Overwrite the values in place with an array of the same shape, and mark the write."""
        if array.shape != self.cached_data.shape:
            raise ShapeError(f"copy_: shape must stay {self.shape}, got {array.shape}")
        self.cached_data[...] = backend.to_device(array, self.device)
        self.mark_written()

    def mark_written(self) -> None:
        """Say that the array was changed in place: graphs that need its old values go stale.

        The clock counts all in-place writes. A node notes the time at which it was made; a storage
        notes the time of its last write. A storage younger than a node that reads it was changed
        too early.
        """
        _state.clock += 1
        self._storage_cell()[0] = _state.clock

    def detach(self) -> Tensor:
        """The same array (shared memory) without its history."""
        out = constant(self.cached_data)
        out._cell = self._storage_cell()
        return out

    def astype(self, dtype: Any) -> Tensor:
        """A leaf with the values converted to ``dtype``; no gradient flows through."""
        return constant(self.cached_data.astype(dtype))

    def to(self, device: Device) -> Tensor:
        """This tensor itself if it lives on ``device``, else a leaf with a copy there."""
        if self.device is device:
            return self
        out = constant(backend.to_device(self.cached_data, device))
        out.requires_grad = self.requires_grad
        return out

    def __deepcopy__(self, memo: dict) -> Tensor:
        """A leaf of the same class with its own copy of the values."""
        out = _new(type(self))
        out.cached_data = self.cached_data.copy(order="K")  # weights keep their order in memory
        out.op, out.inputs, out.requires_grad = None, (), self.requires_grad
        out.grad = out._wanted = out._cell = None
        out._clock = _state.clock
        return out

    # ---- differentiation

    def backward(self, out_grad: Tensor | None = None, create_graph: bool = False) -> None:
        """Put the gradient of this tensor into ``.grad`` of every leaf that it was made from.

        As in the course, each backward pass OVERWRITES ``.grad``; it does not accumulate.

        Parameters
        ----------
        out_grad : Tensor, optional
            The upstream gradient, of this tensor's shape; ones by default.
        create_graph : bool
            Record the backward pass, so that gradients can be differentiated again.

        Raises
        ------
        RuntimeError
            If this tensor carries no gradient.
        VersionError
            If an array that the graph needs was changed in place since.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: this tensor carries no gradient (it was made under no_grad(), detached, "
                "or from tensors with requires_grad=False or integer dtype)"
            )
        create_graph = create_graph or _state.course
        order = find_topo_sort([self])
        seed = _seed("backward", self, out_grad)
        grads = {id(self): seed}
        keep = {id(node) for node in order} if _state.course else set()
        with _Recording(create_graph):
            _accumulate(order, grads, keep, None)
        handed_out = {id(_memory(seed.cached_data))}
        for node in order:
            g = grads.get(id(node))
            if g is not None and (_state.course or (node.op is None and node.requires_grad)):
                node.grad = _own(g, handed_out) if node.op is None else g

    # ---- small conveniences

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len: a 0-d tensor has no length")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"truth value of a tensor of shape {self.shape} is ambiguous")
        return bool(self.cached_data)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a Tensor is no NumPy array: ask for a copy with .numpy()")

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        host = backend.to_numpy(self.cached_data)
        prefix = f"{type(self).__name__}("
        text = numpy.array2string(host, separator=", ", prefix=prefix)
        notes = "" if host.dtype == _state.default_dtype else f", dtype={host.dtype}"
        notes += "" if self.device is backend.cpu() else ", device=cuda"
        notes += f", op={type(self.op).__name__}" if self.op is not None else ""
        return f"{prefix}{text}{notes})"

    def __str__(self) -> str:
        return str(backend.to_numpy(self.cached_data))


class TensorTuple(Value):
    """A tuple of tensors as one node of the graph (what ``split`` returns)."""

    __slots__ = ("grad",)

    def __len__(self) -> int:
        return len(self.cached_data)

    def __getitem__(self, index: int) -> Tensor:
        raise NotImplementedError("TensorTuple.__getitem__ is filled in by minigrad.ops")

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def tuple(self) -> tuple[Tensor, ...]:
        """The members as a Python tuple of Tensors."""
        return tuple(self)

    def detach(self) -> TensorTuple:
        """The same arrays without their history."""
        out = _new(TensorTuple)
        out.op, out.inputs, out.requires_grad, out.grad = None, (), False, None
        out.cached_data, out._wanted, out._clock = self.cached_data, None, _state.clock
        out._cell = self._storage_cell()
        return out

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of every member."""
        return tuple(x.shape for x in self.cached_data)

    def __repr__(self) -> str:
        return f"TensorTuple{tuple(self.cached_data)}"


_new = object.__new__
_array_of = operator.attrgetter("cached_data")


def constant(array: Array) -> Tensor:
    """A leaf around ``array`` itself (no copy, no dtype rule) that carries no gradient."""
    out = _new(Tensor)
    out.cached_data = array
    out.op = None
    out.inputs = ()
    out.requires_grad = False
    out.grad = out._wanted = out._cell = None
    out._clock = _state.clock
    return out


def _as_array(values: Any, device: Device | None, dtype: Any) -> Array:
    """Copy ``values`` into a new array on ``device``, by the dtype rules of Tensor."""
    if backend.is_array(values):
        source = values
        device = device or (backend.device_of(values) if not isinstance(values, numpy.ndarray)
                            else backend.default_device())
        takes_default = values.dtype.type is numpy.float64
    else:
        if isinstance(values, (list, tuple)) and any(isinstance(v, Tensor) for v in values):
            raise TypeError("Tensor: got a list of Tensors; use minigrad.ops.stack or concat")
        source = numpy.asarray(values)
        device = device or backend.default_device()
        takes_default = True
    if source.dtype.kind not in "fiub":
        raise DTypeError(f"Tensor: wants numbers, got {type(values).__name__} of {source.dtype}")
    if dtype is None:
        dtype = _state.default_dtype if takes_default and not _state.course else source.dtype
    dtype = numpy.dtype(dtype)
    if dtype.kind not in "fiub":
        raise DTypeError(f"Tensor: wants a float, integer or bool dtype, got {dtype}")
    dtype = numpy.dtype(dtype.type)  # native, and the one object that ``is`` compares quickly
    if isinstance(source, (numpy.ndarray, numpy.generic)):
        return backend.to_device(numpy.array(source, dtype=dtype, order="C"), device)
    return backend.to_device(source.astype(dtype), device)  # astype copies


# ---------------------------------------------------------------------------------- the graph


def find_topo_sort(node_list: Sequence[Value]) -> list[Value]:
    """The values from which ``node_list`` was made and itself, each once, after all its inputs.

    Depth first, inputs in their order, without recursion: a chain of any length works.
    """
    order, seen, stack = [], set(), [*reversed(node_list)]
    while stack:
        node = stack.pop()
        if node is None:  # all that lies below the next entry is in the order
            order.append(stack.pop())
        elif id(node) not in seen:
            seen.add(id(node))
            if node.inputs:
                stack += (node, None, *reversed(node.inputs))
            else:
                order.append(node)
    return order


def _accumulate(order: list, grads: dict, keep: set, needed: set | None) -> None:
    """Walk ``order`` from its end; add up in ``grads``, by id, the gradient of every value.

    ``grads`` begins with the gradients of the outputs and ends with those of the leaves, and of
    the ids in ``keep``; of other values they may be dropped once they were passed on. ``needed``
    holds the ids whose gradients are asked for, None if all are that carry one. A piece that is
    None adds nothing; sums are new Tensors.
    """
    for node in reversed(order):
        if node.op is None or id(node) not in grads:
            continue
        out_grad = grads[id(node)] if id(node) in keep else grads.pop(id(node))
        if node._clock < _state.clock:  # something was written since
            _refuse_stale(node)
        node._wanted = wanted = _wanted_inputs(node, needed)
        differentiate = _checked_gradient if _state.anomaly else node.op.gradient_as_tuple
        pieces = differentiate(out_grad, node)
        node._wanted = None
        if len(pieces) != len(wanted):
            raise _wrong_count(node, pieces)
        for x, piece, is_wanted in zip(node.inputs, pieces, wanted):  # noqa: B905 - lean
            if is_wanted and piece is not None:
                known = grads.get(id(x))
                grads[id(x)] = piece if known is None else _plus(known, piece)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    create_graph: bool = False,
) -> Any:
    """The gradients of ``outputs`` with respect to ``inputs``; touches no ``.grad``.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensors
        Inputs may be leaves or intermediate tensors. Only what they need is computed.
    grad_outputs : optional
        Upstream gradients, one per output, of its shape; ones where None.
    create_graph : bool
        Record the computation, so that the gradients can be differentiated again.

    Returns
    -------
    Tensor or list of Tensors
        As ``inputs`` came; None where an output does not depend on the input.

    Raises
    ------
    RuntimeError
        If no output carries a gradient.
    VersionError
        If an array that the graph needs was changed in place since.
    """
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not all(isinstance(x, Value) for x in (*outs, *ins)):
        raise TypeError("grad: outputs and inputs must be Tensors or sequences of Tensors")
    several = isinstance(grad_outputs, list | tuple)
    ups = list(grad_outputs) if several else [grad_outputs]
    if len(ups) == 1 and ups[0] is None:
        ups = [None] * len(outs)
    if len(ups) != len(outs):
        raise ShapeError(f"grad: {len(outs)} outputs but {len(ups)} grad_outputs")
    if not any(y.requires_grad for y in outs):
        raise RuntimeError("grad: no output carries a gradient")
    order = find_topo_sort(outs)
    targets = {id(x) for x in ins}
    grads: dict[int, Tensor] = {}
    with _Recording(create_graph):
        for y, up in zip(outs, ups, strict=True):
            seed = _seed("grad", y, up)
            grads[id(y)] = grads[id(y)] + seed if id(y) in grads else seed
        _accumulate(order, grads, targets, _on_path(order, targets))
    handed_out = {id(_memory(up.cached_data)) for up in ups if up is not None}
    found = [grads.get(id(x)) for x in ins]
    if not create_graph:
        found = [g if g is None else _own(g, handed_out) for g in found]
    return found[0] if isinstance(inputs, Tensor) else found


def compute_gradient_of_variables(output_tensor: Tensor, out_grad: Tensor) -> None:
    """The course's name for what ``output_tensor.backward(out_grad)`` does."""
    output_tensor.backward(out_grad)


class _Recording(_Switch):
    """Recording on or off for a backward pass."""

    attribute = "recording"

    def __init__(self, value: bool) -> None:
        super().__init__()
        self.value = value


def _seed(caller: str, output: Tensor, out_grad: Tensor | None) -> Tensor:
    """The gradient from which the walk starts, checked against the output."""
    if out_grad is None:
        xp = backend.array_module(output.cached_data)
        return constant(xp.ones(output.shape, dtype=output.dtype))
    if not isinstance(out_grad, Tensor):
        raise TypeError(f"{caller}: out_grad must be a Tensor, got {type(out_grad).__name__}")
    if out_grad.shape != output.shape:
        raise ShapeError(f"{caller}: out_grad must have the output's shape {output.shape}, "
                         f"got {out_grad.shape}")
    if out_grad.dtype != output.dtype and not _state.course:
        raise DTypeError(f"{caller}: out_grad must have the output's dtype {output.dtype}, "
                         f"got {out_grad.dtype}")
    return out_grad


def _on_path(order: Iterable[Value], targets: set[int]) -> set[int]:
    """The ids of the values of ``order`` that lead to one of ``targets``, targets included."""
    needed: set[int] = set()
    for node in order:
        if id(node) in targets or not needed.isdisjoint(map(id, node.inputs)):
            needed.add(id(node))
    return needed


def _wanted_inputs(node: Value, needed: set[int] | None) -> tuple[bool, ...]:
    if needed is None:
        return tuple([x.requires_grad for x in node.inputs])
    return tuple([id(x) in needed for x in node.inputs])


class _Copy(TensorOp):
    """y = a, in memory of its own."""

    reads_inputs = reads_output = False

    def compute(self, a: Array) -> Array:
        return a.copy(order="K")

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad


_COPY = _Copy()


def _refuse_stale(node: Value) -> None:
    """Raise VersionError if an array that ``node``'s gradient reads was written after the node."""
    op = node.op
    if op.reads_inputs:
        for i, x in enumerate(node.inputs):
            if x._cell is not None and x._cell[0] > node._clock:
                raise VersionError(_stale(op, f"input {i}, a {_describe(x)},"))
    if op.reads_output and node._cell is not None and node._cell[0] > node._clock:
        raise VersionError(_stale(op, f"the output, a {_describe(node)},"))


def _plus(known: Value, piece: Value) -> Value:
    """The sum of two gradients; no op object is made while nothing is recorded."""
    if _state.recording or known.__class__ is TensorTuple or not known.shape:
        return known + piece
    return constant(known.cached_data + piece.cached_data)


def _wrong_count(node: Value, pieces: tuple) -> ShapeError:
    return ShapeError(f"{type(node.op).__name__}.gradient returned {len(pieces)} gradients for "
                      f"{len(node.inputs)} inputs")


def _describe(x: Value) -> str:
    kind = type(x).__name__
    return f"{kind} of shape {x.shape}" if isinstance(x, Tensor) else kind


def _stale(op: Op, which: str) -> str:
    return (
        f"{type(op).__name__}: {which} was changed in place after the operation ran, and its "
        "backward pass needs the old values. An optimizer step (or .data = ...) came too early: "
        "call backward before the step, or compute the forward pass again after it"
    )


def _memory(array: Array) -> Array:
    """The array whose memory ``array`` shows."""
    return array if array.base is None else array.base


def _own(g: Tensor, handed_out: set[int]) -> Tensor:
    """``g`` as a tensor with memory of its own: not another tensor's, nor given out already."""
    array = g.cached_data
    memory = _memory(array)
    whole = memory is array or (memory.base is None and memory.size == array.size)
    if whole and id(memory) not in handed_out and g._cell is None:
        handed_out.add(id(memory))
        return g
    return _COPY(g) if g.requires_grad else constant(array.copy(order="K"))


def _checked_gradient(out_grad: Value, node: Value) -> tuple[Value | None, ...]:
    """``gradient_as_tuple`` inside detect_anomaly: errors name the op that is differentiated."""
    what = f"gradient of {type(node.op).__name__}"
    try:
        pieces = node.op.gradient_as_tuple(out_grad, node)
    except AnomalyError as error:
        raise AnomalyError(f"{error}, in the {what}") from None
    for piece, is_wanted in zip(pieces, node.wanted, strict=True):
        if is_wanted and piece is not None:
            _refuse_nonfinite(f"{what} is", piece.cached_data)
    return pieces


def _refuse_nonfinite(what: str, data: Any) -> None:
    for array in data if isinstance(data, tuple) else (data,):
        xp = backend.array_module(array)
        if array.dtype.kind == "f" and not bool(xp.isfinite(array).all()):
            bad = "NaN" if bool(xp.isnan(array).any()) else "infinity"
            raise AnomalyError(f"detect_anomaly: {what} {bad} (shape {array.shape})")
