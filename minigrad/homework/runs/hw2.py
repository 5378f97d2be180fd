"""What is done with a student's tree in hw2: networks that learn.

A tree of modules comes as a plan, JSON in an array of bytes. A node of a plan is a list: its kind
and what belongs to it. Parameters, buffers, tensors and modules have numbers; a number that comes
again means the same object again.

Leaves out: what is right.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType
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
        if kind in ("dict", "mapping"):
            items = {key: self.build(child) for key, child in rest[0]}
            return items if kind == "dict" else MappingProxyType(items)
        if kind == "value":
            return rest[0]
        if rest[0] not in self.made:
            self.made[rest[0]] = getattr(self, f"_{kind}")(*rest)
        return self.made[rest[0]]

    def _parameter(self, number: int, kind: str = "") -> Any:
        cls = type(kind, (self.nn.Parameter,), {"__slots__": ()}) if kind else self.nn.Parameter
        return cls([float(number)])

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
        if pairs is None:
            raise TypeError(f"{title} returned None, want an iterator over pairs of a path and an "
                            "object: yield each pair")
        for i, pair in enumerate(pairs):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(f"{title}: entry {i} is a {type(pair).__name__}, want a pair of a "
                                "path and an object: yield each pair, and hand on by yield from "
                                "what another generator gives")
            name, thing = pair
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


COMPLAINTS = {"overflow": "NumPy warns of an overflow",
              "divide by zero": "NumPy warns of a division by 0 or the logarithm of 0",
              "invalid value": "NumPy warns of an invalid value (NaN)"}


class _Watched:
    """Inside, notes what NumPy complains of: overflow, division by zero, invalid values."""

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

    def outputs(self, title: str = "") -> dict[str, bool]:
        """For each thing to complain of, whether it was seen, under a name that tells it."""
        return {title + text: what in self.seen for what, text in COMPLAINTS.items()}


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
    for title in ("the next layer", "after manual_seed again"):
        if title != "the next layer":
            minigrad.manual_seed(int(inputs["seed"]))
        layer = nn.Linear(*map(int, inputs["wide"]))
        outputs[f"{title}: weight"], outputs[f"{title}: bias"] = layer.weight, layer.bias
    plain = nn.Linear(*map(int, inputs["wide"]), bias=False)
    outputs["bias=False: bias is None"] = plain.bias is None
    double = nn.Linear(2, 3, dtype="float64")
    return {**outputs, "dtype='float64': weight": double.weight,
            "dtype='float64': bias": double.bias}


def linear_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The kernel's gradients, once with a bias and once without."""
    outputs = {}
    for suffix, parts in (("", ("x", "weight", "bias")), (", without bias", ("x", "weight"))):
        found = _linear_pieces(lib, inputs, (True,) * len(parts))
        for name, piece in zip(parts, found, strict=True):
            outputs[f"grad of {name}{suffix}"] = _as_tensor(lib, piece)
    return outputs


def _linear_pieces(lib: Callable, inputs: Arrays, wanted: tuple[bool, ...]) -> Any:
    """What ``linear_gradient`` returns; an error if it has not as many entries as ``wanted``."""
    kernel = lib("minigrad.kernels.reference").linear_gradient
    found = kernel(inputs["x"], inputs["weight"], inputs["upstream"], wanted)
    if len(found) != len(wanted):
        raise ValueError(f"linear_gradient returned {len(found)} gradients, want {len(wanted)}"
                         f": wanted has {len(wanted)} entries")
    return found


def linear_wanted(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The kernel's gradients where not all of them are wanted."""
    outputs: dict[str, Any] = {}
    for wanted in SOME_WANTED:
        found = _linear_pieces(lib, inputs, wanted)
        for name, flag, piece in zip(("x", "weight", "bias"), wanted, found, strict=False):
            title = f"wanted = {wanted}: grad of {name}"
            outputs[title if flag else f"{title} is None"] = piece if flag else piece is None
    return outputs


SOME_WANTED = ((False, True, True), (True, False, True), (True, True, False), (True, False),
               (False, True))


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
    return {"sigmoid": output, **watched.outputs()}


def sigmoid_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The sigmoid and its gradient."""
    op = lib("minigrad.ops").sigmoid
    return {"sigmoid": op(tensor(lib, inputs["a"])), **gradients(lib, op, inputs, ("a",))}


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
    """The sigmoid, and its first and second order."""
    op = lib("minigrad.ops").sigmoid
    return {"sigmoid": op(tensor(lib, inputs["a"])), **_second(lib, op, inputs)}


def tanh_second(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """First and second order of tanh."""
    return _second(lib, lib("minigrad.ops").tanh, inputs)


def float32(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What of this question runs on float32, as almost everything does."""
    reference, upstream = lib("minigrad.kernels.reference"), inputs["upstream"]
    with _Watched() as watched:
        node = lib("minigrad.ops").sigmoid(tensor(lib, inputs["a"]))
    outputs = {"sigmoid": node, **watched.outputs("sigmoid: ")}
    if node.dtype == upstream.dtype:  # else the error of a product hides what is wrong
        outputs["grad of sigmoid"] = node.op.gradient(tensor(lib, upstream), node)
    found = reference.linear_gradient(inputs["x"], inputs["weight"], upstream, (True,) * 3)
    return {**outputs, **{f"grad of {name}": piece for name, piece in zip(
        ("x", "weight", "bias"), found, strict=True)},
            "grad of leaky_relu": reference.leaky_relu_gradient(
                upstream, inputs["a"], float(inputs["slope"]))}


def network(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Two linear layers with activations, and gradients on the whole way back through them."""
    ops = lib("minigrad.ops")
    parts = ("x", "weight1", "bias1", "weight2", "bias2")
    leaves = dict(zip(parts, tensors(lib, inputs, parts), strict=True))
    linear1 = ops.linear(*(leaves[name] for name in ("x", "weight1", "bias1")))
    hidden = ops.leaky_relu(linear1, float(inputs["slope"]))
    linear2 = ops.linear(hidden, leaves["weight2"], leaves["bias2"])
    squashed = ops.tanh(linear2)
    y = ops.sigmoid(squashed)
    stages = {**leaves, "linear1": linear1, "leaky_relu": hidden, "linear2": linear2,
              "tanh": squashed}
    found = lib("minigrad").grad(y, list(stages.values()), tensor(lib, inputs["upstream"]))
    return {"sigmoid": y, **{f"grad of {name}": g for name, g in zip(stages, found, strict=True)}}


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
    outputs = {"weights": make(*fans), "next weights": make(*fans),
               "with gain" if special is not make else "once more": special(*fans),
               "shape given": make(*fans, shape=shape),
               "dtype='float64'": make(*fans, dtype="float64")}
    lib("minigrad").manual_seed(int(inputs["seed"]))
    return {**outputs, "after manual_seed again": make(*fans),
            **{f"requires_grad={mode}": bool(make(*fans, requires_grad=mode).requires_grad)
               for mode in (True, False)}}


# --------------------------------------------------------------------------------------- Q4: losses


def bce(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The loss of D on logits."""
    kernel = lib("minigrad.kernels.reference").bce_with_logits
    with _Watched() as watched:
        loss = kernel(inputs["logits"], inputs["targets"])
    return {"loss": _numpy_number("bce_with_logits", loss), **watched.outputs()}


def bce_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of D's loss with respect to the logits."""
    kernel = lib("minigrad.kernels.reference").bce_with_logits_gradient
    return {"grad of logits": _as_tensor(
        lib, kernel(inputs["logits"], inputs["targets"], inputs["upstream"]))}


def discriminator_loss(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """D's loss on a real and a fake batch, and its gradients, through the graph."""
    ops = lib("minigrad.ops")
    real, fake = leaves = tensors(lib, inputs, ("real", "fake"))
    with _Watched() as forward:
        d_loss = ops.bce_with_logits(real, 1.0) + ops.bce_with_logits(fake, 0.0)
    with _Watched() as backward:
        found = lib("minigrad").grad(d_loss, leaves)
    return {"d_loss": d_loss, "grad of real": found[0], "grad of fake": found[1],
            **forward.outputs("d_loss: "), **backward.outputs("gradients: ")}


def softmax(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The softmax loss and the softmax."""
    kernel = lib("minigrad.kernels.reference").softmax_loss
    with _Watched() as watched:
        loss, probabilities = kernel(inputs["logits"], inputs["labels"])
    return {"loss": _numpy_number("softmax_loss", loss), "softmax": probabilities,
            **watched.outputs()}


def softmax_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of the softmax loss with respect to the logits."""
    kernel = lib("minigrad.kernels.reference").softmax_loss_gradient
    return {"grad of logits": _as_tensor(
        lib, kernel(inputs["softmax"], inputs["labels"], inputs["upstream"]))}


def losses_float32(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both losses and their gradients on float32.

    Copies are handed to some, so that it is known who has written into an array.
    """
    reference, upstream = lib("minigrad.kernels.reference"), inputs["upstream"]
    logits, targets, labels = inputs["logits"], inputs["targets"], inputs["labels"]
    with _Watched() as of_bce:
        bce_loss = reference.bce_with_logits(logits.copy(), targets)
    with _Watched() as of_gradient:
        bce_grad = reference.bce_with_logits_gradient(logits.copy(), targets.copy(),
                                                      upstream.copy())
    with _Watched() as of_softmax:
        loss, probabilities = reference.softmax_loss(logits, labels)
    return {"bce loss": _number(bce_loss), "bce gradient": bce_grad,
            "softmax loss": _number(loss), "softmax": probabilities,
            "softmax gradient": reference.softmax_loss_gradient(
                inputs["softmax"], labels, upstream),
            **of_bce.outputs("bce loss: "), **of_gradient.outputs("bce gradient: "),
            **of_softmax.outputs("softmax loss: ")}


def _number(value: Any) -> Any:
    """NumPy's numbers as arrays of no axes, so that their dtype is looked at."""
    return numpy.asarray(value) if isinstance(value, numpy.generic) else value


def _numpy_number(name: str, value: Any) -> Any:
    """The same for a loss; an op of the engine has no use for a number of Python."""
    if type(value) in (float, int):
        raise TypeError(f"{name} returned a {type(value).__name__}, want a NumPy number, as mean() "
                        "gives it: leave out float() and .item()")
    return _number(value)


# ----------------------------------------------------------------------------------- Q5: optimizers


def sgd(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Several steps of SGD from a given state."""
    step = lib("minigrad.kernels.reference").sgd
    momentum = float(inputs["momentum"])
    p, u = inputs["p"].copy(), inputs["u"].copy() if momentum else None
    outputs: dict[str, Any] = {}
    grads = inputs["grads"].copy()
    for i, g in enumerate(grads, 1):
        step(p, g, u, float(inputs["lr"]), momentum, float(inputs["weight_decay"]))
        outputs[f"p after step {i}"] = p.copy()
    if u is not None:
        outputs["u in the end"] = u
    return {**outputs, G_KEPT: numpy.array_equal(grads, inputs["grads"])}


G_KEPT = "g afterwards is as it was before"


def adam(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Several steps of Adam from a given state; the first is step t."""
    step = lib("minigrad.kernels.reference").adam
    p, m, v = (inputs[name].copy() for name in ("p", "m", "v"))
    settings = [float(inputs[name]) for name in ("lr", "beta1", "beta2", "eps", "weight_decay")]
    outputs: dict[str, Any] = {}
    grads = inputs["grads"].copy()
    for i, g in enumerate(grads, 1):
        step(p, g, m, v, int(inputs["t"]) + i - 1, *settings)
        outputs[f"p after step {i}"] = p.copy()
    return {**outputs, "m in the end": m, "v in the end": v,
            G_KEPT: numpy.array_equal(grads, inputs["grads"])}


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
