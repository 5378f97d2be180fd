"""Numeric against analytic gradients, of first and second order, with the likely cause of a fault.

The numeric gradient of a function takes two values of it per element of an input. The analytic one
comes from ``grad``. Both are contracted with the same random upstream gradient: an upstream of ones
(``y.sum()``) would hide every op that ignores its ``out_grad``. The gradient itself is a function
of the inputs and of the upstream gradient, so the second order is the same check, made on it.

Where the two disagree, the wrong numbers usually tell what was forgotten; ``likely_cause`` reads
them. If the function is made of several ops, each is then checked alone, to name the one at fault.
``simple_gradcheck`` is the heart of it, without all that comes after the comparison.

Leaves out: sampling (every element is checked, so keep inputs small), third order (pass a function
that calls ``grad`` itself), complex numbers, and points where a function has a kink: there the two
gradients may differ rightly, so keep inputs away from them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy

from .autograd import Op, Tensor, TensorTuple, Value, enable_grad, find_topo_sort, grad
from .backend import Device, default_device, device_of, is_array, to_numpy
from .errors import DTypeError, GradientError, ShapeError

__all__ = ["Cause", "gradcheck", "likely_cause", "numeric_gradient", "simple_gradcheck"]

Function = Callable[..., Any]


class Cause(enum.Enum):
    """What a wrong gradient looks like; the value is the wording in messages."""

    BROADCAST = "unsummed broadcast"
    SHAPE = "wrong shape"
    ZERO = "zero gradient"
    UPSTREAM = "upstream ignored"
    TRANSPOSED = "transposed"
    SIGN = "sign"
    FACTOR = "constant factor"
    DOUBLED = "doubled on a second backward"
    MASK = "right only where a mask is on"
    NAN = "NaN"
    FLOAT32 = "float32 result"
    MUTATED = "input mutated"
    NDARRAY = "ndarray instead of Tensor"
    RAISED = "backward raised an error"
    RECORDED = "recorded and unrecorded gradients differ"
    RANDOM = "not a function of its inputs"
    KINK = "kink at this point"
    UNKNOWN = "none of the usual ones"


def gradcheck(
    f: Function,
    *inputs: Any,
    order: int = 2,
    eps: float = 1e-5,
    tol: float = 1e-5,
    seed: int = 0,
) -> None:
    """Check the gradient of ``f`` at ``inputs`` against differences of its values.

    Every element of every input is moved by ``eps`` up and down, in float64. Besides the numbers,
    shapes, dtypes and types are checked, that nothing is changed in place, that a second backward
    pass gives the same, and that it makes no difference whether the backward pass is recorded.

    Parameters
    ----------
    f : callable
        From Tensors to a Tensor, a TensorTuple, or a tuple or list of Tensors. An op, a function,
        or the forward pass of a whole module made in float64. It must give the same values each
        time: no dropout.
    *inputs : Tensor, array, number or list
        Where to check. All are copied and become float64; integer and bool arrays stay as they are
        and are passed through as constants.
    order : int
        1, or 2 to check the gradient of the gradient too: that of ``grad(f, inputs, upstream)``
        with respect to the inputs and to the upstream gradient.
    eps : float
        Step of the differences, times max(1, abs(element)).
    tol : float
        Allowed difference, relative to the largest element of the numeric gradient.
    seed : int
        Seed of the random upstream gradients; the library's generator is not touched.

    Raises
    ------
    GradientError
        If a check fails; its message names the function, the input, the element, both numbers and
        the likely cause, which is also in its attribute ``cause`` (a ``Cause``).
    ValueError
        If ``order`` is neither 1 nor 2, or no input is a float.
    DTypeError
        If ``f`` returns no float tensor.

    Examples
    --------
    >>> import numpy as np
    >>> from minigrad import ops
    >>> rng = np.random.default_rng(0)
    >>> gradcheck(ops.matmul, rng.standard_normal((3, 4)), rng.standard_normal((4, 2)))
    >>> gradcheck(lambda x: ops.tanh(x) * x, rng.standard_normal((5,)))
    >>> class Square(ops.Exp):
    ...     def compute(self, a):
    ...         return a * a
    ...     def gradient(self, out_grad, node):
    ...         return 2 * node.inputs[0]  # forgets out_grad
    >>> try:
    ...     gradcheck(Square(), rng.standard_normal((2, 2)))
    ... except GradientError as error:
    ...     print(error.cause.value)
    upstream ignored
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order must be 1 or 2, got {order}")
    arrays = [_host_array(x) for x in inputs]
    if not any(a.dtype.kind == "f" for a in arrays):
        raise ValueError("gradcheck: none of the inputs is a float, so there is no gradient to "
                         "check (integer inputs are constants)")
    devices = [_device(x) for x in inputs]
    check = _Check(f, arrays, devices, _name(f), order, eps, tol, seed)
    with enable_grad(), numpy.errstate(all="ignore"):
        try:
            check.run()
        except GradientError as error:
            culprit = check.blame()
            # an op that adds to what it keeps is past its first call: alone it looks otherwise
            keeps = error.cause is Cause.DOUBLED and culprit and culprit.cause is not Cause.MUTATED
            if culprit is None or keeps:
                raise
            raise _in_composition(error, culprit) from None


def numeric_gradient(
    f: Callable[[list[numpy.ndarray]], Sequence[numpy.ndarray]],
    arrays: Sequence[numpy.ndarray],
    i: int,
    cotangents: Sequence[numpy.ndarray],
    eps: float = 1e-5,
) -> numpy.ndarray:
    """The gradient of sum(cotangent * f) with respect to ``arrays[i]``, from values of f alone.

    Every element of the array is moved a step up and a step down, the others staying as they are:
    central differences, whose error is of the order eps**2.

    Parameters
    ----------
    f : callable
        From a list of arrays, like ``arrays``, to a sequence of arrays: the outputs.
    arrays : sequence of numpy.ndarray
        Where to differentiate, in float64. They are copied, and not changed.
    i : int
        Which of them is moved.
    cotangents : sequence of numpy.ndarray
        One for each output, of its shape. The sum runs over all elements of all outputs.
    eps : float
        Step of the differences, times max(1, abs(element)).

    Returns
    -------
    numpy.ndarray
        float64, of the shape of ``arrays[i]``.

    Examples
    --------
    >>> import numpy as np
    >>> x, c = np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 100.0])
    >>> numeric_gradient(lambda arrays: [arrays[0] ** 2], [x], 0, [c]).round(6)
    array([  2.,  40., 600.])
    """
    arrays = [a.copy() for a in arrays]
    flat, result = arrays[i].reshape(-1), numpy.zeros(arrays[i].size)
    for k in range(flat.size):
        (low, middle, high), width = _neighbours(flat[k], eps)
        flat[k] = high
        above = f(arrays)
        flat[k] = low
        below = f(arrays)
        flat[k] = middle
        result[k] = sum(
            float((c * (a - b)).sum())
            for c, a, b in zip(cotangents, above, below, strict=True)) / width
    return result.reshape(arrays[i].shape)


def simple_gradcheck(
    f: Function, *inputs: Any, eps: float = 1e-5, tol: float = 1e-5, seed: int = 0
) -> None:
    """Check the gradient of ``f`` at ``inputs``: what is essential in ``gradcheck``, and no more.

    One random upstream gradient, standard normal, is drawn with ``seed``. With it the gradient of
    every input is computed twice: by ``grad`` and by ``numeric_gradient``. The two must have one
    shape, and agree in every element. Where ``grad`` gives None, as f does not depend on that
    input, the gradient is 0.

    Parameters
    ----------
    f : callable
        From Tensors to one Tensor: an op or a function, the same values each time.
    *inputs : array, number or (nested) list of numbers
        Where to check. All are copied and become float64.
    eps : float
        Step of the differences, as in ``numeric_gradient``.
    tol : float
        Allowed difference, relative to the largest element of the numeric gradient, or to 1 if
        that is smaller.
    seed : int
        Seed of the upstream gradient.

    Raises
    ------
    GradientError
        If a shape is wrong or an element differs; NaN differs from everything. The message names
        the input. Other exceptions, of f or of the backward pass, are passed on.

    Examples
    --------
    >>> import numpy as np
    >>> from minigrad import ops
    >>> rng = np.random.default_rng(0)
    >>> simple_gradcheck(ops.matmul, rng.standard_normal((3, 4)), rng.standard_normal((4, 2)))
    """
    def tensors(values: Sequence[numpy.ndarray]) -> list[Tensor]:
        return [Tensor(a, dtype=a.dtype) for a in values]

    arrays = [numpy.array(x, dtype="float64") for x in inputs]
    xs = tensors(arrays)
    y = f(*xs)
    up = numpy.random.default_rng(seed).standard_normal(y.shape)
    for i, found in enumerate(grad(y, xs, Tensor(up, dtype=up.dtype))):
        numeric = numeric_gradient(lambda values: [f(*tensors(values)).numpy()], arrays, i, [up],
                                   eps)
        analytic = numpy.zeros_like(numeric) if found is None else found.numpy()
        what = f"{_name(f)}: gradient of input {i}: "
        if analytic.shape != numeric.shape:
            raise GradientError(f"{what}shape got {analytic.shape}, want {numeric.shape}")
        near = tol * max(1.0, float(numpy.abs(numeric).max(initial=0.0)))
        right = numpy.abs(analytic - numeric) <= near  # NaN is not
        if not right.all():
            raise GradientError(f"{what}{int((~right).sum())} of {right.size} elements are wrong")


def likely_cause(
    analytic: numpy.ndarray,
    numeric: numpy.ndarray,
    *,
    ones: numpy.ndarray | None = None,
    swapped: Sequence[numpy.ndarray] = (),
    sizes: Sequence[tuple[str, int]] = (),
    tol: float = 1e-4,
) -> tuple[Cause, str]:
    """What was probably forgotten where ``analytic`` is not the gradient ``numeric``.

    Parameters
    ----------
    analytic, numeric : numpy.ndarray
        The gradient in question, and the right one.
    ones : numpy.ndarray, optional
        The right gradient for an upstream gradient of ones.
    swapped : sequence of numpy.ndarray
        The right gradients where another input, or the upstream gradient, is transposed.
    sizes : sequence of (name, number)
        What a constant factor may stand for.
    tol : float
        How close, relative to the largest element, counts as equal.

    Returns
    -------
    (Cause, str)
        The cause and one sentence of advice.
    """

    def same(a: numpy.ndarray, b: numpy.ndarray) -> bool:
        return a.shape == b.shape and bool(
            (numpy.abs(a - b) <= tol * numpy.abs(b).max(initial=0.0)).all())

    if analytic.shape != numeric.shape:
        return _shape_cause(analytic.shape, numeric.shape)
    if not numpy.isfinite(analytic).all():
        where = tuple(int(i) for i in numpy.argwhere(~numpy.isfinite(analytic))[0])
        what = "NaN" if numpy.isnan(analytic[where]) else "infinite"
        return Cause.NAN, f"the analytic gradient is {what} first at {where}"
    if not numpy.isfinite(numeric).all():
        where = tuple(int(i) for i in numpy.argwhere(~numpy.isfinite(numeric))[0])
        return Cause.NAN, f"the function itself is not finite near element {where}"
    if not analytic.any():
        return Cause.ZERO, "the whole gradient is 0: something is detached, or never passed on"
    if ones is not None and same(analytic, ones):
        return Cause.UPSTREAM, "it matches an all-ones upstream gradient: out_grad is not used"
    if analytic.ndim >= 2 and same(numpy.swapaxes(analytic, -1, -2), numeric):
        return Cause.TRANSPOSED, "the transpose of this gradient would be right"
    if any(same(analytic, other) for other in swapped):
        return Cause.TRANSPOSED, "it is right for a transposed operand: a transpose is missing"
    factor = _constant_factor(analytic, numeric, tol)
    if factor is not None and abs(factor + 1) < tol:
        return Cause.SIGN, "the negative of this gradient would be right"
    if factor is not None:
        meaning = _factor_names(factor, sizes, tol)
        if meaning or analytic.size > 1:
            return Cause.FACTOR, f"it is {factor:.6g} times the right gradient" + (
                f" ({' or '.join(meaning)})" if meaning else "")
    right = numpy.abs(analytic - numeric) <= tol * numpy.abs(numeric).max(initial=0.0)
    if right.any() and (numeric[~right] == 0).all():
        return Cause.MASK, "it is wrong just where the right gradient is 0: a mask is missing"
    if right.any() and (analytic[~right] == 0).all():
        return Cause.MASK, "it is wrong just where it is 0: a mask is on where it should be off"
    return Cause.UNKNOWN, "compare the formula on paper with the code"


# --------------------------------------------------------------------------------- the numbers


class _Check(NamedTuple):
    """One function at one point. ``order`` counts down: the second order is a check of its own."""

    f: Function
    arrays: list[numpy.ndarray]
    devices: list[Device]
    name: str
    order: int
    eps: float
    tol: float
    seed: int
    level: int = 1  # 2: f is itself a gradient
    ups: int = 0  # how many of the last inputs are upstream gradients of the first order

    def run(self) -> None:
        """Raise GradientError at the first thing that is wrong."""
        xs = self.tensors(self.arrays)
        ys = self.outputs(xs)
        y_arrays = [to_numpy(y.cached_data).copy() for y in ys]
        for y in ys:
            if y.dtype != numpy.float64:
                self.fail(Cause.FLOAT32, f"the result has dtype {y.dtype} for float64 inputs",
                          "a constant or an astype inside has another dtype")
        self.refuse_mutation(xs, self.arrays, "the function changed input {} in place")
        self.refuse_randomness(y_arrays)
        rng = numpy.random.default_rng([self.seed, self.level])
        cotangents = [rng.standard_normal(y.shape) for y in ys]
        ups = [Tensor(c, dtype=c.dtype, device=y.device)
               for c, y in zip(cotangents, ys, strict=True)]

        found = self.analytic(ys, xs, ups)
        self.refuse_mutation(xs, self.arrays, "the backward pass changed input {} in place")
        self.refuse_mutation(ups, cotangents, "the backward pass changed its upstream gradient {}")
        self.refuse_mutation(ys, y_arrays, "the backward pass changed output {} in place")
        for i, gradient in found.items():
            self.compare(i, gradient, cotangents, y_arrays)

        again = self.analytic(ys, xs, ups)
        self.refuse_change(found, again, "a second call of grad on one graph")
        if self.level == 1:
            recorded = self.analytic(ys, xs, ups, create_graph=True)
            self.refuse_change(found, recorded, "grad with create_graph=True", Cause.RECORDED)
            if len(ys) == 1 and ys[0].requires_grad:
                for call, gradients in self.backward_twice(ys[0], xs, ups[0]):
                    self.refuse_change(found, gradients, call)
            self.check_nodes(ys)
        if self.order == 2:
            reached = [i for i, g in found.items() if g is not None]
            if reached:
                self.next_order(reached, cotangents, [y.device for y in ys]).run()

    def next_order(
        self, reached: list[int], cotangents: list[numpy.ndarray], devices: list[Device]
    ) -> _Check:
        """The same check for the gradient, as a function of the inputs and the upstream."""

        def gradient(*args: Tensor) -> list[Tensor]:
            xs, ups = args[:len(self.arrays)], args[len(self.arrays):]
            found = grad(self.outputs(xs), [xs[i] for i in reached], ups, create_graph=True)
            return [g for g in found if g is not None]

        return self._replace(f=gradient, arrays=self.arrays + cotangents, order=1, level=2,
                             devices=self.devices + devices, ups=len(cotangents))

    def tensors(self, arrays: Sequence[numpy.ndarray]) -> list[Tensor]:
        """New leaves with these values."""
        return [Tensor(a, dtype=a.dtype, device=device, requires_grad=a.dtype.kind == "f")
                for a, device in zip(arrays, self.devices, strict=True)]

    def outputs(self, xs: Sequence[Tensor]) -> list[Tensor]:
        """What f returns, as a list of float tensors."""
        y = self.f(*xs)
        ys = list(y) if isinstance(y, list | tuple | TensorTuple) else [y]
        for y in ys:
            if not isinstance(y, Tensor):
                self.fail(Cause.NDARRAY, f"the result is of type {type(y).__name__}",
                          "return Tensors")
        ys = [y for y in ys if y.dtype.kind == "f"]
        if not ys:
            raise DTypeError(f"gradcheck: {self.name} returned no float tensor, so there is "
                             "nothing to differentiate")
        return ys

    def values(self, arrays: Sequence[numpy.ndarray]) -> list[numpy.ndarray]:
        """The values of f, on the host."""
        return [to_numpy(y.cached_data) for y in self.outputs(self.tensors(arrays))]

    def analytic(
        self, ys: list[Tensor], xs: list[Tensor], ups: list[Tensor], create_graph: bool = False
    ) -> dict[int, numpy.ndarray | None]:
        """What ``grad`` says, by input; checked for type, shape and dtype."""
        floats = [i for i, a in enumerate(self.arrays) if a.dtype.kind == "f"]
        if not any(y.requires_grad for y in ys):
            return dict.fromkeys(floats)
        try:
            found = grad(ys, [xs[i] for i in floats], ups, create_graph)
        except GradientError:
            raise
        except Exception as error:
            self.explain(error, ys, ups)
        return {i: self.host_gradient(i, g) for i, g in zip(floats, found, strict=True)}

    def host_gradient(self, i: int, gradient: Any) -> numpy.ndarray | None:
        """One gradient as a host array, its type, shape and dtype checked."""
        if gradient is None:
            return None
        what = f"gradient of {self.input_name(i)}"
        if not isinstance(gradient, Tensor):
            self.fail(Cause.NDARRAY, f"{what} is of type {type(gradient).__name__}",
                      "gradient must compute with Tensors and return Tensors")
        if gradient.shape != self.arrays[i].shape:
            cause, advice = _shape_cause(gradient.shape, self.arrays[i].shape)
            self.fail(cause, f"{what}: shape got {gradient.shape}, want {self.arrays[i].shape}",
                      advice)
        if gradient.dtype != numpy.float64:
            self.fail(Cause.FLOAT32, f"{what}: dtype got {gradient.dtype}, want float64",
                      "a constant or an astype in the gradient has another dtype")
        return to_numpy(gradient.cached_data).copy()

    def numeric(
        self, i: int, cotangents: list[numpy.ndarray], arrays: list[numpy.ndarray] | None = None
    ) -> numpy.ndarray:
        """``numeric_gradient`` of input ``i``."""
        arrays = self.arrays if arrays is None else arrays
        return numeric_gradient(self.values, arrays, i, cotangents, self.eps)

    def compare(
        self,
        i: int,
        gradient: numpy.ndarray | None,
        cotangents: list[numpy.ndarray],
        y_arrays: list[numpy.ndarray],
    ) -> None:
        """Raise GradientError if the gradient of input ``i`` is not the numeric one."""
        numeric = self.numeric(i, cotangents)
        unreached = gradient is None
        analytic = numpy.zeros_like(numeric) if unreached else gradient
        size_of_f = sum(
            float(numpy.abs(c * y).sum()) for c, y in zip(cotangents, y_arrays, strict=True))
        rounding = 64 * numpy.finfo(numpy.float64).eps * size_of_f / self.eps
        limit = self.tol * float(numpy.abs(numeric).max(initial=0.0)) + rounding
        wrong = ~(numpy.abs(analytic - numeric) <= limit)  # NaN is wrong too
        if not wrong.any():
            return
        distance = numpy.where(numpy.isfinite(analytic - numeric), numpy.abs(analytic - numeric),
                               numpy.inf)
        worst = numpy.unravel_index(int(distance.argmax()), distance.shape)
        worst = tuple(int(k) for k in worst)
        cause, advice = self.cause_of(i, analytic, numeric, cotangents)
        if self.has_kink(i, worst, cotangents, limit / self.tol):
            cause, advice = Cause.KINK, ("the slopes to the left and to the right differ: move "
                                         "the input away, or make eps smaller")
        elif cause is Cause.ZERO and self.level == 2:
            advice = ("the gradient method must compute with Tensors all the way, not with "
                      "cached_data or numpy()")
        elif unreached:
            advice = f"no path of Tensor operations leads from the result to {self.input_name(i)}"
        self.fail(
            cause, f"gradient of {self.input_name(i)} is wrong", advice,
            f"{int(wrong.sum())} of {wrong.size} elements differ; worst at {worst}: analytic "
            f"{analytic[worst]:+.6g}, numeric {numeric[worst]:+.6g}",
            index=worst,
        )

    # ---- what else can be wrong

    def cause_of(
        self,
        i: int,
        analytic: numpy.ndarray,
        numeric: numpy.ndarray,
        cotangents: list[numpy.ndarray],
    ) -> tuple[Cause, str]:
        """``likely_cause``, with all that it can use."""
        ones = self.numeric(i, [numpy.ones_like(c) for c in cotangents])
        swapped = []
        for j, a in enumerate(self.arrays):
            if j != i and a.ndim >= 2 and a.shape[-1] == a.shape[-2]:
                others = list(self.arrays)
                others[j] = numpy.ascontiguousarray(a.swapaxes(-1, -2))
                swapped.append(self.numeric(i, cotangents, others))
        if all(c.ndim >= 2 and c.shape[-1] == c.shape[-2] for c in cotangents):
            swapped.append(self.numeric(i, [c.swapaxes(-1, -2) for c in cotangents]))
        sizes = [("n = elements of the result", c.size) for c in cotangents]
        for j, a in enumerate(self.arrays):
            sizes.append((f"n = elements of {self.input_name(j)}", a.size))
            sizes += [(f"n = size of axis {axis} of {self.input_name(j)}", size)
                      for axis, size in enumerate(a.shape)]
        return likely_cause(analytic, numeric, ones=ones, swapped=swapped, sizes=sizes)

    def has_kink(
        self, i: int, index: tuple[int, ...], cotangents: list[numpy.ndarray], scale: float
    ) -> bool:
        """Whether at one element slopes to the left and right differ, or depend on the step.

        ``scale`` is the size of a usual slope.
        """
        arrays = [a.copy() for a in self.arrays]
        (low, middle, high), width = _neighbours(float(arrays[i][index]), self.eps)
        quarter = width / 8
        heights = []
        for point in (low, middle - quarter, middle, middle + quarter, high):
            arrays[i][index] = point
            heights.append(sum(float((c * y).sum())
                               for c, y in zip(cotangents, self.values(arrays), strict=True)))
        left, right = (heights[2] - heights[0]) * 2, (heights[4] - heights[2]) * 2
        far, near = heights[4] - heights[0], (heights[3] - heights[1]) * 4
        return max(abs(right - left), abs(far - near)) > 0.02 * scale * width

    def refuse_mutation(
        self, tensors: Sequence[Tensor], arrays: Sequence[numpy.ndarray], what: str
    ) -> None:
        for k, (t, a) in enumerate(zip(tensors, arrays, strict=True)):
            if not _same_values(to_numpy(t.cached_data), a):
                self.fail(Cause.MUTATED, what.format(k),
                          "compute and gradient must make new arrays (no +=, no out=)")

    def refuse_randomness(self, y_arrays: list[numpy.ndarray]) -> None:
        again = self.values(self.arrays)
        for k, (a, b) in enumerate(zip(y_arrays, again, strict=True)):
            if a.shape != b.shape or not numpy.allclose(a, b, 1e-9, 0.0, equal_nan=True):
                self.fail(Cause.RANDOM, f"output {k} changes from call to call on equal inputs",
                          "random numbers or state inside: use eval mode, or pass them as inputs")

    def refuse_change(
        self,
        first: dict[int, numpy.ndarray | None],
        again: dict[int, numpy.ndarray | None],
        call: str,
        cause: Cause = Cause.DOUBLED,
    ) -> None:
        """``again`` must be what ``first`` was."""
        for i, a in first.items():
            b = again[i]
            if a is None or b is None:
                a, b = (numpy.zeros(self.arrays[i].shape) if g is None else g for g in (a, b))
            near = 1e-7 * float(numpy.abs(a).max(initial=0.0))
            if (numpy.abs(a - b) <= near).all():
                continue
            factor = _constant_factor(b, a, 1e-4)
            times = "" if factor is None else f"; it is {factor:.4g} times the first"
            advice = ("the backward pass must not depend on an earlier one: overwrite, do not "
                      "accumulate; keep no state in ops")
            if cause is Cause.RECORDED:
                advice = "the fused gradient and the one in Tensor operations must agree"
            self.fail(cause, f"gradient of {self.input_name(i)} differs in {call}{times}", advice)

    def backward_twice(
        self, y: Tensor, xs: list[Tensor], up: Tensor
    ) -> list[tuple[str, dict[int, numpy.ndarray | None]]]:
        """What ``y.backward(up)`` puts into ``.grad``, twice; other tensors keep theirs."""
        touched = [node for node in find_topo_sort([y]) if isinstance(node, Tensor)]
        before = [node.grad for node in touched]
        floats = [i for i, a in enumerate(self.arrays) if a.dtype.kind == "f"]
        found = []
        try:
            for call in (".backward()", "a second .backward() on one graph"):
                y.backward(up)
                found.append((call, {i: self.host_gradient(i, xs[i].grad) for i in floats}))
        finally:
            for node, gradient in zip(touched, before, strict=True):
                node.grad = gradient
        return found

    def explain(self, error: Exception, ys: list[Tensor], ups: list[Tensor]) -> NoReturn:
        """Raise GradientError for a backward pass that ended in an exception."""
        nodes = [node for node in find_topo_sort(ys) if node.op is not None]
        if len(nodes) == 1 and len(ys) == 1 and nodes[0] is ys[0]:
            self.inspect(ys[0], ups[0])
        text = str(error).splitlines()[0] if str(error) else ""
        is_product = isinstance(error, ShapeError) and "@" in text
        self.fail(
            Cause.TRANSPOSED if is_product else Cause.RAISED,
            f"the backward pass raised {type(error).__name__}: {text[:200]}",
            "the operands of a product do not fit: a transpose is missing" if is_product else
            "see the exception above this one", error=error)

    def inspect(self, y: Tensor, up: Tensor) -> None:
        """What one op's gradient returns, looked at by hand."""
        name = type(y.op).__name__
        try:
            pieces = y.op.gradient(up, y)
        except Exception:
            return
        pieces = tuple(pieces) if isinstance(pieces, tuple | list) else (pieces,)
        for k, piece in enumerate(pieces):
            if piece is not None and not isinstance(piece, Value):
                self.fail(Cause.NDARRAY, f"{name}.gradient returned a {type(piece).__name__} for "
                          f"{self.input_name(k)}", "compute with Tensors and return Tensors")
        if len(pieces) != len(y.inputs):
            self.fail(Cause.RAISED, f"{name}.gradient returned {len(pieces)} gradients for "
                      f"{len(y.inputs)} inputs", "return one per input, None where there is none")

    def check_nodes(self, ys: list[Tensor]) -> None:
        """What may go unnoticed between ops: inputs written to, gradients that fit by chance."""
        for node in find_topo_sort(ys):
            if node.op is None or not all(isinstance(x, Tensor) for x in (node, *node.inputs)):
                continue
            name, arrays = _name(node.op), [x.cached_data.copy() for x in node.inputs]
            node.op.compute(*arrays)
            pieces = node.op.gradient_as_tuple(node.detach(), node)
            for k, (x, a, piece) in enumerate(zip(node.inputs, arrays, pieces, strict=True)):
                if not _same_values(to_numpy(a), to_numpy(x.cached_data)):
                    self.fail(Cause.MUTATED, f"{name}.compute changed its input {k} in place",
                              "compute must make new arrays (no +=, no out=)")
                if piece is not None and piece.shape != x.shape:
                    cause, advice = _shape_cause(piece.shape, x.shape)
                    self.fail(cause, f"{name}.gradient of input {k}: shape got {piece.shape}, "
                              f"want {x.shape}", advice)

    def blame(self) -> GradientError | None:
        """The error of the first op that fails alone, if f is made of several."""
        try:
            nodes = [n for n in find_topo_sort(self.outputs(self.tensors(self.arrays)))
                     if n.op is not None]
        except Exception:
            return None
        if len(nodes) < 2:
            return None
        for node in nodes:
            if not all(isinstance(x, Tensor) and x.size <= 4096 for x in (node, *node.inputs)):
                continue
            arrays = [_host_array(x) for x in node.inputs]
            devices = [x.device for x in node.inputs]
            alone = self._replace(f=node.op, arrays=arrays, devices=devices, name=_name(node.op))
            try:
                alone.run()
            except GradientError as error:
                return error
            except Exception:
                continue
        return None

    def input_name(self, i: int) -> str:
        """How messages call an input."""
        k = i - (len(self.arrays) - self.ups)
        return f"input {i}" if k < 0 else f"upstream gradient {k}"

    def fail(
        self, cause: Cause, what: str, advice: str, numbers: str = "", *,
        index: tuple[int, ...] | None = None, error: Exception | None = None,
    ) -> NoReturn:
        """Raise GradientError."""
        order = "second order: the gradient of the gradient" if self.level == 2 else "first order"
        shapes = ", ".join(f"{a.dtype} {a.shape}" for a in self.arrays)
        lines = [
            f"{self.name}: {what}",
            *([f"  {numbers}"] if numbers else []),
            f"  likely cause: {cause.value}: {advice}",
            f"  {order}; inputs {shapes[:300]}; seed {self.seed}",
        ]
        raised = GradientError("\n".join(lines))
        raised.cause, raised.index, raised.order, raised.name = cause, index, self.level, self.name
        raise raised from error


# ------------------------------------------------------------------------------------- helpers


def _host_array(x: Any) -> numpy.ndarray:
    """A contiguous copy on the host: float64, or an integer type where that came."""
    if isinstance(x, Tensor) or is_array(x):
        host = to_numpy(x.cached_data if isinstance(x, Tensor) else x)
    else:
        host = numpy.asarray(x, dtype="float64")
    if host.dtype.kind not in "fiub":
        raise DTypeError(f"gradcheck: inputs must be numbers, got {host.dtype}")
    return numpy.array(host, dtype="float64" if host.dtype.kind == "f" else host.dtype, order="C")


def _device(x: Any) -> Device:
    if isinstance(x, Tensor):
        return x.device
    on_device = is_array(x) and not isinstance(x, numpy.ndarray | numpy.generic)
    return device_of(x) if on_device else default_device()


def _neighbours(x: float, eps: float) -> tuple[tuple[float, float, float], float]:
    """A value with its two neighbours, and the width between these as computed."""
    step = eps * max(1.0, abs(x))
    low, high = x - step, x + step
    return (low, x, high), high - low


def _same_values(a: numpy.ndarray, b: numpy.ndarray) -> bool:
    return numpy.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _name(f: Function) -> str:
    """A function's name; an op's or module's class."""
    return getattr(f, "__name__", type(f).__name__) if not isinstance(f, Op) else type(f).__name__


def _shape_cause(got: tuple[int, ...], want: tuple[int, ...]) -> tuple[Cause, str]:
    if len(got) >= 2 and (*got[:-2], got[-1], got[-2]) == want:
        return Cause.TRANSPOSED, "the last two axes are swapped"
    try:
        broadcast = numpy.broadcast_shapes(got, want) == got
    except ValueError:
        broadcast = False
    if broadcast or sorted(s for s in got if s != 1) == sorted(s for s in want if s != 1):
        return Cause.BROADCAST, "the input was broadcast: sum the gradient back to its shape"
    return Cause.SHAPE, "a gradient has the shape of the input that it belongs to"


def _constant_factor(a: numpy.ndarray, b: numpy.ndarray, tol: float) -> float | None:
    """The number that times ``b`` gives ``a``, if there is one."""
    if not b.size or not b.any():
        return None
    at = int(numpy.abs(b).argmax())
    factor = float(a.flat[at] / b.flat[at])
    near = tol * max(abs(factor), 1e-300) * float(numpy.abs(b).max())
    return factor if factor and (numpy.abs(a - factor * b) <= near).all() else None


def _factor_names(factor: float, sizes: Sequence[tuple[str, int]], tol: float) -> list[str]:
    """What the factor may stand for: n, 1/n, 2, 1/2 ..."""
    names: dict[str, None] = {}
    for name, n in sizes:
        if n > 1 and abs(factor / n - 1) < tol:
            names[f"{name}: a 1/n is lost"] = None
        if n > 1 and abs(factor * n - 1) < tol:
            names[f"1/n, {name}: divided by n once too often"] = None
    for number in (2, 3, 4):
        if abs(factor / number - 1) < tol:
            names[f"{number}: counted {number} times"] = None
        if abs(factor * number - 1) < tol:
            names[f"1/{number}: a factor or one of several paths is lost"] = None
    return list(names)[:3]


def _in_composition(error: GradientError, culprit: GradientError) -> GradientError:
    """The error of a function whose op ``culprit`` fails alone too."""
    what, *more = str(error).splitlines()
    numbers = [line for line in more if "elements differ" in line]
    lines = [what, *numbers, f"  the op at fault is {culprit.name}, which fails alone too:",
             *(f"  {line}" for line in str(culprit).splitlines()), more[-1]]
    raised = GradientError("\n".join(lines))
    raised.cause, raised.index = culprit.cause, error.index
    raised.order, raised.name = error.order, culprit.name
    return raised
