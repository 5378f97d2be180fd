"""Runs of homework 1: operations, their gradients, the order of a graph, the backward pass.

Leaves out: what is right, which the parent knows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from .tools import Arrays, gradients, tensor, tensors

__all__ = [
    "AXES",
    "POWERS",
    "PRODUCTS",
    "QUOTIENTS",
    "SLOPES",
    "SWAPS",
    "after_backward",
    "backward",
    "broadcast_backward",
    "broadcast_to",
    "broadcast_to_gradient",
    "div",
    "div_broadcast_gradient",
    "div_gradient",
    "fanout",
    "forward_float32",
    "gradients_float32",
    "log_gradient",
    "logsumexp",
    "logsumexp_gradient",
    "matmul",
    "matmul_batched",
    "matmul_gradient",
    "none",
    "numeric",
    "numeric_several",
    "one_output",
    "order",
    "planted_everywhere",
    "planted_shapes",
    "planted_upstream",
    "planted_values",
    "power",
    "power_gradient",
    "recorded",
    "reduced",
    "second_order",
    "shared",
    "sum_to",
    "summation",
    "summation_gradient",
    "transpose",
    "tuples",
    "two_outputs",
    "two_outputs_each",
]

Outputs = dict[str, Any]

AXES = ((None, False), (None, True), (1, False), (1, True), (-1, False), (-1, True),
        ((0, 2), True), ((-1, 0), False))
"""(axes, keepdims) of the reductions that are asked for, on arrays with three axes."""

POWERS = {"a": (2, -1.5, 0.5), "b": (2, 3, -2, 0)}
"""Scalars of the powers that are asked for; "a" is positive, "b" has both signs."""

SLOPES = {"a": (3, -2, 0.5, 1), "b": (2, 3, -2, 0), "c": (1, 2, 3)}
"""Scalars of the gradients of powers; "c" has both signs and a zero."""

QUOTIENTS = ("ab", "ca", "bc", "ad", "da")
"""Dividend and divisor, of shapes that broadcast to one; "d" has no axes."""

PRODUCTS = {"equal batches": "ab", "one b": "ac", "one a": "db", "batch of one": "eb",
            "batches broadcast": "fg"}
"""The operands of matrix products with batches."""

SWAPS = (None, (0, 1), (-1, 0))
"""Axes of the transposes that are asked for, on arrays with three axes."""


def reduced(upstream: numpy.ndarray, axes: Any, keepdims: bool) -> numpy.ndarray:
    """A part of ``upstream`` that has the shape of its reduction over the axes."""
    axes = tuple(range(upstream.ndim)) if axes is None else axes
    listed = [axis % upstream.ndim for axis in (axes if isinstance(axes, tuple) else (axes,))]
    index = tuple(slice(1) if axis in listed else slice(None) for axis in range(upstream.ndim))
    return upstream[index] if keepdims else upstream[index].squeeze(tuple(listed))


def _named(prefix: str, outputs: Outputs) -> Outputs:
    return {f"{prefix}: {name}": value for name, value in outputs.items()}


# ------------------------------------------------------------------------------ Q1: forward


def _values(op: Callable, *xs: Any) -> Outputs:
    """An op's output, computed twice from the same Tensors; the first is copied at once."""
    return {"output": op(*xs).numpy(), "output, second call": op(*xs)}


def div(lib: Callable, inputs: Arrays) -> Outputs:
    """EWiseDiv on all QUOTIENTS."""
    outputs = {}
    for x, y in QUOTIENTS:
        operands = tensors(lib, inputs, (x, y))
        outputs |= _named(f"{x} / {y}", _values(lib("minigrad.ops").EWiseDiv(), *operands))
    return outputs


def power(lib: Callable, inputs: Arrays) -> Outputs:
    """PowerScalar with all POWERS."""
    outputs = {}
    for name, scalars in POWERS.items():
        (x,) = tensors(lib, inputs, name)
        for s in scalars:
            outputs |= _named(f"{name} ** {s}", _values(lib("minigrad.ops").PowerScalar(s), x))
    return outputs


def matmul(lib: Callable, inputs: Arrays) -> Outputs:
    """MatMul of two matrices."""
    return _values(lib("minigrad.ops").MatMul(), *tensors(lib, inputs, "ab"))


def matmul_batched(lib: Callable, inputs: Arrays) -> Outputs:
    """MatMul of all PRODUCTS."""
    outputs = {}
    for name, operands in PRODUCTS.items():
        op = lib("minigrad.ops").MatMul()
        outputs |= _named(name, _values(op, *tensors(lib, inputs, operands)))
    return outputs


def summation(lib: Callable, inputs: Arrays) -> Outputs:
    """Summation over all AXES."""
    return _reductions(lib, lib("minigrad.ops").Summation, inputs)


def logsumexp(lib: Callable, inputs: Arrays) -> Outputs:
    """LogSumExp over all AXES."""
    return _reductions(lib, lib("minigrad.ops").LogSumExp, inputs)


def _reductions(lib: Callable, make: Callable, inputs: Arrays) -> Outputs:
    outputs = {}
    (a,) = tensors(lib, inputs, "a")
    for axes, keepdims in AXES:
        outputs |= _named(f"axes {axes}, keepdims {keepdims}", _values(make(axes, keepdims), a))
    return outputs


def broadcast_to(lib: Callable, inputs: Arrays) -> Outputs:
    """BroadcastTo of five arrays to one shape, which is that of the last."""
    shape = tuple(int(size) for size in inputs["shape"])
    outputs = {}
    for name, x in zip("abcde", tensors(lib, inputs, "abcde"), strict=True):
        outputs |= _named(name, _values(lib("minigrad.ops").BroadcastTo(shape), x))
    return outputs


def transpose(lib: Callable, inputs: Arrays) -> Outputs:
    """Transpose with all SWAPS."""
    outputs = {}
    (a,) = tensors(lib, inputs, "a")
    for axes in SWAPS:
        outputs |= _named(f"axes {axes}", _values(lib("minigrad.ops").Transpose(axes), a))
    return outputs


def forward_float32(lib: Callable, inputs: Arrays) -> Outputs:
    """One case of every forward operation, in float32."""
    ops = lib("minigrad.ops")
    a, b = tensors(lib, inputs, "ab")
    return {
        "a ** 3": ops.PowerScalar(3)(a),
        "a ** 0.5": ops.PowerScalar(0.5)(a),
        "a / b": ops.EWiseDiv()(a, b),
        "a @ b": ops.MatMul()(a, b),
        "sum of a": ops.Summation(0)(a),
        "log-sum-exp of a": ops.LogSumExp(0)(a),
        "a broadcast": ops.BroadcastTo((2, *a.shape))(a),
        "a transposed": ops.Transpose()(a),
    }


# ----------------------------------------------------------------------------- Q2: backward


def sum_to(lib: Callable, inputs: Arrays) -> Outputs:
    """sum_to of the upstream gradient, to every input whose name begins with "shape"."""
    summed = lib("minigrad.ops.broadcast").sum_to
    grad = tensor(lib, inputs["upstream"])
    shapes = [tuple(int(size) for size in inputs[name]) for name in sorted(inputs)
              if name.startswith("shape")]
    outputs = {f"{grad.shape} to {shape}": summed(grad, shape) for shape in shapes}
    return outputs | {f"{name}, second call": summed(grad, shape)
                      for name, shape in zip(tuple(outputs), shapes, strict=True)}


def div_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradients of EWiseDiv."""
    return gradients(lib, lib("minigrad.ops").EWiseDiv(), inputs, "ab")


def div_broadcast_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradients of EWiseDiv on all QUOTIENTS."""
    outputs = {}
    for x, y in QUOTIENTS:
        found = gradients(lib, lib("minigrad.ops").EWiseDiv(), inputs, (x, y))
        outputs |= _named(f"{x} / {y}", found)
    return outputs


def power_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradient of PowerScalar with all SLOPES."""
    outputs = {}
    for name, scalars in SLOPES.items():
        for s in scalars:
            op = lib("minigrad.ops").PowerScalar(s)
            outputs |= _named(f"{name} ** {s}", gradients(lib, op, inputs, name))
    return outputs


def log_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradient of Log."""
    return gradients(lib, lib("minigrad.ops").Log(), inputs, "a")


def matmul_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradients of MatMul."""
    return gradients(lib, lib("minigrad.ops").MatMul(), inputs, "ab")


def summation_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradient of Summation over all AXES."""
    return _reduction_gradients(lib, lib("minigrad.ops").Summation, inputs)


def logsumexp_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradient of LogSumExp over all AXES."""
    return _reduction_gradients(lib, lib("minigrad.ops").LogSumExp, inputs)


def _reduction_gradients(lib: Callable, make: Callable, inputs: Arrays) -> Outputs:
    outputs = {}
    for axes, keepdims in AXES:
        part = {**inputs, "upstream": reduced(inputs["upstream"], axes, keepdims)}
        outputs |= _named(f"axes {axes}, keepdims {keepdims}",
                          gradients(lib, make(axes, keepdims), part, "a"))
    return outputs


def broadcast_to_gradient(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradient of BroadcastTo, from five shapes."""
    outputs = {}
    for name in "abcde":
        op = lib("minigrad.ops").BroadcastTo(inputs["upstream"].shape)
        outputs |= gradients(lib, op, inputs, name)
    return outputs


def _of_every_op(lib: Callable, inputs: Arrays) -> Iterator[tuple[str, Any, str, Arrays]]:
    """One case of every operation of the question: name, op, names of its inputs, inputs."""
    ops = lib("minigrad.ops")
    row = {**inputs, "upstream": inputs["upstream"][0]}
    yield "EWiseDiv", ops.EWiseDiv(), "ab", inputs
    yield "EWiseDiv, broadcast", ops.EWiseDiv(), "ac", inputs
    yield "PowerScalar", ops.PowerScalar(3), "a", inputs
    yield "Log", ops.Log(), "a", inputs
    yield "MatMul", ops.MatMul(), "ab", inputs
    yield "Summation", ops.Summation(0), "a", row
    yield "LogSumExp", ops.LogSumExp(0), "a", row
    yield "BroadcastTo", ops.BroadcastTo(inputs["a"].shape), "c", inputs


def gradients_float32(lib: Callable, inputs: Arrays) -> Outputs:
    """One case of every gradient, in float32."""
    outputs = {}
    for name, op, names, part in _of_every_op(lib, inputs):
        outputs |= _named(name, gradients(lib, op, part, names))
    return outputs


def recorded(lib: Callable, inputs: Arrays) -> Outputs:
    """What gradients were made from by recorded operations, and how they change with it.

    For every operation: 1 for each Tensor from which a gradient was made, else 0; then the
    gradients of sum(direction * gradient), over all inputs, by the upstream gradient and inputs.
    """
    outputs = {}
    for name, op, names, part in _of_every_op(lib, inputs):
        xs = tensors(lib, part, names)
        upstream = tensor(lib, part["upstream"])
        sources = {"upstream": upstream, **dict(zip(names, xs, strict=True))}
        node = op(*xs)
        found = node.op.gradient_as_tuple(upstream, node)
        for k, gradient in zip(names, found, strict=True):
            reached = {id(x) for x in _ordered([gradient])}
            for source, x in sources.items():
                outputs[f"{name}: grad of {k} from {source}"] = int(id(x) in reached)
        along = [tensor(lib, part[f"direction {k}"]) for k in names]
        again = _walked(found, along)
        for source, x in sources.items():
            zero = numpy.zeros(x.shape)
            outputs[f"{name}: second order by {source}"] = again.get(id(x), zero)
    return outputs


def _ordered(ends: Sequence[Any]) -> list[Any]:
    """The values from which ``ends`` were made, and these, inputs first; for small graphs."""
    order: dict[int, Any] = {}

    def visit(value: Any) -> None:
        if id(value) not in order:
            for x in getattr(value, "inputs", ()):
                visit(x)
            order[id(value)] = value

    for end in ends:
        visit(end)
    return list(order.values())


def _walked(ends: Sequence[Any], upstream: Sequence[Any]) -> dict[int, Any]:
    """The gradients of sum(upstream * ends), by id: a backward pass without the student's."""
    pieces = [(id(end), up) for end, up in zip(ends, upstream, strict=True)]
    found: dict[int, Any] = {}
    for value in [None, *reversed(_ordered(ends))]:
        if id(value) in found and getattr(value, "op", None) is not None:
            parts = value.op.gradient_as_tuple(found[id(value)], value)
            pieces = [(id(x), part) for x, part in zip(value.inputs, parts, strict=True)]
        for key, piece in pieces:
            if piece is not None:
                found[key] = found[key] + piece if key in found else piece
        pieces = []
    return found


# ------------------------------------------------------------------- Q3: topological order


def _graph(lib: Callable, parents: Sequence[Sequence[int]]) -> dict[int, Any]:
    """Values by number; row k of ``parents`` says from which number k is made.

    From none, one or two (-1: none). A value is made when those that it needs are there.
    """
    values: dict[int, Any] = {}
    for k in range(len(parents)):
        asked = [k]
        while asked:
            first, second = parents[asked[-1]]
            needed = [i for i in (first, second) if i >= 0 and i not in values]
            if needed:
                asked += needed
                continue
            if (number := asked.pop()) not in values:  # it may have been asked for twice
                values[number] = lib("minigrad").Tensor(1.0) if first < 0 else (
                    -values[first] if second < 0 else values[first] + values[second])
    return values


def order(lib: Callable, inputs: Arrays) -> Outputs:
    """The numbers of the values of a graph in the order found; -1 for what is not in it.

    Asked twice, with one list, which is looked at afterwards.
    """
    values = _graph(lib, inputs["parents"].tolist())
    numbers = {id(value): k for k, value in values.items()}
    find = lib("minigrad.autograd").find_topo_sort
    roots = [values[root] for root in inputs["roots"].tolist()]
    given = list(roots)
    outputs: Outputs = {}
    for name in ("order", "order, second call"):
        found = find(given)
        if not isinstance(found, list | tuple):
            return {"order": found}
        outputs[name] = numpy.array([numbers.get(id(x), -1) for x in list(found)], dtype="int64")
        same = len(given) == len(roots) and all(map(operator.is_, given, roots))
        outputs[f"list kept, {name}"] = int(same)
        given = list(roots)
    return outputs


# ----------------------------------------------------------------- Q4: the backward pass


def _grads(lib: Callable, y: Any, names: str, xs: list[Any], upstream: Any) -> Outputs:
    """What ``grad`` says, asked twice."""
    grad = lib("minigrad").grad
    outputs = {}
    for suffix in ("", ", second call"):
        for name, found in zip(names, grad(y, xs, upstream), strict=True):
            outputs[f"grad of {name}{suffix}"] = _arrived(name, found)
    return outputs


def _arrived(name: str, gradient: Any) -> Any:
    """``gradient``, refused if there is none."""
    if gradient is None:
        raise ValueError(f"there is no gradient of {name}: is the order walked from its end, "
                         "every piece put into grads, and what keep names left there?")
    return gradient


def fanout(lib: Callable, inputs: Arrays) -> Outputs:
    """Inputs that are used several times."""
    a, b, up = (tensor(lib, inputs[name]) for name in ("a", "b", "upstream"))
    return {**_named("(a b + a) a", _grads(lib, (a * b + a) * a, "ab", [a, b], up)),
            **_named("(a + b) + a", _grads(lib, (a + b) + a, "ab", [a, b], up))}


def shared(lib: Callable, inputs: Arrays) -> Outputs:
    """An inner value that is used three times, and whose gradient is asked for too."""
    a, b, up = (tensor(lib, inputs[name]) for name in ("a", "b", "upstream"))
    u = a * b
    v = lib("minigrad.ops").exp(u)
    return _grads(lib, u + v * u, "abu", [a, b, u], up)


def two_outputs(lib: Callable, inputs: Arrays) -> Outputs:
    """Two outputs, of which one is made from the other."""
    a, b = tensors(lib, inputs, "ab")
    ups = [tensor(lib, up) for up in inputs["upstream"]]
    first = a * b
    return _grads(lib, [first, first * first + a], "ab", [a, b], ups)


def broadcast_backward(lib: Callable, inputs: Arrays) -> Outputs:
    """Four inputs that broadcast."""
    a, b, c, d, up = (tensor(lib, inputs[name]) for name in ("a", "b", "c", "d", "upstream"))
    return _grads(lib, (a + b) * c * d, "abcd", [a, b, c, d], up)


def none(lib: Callable, inputs: Arrays) -> Outputs:
    """An op that has no gradient for its second input."""
    a, b, c, up = (tensor(lib, inputs[name]) for name in ("a", "b", "c", "upstream"))
    op = _planted(lib, numpy.multiply, lambda out_grad, x, y: (out_grad * y, None))
    found = lib("minigrad").grad(op(a, b) + op(b, c), [a, b, c], up)
    return {"grad of a": _arrived("a", found[0]), "grad of b": _arrived("b", found[1]),
            "c has no gradient": int(found[2] is None)}


def backward(lib: Callable, inputs: Arrays) -> Outputs:
    """What ``Tensor.backward`` puts into ``.grad``, called twice."""
    a, b, up = (tensor(lib, inputs[name]) for name in ("a", "b", "upstream"))
    y = a * a * b
    outputs = {}
    for suffix in ("", ", second call"):
        y.backward(up)
        outputs |= {f"grad of {name}{suffix}": _arrived(name, x.grad)
                    for name, x in (("a", a), ("b", b))}
    return outputs


def tuples(lib: Callable, inputs: Arrays) -> Outputs:
    """A TensorTuple whose members are used several times."""
    a, up = tensor(lib, inputs["a"]), tensor(lib, inputs["upstream"])
    parts = lib("minigrad.ops").split(a, 0)
    first = parts[0]
    return _grads(lib, first * parts[1] + parts[2] * first, "a", [a], up)


def second_order(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradients of a gradient that ``grad`` recorded."""
    a, b, first, up = (tensor(lib, inputs[name]) for name in ("a", "b", "first", "upstream"))
    slope = lib("minigrad").grad(_curved(lib, a, b), a, first, create_graph=True)
    return _grads(lib, _in_graph(slope), "ab", [a, b], up)


def after_backward(lib: Callable, inputs: Arrays) -> Outputs:
    """The gradients of a gradient that ``Tensor.backward`` recorded."""
    a, b, first, up = (tensor(lib, inputs[name]) for name in ("a", "b", "first", "upstream"))
    _curved(lib, a, b).backward(first, create_graph=True)
    slope = a.grad
    return {"a.grad": slope, **_grads(lib, _in_graph(slope), "ab", [a, b], up)}


def _in_graph(slope: Any) -> Any:
    """``slope``, refused if it cannot be differentiated again."""
    if not _arrived("a", slope).requires_grad:
        raise ValueError("with create_graph=True the gradient carries no graph: pieces have to "
                         "stay the Tensors that they are, and to be added as Tensors")
    return slope


def _curved(lib: Callable, a: Any, b: Any) -> Any:
    return a * a * b + lib("minigrad.ops").exp(a * b)


def _planted(lib: Callable, compute: Callable, gradient: Callable) -> Any:
    """An op with this compute on arrays and this gradient, which is also given the inputs."""

    class Planted(lib("minigrad").TensorOp):
        def compute(self, *arrays: numpy.ndarray) -> numpy.ndarray:
            return compute(*arrays)

        def gradient(self, out_grad: Any, node: Any) -> Any:
            return gradient(out_grad, *node.inputs)

    return Planted()


# ------------------------------------------------------------------- Q5: gradient checker


Slopes = Iterator[tuple]
"""Name of an output, then the arguments of numeric_gradient."""


def one_output(inputs: Arrays) -> Slopes:
    """Curved functions of one array with two, no and three axes.

    Where the step is large all elements lie between -1 and 1, so that it is eps for each of them.
    """
    yield ("grad of a", lambda x: [numpy.sin(x[0]) * x[0]], [inputs["a"]], 0,
           [inputs["upstream"]], 1e-5)
    yield ("no axes, eps 0.01: grad of b", lambda x: [numpy.asarray(numpy.exp(x[0]))],
           [inputs["b"]], 0, [inputs["of b"]], 1e-2)
    yield ("three axes, eps 0.01: grad of c",
           lambda x: [numpy.tanh(x[0]) * numpy.exp(x[0].mean())], [inputs["c"]], 0,
           [inputs["of c"]], 1e-2)


def two_outputs_each(inputs: Arrays) -> Slopes:
    """Two arrays and two outputs, which couple their elements."""
    arrays = [inputs["a"], inputs["b"]]
    cotangents = [inputs["upstream"], inputs["other"]]
    for i, name in enumerate("ab"):
        yield (f"grad of {name}", lambda ab: [numpy.tanh(ab[0] @ ab[1]), ab[1] ** 3], arrays, i,
               cotangents, 1e-2)


def numeric(lib: Callable, inputs: Arrays) -> Outputs:
    """numeric_gradient of one output by one array."""
    differences = lib("minigrad.gradcheck").numeric_gradient
    return {name: differences(*case) for name, *case in one_output(inputs)}


def numeric_several(lib: Callable, inputs: Arrays) -> Outputs:
    """Two arrays, two outputs."""
    differences = lib("minigrad.gradcheck").numeric_gradient
    return {name: differences(*case) for name, *case in two_outputs_each(inputs)}


def _rejects(lib: Callable, inputs: Arrays, kinds: Sequence[str], ops: dict[str, tuple]
             ) -> Outputs:
    """1 where simple_gradcheck raises GradientError, else 0; 2 if it returns something.

    Slot by slot: "slots" says which of the kinds stands there. An op is its compute and gradient,
    the arrays it is checked at, and settings if there are any.
    """
    check = lib("minigrad.gradcheck").simple_gradcheck
    answers = []
    for slot in inputs["slots"]:
        compute, gradient, *arrays = ops[kinds[slot]]
        settings = arrays.pop() if isinstance(arrays[-1], dict) else {}
        try:
            returned = check(_planted(lib, compute, gradient), *arrays, **settings)
            answers.append(0 if returned is None else 2)
        except lib("minigrad.errors").GradientError:
            answers.append(1)
    return {"rejected": numpy.array(answers)}


OF_VALUES = ("right: near enough", "right: a a", "right: exp", "right: large values", "wrong: zero",
             "wrong: sign", "wrong: twice", "wrong: a thousandth", "right: lists")
OF_SHAPES = ("right: product with a row", "right: transpose", "wrong: unsummed", "wrong: kept axis",
             "wrong: transposed")
OF_UPSTREAM = ("right: log", "right: row sums", "wrong: ignored", "wrong: mean")
EVERYWHERE = ("right: a b", "right: unused", "wrong: last", "wrong: chosen", "wrong: NaN",
              "wrong: second", "wrong: None")
"""The ops that a checker is asked about, the plainest first."""


def planted_values(lib: Callable, inputs: Arrays) -> Outputs:
    """Planted gradients whose numbers are wrong everywhere; another tolerance; lists and numbers.
    """
    exp, a = lib("minigrad.ops").exp, inputs["a"]
    near = (numpy.exp, lambda g, x: g * exp(x) * 1.001, a)
    lists = [[float(x) for x in row] for row in a]
    return _rejects(lib, inputs, OF_VALUES, {
        "right: near enough": (*near, {"tol": 1e-2}),
        "right: a a": (numpy.square, lambda g, x: g * x * 2.0, a),
        "right: exp": (numpy.exp, lambda g, x: g * exp(x), a),
        "right: large values": (lambda x: 1e8 * x * x, lambda g, x: g * x * 2e8, a),
        "wrong: zero": (numpy.square, lambda g, x: g * 0.0, a),
        "wrong: sign": (numpy.exp, lambda g, x: -(g * exp(x)), a),
        "wrong: twice": (numpy.square, lambda g, x: g * x * 4.0, a),
        "wrong: a thousandth": near,
        "right: lists": (numpy.multiply, lambda g, x, y: (g * y, (g * x).sum()), lists, 2.0),
    })


def planted_shapes(lib: Callable, inputs: Arrays) -> Outputs:
    """Planted gradients of a wrong shape, or transposed."""
    a, row, square = inputs["a"], inputs["row"], inputs["square"]
    return _rejects(lib, inputs, OF_SHAPES, {
        "right: product with a row": (numpy.multiply,
                                      lambda g, x, r: (g * r, (g * x).sum(0)), a, row),
        "right: transpose": (numpy.transpose, lambda g, x: g.transpose(), a),
        "wrong: unsummed": (numpy.multiply, lambda g, x, r: (g * r, g * x), a, row),
        "wrong: kept axis": (numpy.add, lambda g, x, r: (g, g.sum(0, True)), a, row),
        "wrong: transposed": (numpy.transpose, lambda g, x: g, square),
    })


def planted_upstream(lib: Callable, inputs: Arrays) -> Outputs:
    """Planted gradients that do not use all of the upstream gradient."""
    exp, a, share = lib("minigrad.ops").exp, inputs["a"], 1.0 / inputs["a"].size
    return _rejects(lib, inputs, OF_UPSTREAM, {
        "right: log": (numpy.log, lambda g, x: g / x, a),
        "right: row sums": (lambda x: x.sum(1),
                            lambda g, x: g.reshape((-1, 1)).broadcast_to(x.shape), a),
        "wrong: ignored": (numpy.exp, lambda g, x: exp(x), a),
        "wrong: mean": (numpy.square, lambda g, x: g.sum() * share * x * 2.0, a),
    })


def planted_everywhere(lib: Callable, inputs: Arrays) -> Outputs:
    """Planted gradients that are wrong in one place only."""
    a, b, chosen = inputs["a"], inputs["b"], tuple(inputs["chosen"])
    factors, last, missing = numpy.ones((3, *a.shape))
    factors[chosen], last[-1, -1], missing[chosen] = 1.5, 0.5, numpy.nan

    def times(factors: numpy.ndarray) -> Callable:
        constant = tensor(lib, factors, requires_grad=False)
        return lambda g, x: g * x * 2.0 * constant

    return _rejects(lib, inputs, EVERYWHERE, {
        "right: a b": (numpy.multiply, lambda g, x, y: (g * y, g * x), a, b),
        "right: unused": (lambda x, y: x.copy(), lambda g, x, y: (g, None), a, b),
        "wrong: last": (numpy.square, times(last), a),
        "wrong: chosen": (numpy.square, times(factors), a),
        "wrong: NaN": (numpy.square, times(missing), a),
        "wrong: second": (numpy.multiply, lambda g, x, y: (g * y, g * x * 1.5), a, b),
        "wrong: None": (numpy.multiply, lambda g, x, y: (g * y, None), a, b),
    })
