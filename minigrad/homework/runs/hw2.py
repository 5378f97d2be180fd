"""What is done with a student's tree in hw2: networks that learn.

A tree of modules comes as a plan, JSON in an array of bytes. A node of a plan is a list: its kind
and what belongs to it. Parameters, buffers, tensors and modules have numbers; a number that comes
again means the same object again.

Leaves out: what is right.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy

from .tools import Arrays, gradients, tensor, tensors

# ------------------------------------------------------------------------------------ Q1: modules


class _Objects:
    """Makes the objects of a plan; ``numbers`` tells by id which is which."""

    def __init__(self, lib: Callable) -> None:
        self.minigrad, self.nn = lib("minigrad"), lib("minigrad.nn")
        self.made: dict[int, Any] = {}

    def build(self, node: list) -> Any:
        """The object that a node of a plan describes."""
        kind, *rest = node
        if kind in ("list", "tuple"):
            items = [self.build(child) for child in rest[0]]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {key: self.build(child) for key, child in rest[0]}
        if kind == "value":
            return rest[0]
        if rest[0] not in self.made:
            self.made[rest[0]] = getattr(self, f"_{kind}")(*rest)
        return self.made[rest[0]]

    def _parameter(self, number: int) -> Any:
        return self.nn.Parameter([float(number)])

    def _buffer(self, number: int) -> Any:
        return self.nn.Buffer([float(number)])

    def _tensor(self, number: int) -> Any:
        return self.minigrad.Tensor([float(number)])

    def _module(self, number: int, attributes: list) -> Any:
        module = self.nn.Module()
        for name, child in attributes:
            setattr(module, name, self.build(child))
        return module

    def listed(self, pairs: Any, title: str) -> dict[str, numpy.ndarray]:
        """Names and numbers of (name, object) pairs, as two arrays; -1 for a strange object."""
        numbers = {id(thing): number for number, thing in self.made.items()}
        names, found = [], []
        for name, thing in pairs:
            names.append(str(name))
            found.append(numbers.get(id(thing), -1))
        text = "\n".join(names).encode()
        return {f"{title}: names": numpy.frombuffer(text, dtype="uint8").copy(),
                f"{title}: objects": numpy.array(found, dtype="int64")}


def _plan(inputs: Arrays) -> Any:
    return json.loads(inputs["plan"].tobytes().decode())


def members(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What ``_members`` finds in each of several values, with paths that begin with "here"."""
    outputs: dict[str, Any] = {}
    for title, node in _plan(inputs).items():
        objects = _Objects(lib)
        value = objects.build(node)
        found = lib("minigrad.nn.module")._members(value, "here")
        outputs |= objects.listed(found, f"_members of {title}")
    return outputs


def names(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The names that a module gives its parameters and buffers."""
    objects = _Objects(lib)
    root = objects.build(_plan(inputs))
    return {**objects.listed(root.named_parameters(), "named_parameters"),
            **objects.listed(root.named_buffers(), "named_buffers")}


def modes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Which modules are in training mode, one number each, as they are switched about."""
    objects = _Objects(lib)
    root = objects.build(_plan(inputs))
    other = lib("minigrad.nn").Module()
    modules = [objects.made[int(number)] for number in inputs["modules"]]
    part = objects.made[int(inputs["part"])]

    def flags() -> numpy.ndarray:
        return numpy.array([bool(module.training) for module in modules])

    outputs: dict[str, Any] = {}
    for when, act, who in (("train(False)", lambda: root.train(False), root),
                           ("train()", lambda: root.train(), root),
                           ("train(False) of a part", lambda: part.train(False), part),
                           ("train(True) after it", lambda: root.train(True), root),
                           ("eval()", lambda: root.eval(), root)):
        outputs[f"{when} returns the module"] = act() is who
        outputs[f"after {when}"] = flags()
        outputs[f"after {when}: a module elsewhere"] = bool(other.training)
    return outputs


# ------------------------------------------------------------------------- Q2: linear, activations


class _Watched:
    """Inside, counts what NumPy complains of: overflow, division by zero, invalid values."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, what: str, flag: int) -> None:
        self.seen.append(what)

    def __enter__(self) -> _Watched:
        self._state = numpy.errstate(over="call", divide="call", invalid="call", under="ignore",
                                     call=self)
        self._state.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._state.__exit__(*exc)


COMPLAINTS = "NumPy complained on the way (overflow, division by zero or NaN)"


def _as_tensor(lib: Callable, value: Any) -> Any:
    """Arrays as Tensors, so that a kernel's gradient is judged as a gradient; others as they are.
    """
    return tensor(lib, value) if isinstance(value, numpy.ndarray) else value


def linear_layer(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Fresh layers: their weights, and what they do."""
    minigrad, nn = lib("minigrad"), lib("minigrad.nn")
    minigrad.manual_seed(int(inputs["seed"]))
    outputs: dict[str, Any] = {}
    for name in ("wide", "narrow"):
        n_in, n_out = map(int, inputs[name])
        layer = nn.Linear(n_in, n_out)
        outputs[f"{name}: weight"], outputs[f"{name}: bias"] = layer.weight, layer.bias
        if layer.bias is None or (layer.weight.shape, layer.bias.shape) != ((n_in, n_out),
                                                                            (1, n_out)):
            return outputs  # the shapes tell more than an error of the product
        outputs[f"{name}: output"] = layer(tensor(lib, inputs[f"x of {name}"]))
        outputs[f"{name}: in_features"] = layer.in_features
        outputs[f"{name}: out_features"] = layer.out_features
        outputs[f"{name}: weight is a Parameter"] = isinstance(layer.weight, nn.Parameter)
        outputs[f"{name}: bias is a Parameter"] = isinstance(layer.bias, nn.Parameter)
    plain = nn.Linear(*map(int, inputs["wide"]), bias=False)
    outputs["bias=False: bias is None"] = plain.bias is None
    double = nn.Linear(2, 3, dtype="float64")
    return {**outputs, "dtype='float64': weight": double.weight,
            "dtype='float64': bias": double.bias}


def linear_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The kernel's gradients, once with a bias and once without."""
    kernel = lib("minigrad.kernels.reference").linear_gradient
    outputs = {}
    for suffix, parts in (("", ("x", "weight", "bias")), (", without bias", ("x", "weight"))):
        found = kernel(inputs["x"], inputs["weight"], inputs["upstream"], (True,) * len(parts))
        if len(found) != len(parts):
            raise ValueError(f"linear_gradient returned {len(found)} gradients, want {len(parts)}"
                             f": wanted has {len(parts)} entries")
        for name, piece in zip(parts, found, strict=True):
            outputs[f"grad of {name}{suffix}"] = _as_tensor(lib, piece)
    return outputs


def leaky_relu_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The kernel's gradient, from the input and from the output of the leaky ReLU."""
    kernel = lib("minigrad.kernels.reference").leaky_relu_gradient
    slope, again = float(inputs["slope"]), inputs["upstream"].copy()
    return {"grad of a": _as_tensor(lib, kernel(inputs["upstream"], inputs["a"], slope)),
            "grad of a, from the output": _as_tensor(
                lib, kernel(again, inputs["output"], slope))}


def sigmoid(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The sigmoid, and whether something overflowed in it."""
    a = tensor(lib, inputs["a"])
    with _Watched() as watched:
        output = lib("minigrad.ops").sigmoid(a)
    return {"sigmoid": output, COMPLAINTS: bool(watched.seen)}


def sigmoid_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of the sigmoid."""
    return gradients(lib, lib("minigrad.ops").sigmoid, inputs, ("a",))


def tanh_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of tanh."""
    return gradients(lib, lib("minigrad.ops").tanh, inputs, ("a",))


def _second(lib: Callable, op: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of an op's gradient: ``create_graph`` makes it part of a graph."""
    grad = lib("minigrad").grad
    a, upstream, again = tensors(lib, inputs, ("a", "upstream", "again"))
    first = grad(op(a), a, upstream, create_graph=True)
    if first.op is None:
        raise ValueError("the gradient is no part of a graph: compute it with Tensors (node, "
                         "out_grad), not with their arrays")
    second = grad(first, a, again)
    if second is None:
        raise ValueError("in the graph the gradient does not depend on the input: compute it with "
                         "the Tensors node or node.inputs, not with their arrays")
    return {"gradient": first, "gradient of the gradient": second}


def sigmoid_second(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """First and second order of the sigmoid."""
    return _second(lib, lib("minigrad.ops").sigmoid, inputs)


def tanh_second(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """First and second order of tanh."""
    return _second(lib, lib("minigrad.ops").tanh, inputs)


def float32(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What of this question runs on float32, as almost everything does."""
    reference, upstream = lib("minigrad.kernels.reference"), inputs["upstream"]
    node = lib("minigrad.ops").sigmoid(tensor(lib, inputs["a"]))
    outputs = {"sigmoid": node,
               "grad of sigmoid": node.op.gradient(tensor(lib, upstream), node),
               "grad of leaky_relu": reference.leaky_relu_gradient(
                   upstream, inputs["a"], float(inputs["slope"]))}
    found = reference.linear_gradient(inputs["x"], inputs["weight"], upstream, (True,) * 3)
    return {**outputs, **{f"grad of {name}": piece for name, piece in zip(
        ("x", "weight", "bias"), found, strict=True)}}


def network(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Gradients of two linear layers with activations, through a whole backward pass."""
    ops = lib("minigrad.ops")
    parts = ("x", "weight1", "bias1", "weight2", "bias2")
    x, weight1, bias1, weight2, bias2 = leaves = tensors(lib, inputs, parts)
    hidden = ops.leaky_relu(ops.linear(x, weight1, bias1), float(inputs["slope"]))
    y = ops.sigmoid(ops.tanh(ops.linear(hidden, weight2, bias2)))
    found = lib("minigrad").grad(y, leaves, tensor(lib, inputs["upstream"]))
    return {f"grad of {name}": g for name, g in zip(parts, found, strict=True)}


# ------------------------------------------------------------------------------ Q3: initialisation


def xavier_uniform(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Many draws of ``init.xavier_uniform``."""
    make = lib("minigrad.init").xavier_uniform
    gain = float(inputs["gain"])
    return _initialised(lib, inputs, make, lambda *fans, **options: make(*fans, gain, **options))


def kaiming_normal(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Many draws of ``init.kaiming_normal``."""
    make = lib("minigrad.init").kaiming_normal
    return _initialised(lib, inputs, make, make)


def _initialised(lib: Callable, inputs: Arrays, make: Callable, special: Callable
                 ) -> dict[str, Any]:
    lib("minigrad").manual_seed(int(inputs["seed"]))
    fans, shape = [int(fan) for fan in inputs["fans"]], tuple(int(n) for n in inputs["shape"])
    return {"weights": make(*fans), "next weights": make(*fans),
            "with gain" if special is not make else "once more": special(*fans),
            "shape given": make(*fans, shape=shape),
            "dtype='float64'": make(*fans, dtype="float64")}


# --------------------------------------------------------------------------------------- Q4: losses


def bce(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The loss of D on logits."""
    kernel = lib("minigrad.kernels.reference").bce_with_logits
    with _Watched() as watched:
        loss = kernel(inputs["logits"], inputs["targets"])
    return {"loss": _number(loss), COMPLAINTS: bool(watched.seen)}


def bce_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of D's loss with respect to the logits."""
    kernel = lib("minigrad.kernels.reference").bce_with_logits_gradient
    return {"grad of logits": _as_tensor(
        lib, kernel(inputs["logits"], inputs["targets"], inputs["upstream"]))}


def discriminator_loss(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """D's loss on a real and a fake batch, and its gradients, through the graph."""
    ops = lib("minigrad.ops")
    real, fake = leaves = tensors(lib, inputs, ("real", "fake"))
    with _Watched() as watched:
        d_loss = ops.bce_with_logits(real, 1.0) + ops.bce_with_logits(fake, 0.0)
        found = lib("minigrad").grad(d_loss, leaves)
    return {"d_loss": d_loss, "grad of real": found[0], "grad of fake": found[1],
            COMPLAINTS: bool(watched.seen)}


def softmax(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The softmax loss and the softmax."""
    kernel = lib("minigrad.kernels.reference").softmax_loss
    with _Watched() as watched:
        loss, probabilities = kernel(inputs["logits"], inputs["labels"])
    return {"loss": _number(loss), "softmax": probabilities, COMPLAINTS: bool(watched.seen)}


def softmax_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of the softmax loss with respect to the logits."""
    kernel = lib("minigrad.kernels.reference").softmax_loss_gradient
    return {"grad of logits": _as_tensor(
        lib, kernel(inputs["softmax"], inputs["labels"], inputs["upstream"]))}


def losses_float32(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both losses and their gradients on float32."""
    reference, upstream = lib("minigrad.kernels.reference"), inputs["upstream"]
    logits, targets, labels = inputs["logits"], inputs["targets"], inputs["labels"]
    loss, probabilities = reference.softmax_loss(logits, labels)
    return {"bce loss": _number(reference.bce_with_logits(logits, targets)),
            "bce gradient": reference.bce_with_logits_gradient(logits, targets, upstream),
            "softmax loss": _number(loss), "softmax": probabilities,
            "softmax gradient": reference.softmax_loss_gradient(
                inputs["softmax"], labels, upstream)}


def _number(value: Any) -> Any:
    """NumPy's numbers as arrays of no axes, so that their dtype is looked at."""
    return numpy.asarray(value) if isinstance(value, numpy.generic) else value


# ----------------------------------------------------------------------------------- Q5: optimizers


def sgd(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Several steps of SGD from a given state."""
    step = lib("minigrad.kernels.reference").sgd
    momentum = float(inputs["momentum"])
    p, u = inputs["p"].copy(), inputs["u"].copy() if momentum else None
    outputs: dict[str, Any] = {}
    for i, g in enumerate(inputs["grads"], 1):
        step(p, g.copy(), u, float(inputs["lr"]), momentum, float(inputs["weight_decay"]))
        outputs[f"p after step {i}"] = p.copy()
    if u is not None:
        outputs["u in the end"] = u
    return outputs


def adam(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Several steps of Adam from a given state; the first is step t."""
    step = lib("minigrad.kernels.reference").adam
    p, m, v = (inputs[name].copy() for name in ("p", "m", "v"))
    settings = [float(inputs[name]) for name in ("lr", "beta1", "beta2", "eps", "weight_decay")]
    outputs: dict[str, Any] = {}
    for i, g in enumerate(inputs["grads"], 1):
        step(p, g.copy(), m, v, int(inputs["t"]) + i - 1, *settings)
        outputs[f"p after step {i}"] = p.copy()
    return {**outputs, "m in the end": m, "v in the end": v}


def optimizer(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Steps of an optimizer object on two parameters, their gradients set by hand."""
    minigrad, optim = lib("minigrad"), lib("minigrad.optim")
    settings = {name: float(inputs[name]) for name in (
        "lr", "beta1", "beta2", "eps", "weight_decay", "momentum") if name in inputs}
    params = [lib("minigrad.nn").Parameter(inputs[name], dtype=inputs[name].dtype)
              for name in ("first", "second")]
    opt = (optim.SGD if "momentum" in inputs else optim.Adam)(params, **settings)
    for first, second in zip(inputs["grads of first"], inputs["grads of second"], strict=True):
        for p, g in zip(params, (first, second), strict=True):
            p.grad = minigrad.Tensor(g, dtype=g.dtype, requires_grad=False)
        opt.step()
    return {"first": params[0], "second": params[1]}


# ----------------------------------------------------------------------------------- Q6: who learns


def detach(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What is left of a tensor's history in its detached form."""
    minigrad = lib("minigrad")
    x = tensor(lib, inputs["x"])
    y = x * 2.0
    outputs: dict[str, Any] = {}
    for name, t in (("leaf", x), ("result", y)):
        op, before = t.op, t.cached_data
        d = t.detach()
        outputs[f"{name}: values"] = d
        outputs[f"{name}: a new Tensor"] = isinstance(d, minigrad.Tensor) and d is not t
        outputs[f"{name}: shares its memory"] = bool(
            numpy.shares_memory(d.cached_data, t.cached_data))
        outputs[f"{name}: carries a gradient"] = bool(d.requires_grad)
        outputs[f"{name}: has an op or inputs"] = d.op is not None or len(d.inputs) > 0
        outputs[f"{name}: the original is as before"] = bool(
            t.requires_grad and t.op is op and t.cached_data is before)
    # where detach has changed x itself, no gradient is left that could be asked for
    outputs["grad of sum((2 x).detach() * x)"] = minigrad.grad(
        (y.detach() * x).sum(), x) if x.requires_grad else numpy.zeros_like(inputs["x"])
    outputs["a graph after it leads back"] = bool((y.detach() * 3.0).requires_grad)
    return outputs


class _Game:
    """Two linear players with the losses of a GAN: G of (3, 2) makes fakes, D of (2, 1) judges."""

    def __init__(self, lib: Callable, inputs: Arrays) -> None:
        minigrad, optim, Parameter = lib("minigrad"), lib("minigrad.optim"), lib(
            "minigrad.nn").Parameter
        self.ops, self.inputs, self.lib = lib("minigrad.ops"), inputs, lib
        self.G, self.D, self.bias, self.idle = (
            Parameter(inputs[name], dtype=inputs[name].dtype)
            for name in ("G", "D", "bias", "idle"))
        self.z, self.real, self.old = (tensor(lib, inputs[name], requires_grad=False)
                                       for name in ("z", "real", "old"))
        rate = float(inputs["lr"])
        self.opt_G = optim.SGD([self.G], lr=rate)
        self.opt_D = optim.SGD([self.D, self.bias, self.idle], lr=rate)
        self.grad = minigrad.grad

    def judged(self, x: Any) -> Any:
        return self.ops.linear(x, self.D, self.bias)

    def d_loss(self, fake: Any) -> Any:
        ops = self.ops
        return ops.mean(ops.softplus(-self.judged(self.real))) + ops.mean(
            ops.softplus(self.judged(fake)))

    def g_loss(self, fake: Any) -> Any:
        return self.ops.mean(self.ops.softplus(-self.judged(fake)))

    def values(self, when: str) -> dict[str, Any]:
        return {f"{name} {when}": getattr(self, name).numpy()
                for name in ("G", "D", "bias", "idle")}


def minimize(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """One step of each player; the other's gradients have been set to "old" or to None before."""
    game = _Game(lib, inputs)
    game.D.grad, game.bias.grad, game.idle.grad = game.old, None, None
    game.opt_G.minimize(game.g_loss(game.z @ game.G))
    outputs = {**game.values("after G's step"), "G: grad": _gradient(game.G),
               "D: grad left alone": game.D.grad is game.old,
               "bias: grad left None": game.bias.grad is None}
    of_G, game.idle.grad = game.G.grad, tensor(lib, inputs["idle"], requires_grad=False)
    game.opt_D.minimize(game.d_loss(game.z @ game.G))
    return {**outputs, **game.values("after D's step"), "D: grad": _gradient(game.D),
            "bias: grad": _gradient(game.bias), "G: grad left alone": game.G.grad is of_G}


def _gradient(p: Any) -> Any:
    """A parameter's gradient; an error that says so if there is none."""
    if p.grad is None:
        raise ValueError(f"after minimize a parameter of shape {p.shape} has .grad None; its "
                         "optimizer had to put the gradient of the loss there")
    return p.grad


def game(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Two rounds of a GAN: D learns on detached fakes, then G learns through D."""
    game = _Game(lib, inputs)
    outputs: dict[str, Any] = {}
    for i in (1, 2):
        fake = game.z @ game.G
        d_loss = game.d_loss(fake.detach())
        game.opt_D.minimize(d_loss)
        outputs[f"G has a gradient in D's step {i}"] = game.G.grad is not None and i == 1
        game.opt_G.minimize(game.g_loss(game.z @ game.G))
        outputs |= {f"{name} after round {i}": getattr(game, name).numpy()
                    for name in ("G", "D", "bias")}
    return outputs
