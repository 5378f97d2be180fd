"""Optimizers on flat buffers, moving averages of weights, and schedules.

An optimizer moves its parameters into one flat array and leaves each parameter a view of its part:
an update is then a few passes over one array. ``step`` gathers the gradients into a flat array of
its own. A parameter lies in at most one flat buffer; a further optimizer that gets it updates it
where it lies, with the same numbers. A parameter whose ``grad`` is None is skipped, moments
included.

Leaves out: parameter groups, sparse gradients, second-order methods.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy

from . import kernels
from .autograd import Tensor, constant, grad, in_course_mode
from .backend import Array, array_module, cpu, to_device, to_numpy
from .errors import DeviceError, DTypeError, ShapeError
from .nn import Buffer, Module

__all__ = ["EMA", "SGD", "Adam", "LinearDecay", "Optimizer", "RMSprop", "sgd_step"]


class _Home:
    """Where a parameter's values lie: a part of a flat buffer."""

    __slots__ = ("buffer", "start", "stop", "view")

    def __init__(self, buffer: Array, start: int, like: Array) -> None:
        self.buffer, self.start, self.stop = buffer, start, start + like.size
        self.view = _laid_out(buffer[start:self.stop], like)


def _laid_out(flat: Array, like: Array) -> Array:
    """``flat`` seen in the shape of ``like``, with the axes in the order they have in its memory.

    The weights of convolutions have their channels last in memory, and keep them there.
    """
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    view = flat.reshape([like.shape[axis] for axis in order])
    return view.transpose([order.index(axis) for axis in range(like.ndim)])


def _settle(params: Sequence[Tensor]) -> list[_Home]:
    """Give every parameter a place in a flat buffer, and return the places.

    A parameter that lies in one stays there. One whose array was exchanged from outside moves anew.
    """
    homeless = [p for p in params if not _at_home(p)]
    if homeless:
        first = homeless[0].cached_data
        buffer = array_module(first).empty(sum(p.size for p in homeless), dtype=first.dtype)
        start = 0
        for p in homeless:
            home = _Home(buffer, start, p.cached_data)
            home.view[...] = p.cached_data
            p.cached_data, p.home = home.view, home
            start = home.stop
    return [p.home for p in params]


def _at_home(p: Tensor) -> bool:
    home = getattr(p, "home", None)
    return home is not None and p.cached_data is home.view


def _runs(homes: Sequence[_Home], chosen: Sequence[bool]) -> list[tuple[Array, slice]]:
    """The chosen parameters as few (flat values, slice of the optimizer's own arrays) pairs."""
    runs: list[tuple[Array, int, int, int, int]] = []
    position = 0
    for home, is_chosen in zip(homes, chosen, strict=True):
        size = home.stop - home.start
        if is_chosen:
            if runs and runs[-1][0] is home.buffer and runs[-1][2] == home.start \
                    and runs[-1][4] == position:
                buffer, start, _, low, _ = runs.pop()
                runs.append((buffer, start, home.stop, low, position + size))
            else:
                runs.append((home.buffer, home.start, home.stop, position, position + size))
        position += size
    return [(buffer[start:stop], slice(low, high)) for buffer, start, stop, low, high in runs]


class Optimizer:
    """What all optimizers share: the parameters, the flat gradient, ``minimize`` and clipping.

    Parameters
    ----------
    params : iterable of Tensors
        Leaves that carry gradients, each once, all of one dtype and device.

    Raises
    ------
    ValueError
        If there are no parameters, or one comes twice or cannot be learned.
    DTypeError, DeviceError
        If dtypes or devices differ.
    """

    moments: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Tensor], lr: float = 0.01,
                 weight_decay: float = 0.0) -> None:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(f"{name}: wants a list of parameters, got one tensor")
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{name}: got no parameters")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or p.op is not None or p.dtype.kind != "f":
                raise ValueError(f"{name}: parameter {i} must be a float Tensor that no operation "
                                 f"made, got {type(p).__name__}")
        if len({id(p) for p in self.params}) != len(self.params):
            raise ValueError(f"{name}: a parameter comes twice")
        if len({p.dtype for p in self.params}) > 1:
            raise DTypeError(f"{name}: parameters of {sorted({str(p.dtype) for p in self.params})};"
                             " use one optimizer for each dtype")
        if len({p.device for p in self.params}) > 1:
            raise DeviceError(f"{name}: parameters on several devices")
        _range(name, "lr", lr, 0)
        _range(name, "weight_decay", weight_decay, 0)
        self.lr, self.weight_decay = lr, weight_decay
        self.t = 0
        self._homes = _settle(self.params)
        first = self.params[0].cached_data
        xp, size = array_module(first), sum(p.size for p in self.params)
        self._grad = xp.empty(size, dtype=first.dtype)
        self._grad_views, start = [], 0
        for p in self.params:
            self._grad_views.append(_laid_out(self._grad[start:start + p.size], p.cached_data))
            start += p.size
        for moment in self.moments:
            setattr(self, moment, xp.zeros(size, dtype=first.dtype))
        self._all_runs = _runs(self._homes, [True] * len(self.params))

    def step(self) -> None:
        """Update every parameter that has a gradient, in place.

        Raises
        ------
        ShapeError, DTypeError
            If a gradient does not fit its parameter.
        """
        chosen, moved = [], False
        for p, home, view in zip(self.params, self._homes, self._grad_views, strict=True):
            moved = moved or p.cached_data is not home.view
            if p.grad is not None:
                g = p.grad.cached_data
                if g.shape != view.shape or (g.dtype != view.dtype and not in_course_mode()):
                    self._refuse_gradient(p)
                view[...] = g
                chosen.append(p)
        if not chosen:
            return
        if moved:  # an array was exchanged from outside
            self._homes = _settle(self.params)
            self._all_runs = _runs(self._homes, [True] * len(self.params))
        runs = self._all_runs if len(chosen) == len(self.params) else _runs(
            self._homes, [p.grad is not None for p in self.params])
        self.t += 1
        for values, own in runs:
            self._update(values, self._grad[own], own)
        for p in chosen:
            p.mark_written()

    def _refuse_gradient(self, p: Tensor) -> None:
        name = f"{type(self).__name__}.step"
        if p.grad.shape != p.shape:
            raise ShapeError(f"{name}: gradient of shape {p.grad.shape} for a parameter of shape "
                             f"{p.shape}")
        raise DTypeError(f"{name}: gradient of {p.grad.dtype} for a parameter of {p.dtype}")

    def _update(self, values: Array, g: Array, own: slice) -> None:
        raise NotImplementedError(f"{type(self).__name__}._update")

    def reset_grad(self) -> None:
        """Forget the gradients (not needed between steps: a backward pass overwrites them)."""
        for p in self.params:
            p.grad = None

    def minimize(self, loss: Tensor) -> None:
        """One step down ``loss`` with respect to these parameters alone.

        Gradients of other leaves are neither computed nor touched: in a game, each player's
        optimizer minimizes its own loss.
        """
        for p, g in zip(self.params, grad(loss, self.params), strict=True):
            p.grad = g
        self.step()

    def clip_grad_norm(self, max_norm: float = 0.25) -> Tensor:
        """Scale all gradients so that their joint 2-norm is at most ``max_norm``; returns the norm.

        The factor is computed on the device: nothing waits for the host.
        """
        grads = [p.grad for p in self.params if p.grad is not None]
        xp = array_module(self._grad)
        total = xp.zeros((), dtype=self._grad.dtype)
        for g in grads:
            total = total + (g.cached_data * g.cached_data).sum()
        norm = xp.sqrt(total)
        factor = xp.minimum(max_norm / (norm + 1e-6), 1.0)
        for p in self.params:
            if p.grad is not None:
                p.grad = constant(xp.multiply(p.grad.cached_data, factor, dtype=p.dtype))
        return constant(xp.asarray(norm, dtype=self._grad.dtype))

    def state_dict(self) -> dict[str, numpy.ndarray]:
        """The step count, learning rate and moments (flat, in the parameters' order), on the host.
        """
        state = {"t": numpy.asarray(self.t), "lr": numpy.asarray(self.lr, dtype="float64")}
        for moment in self.moments:
            state[moment] = numpy.array(to_numpy(getattr(self, moment)))
        return state

    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Continue from a state that ``state_dict`` gave.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ShapeError
            If a moment has another size.
        """
        wanted = {"t", "lr", *self.moments}
        if set(state) != wanted:
            raise KeyError(f"{type(self).__name__}.load_state_dict: wants {sorted(wanted)}, got "
                           f"{sorted(state)}")
        for moment in self.moments:
            if state[moment].shape != self._grad.shape:
                raise ShapeError(f"{type(self).__name__}.load_state_dict: {moment} has shape "
                                 f"{self._grad.shape}, got {state[moment].shape}")
        for moment in self.moments:
            getattr(self, moment)[...] = to_device(numpy.asarray(state[moment]),
                                                   self.params[0].device)
        self.t, self.lr = int(state["t"]), float(state["lr"])


class SGD(Optimizer):
    """Stochastic gradient descent with the course's momentum: u = m u + (1 - m) g, p = p - lr u.

    PyTorch's momentum leaves out the factor (1 - m): its learning rate means 1 / (1 - m) as much.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.01, momentum: float = 0.0,
                 weight_decay: float = 0.0) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"SGD: momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.moments = ("u",) if momentum else ()
        super().__init__(params, lr, weight_decay)

    def _update(self, values: Array, g: Array, own: slice) -> None:
        u = self.u[own] if self.momentum else None
        kernels.active().sgd(values, g, u, self.lr, self.momentum, self.weight_decay)


class Adam(Optimizer):
    """Adam with bias correction; weight decay is added to the gradient, as in the course.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    moments = ("m", "v")

    def __init__(self, params: Iterable[Tensor], lr: float = 0.01, beta1: float = 0.9,
                 beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> None:
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not isinstance(beta, int | float) or not 0 <= beta < 1:
                raise ValueError(f"Adam: {name} must be a number in [0, 1), got {beta!r}; "
                                 "PyTorch's betas=(b1, b2) are two arguments here")
        _range("Adam", "eps", eps, 0, 0.01)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        super().__init__(params, lr, weight_decay)

    def _update(self, values: Array, g: Array, own: slice) -> None:
        kernels.active().adam(values, g, self.m[own], self.v[own], self.t, self.lr, self.beta1,
                              self.beta2, self.eps, self.weight_decay)


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradients (Tieleman and Hinton 2012)."""

    moments = ("v",)

    def __init__(self, params: Iterable[Tensor], *, lr: float = 0.01, alpha: float = 0.99,
                 eps: float = 1e-8, weight_decay: float = 0.0) -> None:
        if not 0 <= alpha < 1:
            raise ValueError(f"RMSprop: alpha must be in [0, 1), got {alpha}")
        _range("RMSprop", "eps", eps, 0, 0.01)
        self.alpha, self.eps = alpha, eps
        super().__init__(params, lr, weight_decay)

    def _update(self, values: Array, g: Array, own: slice) -> None:
        kernels.active().rmsprop(values, g, self.v[own], self.lr, self.alpha, self.eps,
                                 self.weight_decay)


def sgd_step(params: Any, grads: Any, lr: float) -> Any:
    """New tensors p - lr g, recorded: a step of gradient descent inside a graph.

    ``params`` and ``grads`` are two mappings with equal keys or two sequences of equal length; the
    result is of the same kind.

    Raises
    ------
    KeyError, ShapeError
        If keys or lengths differ.
    """
    if isinstance(params, Mapping):
        if set(params) != set(grads):
            raise KeyError(f"sgd_step: keys differ: {sorted(set(params) ^ set(grads))}")
        return {name: p - lr * grads[name] for name, p in params.items()}
    params, grads = list(params), list(grads)
    if len(params) != len(grads):
        raise ShapeError(f"sgd_step: {len(params)} parameters but {len(grads)} gradients")
    return [p - lr * g for p, g in zip(params, grads, strict=True)]


class EMA:
    """A copy of a module whose weights are an exponential moving average of the module's.

    Buffers are copied as they are at the last update. With ``warmup`` update t decays by
    (1 + t) / (10 + t) while that is less than ``decay``: early on a long average would mostly hold
    the initial weights.

    Raises
    ------
    ValueError, DTypeError
        If ``decay`` is not in [0, 1), or the parameters are not of one dtype.
    """

    def __init__(self, module: Module, *, decay: float = 0.999, warmup: bool = False) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: decay must be in [0, 1), got {decay}")
        dtypes = sorted({str(p.dtype) for p in module.parameters()})
        if len(dtypes) != 1:
            raise DTypeError(f"EMA: wants a module with parameters of one dtype, got {dtypes}")
        self.decay, self.warmup, self.source = decay, warmup, module
        self.updates = Buffer(numpy.zeros((), dtype="int64"), device=cpu())
        self.module = copy.deepcopy(module).requires_grad_(False)
        self._targets, self._sources = self.module.parameters(), module.parameters()
        _settle(self._targets)

    def update(self) -> None:
        """Move the average by (1 - decay) of the way to the module's weights."""
        self.updates.copy_(self.updates.cached_data + 1)
        t = int(self.updates.cached_data)
        decay = min(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
        average = self._targets[0].home.buffer
        for values, own in _runs(_settle(self._sources), [True] * len(self._sources)):
            kernels.active().ema(average[own], values, decay)
        for p in self._targets:
            p.mark_written()
        for (_, mine), (_, theirs) in zip(self.module.named_buffers(),
                                          self.source.named_buffers(), strict=True):
            mine.copy_(theirs.cached_data)


class LinearDecay:
    """A learning rate that stays as it is until ``start`` steps and then falls to 0 at ``total``.

    Call ``step`` once after each step of training.
    """

    def __init__(self, optimizer: Optimizer, *, start: int, total: int) -> None:
        if not 0 <= start < total:
            raise ValueError(f"LinearDecay: wants 0 <= start < total, got {start} and {total}")
        self.optimizer, self.start, self.total = optimizer, start, total
        self.initial, self.t = optimizer.lr, 0

    @classmethod
    def over_last(cls, share: float, optimizer: Optimizer, *, total: int) -> LinearDecay:
        """The decay over the last ``share`` of ``total`` steps, at least the last one."""
        return cls(optimizer, start=min(total - 1, round(total * (1 - share))), total=total)

    def step(self) -> None:
        """Count one step and set the optimizer's learning rate."""
        self.t += 1
        left = (self.total - self.t) / (self.total - self.start)
        self.optimizer.lr = self.initial * min(1.0, max(0.0, left))

    def state_dict(self) -> dict[str, numpy.ndarray]:
        """The step count and the initial rate."""
        return {"t": numpy.asarray(self.t), "initial": numpy.asarray(self.initial)}

    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Continue from a state that ``state_dict`` gave."""
        self.t, self.initial = int(state["t"]), float(state["initial"])


def _range(owner: str, name: str, value: float, low: float, high: float = numpy.inf) -> None:
    if not low <= value <= high or value == numpy.inf:
        limits = f"at least {low}" if high == numpy.inf else f"between {low} and {high}"
        raise ValueError(f"{owner}: {name} must be finite and {limits}, got {value}")
