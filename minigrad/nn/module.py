"""Module and Parameter: networks as trees of objects that hold tensors.

A module finds its parameters, buffers and submodules by looking at its attributes, in the order in
which they were set, also inside lists, tuples and dictionaries. Their names are attribute paths
(``layers.0.weight``), the same in checkpoints, in ``functional_call`` and in error messages.

Leaves out: hooks, lazy shapes, and moving a module to a device after an optimizer has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from ..autograd import Tensor
from ..backend import to_numpy
from ..errors import DTypeError, ShapeError

__all__ = ["Buffer", "Module", "Parameter", "functional_call"]


class Parameter(Tensor):
    """A tensor that an optimizer shall learn: it carries a gradient and counts as a parameter."""

    __slots__ = ()


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not learned (running statistics).

    A buffer that a graph has read is replaced, never written in place.
    """

    __slots__ = ()

    def __init__(self, array: Any, *, device: Any = None, dtype: Any = None) -> None:
        super().__init__(array, device=device, dtype=dtype, requires_grad=False)


def _members(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The Tensors and Modules directly inside ``value`` with their paths."""
    if isinstance(value, (Tensor, Module)):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _members(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _members(item, f"{path}.{i}")


class Module:
    """A layer or a network: attributes that are Parameters, Buffers or Modules make its state.

    Subclasses write ``forward``; calling the module calls it. ``training`` is True until
    ``eval()``.
    """

    training: bool = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the module."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    # ---- the tree

    def children(self) -> list[Module]:
        """The modules directly inside this one."""
        return [m for _, m in self._named_members() if isinstance(m, Module)]

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and every module below it, each once, under its first path."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            below = [(f"{path}.{name}" if path else name, m)
                     for name, m in module._named_members() if isinstance(m, Module)]
            stack.extend(reversed(below))

    def _named_members(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            yield from _members(value, name)

    def _named_tensors(self, kind: type) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of a class once, under its first path, in the order of ``named_modules``."""
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in module._named_members():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its path."""
        return self._named_tensors(Parameter)

    def parameters(self) -> list[Parameter]:
        """Every parameter once, in the order of their paths' first appearance."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Every buffer once, with its path."""
        return self._named_tensors(Buffer)

    # ---- modes

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all below to training; returns the module."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and all below to evaluation; returns the module."""
        return self.train(False)

    def requires_grad_(self, mode: bool = True) -> Module:
        """Say whether gradients flow to the parameters (a frozen network costs less)."""
        for p in self.parameters():
            p.requires_grad = mode
        return self

    # ---- state

    def state_dict(self) -> dict[str, numpy.ndarray]:
        """Copies of parameters and buffers on the host, by path."""
        state = dict(self.named_parameters())
        state.update(self.named_buffers())
        return {path: numpy.array(to_numpy(t.cached_data)) for path, t in state.items()}

    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Copy values in; nothing is changed unless everything fits.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ShapeError, DTypeError
            If an array has another shape or kind of dtype than the tensor.
        """
        tensors: dict[str, Tensor] = dict(self.named_parameters())
        buffers = dict(self.named_buffers())
        tensors.update(buffers)
        missing = sorted(tensors.keys() - state.keys())
        unknown = sorted(state.keys() - tensors.keys())
        if missing or unknown:
            raise KeyError(f"load_state_dict: missing {missing}, unknown {unknown}")
        for path, t in tensors.items():
            array = state[path]
            if tuple(array.shape) != t.shape:
                raise ShapeError(f"load_state_dict: {path} has shape {t.shape}, got {array.shape}")
            if array.dtype.kind != t.dtype.kind:
                raise DTypeError(f"load_state_dict: {path} is {t.dtype}, got {array.dtype}")
        for path, t in tensors.items():
            t.copy_(numpy.asarray(state[path], dtype=t.dtype))

    def __repr__(self) -> str:
        lines = []
        for name, m in self._named_members():
            if isinstance(m, Module):
                lines.append(f"  ({name}): " + repr(m).replace("\n", "\n  "))
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n" + "\n".join(lines) + "\n)" if lines else ")")

    def extra_repr(self) -> str:
        """The settings shown between the brackets of the module's repr."""
        return ""


def functional_call(module: Module, params: Mapping[str, Tensor], *args: Any) -> Any:
    """Call ``module`` with given tensors in place of parameters; restored on any exit.

    ``params`` maps paths, as in checkpoints, to tensors, which may be results of recorded
    operations: the way to take a step inside a graph (unrolled GAN).

    Raises
    ------
    KeyError
        If a path is not a parameter of the module.
    ShapeError
        If a tensor has another shape than the parameter.
    """
    own = dict(module.named_parameters())
    unknown = sorted(params.keys() - own.keys())
    if unknown:
        raise KeyError(f"functional_call: {type(module).__name__} has no parameters {unknown}")
    by_id = {}
    for path, tensor in params.items():
        if tensor.shape != own[path].shape:
            raise ShapeError(f"functional_call: {path} has shape {own[path].shape}, got "
                             f"{tensor.shape}")
        by_id[id(own[path])] = tensor
    changed: list[tuple[Any, Any, Any]] = []
    try:
        for _, m in module.named_modules():
            _swap(vars(m), by_id, changed)
        return module(*args)
    finally:
        for holder, key, value in reversed(changed):
            holder[key] = value


def _swap(holder: Any, by_id: Mapping[int, Tensor], changed: list[tuple[Any, Any, Any]]) -> None:
    """Put the given tensors in place of parameters inside a dictionary or list, noting each."""
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        if isinstance(value, tuple):
            items = list(value)
            _swap(items, by_id, changed)  # lists and dictionaries inside, and the tuple's copy
            if any(new is not old for new, old in zip(items, value, strict=True)):
                changed.append((holder, key, value))
                holder[key] = value._make(items) if hasattr(value, "_make") else tuple(items)
        elif isinstance(value, (dict, list)):
            _swap(value, by_id, changed)
        elif id(value) in by_id:
            changed.append((holder, key, value))
            holder[key] = by_id[id(value)]
