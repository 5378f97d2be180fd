"""hw2, networks that learn: modules, layers, initialisation, losses, optimizers, who learns.

Gradients are wanted as central differences. Losses are wanted by ``logaddexp``, steps of SGD as a
linear map, Adam in the form that its authors give for speed, initialisations by their bounds and
moments over hundreds of draws.

Leaves out: points and hints, which stand in ``hw2.toml``.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy

from ..check import Check, Fault, Kind, Outcome
from ..runs import hw2 as runs
from .tools import Arrays, away_from_zero, normal, numeric_gradients, positive, twice

__all__ = ["CHECKS"]

Rule = Callable[[Arrays], Arrays]


def _instead(want: Rule, change: Callable[[Any], Any], *names: str) -> Rule:
    """Suspects: some outputs changed; the others are of a shape that no answer has."""
    def suspect(inputs: Arrays) -> Arrays:
        return {name: change(value) if name in names else numpy.zeros((0, 0, 0))
                for name, value in want(inputs).items()}
    return suspect


def _flipped(want: Rule, *names: str) -> Rule:
    """Suspects: yes for no and no for yes."""
    return _instead(want, operator.not_, *names)


def _finite(suspect: Rule) -> Rule:
    """Suspects: without what is not finite, which any other NaN would look like."""
    def finite(inputs: Arrays) -> Arrays:
        return {name: value for name, value in suspect(inputs).items()
                if numpy.isfinite(value).all()}
    return finite


def _silent(*titles: str) -> Arrays:
    """Wanted of what ran under watch: NumPy has nothing to complain of."""
    return {title + text: numpy.asarray(False) for title in titles or ("",)
            for text in runs.COMPLAINTS.values()}


OVERFLOWS = ("overflow: exp of a large number; write it with exp of something that is never "
             "positive, for every element, also for those that a where drops")
LOG_OF_0 = ("the logarithm of 0: a probability was rounded to 0 or to 1; compute with logits, and "
            "in a softmax take off the largest of each row, not the largest of all")
INVALID = "infinity less infinity or times 0: something on the way has no bound"


def _warned(*titles: str) -> dict[str, Rule]:
    """Suspects: the cause of each complaint."""
    def seen(what: str) -> Rule:
        return lambda inputs: {title + runs.COMPLAINTS[what]: numpy.asarray(True)
                               for title in titles or ("",)}
    return {OVERFLOWS: seen("overflow"), LOG_OF_0: seen("divide by zero"),
            INVALID: seen("invalid value")}


# ------------------------------------------------------------------------------------ Q1: modules

WORDS = ("weight", "bias", "scale", "shift", "table", "blocks", "heads", "first", "second", "body",
         "tail", "gain", "inner", "outer", "base", "mixed", "extra", "names", "stack", "tower")
TENSORS = {"parameter": "named_parameters", "buffer": "named_buffers", "tensor": ""}


class _Planner:
    """Draws plans of modules; every object gets the next number."""

    def __init__(self, rng: numpy.random.Generator) -> None:
        self.rng, self.count = rng, 0

    def _next(self) -> int:
        self.count += 1
        return self.count

    def parameter(self, *kind: str) -> list:
        """A Parameter, or an object of a class of this name that is derived from it."""
        return ["parameter", self._next(), *kind]

    def buffer(self) -> list:
        return ["buffer", self._next()]

    def tensor(self) -> list:
        return ["tensor", self._next()]

    def module(self, *children: list) -> list:
        """A module with these children, under names of their own."""
        names = self.rng.choice(WORDS, len(children), replace=False).tolist()
        return ["module", self._next(), [list(pair) for pair in zip(names, children, strict=True)]]

    def leaf(self) -> list:
        """A small module: a parameter or two, sometimes a buffer."""
        own = [self.parameter() for _ in range(self.rng.integers(1, 3))]
        return self.module(*own, *([self.buffer()] if self.rng.random() < 0.5 else []))

    def mixed(self, *children: list) -> list[list]:
        """These children in another order."""
        return [children[i] for i in self.rng.permutation(len(children))]

    def holders(self) -> list[list]:
        """Tensors directly, and in lists, tuples and dictionaries inside each other."""
        return self.mixed(
            self.parameter(), self.buffer(), self.tensor(), ["value", None], ["value", 3],
            self.parameter("Mask"), ["mapping", [["frozen", self.parameter()]]],
            ["list", [self.parameter(), ["value", "a string"],
                      ["tuple", self.mixed(self.parameter(), self.buffer())]]],
            ["dict", [["mean", self.parameter()], [7, ["list", [self.buffer(), self.parameter()]]],
                      ["none", ["value", None]]]], ["list", []])


def _encoded(plan: Any) -> numpy.ndarray:
    return numpy.frombuffer(json.dumps(plan).encode(), dtype="uint8").copy()


def _decoded(inputs: Arrays) -> Any:
    return json.loads(inputs["plan"].tobytes().decode())


def _below(node: list, path: str, into_modules: bool = True) -> list[tuple[str, list, tuple]]:
    """All tensors and modules below a node: path, node, and the kinds of container around it."""
    kind = node[0]
    if kind == "value":
        return []
    own = [(path, node, ())] if kind == "module" or kind in TENSORS else []
    if kind == "module" and into_modules:
        children = node[2]
    elif kind in ("list", "tuple"):
        children = enumerate(node[1])
    else:
        children = node[1] if kind in ("dict", "mapping") else ()
    around = () if kind == "module" else (kind,)
    return own + [(below, found, around + kinds) for key, child in children for below, found, kinds
                  in _below(child, f"{path}.{key}" if path else str(key), into_modules)]


def _members_inputs(rng: numpy.random.Generator) -> Arrays:
    plan = _Planner(rng)
    return {"plan": _encoded({
        "a list": ["list", plan.mixed(plan.parameter(), plan.leaf(), ["value", 0.5],
                                      plan.tensor())],
        "a tuple": ["tuple", plan.mixed(plan.buffer(), plan.parameter())],
        "a dictionary": ["dict", [["b", plan.leaf()], ["a", plan.parameter()], [3, plan.buffer()]]],
        "a list of containers": ["list", plan.holders()],
        "a Parameter": plan.parameter(), "a Module": plan.module(plan.leaf(), plan.parameter()),
        "a string": ["value", "weights"], "None": ["value", None], "an empty list": ["list", []]})}


def _members_want(inputs: Arrays, outputs: Arrays) -> Fault | None:
    for title, node in _decoded(inputs).items():
        wanted = _below(node, "here", into_modules=False)
        fault = _listing(f"_members of {title}", outputs, wanted)
        if fault is not None:
            return fault
    return None


def _names_inputs(rng: numpy.random.Generator) -> Arrays:
    plan = _Planner(rng)
    modules = plan.mixed(
        plan.leaf(), plan.module(plan.parameter(), plan.module(plan.leaf())),
        ["list", [plan.leaf(), plan.leaf()]],
        ["tuple", [plan.leaf(), ["dict", [["to_rgb", plan.leaf()], [2, plan.module()]]]]],
        ["dict", [["a", ["list", [plan.module(*plan.holders())]]]]])
    return {"plan": _encoded(plan.module(*plan.holders(), *modules))}


def _shared_inputs(rng: numpy.random.Generator) -> Arrays:
    plan = _Planner(rng)
    tied, again, leaf, buffer = plan.parameter(), plan.parameter(), plan.leaf(), plan.buffer()
    inside = plan.module(again, plan.parameter(), tied)
    return {"plan": _encoded(plan.module(
        *plan.mixed(tied, ["list", [plan.parameter(), tied]], buffer),
        *plan.mixed(leaf, inside, ["list", [leaf, plan.module(buffer, again, plan.leaf())]],
                    plan.module(leaf, plan.module(plan.parameter(), inside)))))}


def _names_want(inputs: Arrays, outputs: Arrays) -> Fault | None:
    for kind, title in TENSORS.items():
        first: dict[int, tuple] = {}
        for entry in _below(_decoded(inputs), ""):
            if entry[1][0] == kind:
                first.setdefault(entry[1][1], entry)
        fault = _listing(title, outputs, list(first.values())) if title else None
        if fault is not None:
            return fault
    return None


def _listing(title: str, outputs: Arrays, wanted: list[tuple[str, list, tuple]]) -> Fault | None:
    """What is wrong with a list of names and objects."""
    text = bytes(outputs[f"{title}: names"].astype("uint8")).decode("utf-8", "replace")
    objects = [int(number) for number in outputs[f"{title}: objects"]]
    names = text.split("\n") if objects else []
    got = list(zip(names, objects, strict=True))
    right = [(path, node[1]) for path, node, _ in wanted]
    if got == right:
        return None
    i = next((i for i, pair in enumerate(zip(got, right, strict=False)) if pair[0] != pair[1]),
             min(len(got), len(right)))
    yours = repr(got[i][0]) if i < len(got) else "nothing"
    want = repr(right[i][0]) if i < len(right) else "nothing"
    note = " (the right name with another object)" if yours == want else ""
    return Fault(f"{title}: entry {i}: yours {yours}, want {want}{note}; {len(got)} entries, want "
                 f"{len(right)}", _why(got, wanted, right))


def _why(got: list[tuple[str, int]], wanted: list[tuple[str, list, tuple]],
         right: list[tuple[str, int]]) -> str:
    objects, known = [number for _, number in got], [number for _, number in right]
    if sorted(objects) == sorted(known) and sorted(got) == sorted(right):
        return "the right entries in another order; the order is that in which they were set"
    if len(set(objects)) < len(objects):
        return ("listed twice: one object that two paths lead to comes once, under its first path; "
                "compare objects by id(), not names")
    if sorted(objects) == sorted(known):
        return ("the right objects under other paths: parts are joined by dots, an attribute, then "
                "the index or key in each container; the root has no name and no dot")
    missing = [entry for entry in wanted if entry[1][1] not in objects]
    if missing and set(objects) <= set(known):
        handed_on = "" if objects else (". Nothing came out: hand on what is found in each item "
                                        "by yield from; return ends a generator")
        for kind, which in (("mapping", "a Mapping that is no dict"), ("dict", "a dict"),
                            ("tuple", "a tuple"), ("list", "a list")):
            alike = {"dict": {"dict", "mapping"}}.get(kind, {kind})
            if all(alike & set(kinds) for _, _, kinds in missing):
                return (f"missing: what lies inside {which}; containers may lie in each other"
                        + handed_on)
        if all(node[0] in TENSORS and len(node) > 2 for _, node, _ in missing):
            return ("missing: a tensor of a class that is derived from kind; it is an instance of "
                    "kind too, as isinstance knows")
        if all("." in path for path, _, _ in missing):
            return "missing: what lies in modules below this one"
        return f"missing: {missing[0][0]!r} and {len(missing) - 1} others"
    return ("too many: something is listed that is not asked for (of another kind, or inside a "
            "Module, which lists its own)")


def _modes_inputs(rng: numpy.random.Generator) -> Arrays:
    plan = _Planner(rng)
    deep = plan.leaf()
    part = plan.module(plan.parameter(), plan.module(plan.leaf(), ["tuple", [deep]]))
    root = plan.module(plan.parameter(), *plan.mixed(
        part, ["list", [plan.leaf(), ["dict", [["head", plan.leaf()]]]]],
        plan.module(deep, plan.buffer())))
    modules = [node[1] for _, node, _ in _below(root, "") if node[0] == "module"]
    return {"plan": _encoded(root), "modules": numpy.array(list(dict.fromkeys(modules))),
            "part": numpy.asarray(part[1])}


def _modes_want(inputs: Arrays, outputs: Arrays) -> Fault | None:
    entries = [(path, node) for path, node, _ in _below(_decoded(inputs), "")
               if node[0] == "module"]
    paths: dict[int, str] = {}
    for path, node in entries:
        paths.setdefault(node[1], path or "the module itself")
    part = next(node for _, node in entries if node[1] == int(inputs["part"]))
    below_part = {node[1] for _, node, _ in _below(part, "") if node[0] == "module"}
    for when, mode in (("train(False)", False), ("train()", True),
                       ("train(False) of a part", None), ("train(True) after it", True),
                       ("eval()", False)):
        for number, got in zip(inputs["modules"].tolist(), outputs[f"after {when}"], strict=True):
            want = number not in below_part if mode is None else mode
            if bool(got) != want:
                return Fault(f"after {when}: training of {paths[number]!r}: yours {bool(got)}, "
                             f"want {want}", _why_mode(number, paths, mode, want))
        if not outputs[f"after {when}: a module elsewhere"]:
            return Fault(f"after {when}: training of a module elsewhere: yours False, want True",
                         "the flag was set on the class; it belongs to the object")
        if not outputs[f"{when} returns the module"]:
            return Fault(f"{when}: what it returns: yours something else, want the module",
                         "not returned: train and eval return the module, so that calls can follow")
    return None


def _why_mode(number: int, paths: Mapping[int, str], mode: bool | None, want: bool) -> str:
    if paths[number] == "the module itself":
        return "the argument mode is the value to set, for this module too"
    if mode is None and want:
        return "only the part and what lies below it is to be switched"
    return "the modules below are to be switched too, at any depth and inside containers"


# ------------------------------------------------------------------------- Q2: linear, activations


def _layer_inputs(rng: numpy.random.Generator) -> Arrays:
    few, many = rng.integers(2, 7, 2), rng.integers(300, 401, 2)
    sizes = {"wide": (few[0], many[0]), "narrow": (many[1], few[1])}
    return {"seed": rng.integers(0, 2**31), **sizes,
            **{f"x of {name}": normal(rng, 3, n).astype("float32")
               for name, (n, _) in sizes.items()}}


def _layer_want(inputs: Arrays, outputs: Arrays) -> Fault | None:
    for name in ("wide", "narrow"):
        n_in, n_out = map(int, inputs[name])
        layer = f"Linear({n_in}, {n_out})"
        weight, bias = outputs[f"{name}: weight"], outputs[f"{name}: bias"]
        fault = (
            _drawn(f"{layer}.weight", weight, (n_in, n_out), math.sqrt(6 / n_in), {
                "the bound of PyTorch's Linear, 1 / sqrt(in)": 1 / math.sqrt(n_in),
                "fan out instead of fan in": math.sqrt(6 / n_out),
                "Xavier's bound": math.sqrt(6 / (n_in + n_out))})
            or _drawn(f"{layer}.bias", bias, (1, n_out), math.sqrt(6 / n_out), {
                "the bound of the weight, with fan in_features": math.sqrt(6 / n_in),
                "the bound of PyTorch's Linear, 1 / sqrt(in)": 1 / math.sqrt(n_in),
                "a fan of 1": math.sqrt(6)}))
        if fault is not None:
            return fault
        for key, size in (("in_features", n_in), ("out_features", n_out)):
            if int(outputs[f"{name}: {key}"]) != size:
                return Fault(f"{layer}.{key}: yours {outputs[f'{name}: {key}']}, want {size}",
                             "in and out exchanged")
        for which in ("weight", "bias"):
            if not outputs[f"{name}: {which} is a Parameter"]:
                return Fault(f"{layer}.{which}: is a Parameter: yours False, want True",
                             "not a Parameter: only Parameters are found by optimizers")
        y, want = outputs[f"{name}: output"], inputs[f"x of {name}"] @ weight + bias
        if y.shape != want.shape or abs(y - want).max() > 1e-4 * abs(want).max():
            return Fault(f"{layer}(x): yours begins {y.ravel()[:2]}, want {want.ravel()[:2]}",
                         "the output is x W + b")
    if not outputs["bias=False: bias is None"]:
        return Fault("Linear(..., bias=False).bias is None: yours False, want True",
                     "bias ignored: without a bias the attribute is None")
    for which in ("weight", "bias"):
        fault = _reproducible(f"Linear({', '.join(map(str, inputs['wide']))}).{which}",
                              *(outputs[f"{title}: {which}"] for title in (
                                  "wide", "the next layer", "after manual_seed again")))
        if fault is not None:
            return fault
        dtype = outputs[f"dtype='float64': {which}"].dtype
        if dtype != numpy.float64:
            return Fault(f"Linear(2, 3, dtype='float64').{which}: dtype got {dtype}, want float64",
                         "dtype and device are to be handed on to init", Outcome.DTYPE)
    return None


def _drawn(name: str, a: numpy.ndarray, shape: tuple[int, ...], bound: float,
           others: Mapping[str, float], dtype: str = "float32") -> Fault | None:
    """What is wrong with numbers that should be uniform within +-bound.

    With fewer than 300 numbers only the bound itself is looked at.
    """
    fault = _form_of(name, a, shape, dtype)
    if fault is not None:
        return fault
    largest, std = float(abs(a).max()), float(a.std())
    many = a.size >= 300
    if largest <= bound * (1 + 1e-5) and (not many or largest >= 0.9 * bound):
        spread = 6 * math.sqrt(0.2 / a.size)
        if many and abs(a.mean()) > 6 * bound / math.sqrt(3 * a.size):
            return Fault(f"{name}: mean: yours {a.mean():.4g}, want about 0",
                         "not symmetric: the numbers lie between -bound and +bound")
        if many and abs(std / (bound / math.sqrt(3)) - 1) > spread:
            return Fault(f"{name}: standard deviation: yours {std:.4g}, want "
                         f"{bound / math.sqrt(3):.4g}", "not uniform")
        if largest == 0:
            return Fault(f"{name}: yours is all 0, want numbers drawn within +-{bound:.4g}",
                         "zeros: it is to be drawn")
        return None
    cause = next((text for text, other in others.items() if many and
                  0.9 * other <= largest <= other * (1 + 1e-5)), "")
    if not cause and many and largest > 1.3 * bound and abs(
            std / (bound / math.sqrt(3)) - 1) < 0.15:
        cause = "normal instead of uniform: the standard deviation is right, the bound is not kept"
    if largest == 0:
        cause = "zeros: it is to be drawn"
    return Fault(f"{name}: largest absolute value of {a.size}: yours {largest:.5g}, want "
                 + (f"just below {bound:.5g}" if many else f"at most {bound:.5g}"), cause)


def _reproducible(name: str, first: numpy.ndarray, following: numpy.ndarray,
                  repeated: numpy.ndarray) -> Fault | None:
    """What is wrong with what is drawn next, and with what is drawn after the same seed."""
    if numpy.array_equal(first, following):
        return Fault(f"{name}, twice: yours are equal, want fresh numbers",
                     "drawn from a generator that starts anew: take those of init")
    if not numpy.array_equal(first, repeated):
        return Fault(f"{name}, twice after manual_seed with one seed: yours begin "
                     f"{first.ravel()[:2]} and {repeated.ravel()[:2]}, want the same",
                     "not by manual_seed: numbers of numpy.random instead of those of init, which "
                     "come from the library's own generator")
    return None


def _form_of(name: str, a: numpy.ndarray, shape: tuple[int, ...], dtype: str) -> Fault | None:
    if a.shape != shape:
        turned = "transposed: " if a.shape == shape[::-1] else ""
        return Fault(f"{name}: shape got {a.shape}, want {shape}",
                     f"{turned}weights are (fan_in, fan_out), a bias is (1, out); a shape that is "
                     "given is taken", Outcome.SHAPE)
    if a.dtype != dtype:
        return Fault(f"{name}: dtype got {a.dtype}, want {dtype}",
                     "the option dtype, if there is one, decides", Outcome.DTYPE)
    return None


def _linear_inputs(rng: numpy.random.Generator) -> Arrays:
    n, n_in, n_out = [(4, 3, 2), (3, 3, 3), (2, 5, 3), (2, 4, 4)][rng.integers(4)]
    return {"x": normal(rng, n, n_in), "weight": normal(rng, n_in, n_out),
            "bias": normal(rng, 1, n_out), "upstream": normal(rng, n, n_out)}


def _linear_want(inputs: Arrays) -> Arrays:
    wanted = numeric_gradients(lambda x, w, b: x @ w + b, inputs, ("x", "weight", "bias"))
    return {**wanted, **{f"grad of {name}, without bias": wanted[f"grad of {name}"]
                         for name in ("x", "weight")}}


def _some_wanted_want(inputs: Arrays) -> Arrays:
    found = numeric_gradients(lambda x, w, b: x @ w + b, inputs, ("x", "weight", "bias"))
    return {f"wanted = {wanted}: grad of {name}" + ("" if flag else " is None"):
            found[f"grad of {name}"] if flag else numpy.asarray(True)
            for wanted in runs.SOME_WANTED
            for name, flag in zip(("x", "weight", "bias"), wanted, strict=False)}


def _all_given(inputs: Arrays) -> Arrays:
    return {name: numpy.asarray(False) for name in _some_wanted_want(inputs)
            if name.endswith("is None")}


def _mean_for_bias(inputs: Arrays) -> Arrays:
    return {**_linear_want(inputs), "grad of bias": inputs["upstream"].mean(0, keepdims=True)}


def _leaky(a: numpy.ndarray, slope: float) -> numpy.ndarray:
    return numpy.maximum(a, slope * a)


def _leaky_inputs(rng: numpy.random.Generator) -> Arrays:
    shape = [(3, 4), (2, 3, 2), (7,)][rng.integers(3)]
    a = away_from_zero(rng, *shape)
    a.flat[0] = 0.0  # belongs to the side below
    slope = float(rng.choice([0.01, 0.2, 0.5]))
    return {"a": a, "output": _leaky(a, slope), "slope": slope, "upstream": normal(rng, *shape)}


def _leaky_want(inputs: Arrays) -> Arrays:
    a, slope, eps = inputs["a"], float(inputs["slope"]), 1e-6
    gradient = inputs["upstream"] * (_leaky(a, slope) - _leaky(a - eps, slope)) / eps
    return {"grad of a": gradient, "grad of a, from the output": gradient}


def _leaky_by(slopes: Callable[[numpy.ndarray, float], numpy.ndarray]) -> Rule:
    def suspect(inputs: Arrays) -> Arrays:
        slope = float(inputs["slope"])
        return {name: inputs["upstream"] * slopes(inputs[key], slope) for name, key in (
            ("grad of a", "a"), ("grad of a, from the output", "output"))}
    return suspect


def _sigmoid(a: numpy.ndarray) -> numpy.ndarray:
    return numpy.exp(-numpy.logaddexp(0.0, -a))


def _sigmoid_inputs(rng: numpy.random.Generator) -> Arrays:
    a = numpy.concatenate([3 * normal(rng, 6), away_from_zero(rng, 2) * 20,
                           [1000.0, -1000.0, 0.0]])
    return {"a": rng.permutation(a)}


def _sigmoid_want(inputs: Arrays) -> Arrays:
    return {**_silent(), "sigmoid": _sigmoid(inputs["a"])}


def _activation_inputs(rng: numpy.random.Generator) -> Arrays:
    shape = [(3, 3), (2, 4), (5,), (2, 1, 3)][rng.integers(4)]
    return {name: normal(rng, *shape) for name in ("a", "upstream", "again")}


def _gradient_of(f: Callable[[numpy.ndarray], numpy.ndarray]) -> Rule:
    return lambda inputs: twice(numeric_gradients(f, inputs, ("a",)))


def _second_of(slope: Callable[[numpy.ndarray], numpy.ndarray]) -> Rule:
    """First and second order, from a function's derivative."""
    def want(inputs: Arrays) -> Arrays:
        a, eps = inputs["a"], 1e-5
        curve = (slope(a + eps) - slope(a - eps)) / (2 * eps)
        return {"gradient": inputs["upstream"] * slope(a),
                "gradient of the gradient": inputs["again"] * inputs["upstream"] * curve}
    return want


SLOPES: dict[str, Callable[[numpy.ndarray], numpy.ndarray]] = {
    "tanh": lambda a: 1 / numpy.cosh(a) ** 2,
    "sigmoid": lambda a: 1 / (4 * numpy.cosh(a / 2) ** 2),
}


def _with_sigmoid(want: Rule) -> Rule:
    """The sigmoid itself first: where it is wrong, so is what is computed from it."""
    return lambda inputs: {"sigmoid": _sigmoid(inputs["a"]), **want(inputs)}


def _wrong_slope(slope: Callable[[numpy.ndarray], numpy.ndarray]) -> Rule:
    return lambda inputs: twice({"grad of a": inputs["upstream"] * slope(inputs["a"])})


def _float32_inputs(rng: numpy.random.Generator) -> Arrays:
    a = numpy.concatenate([0.5 * away_from_zero(rng, 2), [1000.0, -1000.0, 100.0, -100.0]])
    arrays = {"a": rng.permutation(a).reshape(3, 2), "x": normal(rng, 3, 4),
              "weight": normal(rng, 4, 2), "upstream": normal(rng, 3, 2)}
    return {**{name: a.astype("float32") for name, a in arrays.items()}, "slope": 0.2}


def _float32_want(inputs: Arrays) -> Arrays:
    double = {name: numpy.asarray(a, dtype="float64") for name, a in inputs.items()}
    double["bias"] = numpy.zeros((1, 2))
    found = {"sigmoid": _sigmoid(double["a"]),
             "grad of sigmoid": double["upstream"] * SLOPES["sigmoid"](double["a"]),
             **numeric_gradients(lambda x, w, b: x @ w + b, double, ("x", "weight", "bias")),
             "grad of leaky_relu": _leaky_want({**double, "output": double["a"]})["grad of a"]}
    return {**_silent("sigmoid: "), **{name: a.astype("float32") for name, a in found.items()}}


def _network_inputs(rng: numpy.random.Generator) -> Arrays:
    slope = float(rng.choice([0.01, 0.2]))
    while True:
        found = {"x": normal(rng, 3, 2), "weight1": normal(rng, 2, 4), "bias1": normal(rng, 1, 4),
                 "weight2": 0.5 * normal(rng, 4, 2), "bias2": normal(rng, 1, 2)}
        if abs(found["x"] @ found["weight1"] + found["bias1"]).min() > 0.02:  # no kink is near
            return {**found, "slope": slope, "upstream": normal(rng, 3, 2)}


def _network_want(inputs: Arrays) -> Arrays:
    """In the order of the way back, so that the first that is wrong tells which step is."""
    slope = float(inputs["slope"])

    def from_hidden(hidden: numpy.ndarray, w: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
        return _sigmoid(numpy.tanh(hidden @ w + b))

    def from_x(x: numpy.ndarray, w1: numpy.ndarray, b1: numpy.ndarray) -> numpy.ndarray:
        return from_hidden(_leaky(x @ w1 + b1, slope), inputs["weight2"], inputs["bias2"])

    linear1 = inputs["x"] @ inputs["weight1"] + inputs["bias1"]
    hidden = _leaky(linear1, slope)
    linear2 = hidden @ inputs["weight2"] + inputs["bias2"]
    stages = {**inputs, "linear1": linear1, "leaky_relu": hidden, "linear2": linear2,
              "tanh": numpy.tanh(linear2)}
    return {"sigmoid": _sigmoid(stages["tanh"]),
            **numeric_gradients(_sigmoid, stages, ("tanh",)),
            **numeric_gradients(lambda a: _sigmoid(numpy.tanh(a)), stages, ("linear2",)),
            **numeric_gradients(from_hidden, stages, ("leaky_relu", "weight2", "bias2")),
            **numeric_gradients(lambda a: from_hidden(
                _leaky(a, slope), inputs["weight2"], inputs["bias2"]), stages, ("linear1",)),
            **numeric_gradients(from_x, stages, ("x", "weight1", "bias1"))}


# ------------------------------------------------------------------------------ Q3: initialisation


def _fans(rng: numpy.random.Generator) -> Arrays:
    few, many = int(rng.integers(20, 37)), int(rng.integers(110, 151))
    fans = (few, many) if rng.random() < 0.5 else (many, few)
    shape = (int(rng.integers(16, 20)), int(rng.integers(16, 20)), 3, 3)
    return {"seed": rng.integers(0, 2**31), "fans": fans, "shape": shape,
            "gain": rng.uniform(1.5, 3.0)}


def _xavier_want(inputs: Arrays, outputs: Arrays) -> Fault | None:
    fan_in, fan_out = map(int, inputs["fans"])
    gain, shape = float(inputs["gain"]), tuple(int(n) for n in inputs["shape"])
    bound = math.sqrt(6 / (fan_in + fan_out))
    others = {"the gain is left out": math.sqrt(6 / (fan_in + fan_out)),
              "the standard deviation is taken for the bound: 2 instead of 6 under the root":
              math.sqrt(2 / (fan_in + fan_out)),
              "fan_in alone, as Kaiming has it": math.sqrt(6 / fan_in),
              "3 instead of 6 under the root": math.sqrt(3 / (fan_in + fan_out))}
    call = f"xavier_uniform({fan_in}, {fan_out}"
    return (_drawn(f"{call})", outputs["weights"], (fan_in, fan_out), bound, others)
            or _drawn(f"{call}, gain={gain:.3g})", outputs["with gain"], (fan_in, fan_out),
                      gain * bound, {**others, "gain squared": gain * gain * bound,
                                     "the root is taken of the gain too": math.sqrt(gain) * bound})
            or _drawn(f"{call}, shape={shape})", outputs["shape given"], shape, bound, others)
            or _drawn(f"{call}, dtype='float64')", outputs["dtype='float64'"], (fan_in, fan_out),
                      bound, others, "float64") or _drawn_well(call, outputs))


def _kaiming_want(inputs: Arrays, outputs: Arrays) -> Fault | None:
    fan_in, fan_out = map(int, inputs["fans"])
    shape = tuple(int(n) for n in inputs["shape"])
    call = f"kaiming_normal({fan_in}, {fan_out}"
    for name, key, wanted, dtype in (
            (f"{call})", "weights", (fan_in, fan_out), "float32"),
            (f"{call}, shape={shape})", "shape given", shape, "float32"),
            (f"{call}, dtype='float64')", "dtype='float64'", (fan_in, fan_out), "float64")):
        fault = _form_of(name, outputs[key], wanted, dtype) or _normal(
            name, outputs[key], fan_in, fan_out)
        if fault is not None:
            return fault
    return _drawn_well(call, outputs)


def _normal(name: str, a: numpy.ndarray, fan_in: int, fan_out: int) -> Fault | None:
    """What is wrong with numbers that should be normal with variance 2 / fan_in."""
    std, got = math.sqrt(2 / fan_in), float(a.std())
    off = 6 / math.sqrt(2 * a.size)
    if abs(got / std - 1) > off:
        others = {"the variance is taken for the standard deviation: a root is missing": 2 / fan_in,
                  "without the gain sqrt(2) of the ReLU": 1 / math.sqrt(fan_in),
                  "fan_out instead of fan_in": math.sqrt(2 / fan_out),
                  "Xavier's: fan_in and fan_out": math.sqrt(2 / (fan_in + fan_out)),
                  "6 instead of 2 under the root": math.sqrt(6 / fan_in),
                  "standard deviation 1": 1.0}
        cause = next((text for text, other in others.items() if abs(got / other - 1) <= off), "")
        return Fault(f"{name}: standard deviation of {a.size}: yours {got:.4g}, want {std:.4g}",
                     cause)
    if abs(a.mean()) > 6 * std / math.sqrt(a.size):
        return Fault(f"{name}: mean: yours {a.mean():.4g}, want about 0", "not centred at 0")
    if abs(a).max() < 2 * std:
        return Fault(f"{name}: largest of {a.size}, in standard deviations: yours "
                     f"{abs(a).max() / std:.2f}, want above 2", "uniform instead of normal")
    return None


def _drawn_well(call: str, outputs: Arrays) -> Fault | None:
    """What is wrong with the generator of the numbers, or with the options that are left."""
    for mode in (True, False):
        if outputs[f"requires_grad={mode}"] != mode:
            return Fault(f"{call}, requires_grad={mode}).requires_grad: yours {not mode}, want "
                         f"{mode}", "options ignored: all that is left of them goes to rand or "
                                    "randn")
    return _reproducible(f"{call})", outputs["weights"], outputs["next weights"],
                         outputs["after manual_seed again"])


# --------------------------------------------------------------------------------------- Q4: losses


def _bce_of(logits: numpy.ndarray, targets: numpy.ndarray) -> numpy.ndarray:
    return (targets * numpy.logaddexp(0.0, -logits)
            + (1 - targets) * numpy.logaddexp(0.0, logits)).mean()


def _bce_inputs(rng: numpy.random.Generator) -> Arrays:
    shape = [(8,), (8, 1), (2, 2, 3)][rng.integers(3)]
    size = math.prod(shape)
    logits, targets = 3 * normal(rng, size), rng.uniform(0, 1, size)
    logits[:6], targets[:6] = [1000, 1000, -1000, -1000, 40, -40], [1, 0, 0, 1, 1, 0]
    order = rng.permutation(size)
    return {"logits": logits[order].reshape(shape), "targets": targets[order].reshape(shape),
            "upstream": away_from_zero(rng)}


def _bce_want(inputs: Arrays) -> Arrays:
    return {**_silent(), "loss": _bce_of(inputs["logits"], inputs["targets"])}


def _bce_gradient_want(inputs: Arrays) -> Arrays:
    return numeric_gradients(lambda a: _bce_of(a, inputs["targets"]), inputs, ("logits",), eps=1e-4)


def _cut_off(inputs: Arrays, eps: float) -> Arrays:
    """The loss of probabilities that were not let nearer to 0 and 1 than eps."""
    a, t = inputs["logits"], inputs["targets"]
    p, q = numpy.maximum(_sigmoid(a), eps), numpy.maximum(_sigmoid(-a), eps)
    return {"loss": -(t * numpy.log(p) + (1 - t) * numpy.log(q)).mean()}


CUT_OFF = ("probabilities were cut off at {:g}: the true loss of a logit is without bound; compute "
           "with logits")
EPSILONS = (1e-16, 1e-15, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6)


def _d_inputs(rng: numpy.random.Generator) -> Arrays:
    def logits(size: int) -> numpy.ndarray:
        a = numpy.concatenate([2 * normal(rng, size - 2), [1000.0, -1000.0]])
        return rng.permutation(a)[:, None]
    return {"real": logits(4), "fake": logits(5), "upstream": numpy.ones(())}


def _d_loss(real: numpy.ndarray, fake: numpy.ndarray) -> numpy.ndarray:
    return numpy.logaddexp(0.0, -real).mean() + numpy.logaddexp(0.0, fake).mean()


def _d_want(inputs: Arrays) -> Arrays:
    return {**_silent("d_loss: "), "d_loss": _d_loss(inputs["real"], inputs["fake"]),
            **numeric_gradients(_d_loss, inputs, ("real", "fake"), eps=1e-4),
            **_silent("gradients: ")}


def _log_sum(logits: numpy.ndarray) -> numpy.ndarray:
    return numpy.logaddexp.reduce(logits, axis=1)


def _softmax_of(logits: numpy.ndarray) -> numpy.ndarray:
    return numpy.exp(logits - _log_sum(logits)[:, None])


def _softmax_loss_of(logits: numpy.ndarray, labels: numpy.ndarray) -> numpy.ndarray:
    return (_log_sum(logits) - logits[numpy.arange(len(labels)), labels]).mean()


def _softmax_inputs(rng: numpy.random.Generator) -> Arrays:
    n, k = [(5, 3), (4, 4), (3, 6)][rng.integers(3)]
    logits = 2 * normal(rng, n, k)
    logits[0], logits[1] = logits[0] + 1000, logits[1] - 1000
    logits[2, rng.integers(k)] = 1000
    return {"logits": logits, "labels": _labels(rng, n, k)}


def _labels(rng: numpy.random.Generator, n: int, k: int) -> numpy.ndarray:
    """Labels of which one comes twice, and at least two are different."""
    labels = rng.integers(0, k, n)
    labels[1], labels[2] = labels[0], (labels[0] + 1) % k
    return labels


def _softmax_want(inputs: Arrays) -> Arrays:
    return {**_silent(), "loss": _softmax_loss_of(inputs["logits"], inputs["labels"]),
            "softmax": _softmax_of(inputs["logits"])}


def _softmax_cut_off(inputs: Arrays, eps: float) -> Arrays:
    p = numpy.maximum(_softmax_of(inputs["logits"]), eps)
    at_labels = p[numpy.arange(len(p)), inputs["labels"]]
    return _instead(_softmax_want, lambda loss: -numpy.log(at_labels).mean(), "loss")(inputs)


def _every_label(inputs: Arrays) -> Arrays:
    """The gradient with the one taken off at all labels in every row."""
    softmax, labels = inputs["softmax"].copy(), inputs["labels"]
    softmax[:, labels] -= 1
    return {"grad of logits": inputs["upstream"] * softmax / len(labels)}


def _softmax_gradient_inputs(rng: numpy.random.Generator) -> Arrays:
    n, k = [(5, 3), (4, 4), (3, 6)][rng.integers(3)]
    logits = 2 * normal(rng, n, k)
    return {"logits": logits, "softmax": _softmax_of(logits), "labels": _labels(rng, n, k),
            "upstream": away_from_zero(rng)}


def _softmax_gradient_want(inputs: Arrays) -> Arrays:
    return numeric_gradients(lambda a: _softmax_loss_of(a, inputs["labels"]), inputs, ("logits",),
                             eps=1e-5)


def _losses_float32_inputs(rng: numpy.random.Generator) -> Arrays:
    large = numpy.concatenate([2 * normal(rng, 8), [1000.0, -1000.0, 100.0, -100.0]])
    logits = 2 * normal(rng, 4, 3)
    arrays = {"logits": rng.permutation(large).reshape(4, 3),
              "logits of softmax": logits, "softmax": _softmax_of(logits),
              "targets": rng.uniform(0, 1, (4, 3)), "upstream": away_from_zero(rng)}
    return {**{name: numpy.asarray(a, dtype="float32") for name, a in arrays.items()},
            "labels": rng.integers(0, 3, 4)}


def _losses_float32_want(inputs: Arrays) -> Arrays:
    double = {name: a.astype("float64") for name, a in inputs.items()}
    labels = double["labels"] = inputs["labels"]
    found = {"bce loss": _bce_of(double["logits"], double["targets"]),
             "bce gradient": _bce_gradient_want(double)["grad of logits"],
             "softmax loss": _softmax_loss_of(double["logits"], labels),
             "softmax": _softmax_of(double["logits"]),
             "softmax gradient": _softmax_gradient_want(
                 {**double, "logits": double["logits of softmax"]})["grad of logits"]}
    return {**_silent("bce loss: ", "bce gradient: ", "softmax loss: "),
            **{name: numpy.asarray(a, dtype="float32") for name, a in found.items()}}


# ----------------------------------------------------------------------------------- Q5: optimizers


G_KEPT = {runs.G_KEPT: numpy.asarray(True)}
G_WRITTEN: dict[str, Rule] = {
    "g was written into: it belongs to the caller, only p and the moments are written; g = g + "
    "makes a new array, g += does not": lambda inputs: {runs.G_KEPT: numpy.asarray(False)}}


def _sgd_inputs(rng: numpy.random.Generator) -> Arrays:
    n = int(rng.integers(3, 7))
    return {"p": normal(rng, n), "u": normal(rng, n), "grads": normal(rng, 4, n),
            "lr": rng.uniform(0.05, 0.5), "momentum": rng.uniform(0.5, 0.95),
            "weight_decay": rng.uniform(0.05, 0.3)}


def _plain_sgd_inputs(rng: numpy.random.Generator) -> Arrays:
    return {**_sgd_inputs(rng), "momentum": 0.0}


def _sgd_want(inputs: Arrays) -> Arrays:
    """Parameter and moment are a pair, and a step is a linear map of the pair and the gradient."""
    lr, momentum, decay = (float(inputs[name]) for name in ("lr", "momentum", "weight_decay"))
    fresh = 1 - momentum
    step = numpy.array([[1 - lr * fresh * decay, -lr * momentum], [fresh * decay, momentum]])
    pair = numpy.stack([inputs["p"], inputs["u"]])
    wanted = {}
    for i, g in enumerate(inputs["grads"], 1):
        pair = step @ pair + numpy.outer([-lr * fresh, fresh], g)
        wanted[f"p after step {i}"] = pair[0]
    return {**wanted, **({} if momentum == 0 else {"u in the end": pair[1]}), **G_KEPT}


def _sgd_by(step: Callable) -> Rule:
    """Suspects: ``step(p, u, g, lr, momentum, decay)`` returns the next p and u."""
    def suspect(inputs: Arrays) -> Arrays:
        settings = [float(inputs[name]) for name in ("lr", "momentum", "weight_decay")]
        p, u = inputs["p"], inputs["u"] if settings[1] else numpy.zeros_like(inputs["p"])
        found = {}
        for i, g in enumerate(inputs["grads"], 1):
            p, u = step(p, u, g, *settings)
            found[f"p after step {i}"] = p
        return {**found, "u in the end": u}
    return suspect


def _plain(p: numpy.ndarray, u: numpy.ndarray, g: numpy.ndarray, lr: float, m: float,
           decay: float) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The right step; suspects call it with something done to what goes in or comes out."""
    u = m * u + (1 - m) * (g + decay * p)
    return p - lr * u, u


def _nesterov(p: numpy.ndarray, u: numpy.ndarray, g: numpy.ndarray, lr: float, m: float,
              decay: float) -> tuple[numpy.ndarray, numpy.ndarray]:
    u = m * u + (1 - m) * (g + decay * p)
    return p - lr * (m * u + (1 - m) * (g + decay * p)), u


NOT_WRITTEN = ("the new values never reach the array that was given: write into it, p[...] = or "
               "p -=; p = makes another array")
SGD_SUSPECTS = {
    NOT_WRITTEN: _sgd_by(lambda p, u, g, lr, m, d: (p, u)),
    "the sign: a step goes against the gradient": _sgd_by(
        lambda p, u, g, lr, m, d: _plain(p, u, g, -lr, m, d)),
    "weight decay is left out": _sgd_by(lambda p, u, g, lr, m, d: _plain(p, u, g, lr, m, 0)),
    "weight decay has the wrong sign": _sgd_by(
        lambda p, u, g, lr, m, d: _plain(p, u, g, lr, m, -d)),
    "decoupled weight decay: here it is added to the gradient, before the momentum": _sgd_by(
        lambda p, u, g, lr, m, d: (_plain(p, u, g, lr, m, 0)[0] - lr * d * p,
                                   _plain(p, u, g, lr, m, 0)[1])),
    "PyTorch's momentum: the course's has the factor (1 - m) before g": _sgd_by(
        lambda p, u, g, lr, m, d: (p - lr * (m * u + g + d * p), m * u + g + d * p)),
    "m and 1 - m are exchanged": _sgd_by(
        lambda p, u, g, lr, m, d: _plain(p, u, g, lr, 1 - m, d)),
    "the moment is not kept: u has to be written in place too": _sgd_by(
        lambda p, u, g, lr, m, d: (_plain(p, u, g, lr, m, d)[0], u)),
    "the step uses the gradient, not the moment u": _sgd_by(
        lambda p, u, g, lr, m, d: (p - lr * (g + d * p), _plain(p, u, g, lr, m, d)[1])),
    "the step uses u of the step before": _sgd_by(
        lambda p, u, g, lr, m, d: (p - lr * u, _plain(p, u, g, lr, m, d)[1])),
    "Nesterov's momentum, which looks ahead; the course's does not": _sgd_by(_nesterov),
}


def _adam_inputs(rng: numpy.random.Generator) -> Arrays:
    n = int(rng.integers(3, 7))
    return {"p": normal(rng, n), "m": 0.1 * normal(rng, n), "v": 0.1 * positive(rng, n),
            "grads": normal(rng, 4, n), "t": rng.integers(2, 6), "lr": rng.uniform(0.01, 0.2),
            "beta1": rng.uniform(0.3, 0.9), "beta2": rng.uniform(0.8, 0.99),
            "eps": rng.uniform(0.02, 0.1), "weight_decay": rng.uniform(0.05, 0.3)}


def _adam_want(inputs: Arrays) -> Arrays:
    """In the form for speed: the corrections go into the step size and into eps."""
    lr, beta1, beta2, eps, decay = (float(inputs[name]) for name in (
        "lr", "beta1", "beta2", "eps", "weight_decay"))
    p, m, v = inputs["p"], inputs["m"], inputs["v"]
    wanted = {}
    for i, g in enumerate(inputs["grads"]):
        t = int(inputs["t"]) + i
        g = g + decay * p
        m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g**2 - v)
        root = math.sqrt(1 - beta2**t)
        p = p - lr * root / (1 - beta1**t) * m / (numpy.sqrt(v) + eps * root)
        wanted[f"p after step {i + 1}"] = p
    return {**wanted, "m in the end": m, "v in the end": v, **G_KEPT}


def _adam_by(wrong: str) -> Rule:
    """Suspects: Adam with one thing done otherwise."""
    def suspect(inputs: Arrays) -> Arrays:
        lr, beta1, beta2, eps, decay = (float(inputs[name]) for name in (
            "lr", "beta1", "beta2", "eps", "weight_decay"))
        p, m, v = inputs["p"], inputs["m"], inputs["v"]
        found = {}
        for i, g in enumerate(inputs["grads"]):
            t = int(inputs["t"]) + i + {"t + 1": 1, "t - 1": -1}.get(wrong, 0)
            before = m, v
            g = g + (0 if wrong in ("decoupled", "no decay") else decay * p)
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (abs(g) if wrong == "not squared" else g * g)
            m_hat = m if wrong in ("no correction", "m uncorrected") else m / (1 - beta1**t)
            v_hat = v if wrong in ("no correction", "v uncorrected") else v / (1 - beta2**t)
            if wrong == "eps inside":
                step = m_hat / numpy.sqrt(v_hat + eps)
            elif wrong == "no root":
                step = m_hat / (v_hat + eps)
            else:
                step = m_hat / (numpy.sqrt(v_hat) + eps)
            p = p - lr * (step + decay * p if wrong == "decoupled" else step)
            if wrong == "corrections kept":
                m, v = m_hat, v_hat
            if wrong == "moments not kept":
                m, v = before
            found[f"p after step {i + 1}"] = inputs["p"] if wrong == "p not written" else p
        return {**found, "m in the end": m, "v in the end": v}
    return suspect


ADAM_SUSPECTS = {
    NOT_WRITTEN: _adam_by("p not written"),
    "no bias correction: m / (1 - beta1^t) and v / (1 - beta2^t)": _adam_by("no correction"),
    "the bias correction of m is missing": _adam_by("m uncorrected"),
    "the bias correction of v is missing": _adam_by("v uncorrected"),
    "eps inside the root: it is added after the root is taken": _adam_by("eps inside"),
    "the root of v is missing": _adam_by("no root"),
    "decoupled weight decay (AdamW): here it is added to the gradient": _adam_by("decoupled"),
    "weight decay is left out": _adam_by("no decay"),
    "t is off by one: the first step has t = 1, and t is given": _adam_by("t + 1"),
    "t is off by one, t - 1: the first step has t = 1, and t is given": _adam_by("t - 1"),
    "v is to average the square of g": _adam_by("not squared"),
    "the corrected moments were written back: m and v stay uncorrected": _adam_by(
        "corrections kept"),
    "the moments are not kept: m and v have to be written in place too": _adam_by(
        "moments not kept"),
}


def _first_inputs(rng: numpy.random.Generator) -> Arrays:
    """Gradients of any size, from 0.001 to 1000; the first step of all."""
    n = 6
    scale = 10.0 ** rng.permutation(numpy.linspace(-3, 3, n))
    return {"p": normal(rng, n), "m": numpy.zeros(n), "v": numpy.zeros(n),
            "grads": (away_from_zero(rng, n) * scale)[None], "t": 1,
            "lr": rng.uniform(0.01, 0.2), "beta1": 0.9, "beta2": rng.choice([0.99, 0.999]),
            "eps": 1e-20, "weight_decay": 0.0}


def _first_want(inputs: Arrays) -> Arrays:
    """Whatever the gradient's size, the first step has the length lr."""
    return {"p after step 1": inputs["p"] - inputs["lr"] * numpy.sign(inputs["grads"][0]),
            **G_KEPT}


def _optimizer_inputs(rng: numpy.random.Generator) -> Arrays:
    shapes = {"first": (2, 3), "second": (4,)}
    return {**{name: normal(rng, *shape) for name, shape in shapes.items()},
            **{f"grads of {name}": normal(rng, 3, *shape) for name, shape in shapes.items()},
            "lr": rng.uniform(0.01, 0.2), "weight_decay": rng.uniform(0.05, 0.3)}


def _adam_object_inputs(rng: numpy.random.Generator) -> Arrays:
    return {**_optimizer_inputs(rng), "beta1": rng.uniform(0.3, 0.9),
            "beta2": rng.uniform(0.8, 0.99), "eps": rng.uniform(0.001, 0.01)}


def _sgd_object_inputs(rng: numpy.random.Generator) -> Arrays:
    return {**_optimizer_inputs(rng), "momentum": rng.uniform(0.5, 0.95)}


def _object_by(rule: Rule, moments: tuple[str, ...]) -> Rule:
    """What a rule for one array, from moments of 0, does to both parameters."""
    def want(inputs: Arrays) -> Arrays:
        found = {}
        for name in ("first", "second"):
            grads = inputs[f"grads of {name}"]
            one = {**inputs, "p": inputs[name].reshape(-1), "grads": grads.reshape(len(grads), -1),
                   "t": 1, **{moment: numpy.zeros(inputs[name].size) for moment in moments}}
            found[name] = rule(one)[f"p after step {len(grads)}"].reshape(inputs[name].shape)
        return found
    return want


# ----------------------------------------------------------------------------------- Q6: who learns


def _detach_inputs(rng: numpy.random.Generator) -> Arrays:
    return {"x": normal(rng, *[(3,), (2, 3), (2, 1, 2)][rng.integers(3)])}


def _detach_want(inputs: Arrays) -> Arrays:
    wanted: dict[str, Any] = {}
    for name, values in (("leaf", inputs["x"]), ("result", 2 * inputs["x"])):
        wanted |= {f"{name}: values": values, f"{name}: a new Tensor": True,
                   f"{name}: shares its memory": True, f"{name}: carries a gradient": False,
                   f"{name}: has an op or inputs": False,
                   f"{name}: the original is as before": True}
    return {**wanted, "grad of sum((2 x).detach() * x)": 2 * inputs["x"],
            "a graph after it leads back": False}


def _both(name: str) -> Rule:
    return _flipped(_detach_want, f"leaf: {name}", f"result: {name}")


DETACH_SUSPECTS = {
    "the tensor itself is returned; detach makes another one": _both("a new Tensor"),
    "a copy: the same array is wanted, in the same memory": _both("shares its memory"),
    "it still carries a gradient: requires_grad has to be False": _both("carries a gradient"),
    "its history is still there: a leaf has no op and no inputs": _both("has an op or inputs"),
    "the original was changed: others still need its history": _both("the original is as before"),
    "the gradient flows through the detached factor": _instead(
        _detach_want, lambda g: 2 * g, "grad of sum((2 x).detach() * x)"),
    "what is computed from it is still part of a graph": _flipped(
        _detach_want, "a graph after it leads back"),
}


def _game_inputs(rng: numpy.random.Generator) -> Arrays:
    """Without a gradient so near to 0 that differences leave it too few digits."""
    while True:
        inputs = {"G": normal(rng, 3, 2), "D": away_from_zero(rng, 2, 1),
                  "bias": normal(rng, 1, 1), "idle": normal(rng, 3), "old": normal(rng, 2, 1),
                  "z": normal(rng, 4, 3), "real": normal(rng, 4, 2) + 1,
                  "lr": rng.uniform(0.1, 0.5)}
        wanted = _minimize_want(inputs)
        if min(abs(wanted[f"{name}: grad"]).max() for name in ("G", "D", "bias")) > 0.01:
            return inputs


def _softplus_mean(a: numpy.ndarray) -> numpy.ndarray:
    return numpy.logaddexp(0.0, a).mean()


def _slope_of_g(G: numpy.ndarray, D: numpy.ndarray, bias: numpy.ndarray, inputs: Arrays
                ) -> numpy.ndarray:
    found = numeric_gradients(lambda G: _softplus_mean(-(inputs["z"] @ G @ D + bias)),
                              {"G": G, "upstream": numpy.ones(())}, ("G",))
    return found["grad of G"]


def _slopes_of_d(G: numpy.ndarray, D: numpy.ndarray, bias: numpy.ndarray, inputs: Arrays
                 ) -> tuple[numpy.ndarray, numpy.ndarray]:
    def d_loss(D: numpy.ndarray, bias: numpy.ndarray) -> numpy.ndarray:
        return _softplus_mean(-(inputs["real"] @ D + bias)) + _softplus_mean(
            inputs["z"] @ G @ D + bias)
    found = numeric_gradients(d_loss, {"D": D, "bias": bias, "upstream": numpy.ones(())},
                              ("D", "bias"))
    return found["grad of D"], found["grad of bias"]


def _minimize_want(inputs: Arrays) -> Arrays:
    G, D, bias, lr = (inputs[name] for name in ("G", "D", "bias", "lr"))
    grad_G = _slope_of_g(G, D, bias, inputs)
    moved = G - lr * grad_G
    grad_D, grad_bias = _slopes_of_d(moved, D, bias, inputs)
    return {"G after G's step": moved, "D after G's step": D, "bias after G's step": bias,
            "idle after G's step": inputs["idle"], "G: grad": grad_G, "D: grad left alone": True,
            "bias: grad left None": True, "G after D's step": moved,
            "D after D's step": D - lr * grad_D, "bias after D's step": bias - lr * grad_bias,
            "idle after D's step": inputs["idle"], "D: grad": grad_D, "bias: grad": grad_bias,
            "G: grad left alone": True}


def _of_g(step: Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]) -> Rule:
    """Suspects: another G after G's step, from G before it and the right one."""
    return lambda inputs: _instead(_minimize_want, lambda moved: step(inputs["G"], moved),
                                   "G after G's step")(inputs)


def _stale_step(inputs: Arrays) -> Arrays:
    return _instead(_minimize_want, lambda idle: (1 - inputs["lr"]) * idle,
                    "idle after D's step")(inputs)


MINIMIZE_SUSPECTS = {
    "no step was taken, or it was taken before the gradients were there": _of_g(
        lambda G, moved: G),
    "a step up the loss": _of_g(lambda G, moved: 2 * G - moved),
    "an old gradient was used for a parameter that this loss does not depend on: its .grad has to "
    "become None": _stale_step,
    "the gradients of the other player were touched: backward() fills those of every leaf; ask "
    "only for those of self.params": _flipped(
        _minimize_want, "D: grad left alone", "bias: grad left None", "G: grad left alone"),
}


def _game_want(inputs: Arrays) -> Arrays:
    G, D, bias, lr = (inputs[name] for name in ("G", "D", "bias", "lr"))
    wanted: dict[str, Any] = {}
    for i in (1, 2):
        grad_D, grad_bias = _slopes_of_d(G, D, bias, inputs)
        D, bias = D - lr * grad_D, bias - lr * grad_bias
        G = G - lr * _slope_of_g(G, D, bias, inputs)
        wanted |= {f"G has a gradient in D's step {i}": False, f"G after round {i}": G,
                   f"D after round {i}": D, f"bias after round {i}": bias}
    return wanted


CHECKS = (
    # ---- Q1
    Check("hw2.Q1.members", runs.members, _members_inputs, _members_want, kind=Kind.PROPERTY),
    Check("hw2.Q1.names", runs.names, _names_inputs, _names_want, kind=Kind.PROPERTY),
    Check("hw2.Q1.shared", runs.names, _shared_inputs, _names_want, kind=Kind.PROPERTY),
    Check("hw2.Q1.modes", runs.modes, _modes_inputs, _modes_want, kind=Kind.PROPERTY),
    # ---- Q2
    Check("hw2.Q2.linear.layer", runs.linear_layer, _layer_inputs, _layer_want,
          kind=Kind.PROPERTY),
    Check("hw2.Q2.linear.gradient", runs.linear_gradient, _linear_inputs, _linear_want,
          kind=Kind.GRADIENT, suspects={
              "the bias is added to every row of x W: its gradient is the sum over the rows, not "
              "the mean": _mean_for_bias}),
    Check("hw2.Q2.linear.wanted", runs.linear_wanted, _linear_inputs, _some_wanted_want,
          suspects={"what is not wanted is None: each flag of wanted is for one gradient":
                    _all_given}),
    Check("hw2.Q2.leaky_relu.gradient", runs.leaky_relu_gradient, _leaky_inputs, _leaky_want,
          kind=Kind.GRADIENT, suspects={
              "the slope of a ReLU: below 0 it is not 0 but slope":
                  _leaky_by(lambda a, slope: (a > 0) * 1.0),
              "at 0: the side of a > 0 does not hold 0":
                  _leaky_by(lambda a, slope: numpy.where(a >= 0, 1.0, slope)),
              "the sides are exchanged":
                  _leaky_by(lambda a, slope: numpy.where(a > 0, slope, 1.0)),
              "the function itself, not its slope": _leaky_by(_leaky),
              "the sign: below 0 the slope is positive too":
                  _leaky_by(lambda a, slope: numpy.where(a > 0, 1.0, -slope))}),
    Check("hw2.Q2.sigmoid.values", runs.sigmoid, _sigmoid_inputs, _sigmoid_want, tol=1e-12,
          suspects={
              **_warned(),
              "the sign: this is sigmoid(-a)": lambda inputs: {
                  "sigmoid": _sigmoid(-inputs["a"])},
              "tanh(a) / 2 + 1 / 2 is sigmoid(2 a): halve the argument too": lambda inputs: {
                  "sigmoid": _sigmoid(2 * inputs["a"])},
              "this is tanh; the sigmoid lies between 0 and 1": lambda inputs: {
                  "sigmoid": numpy.tanh(inputs["a"])}}),
    Check("hw2.Q2.sigmoid.gradient", runs.sigmoid_gradient, _activation_inputs,
          _with_sigmoid(_gradient_of(_sigmoid)), kind=Kind.GRADIENT,
          blames={"sigmoid": "Sigmoid.compute"}, suspects={
              "the factor (1 - sigmoid) is missing": _wrong_slope(_sigmoid),
              "this is the derivative of tanh": _wrong_slope(lambda a: 1 - _sigmoid(a) ** 2),
              "the input was put where the output belongs: s (1 - s) with s = sigmoid(a)":
                  _wrong_slope(lambda a: a * (1 - a))}),
    Check("hw2.Q2.sigmoid.second", runs.sigmoid_second, _activation_inputs,
          _with_sigmoid(_second_of(SLOPES["sigmoid"])), tol=1e-5, kind=Kind.GRADIENT,
          blames={"sigmoid": "Sigmoid.compute"}),
    Check("hw2.Q2.tanh.gradient", runs.tanh_gradient, _activation_inputs,
          _gradient_of(numpy.tanh), kind=Kind.GRADIENT, suspects={
              "the square is missing: 1 - y^2": _wrong_slope(lambda a: 1 - numpy.tanh(a)),
              "the input was put where the output belongs: 1 - y^2 with y = tanh(a)":
                  _wrong_slope(lambda a: 1 - a * a),
              "this is the derivative of the sigmoid":
                  _wrong_slope(lambda a: numpy.tanh(a) * (1 - numpy.tanh(a)))}),
    Check("hw2.Q2.tanh.second", runs.tanh_second, _activation_inputs, _second_of(SLOPES["tanh"]),
          tol=1e-5, kind=Kind.GRADIENT),
    Check("hw2.Q2.float32", runs.float32, _float32_inputs, _float32_want, tol=1e-4,
          suspects=_warned("sigmoid: "), blames={
              "sigmoid": "Sigmoid.compute", "grad of sigmoid": "Sigmoid.gradient",
              "grad of leaky_relu": "leaky_relu_gradient", "grad of": "linear_gradient"}),
    Check("hw2.Q2.network", runs.network, _network_inputs, _network_want, tol=1e-5,
          kind=Kind.GRADIENT, blames={
              "sigmoid": "Sigmoid.compute", "grad of tanh": "Sigmoid.gradient",
              "grad of linear2": "Tanh.gradient", "grad of linear1": "leaky_relu_gradient",
              "grad of": "linear_gradient"}),
    # ---- Q3
    Check("hw2.Q3.xavier_uniform", runs.xavier_uniform, _fans, _xavier_want, kind=Kind.PROPERTY),
    Check("hw2.Q3.kaiming_normal", runs.kaiming_normal, _fans, _kaiming_want, kind=Kind.PROPERTY),
    # ---- Q4
    Check("hw2.Q4.bce.loss", runs.bce, _bce_inputs, _bce_want, suspects={
        **_warned(),
        "the sum instead of the mean": lambda inputs: _instead(
            _bce_want, lambda loss: loss * inputs["logits"].size, "loss")(inputs),
        "real and fake exchanged: t belongs to log sigmoid(a)": lambda inputs: {
            "loss": _bce_of(inputs["logits"], 1 - inputs["targets"])},
        **{CUT_OFF.format(eps): lambda inputs, eps=eps: _cut_off(inputs, eps)
           for eps in EPSILONS}}),
    Check("hw2.Q4.bce.gradient", runs.bce_gradient, _bce_inputs, _bce_gradient_want,
          kind=Kind.GRADIENT, suspects={
              "the targets are left out": lambda inputs: {
                  "grad of logits": inputs["upstream"] * _sigmoid(inputs["logits"])
                  / inputs["logits"].size},
              "the logits were put where their sigmoid belongs": lambda inputs: {
                  "grad of logits": inputs["upstream"] * (inputs["logits"] - inputs["targets"])
                  / inputs["logits"].size}}),
    Check("hw2.Q4.bce.discriminator", runs.discriminator_loss, _d_inputs, _d_want,
          suspects=_warned("d_loss: ", "gradients: "), blames={
              "d_loss": "bce_with_logits", "grad": "bce_with_logits_gradient"}),
    Check("hw2.Q4.softmax.loss", runs.softmax, _softmax_inputs, _softmax_want, suspects={
        **_warned(),
        "the sum instead of the mean": lambda inputs: _instead(
            _softmax_want, lambda loss: loss * len(inputs["labels"]), "loss")(inputs),
        "the largest was taken off in the sum, but not off the logit at the label (or the other "
        "way round)": lambda inputs: _instead(
            _softmax_want, lambda loss: loss - inputs["logits"].max(axis=1).mean(),
            "loss")(inputs),
        "this is the logarithm of the softmax": lambda inputs: {
            **_softmax_want(inputs),
            "softmax": inputs["logits"] - _log_sum(inputs["logits"])[:, None]},
        **{CUT_OFF.format(eps): lambda inputs, eps=eps: _softmax_cut_off(inputs, eps)
           for eps in EPSILONS}}),
    Check("hw2.Q4.softmax.gradient", runs.softmax_gradient, _softmax_gradient_inputs,
          _softmax_gradient_want, kind=Kind.GRADIENT, suspects={
              "the one at the label is not taken off": lambda inputs: {
                  "grad of logits": inputs["upstream"] * inputs["softmax"]
                  / len(inputs["labels"])},
              "the one is taken off in every row at all labels: index with row numbers and labels "
              "together": _every_label}),
    Check("hw2.Q4.float32", runs.losses_float32, _losses_float32_inputs, _losses_float32_want,
          tol=1e-4, suspects=_warned("bce loss: ", "bce gradient: ", "softmax loss: "), blames={
              "bce loss": "bce_with_logits", "bce gradient": "bce_with_logits_gradient",
              "softmax gradient": "softmax_loss_gradient",
              "softmax was changed": "softmax_loss_gradient", "softmax": "softmax_loss",
              "logits was changed": "softmax_loss", "targets was changed": "bce_with_logits"}),
    # ---- Q5
    Check("hw2.Q5.sgd.plain", runs.sgd, _plain_sgd_inputs, _sgd_want, tol=1e-10,
          suspects={**SGD_SUSPECTS, **G_WRITTEN}),
    Check("hw2.Q5.sgd.momentum", runs.sgd, _sgd_inputs, _sgd_want, tol=1e-10,
          suspects={**SGD_SUSPECTS, **G_WRITTEN}),
    Check("hw2.Q5.adam.first", runs.adam, _first_inputs, _first_want, tol=1e-7,
          suspects={**{text: _finite(rule) for text, rule in ADAM_SUSPECTS.items()},
                    **G_WRITTEN}),
    Check("hw2.Q5.adam.steps", runs.adam, _adam_inputs, _adam_want, tol=1e-10,
          suspects={**{text: _finite(rule) for text, rule in ADAM_SUSPECTS.items()},
                    **G_WRITTEN}),
    Check("hw2.Q5.optimizer.sgd", runs.optimizer, _sgd_object_inputs,
          _object_by(_sgd_want, ("u",)), tol=1e-10, suspects={
              text: _object_by(rule, ("u",)) for text, rule in SGD_SUSPECTS.items()}),
    Check("hw2.Q5.optimizer.adam", runs.optimizer, _adam_object_inputs,
          _object_by(_adam_want, ("m", "v")), tol=1e-10, suspects={
              text: _finite(_object_by(rule, ("m", "v")))
              for text, rule in ADAM_SUSPECTS.items()}),
    # ---- Q6
    Check("hw2.Q6.detach", runs.detach, _detach_inputs, _detach_want,
          suspects=DETACH_SUSPECTS),
    Check("hw2.Q6.minimize", runs.minimize, _game_inputs, _minimize_want,
          suspects=MINIMIZE_SUSPECTS),
    Check("hw2.Q6.game", runs.game, _game_inputs, _game_want, suspects={
        "D's step left a gradient in G": _flipped(
            _game_want, *(f"G has a gradient in D's step {i}" for i in (1, 2)))}),
)
