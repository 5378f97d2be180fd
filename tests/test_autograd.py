"""The graph and the walk over it: order, purity, aliasing, versions, switches, Tensor itself."""

import copy
import gc
import threading
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad
from minigrad import (
    Tensor,
    TensorTuple,
    course_mode,
    detect_anomaly,
    enable_grad,
    grad,
    is_recording,
    no_grad,
    ops,
    set_default_dtype,
)
from minigrad.autograd import (
    TensorOp,
    compute_gradient_of_variables,
    constant,
    default_dtype,
    find_topo_sort,
    in_course_mode,
)
from minigrad.errors import AnomalyError, DTypeError, ShapeError, VersionError
from minigrad.gradcheck import gradcheck


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(normal(*shape, seed=seed), dtype="float64")


@pytest.fixture(autouse=True)
def switches_are_restored():
    yield
    assert is_recording() and not in_course_mode()
    assert default_dtype() == np.float32


# ------------------------------------------------------------------------ topological order


def recursive_order(nodes: list) -> list:
    """The course's depth-first order, written down recursively."""
    order, seen = [], set()

    def visit(node) -> None:
        if id(node) not in seen:
            seen.add(id(node))
            for x in node.inputs:
                visit(x)
            order.append(node)

    for node in nodes:
        visit(node)
    return order


def random_graph(rng: np.random.Generator, count: int) -> list[Tensor]:
    nodes = [Tensor(1.0), Tensor(2.0)]
    while len(nodes) < count:
        recent = nodes[-int(rng.integers(1, 40)):]
        a, b = rng.integers(0, len(recent), 2)
        kind = rng.integers(0, 3)
        nodes.append(ops.maximum(recent[a], recent[b]) if kind == 0 else
                     ops.minimum(recent[a], recent[b]) if kind == 1 else ops.tanh(recent[a]))
    return nodes


def assert_is_topological(order: list, wanted: list) -> None:
    place = {id(node): i for i, node in enumerate(order)}
    assert len(place) == len(order)
    assert all(id(node) in place for node in wanted)
    for node in order:
        assert all(place[id(x)] < place[id(node)] for x in node.inputs)


def test_order_of_a_large_graph():
    nodes = random_graph(np.random.default_rng(0), 5000)
    order = find_topo_sort(nodes[-3:])
    assert len(order) > 1000
    assert_is_topological(order, nodes[-3:])


@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_order_is_the_depth_first_one(seed: int, count: int):
    rng = np.random.default_rng(seed)
    nodes = random_graph(rng, count)
    ends = [nodes[i] for i in rng.integers(0, len(nodes), 3)]
    order = find_topo_sort(ends)
    assert_is_topological(order, ends)
    assert [id(x) for x in order] == [id(x) for x in recursive_order(ends)]


def test_order_of_the_course_example():
    a, b = Tensor(1.0), Tensor(2.0)
    c = a * b
    d = a + c
    e = d * c
    assert [id(x) for x in find_topo_sort([e])] == [id(x) for x in (a, b, c, d, e)]
    assert find_topo_sort([a]) == [a]
    assert find_topo_sort([]) == []


# ----------------------------------------------------------------------------------- grad


def test_grad_touches_no_grad_attribute():
    x, w = leaf(3), leaf(3, seed=1)
    w.grad = mark = Tensor([5.0])
    y = (x * w).sum()
    g = grad(y, [x, w])
    assert x.grad is None and w.grad is mark and y.grad is None
    assert (g[0].numpy() == w.numpy()).all() and (g[1].numpy() == x.numpy()).all()
    assert not g[0].requires_grad and g[0].op is None


def test_grad_returns_as_inputs_came():
    x = leaf(3)
    y = x.sum()
    assert isinstance(grad(y, x), Tensor)
    assert len(grad(y, [x])) == 1 and len(grad([y], (x, x))) == 2
    assert grad(y, []) == []


def test_grad_is_none_where_nothing_leads():
    x, unused = leaf(3), leaf(3)
    after = x * 2
    y = x.sum()
    g = grad(y, [x, unused, after])
    assert g[0] is not None and g[1] is None and g[2] is None
    assert grad(y, unused) is None


def test_intermediates_are_inputs():
    x = leaf(4)
    h = ops.tanh(x)
    y = (h * h).sum()
    g_x, g_h = grad(y, [x, h])
    assert np.allclose(g_h.numpy(), 2 * np.tanh(x.numpy()), rtol=1e-14)
    assert np.allclose(g_x.numpy(), 2 * np.tanh(x.numpy()) * (1 - np.tanh(x.numpy()) ** 2))
    assert np.array_equal(grad(y, h).numpy(), g_h.numpy())
    assert np.array_equal(grad(y, y).numpy(), np.ones(()))


def test_several_outputs_add_up():
    x = leaf(3)
    y = x * 2
    z = y * y  # y is output and intermediate
    up_y, up_z = normal(3, seed=5), normal(3, seed=6)
    g = grad([y, z, y], x, [constant(up_y), constant(up_z), None])
    assert np.allclose(g.numpy(), 2 * (up_y + 1) + up_z * 8 * x.numpy(), rtol=1e-13)


def test_grad_of_members_of_a_tuple():
    x = leaf(3, 2)
    parts = ops.split(x, 0)
    g = grad([parts[2], parts[0], parts[2]], x, [None, None, None])
    assert np.array_equal(g.numpy(), [[1, 1], [0, 0], [2, 2]])


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda x, y: grad(y, x, Tensor([1.0, 2.0], dtype="float64")), ShapeError,
         "must have the output's shape (3,), got (2,)"),
        (lambda x, y: grad(y, x, Tensor([1.0, 2.0, 3.0])), DTypeError,
         "must have the output's dtype float64, got float32"),
        (lambda x, y: grad(y, x, np.ones(3)), TypeError, "out_grad must be a Tensor"),
        (lambda x, y: grad([y, y], x, [None] * 3), ShapeError, "2 outputs but 3 grad_outputs"),
        (lambda x, y: grad(y, x, []), ShapeError, "1 outputs but 0 grad_outputs"),
        (lambda x, y: grad(y.detach(), x), RuntimeError, "no output carries a gradient"),
        (lambda x, y: grad(y, x.numpy()), TypeError, "must be Tensors"),
        (lambda x, y: grad(y, [x, 3]), TypeError, "must be Tensors"),
        (lambda x, y: y.detach().backward(), RuntimeError, "carries no gradient"),
        (lambda x, y: y.backward(np.ones(3)), TypeError, "backward: out_grad must be a Tensor"),
        (lambda x, y: y.backward(Tensor([1.0], dtype="float64")), ShapeError, "backward: out_grad"),
    ],
)
def test_bad_calls_are_refused(call, error, text):
    x = leaf(3)
    with pytest.raises(error) as caught:
        call(x, x * 2)
    assert text in str(caught.value)


def test_grad_one_of_none_is_enough():
    x = leaf(3)
    assert grad([x.sum(), x * 2], x, None).numpy() == pytest.approx(np.full(3, 3.0))


def test_grad_works_under_no_grad():
    x = leaf(3)
    y = (x * x * x).sum()
    with no_grad():
        g = grad(y, x)
        h = grad(y, x, create_graph=True)
        assert not is_recording()
    assert not g.requires_grad
    assert np.allclose(grad(h.sum(), x).numpy(), 6 * x.numpy())


def test_double_and_triple_derivatives():
    x = leaf(5)
    y = x**4
    for factor, power in ((4, 3), (12, 2), (24, 1), (24, 0)):
        y = grad(y, x, create_graph=True)
        assert np.allclose(y.numpy(), factor * x.numpy() ** power)


def test_gradient_by_hand_follows_requires_grad():
    """The course's tests call op.gradient themselves."""
    a, b = leaf(3), Tensor(normal(3), dtype="float64", requires_grad=False)
    y = a * b
    pieces = y.op.gradient_as_tuple(constant(np.ones(3)), y)
    assert y.wanted == (True, False)
    assert pieces[0].numpy() == pytest.approx(b.numpy()) and pieces[1] is None
    (piece,) = ops.exp(a).op.gradient_as_tuple(constant(np.ones(3)), ops.exp(a))
    assert piece.numpy() == pytest.approx(np.exp(a.numpy()))


# ----------------------------------------------------------- only what is wanted is computed


@pytest.fixture
def products(monkeypatch):
    """Counts matrix products by the shapes of their operands."""
    seen = []

    def spy(cls):
        original = cls.compute

        def compute(self, *arrays):
            seen.append((cls.__name__, *[a.shape for a in arrays]))
            return original(self, *arrays)

        monkeypatch.setattr(cls, "compute", compute)

    spy(ops.MatMul)
    for name in ("fast", "reference"):
        module = getattr(minigrad.kernels, name)
        original = module.linear_gradient

        def linear_gradient(x, weight, out_grad, wanted, original=original):
            seen.append(("linear_gradient", (*wanted, False)[:3]))
            pieces = original(x, weight, out_grad, wanted)
            assert [piece is not None for piece in pieces] == [*map(bool, wanted)]
            return pieces

        monkeypatch.setattr(module, "linear_gradient", linear_gradient)
    return seen


def test_matmul_computes_only_the_wanted_gradient(products):
    a, b = leaf(2, 3), leaf(3, 4)
    y = a @ b
    products.clear()
    grad(y, a)
    assert products == [("MatMul", (2, 4), (4, 3))]
    products.clear()
    grad(y, b)
    assert products == [("MatMul", (3, 2), (2, 4))]


@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_computes_only_the_wanted_gradient(products, with_bias: bool):
    x, w, b = leaf(2, 3), leaf(3, 4), leaf(4)
    y = ops.linear(x, w, b) if with_bias else ops.linear(x, w)
    for create_graph in (False, True):
        products.clear()
        grad(y, x, create_graph=create_graph)
        assert products == ([("MatMul", (2, 4), (4, 3))] if create_graph else [
            ("linear_gradient", (True, False, False))])
    products.clear()
    grad(y, w)
    assert products == [("linear_gradient", (False, True, False))]
    if with_bias:
        products.clear()
        grad(y, b)
        assert products == [("linear_gradient", (False, False, True))]


def test_generator_step_computes_no_weight_gradient_of_the_discriminator(products):
    images, wd, wg = leaf(2, 3), leaf(3, 1), leaf(3, 3)
    y = (ops.tanh(images @ wg) @ wd).sum()
    products.clear()
    grad(y, wg)
    assert products == [("MatMul", (2, 1), (1, 3)), ("MatMul", (3, 2), (2, 3))]


def test_backward_does_nothing_for_constants(products):
    x = Tensor(normal(2, 3), requires_grad=False)
    w = Tensor(normal(3, 4))
    y = x @ w
    products.clear()
    y.backward()
    assert products == [("MatMul", (3, 2), (2, 4))]
    assert x.grad is None


# ------------------------------------------------------------------------------ backward


def test_backward_overwrites():
    x = leaf(3)
    y = (x * x).sum()
    for _ in range(3):
        y.backward()
        assert np.allclose(x.grad.numpy(), 2 * x.numpy())
    (x * 3).sum().backward()
    assert np.allclose(x.grad.numpy(), 3)


def test_backward_of_a_leaf_and_of_nonscalars():
    x = leaf(3)
    x.backward()
    assert (x.grad.numpy() == 1).all()
    up = normal(3, seed=3)
    (x * 2).backward(constant(up))
    assert np.allclose(x.grad.numpy(), 2 * up)
    compute_gradient_of_variables(x * 3, constant(up))
    assert np.allclose(x.grad.numpy(), 3 * up)


def test_intermediates_and_constants_keep_no_grad():
    x, c = leaf(3), Tensor(normal(3), dtype="float64", requires_grad=False)
    h = x * c
    y = h.sum()
    y.backward()
    assert h.grad is None and y.grad is None and c.grad is None
    assert x.grad.op is None and not x.grad.requires_grad


def test_course_mode_keeps_the_gradients_of_intermediates():
    x = leaf(3)
    with course_mode():
        h = x * x
        y = h.sum()
        y.backward()
    assert (h.grad.numpy() == 1).all() and y.grad.numpy() == 1
    assert np.allclose(x.grad.numpy(), 2 * x.numpy())


ALIASING = {
    "a + b": lambda a, b: a + b,
    "a + b twice": lambda a, b: a + b + a,
    "reshape": lambda a, b: a.reshape((4, 1)).reshape((2, 2)) + b.reshape((2, 2)),
    "broadcast": lambda a, b: (a + b).broadcast_to((3, 2, 2)),
    "sum": lambda a, b: (a - b).sum().broadcast_to((2, 2)),
    "transpose": lambda a, b: a.transpose() + b.T.T,
    "getitem": lambda a, b: a[::-1] + b[:, :],
    "flip": lambda a, b: ops.flip(a, 0) + ops.flip(b, 1),
    "split": lambda a, b: ops.stack(ops.split(a, 0), 0) + b,
    "members": lambda a, b: ops.split(a, 0)[1] + ops.make_tuple(b, a)[0][0],
    "concat": lambda a, b: ops.concat([a, b], 0),
    "identity": lambda a, b: (a + 0.0) + b,
    "scalars": lambda a, b: (a + 1.0) + (b + 2.0),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", ALIASING)
def test_gradients_alias_nothing(name: str, create_graph: bool):
    """Neither each other, nor the upstream gradient, nor a value; and all can be written to."""
    a, b = leaf(2, 2), leaf(2, 2, seed=1)
    y = ALIASING[name](a, b)
    up = Tensor(normal(*y.shape, seed=2), dtype="float64")
    values = [a, b, up, y]
    kept = [v.numpy() for v in values]
    y.backward(up, create_graph)
    found = [a.grad, b.grad]
    if not create_graph:
        found += grad(y, [a, b, a, y], up)
    arrays = [g.cached_data for g in found]
    for i, g in enumerate(arrays):
        assert g.flags.writeable
        assert not any(np.shares_memory(g, v.cached_data) for v in values)
        assert not any(np.shares_memory(g, other) for other in arrays[:i])
        g[...] = 99.0
    assert all(np.array_equal(v.numpy(), k) for v, k in zip(values, kept, strict=True))


def test_views_returned_by_an_op_of_ones_own_are_copied():
    class Turn(ops.Negate):
        def gradient(self, out_grad, node):
            return constant(-out_grad.cached_data[::-1][::-1])

    class Keep(TensorOp):
        def compute(self, a):
            return a + 0

        def gradient(self, out_grad, node):
            return constant(out_grad.cached_data[::-1][::-1])

    x, up = leaf(3), leaf(3, seed=1)
    for op in (Turn(), Keep()):
        y = op(x)
        y.backward(up)
        for g in (x.grad, grad(y, x, up)):
            assert g.cached_data.base is None
            assert not np.shares_memory(g.cached_data, up.cached_data)


def test_grad_is_a_fresh_tensor_each_time():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    first, values = x.grad, x.grad.numpy()
    (y * 5).backward()
    assert x.grad is not first
    assert np.array_equal(first.numpy(), values)


def test_second_order_through_backward():
    x = leaf(4)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    (first * first).sum().backward()
    assert np.allclose(x.grad.numpy(), 2 * 3 * x.numpy() ** 2 * 6 * x.numpy())


def test_second_order_through_backward_of_two_equal_leaves():
    """Each leaf's gradient is its own node: it can be differentiated too."""
    a, b = leaf(3), leaf(3, seed=1)
    s = a + b
    (s * s * s).sum().backward(create_graph=True)
    g_a, g_b = a.grad, b.grad
    assert g_a is not g_b
    assert np.allclose(grad(g_a.sum(), b).numpy(), 6 * (a.numpy() + b.numpy()))
    assert np.allclose(grad(g_b.sum(), b).numpy(), 6 * (a.numpy() + b.numpy()))


def test_second_order_the_courses_way():
    with course_mode():
        x = Tensor(normal(4))
        assert x.dtype == np.float64
        y = x * x * x
        y.backward()
        first = x.grad
        assert np.allclose(first.numpy(), 3 * x.numpy() ** 2)
        first.backward()
        assert np.allclose(x.grad.numpy(), 6 * x.numpy())
        x.grad.backward()
        assert np.allclose(x.grad.numpy(), 6)


def test_backward_is_not_recorded_by_default():
    x = leaf(3)
    seen = []

    class Spy(ops.Exp):
        def gradient(self, out_grad, node):
            seen.append((is_recording(), out_grad.requires_grad))
            return out_grad * node

    Spy()(Spy()(x)).backward()
    assert seen == [(False, False)] * 2
    seen.clear()
    Spy()(Spy()(x)).backward(create_graph=True)
    assert seen == [(True, False), (True, True)]


def test_exception_in_a_gradient_leaves_all_as_it_was():
    class Broken(ops.Exp):
        def gradient(self, out_grad, node):
            raise KeyError("broken")

    x = leaf(3)
    with pytest.raises(KeyError):
        Broken()(x).backward()
    assert is_recording() and x.grad is None


# ----------------------------------------------------------------------------- the versions


def through_data(x: Tensor) -> None:
    x.data = Tensor(np.zeros(x.shape), dtype=x.dtype)


def through_optimizer(x: Tensor) -> None:
    x.data = x.data - 0.1 * x.detach()


WRITES = {
    "data": through_data,
    "optimizer": through_optimizer,
    "copy_": lambda x: x.copy_(np.zeros(x.shape)),
    "mark_written": lambda x: x.mark_written(),
    "detach": lambda x: x.detach().copy_(np.zeros(x.shape)),
    "detach of detach": lambda x: through_data(x.detach().data.detach()),
    "data of data": lambda x: through_data(x.data),
    "Tensor of Tensor": lambda x: through_data(Tensor(x)),
    "make_const": lambda x: through_data(Tensor.make_const(x)),
    "reshape": lambda x: through_data(x.reshape((-1,))),
    "reshape of detached": lambda x: through_data(x.detach().reshape((-1,))),
    "transpose": lambda x: through_data(x.transpose()),
    "permute": lambda x: through_data(x.permute((1, 0))),
    "getitem": lambda x: through_data(x[0]),
    "one element": lambda x: through_data(x[0, 1:2]),
    "flip": lambda x: through_data(ops.flip(x)),
    "undilate": lambda x: through_data(ops.undilate(x, 0, 1)),
    "split": lambda x: through_data(ops.split(x, 0)[1]),
    "split and detach": lambda x: through_data(ops.split(x, 0).detach()[1]),
    "views of views": lambda x: through_data(x[1:].T[0]),
    "view under no_grad": no_grad()(lambda x: through_data(x.reshape((4,)))),
}


@pytest.mark.parametrize("name", WRITES)
def test_every_write_is_noticed(name: str):
    x = leaf(2, 2)
    y = (x * x).sum()
    WRITES[name](x)
    for call in (lambda: y.backward(), lambda: grad(y, x)):
        with pytest.raises(VersionError) as caught:
            call()
        message = str(caught.value)
        assert "EWiseMul: input 0, a Tensor of shape (2, 2), was changed in place" in message
        assert "optimizer step" in message and "came too early" in message
    assert x.grad is None
    (x * x).sum().backward()  # a new forward pass is right again
    assert np.allclose(x.grad.numpy(), 2 * x.numpy())


def test_writing_to_the_base_is_noticed_by_what_reads_a_view():
    x = leaf(2, 2)
    for view in (lambda x: x.reshape((4,)), lambda x: x.T, lambda x: x[0],
                 lambda x: ops.split(x, 0)[0], lambda x: x.broadcast_to((3, 2, 2))):
        y = ops.exp(ops.log(view(x) * view(x) + 1.0)) * view(x)
        through_data(x)
        with pytest.raises(VersionError):
            y.sum().backward()


def test_writing_to_an_output_that_is_read_is_noticed():
    x = leaf(3)
    y = ops.exp(x)
    through_data(y)
    with pytest.raises(VersionError, match="Exp: the output, a Tensor of shape"):
        y.sum().backward()


def test_writes_that_do_not_matter_are_allowed():
    """The value is not needed: linear operations, outputs not read, another storage."""
    x, w = leaf(2, 2), leaf(2, 2, seed=1)
    for y in (x + w, x - w, -x, x * 3.0, x.sum(), x.reshape((4,)), x.T, x[0], ops.exp(x),
              ops.concat([x, w]), ops.stack([x, w]), ops.relu(x), ops.pad(x, [(1, 1), (0, 0)])):
        through_data(x)
        y.backward()
    y = x * w
    through_data(y)  # a product does not read its output
    y.backward()
    other = Tensor(x.numpy(), dtype="float64")
    y = x * x
    through_data(other)
    (x.detach() + 0.0).copy_(np.zeros((2, 2)))  # a copy
    x.astype("float64").copy_(np.zeros((2, 2)))
    copy.deepcopy(x).copy_(np.zeros((2, 2)))
    y.backward()


def test_weights_read_before_the_step_are_refused_after_it():
    """The best-known accident: opt_D.step() between two backward passes that share a graph."""
    w, v = leaf(3, 1), leaf(1, 1, seed=1)
    h = leaf(2, 3, seed=2) @ w
    y = (h @ v).sum()
    grad(y, v)
    v.data = v.data - 0.1 * grad(y, v)
    with pytest.raises(VersionError, match="MatMul: input 1"):
        grad(y, w)


def test_a_write_before_the_forward_pass_is_no_matter():
    x = leaf(3)
    y = x * x
    through_optimizer(x)
    z = x * x * x
    z.backward()
    with pytest.raises(VersionError):
        y.backward()


def test_recorded_gradients_are_guarded_too():
    x = leaf(3)
    g = grad((x**3).sum(), x, create_graph=True)
    through_optimizer(x)
    with pytest.raises(VersionError):
        g.sum().backward()


def test_index_arrays_and_conditions_may_be_used_again():
    """They are copied: writing to them later changes no gradient."""
    x = leaf(4, 3)
    index, labels, mask = np.array([0, 1]), np.array([0, 1, 2, 0]), normal(4, 3) > 0
    for make in (lambda: x[index], lambda: ops.embedding(index, x), lambda: x[mask],
                 lambda: x[Tensor(index)], lambda: ops.softmax_loss(x, labels),
                 lambda: ops.softmax_loss(x, Tensor(labels)), lambda: ops.where(mask, x, 0.0)):
        want = grad(make(), x).numpy()
        for reused in (index, labels, mask):
            saved = reused.copy()
            y = make()
            reused[...] = 1
            assert np.array_equal(grad(y, x).numpy(), want)
            reused[...] = saved


def test_tensor_condition_and_labels_may_be_written_to():
    x = leaf(4, 3)
    condition, labels = Tensor(normal(4, 3) > 0), Tensor(np.array([0, 1, 2, 0]))
    for make, given in ((lambda: ops.where(condition, x, 0.0), condition),
                        (lambda: ops.softmax_loss(x, labels), labels)):
        want = grad(make(), x).numpy()
        y = make()
        given.copy_(np.ones(given.shape, dtype=given.dtype))
        assert np.array_equal(grad(y, x).numpy(), want)


def test_one_op_object_in_several_nodes():
    for op in (ops.SoftmaxLoss(np.array([0, 2])), ops.Tanh(), ops.Max((0,)), ops.LeakyReLU(0.1)):
        a, b = leaf(2, 3), leaf(2, 3, seed=1)
        want = [grad(type(op)(**vars_of(op))(t), t).numpy() for t in (a, b)]
        ys = [op(a), op(b)]
        got = [grad(y, t).numpy() for y, t in zip(ys, (a, b), strict=True)]
        assert all(np.array_equal(g, w) for g, w in zip(got, want, strict=True))


def vars_of(op) -> dict:
    names = {"SoftmaxLoss": ["labels"], "Max": ["axes"], "LeakyReLU": ["slope"]}
    return {name: getattr(op, name) for name in names.get(type(op).__name__, [])}


# ------------------------------------------------------------------------------ the switches


def test_no_grad_and_enable_grad_nest():
    x = leaf(2)
    assert (x + x).requires_grad
    with no_grad():
        assert not (x + x).requires_grad and (x + x).op is None
        with enable_grad():
            assert (x + x).requires_grad
            with no_grad():
                assert not is_recording()
            assert is_recording()
        assert not is_recording()
    assert is_recording()


def test_switches_are_restored_by_exceptions():
    for switch in (no_grad(), enable_grad(), detect_anomaly()):
        with pytest.raises(KeyError), switch:
            raise KeyError
    assert is_recording()
    ops.log(constant(np.ones(1)))


def test_switches_decorate():
    x = leaf(2)

    @no_grad()
    def f(depth: int) -> bool:
        """Doc."""
        return (x + x).requires_grad or (depth > 0 and f(depth - 1))

    @enable_grad()
    def g() -> bool:
        return (x + x).requires_grad

    assert not f(3) and not f(0)
    assert is_recording() and f.__name__ == "f" and f.__doc__ == "Doc."
    with no_grad():
        assert g()
        assert not is_recording()


def test_one_switch_object_may_be_entered_twice():
    off = no_grad()
    with off, enable_grad():
        with off:
            assert not is_recording()
        assert is_recording()
    assert is_recording()


def test_tensors_made_under_no_grad_may_carry_gradients():
    with no_grad():
        x = Tensor([1.0, 2.0])
    (x * x).backward()
    assert x.grad.numpy() == pytest.approx([2, 4])


def test_course_mode_is_set_and_restored():
    assert not in_course_mode()
    with course_mode(True):
        assert in_course_mode()
        with course_mode(False):
            assert not in_course_mode()
        assert in_course_mode()
    assert not in_course_mode()
    course_mode(True)
    try:
        assert in_course_mode()
        assert Tensor(np.array([1, 2])).requires_grad
    finally:
        course_mode(False)
    with pytest.raises(KeyError), course_mode():
        raise KeyError
    assert not in_course_mode()


def test_anomaly_names_the_op_forward():
    x = Tensor([1.0, 0.0])
    with np.errstate(all="ignore"):
        ops.log(x)
        with detect_anomaly():
            ops.exp(x)
            with pytest.raises(AnomalyError, match=r"Log made infinity \(shape \(2,\)\)"):
                ops.log(x)
            with pytest.raises(AnomalyError, match="Log made NaN"):
                ops.log(x - 2.0)
            with pytest.raises(AnomalyError):
                x / x


def test_anomaly_names_the_op_backward():
    x = leaf(2)
    x.copy_(np.array([1.0, 0.0]))
    with np.errstate(all="ignore"):
        y = ops.sqrt(x).sum()
        assert np.isinf(grad(y, x).numpy()).any()
        with detect_anomaly():
            with pytest.raises(AnomalyError, match=r"EWiseDiv made infinity .* in the gradient of "
                               r"EWiseSqrt"):
                y.backward()

            class Raw(ops.Exp):
                def gradient(self, out_grad, node):
                    return constant(np.full(node.shape, np.nan))

            with pytest.raises(AnomalyError, match="gradient of Raw is NaN"):
                (Raw()(x) * 2.0).sum().backward()
            (x * x).sum().backward()


# --------------------------------------------------------------------- long chains and memory


def test_a_chain_of_100_000_ops():
    x = Tensor([1.0, 2.0])
    y = x
    for _ in range(100_000):
        y = y + 1e-5
    assert y.numpy() == pytest.approx([2, 3], rel=1e-2)
    y.backward()
    assert x.grad.numpy() == pytest.approx([1, 1])
    del y  # frees 100,000 nodes, one inside the other


def test_a_chain_of_100_000_ops_at_second_order_and_in_a_thread():
    def run() -> None:
        x = Tensor(np.array([0.5]), dtype="float64")
        y = x
        for _ in range(20_000):
            y = y * 1.0
        g = grad(y * y, x, create_graph=True)
        found.append(grad(g, x).item())

    found: list[float] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [2.0]


def build_and_drop(use: str) -> None:
    x, w = Tensor(normal(50, 50)), Tensor(normal(50, 50))
    y = ops.tanh(x @ w).sum() + ops.stack(ops.split(x, 0)).sum() + x[::2].mean()
    if use == "backward":
        y.backward()
    elif use == "grad":
        grad(y, [x, w])
    elif use == "second order":
        g = grad(y, x, create_graph=True)
        grad((g * g).sum(), [x, w])
    elif use == "error":
        through_data(w)
        with pytest.raises(VersionError):
            y.backward()


@pytest.mark.parametrize("use", ["forward", "backward", "grad", "second order"])
def test_graphs_are_freed_by_reference_count(use: str):
    build_and_drop(use)
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(o, Tensor | TensorTuple) for o in gc.get_objects())
        tracemalloc.start()
        for _ in range(3):
            build_and_drop(use)
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        after = sum(isinstance(o, Tensor | TensorTuple) for o in gc.get_objects())
    finally:
        gc.enable()
    assert after == before
    assert grown < 10_000  # one matrix of 50 x 50 floats is 10,000 bytes


def test_a_recorded_grad_is_the_one_cycle():
    x = Tensor(normal(4))
    (x * x).sum().backward(create_graph=True)
    x.grad = None  # resetting it frees the graph
    gc.collect()
    gc.disable()
    try:
        (x * x).sum().backward()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_backward_frees_gradients_as_it_goes():
    """A walk holds the gradients at its front, not those of the whole chain."""
    x = Tensor(np.ones(10_000))
    y = x
    for _ in range(200):
        y = y * 1.0
    y = y.sum()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    y.backward()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 6 * 40_000


# ------------------------------------------------------------------------------ Tensor itself


@pytest.mark.parametrize(
    "given, dtype, carries",
    [
        (1, "float32", True),
        (1.5, "float32", True),
        (True, "float32", True),
        ([1, 2], "float32", True),
        ([[1, 2], [3, 4]], "float32", True),
        ([True, False], "float32", True),
        ((1.0, 2), "float32", True),
        ([], "float32", True),
        (range(3), "float32", True),
        ([np.ones(2), np.zeros(2)], "float32", True),
        (np.ones(2), "float32", True),
        (np.float64(1), "float32", True),
        (np.ones(2, "float32"), "float32", True),
        (np.float32(1), "float32", True),
        (np.ones(2, "float16"), "float16", True),
        (np.ones(2, ">f4"), "float32", True),
        (np.ones(2, ">f8"), "float32", True),
        (np.arange(2, dtype=">i4"), "int32", False),
        (np.arange(2), "int64", False),
        (np.int64(1), "int64", False),
        (np.arange(2, dtype="uint8"), "uint8", False),
        (np.ones(2, bool), "bool", False),
        (np.bool_(True), "bool", False),
    ],
)
def test_dtype_rules(given, dtype: str, carries: bool):
    t = Tensor(given)
    assert t.dtype == np.dtype(dtype) and t.dtype.isnative
    assert t.requires_grad is carries
    assert np.array_equal(t.numpy(), np.asarray(given, dtype=dtype))
    assert isinstance(t.cached_data, np.ndarray)
    with course_mode():
        in_course = Tensor(given)
        want = np.asarray(given).dtype.newbyteorder("=")
        assert in_course.dtype == want
        assert in_course.requires_grad
    for explicit in ("float64", "int32", "float32", "bool", ">f4"):
        t = Tensor(given, dtype=explicit)
        assert t.dtype == np.dtype(explicit).newbyteorder("=")
        assert t.requires_grad is (t.dtype.kind == "f")
    assert not Tensor(given, requires_grad=False).requires_grad


def test_dtypes_of_equal_kind_are_one_object():
    """What lets ops compare dtypes by identity, and so skip the slow path."""
    for t in (Tensor(np.ones(2, "float32")), Tensor([1]), Tensor(np.ones(2, ">f4")), Tensor(1.0)):
        assert t.dtype is np.dtype("float32")


def test_set_default_dtype():
    try:
        set_default_dtype("float64")
        assert default_dtype() == np.float64
        assert Tensor([1]).dtype == Tensor(np.ones(2)).dtype == np.float64
        assert Tensor(np.ones(2, "float32")).dtype == np.float32
        assert ops.exp(Tensor(np.arange(2))).dtype == np.float64
    finally:
        set_default_dtype(np.float32)
    for wrong in ("int32", "float16", bool):
        with pytest.raises(DTypeError, match="set_default_dtype: want float32 or float64"):
            set_default_dtype(wrong)


def test_what_is_no_number_is_refused():
    for given in ("abc", None, {}, object(), [None], np.array(["a"]), 1j, np.array([1j]), [10**30]):
        with pytest.raises(DTypeError, match="Tensor: wants numbers"):
            Tensor(given)
    for dtype in (complex, str, object, "datetime64[s]"):
        with pytest.raises(DTypeError, match="Tensor: wants a float, integer or bool dtype"):
            Tensor([1], dtype=dtype)
    with pytest.raises(TypeError, match=r"use minigrad\.ops\.stack"):
        Tensor([Tensor(1.0), Tensor(2.0)])
    with pytest.raises(TypeError, match="numpy"):
        Tensor([[Tensor(1.0)], [Tensor(2.0)]])


def test_arrays_are_copied_and_tensors_shared():
    a = np.ones((2, 3), "float32")
    for given in (a, a.T, a[::-1], np.asfortranarray(a)):
        t = Tensor(given)
        assert not np.shares_memory(t.cached_data, a)
        assert t.cached_data.flags.c_contiguous and t.cached_data.flags.writeable
    t = Tensor(a)
    assert np.shares_memory(Tensor(t).cached_data, t.cached_data)
    assert Tensor(t).op is None and Tensor(t * 2).op is None
    assert Tensor(t, dtype="float64").dtype == np.float64
    assert not np.shares_memory(Tensor(t, dtype="float64").cached_data, t.cached_data)
    host = t.numpy()
    host[...] = 7
    assert (t.numpy() == 1).all()
    a.flags.writeable = False
    assert Tensor(a).cached_data.flags.writeable


def test_array_subclasses_become_arrays():
    class Sub(np.ndarray):
        pass

    assert type(Tensor(np.ones(2).view(Sub)).cached_data) is np.ndarray


def test_data_setter_keeps_shape_dtype_and_memory():
    x = leaf(2, 2)
    array = x.cached_data
    x.data = Tensor(np.zeros((2, 2)), dtype="float64")
    assert x.cached_data is array and (array == 0).all()
    with pytest.raises(ShapeError, match=r"data: shape must stay \(2, 2\), got \(2,\)"):
        x.data = Tensor(np.zeros(2), dtype="float64")
    with pytest.raises(DTypeError, match="data: dtype must stay float64, got float32"):
        x.data = Tensor(np.zeros((2, 2)))
    with pytest.raises(TypeError, match="data: wants a Tensor, got ndarray"):
        x.data = np.zeros((2, 2))
    with pytest.raises(ShapeError, match="copy_: shape must stay"):
        x.copy_(np.zeros(2))
    assert (array == 0).all()


def test_data_and_detach_share_memory_without_history():
    x = leaf(3)
    y = x * 2
    for view in (y.data, y.detach()):
        assert np.shares_memory(view.cached_data, y.cached_data)
        assert view.op is None and not view.requires_grad and view.inputs == ()
    assert y.is_leaf() is False and y.data.is_leaf() and x.is_leaf()


def test_deepcopy_is_a_leaf_of_its_own():
    x = leaf(3)
    x.grad = leaf(3)
    other = copy.deepcopy(x)
    assert not np.shares_memory(other.cached_data, x.cached_data)
    assert other.requires_grad and other.grad is None
    assert copy.deepcopy(x * 2).op is None


OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "@": lambda a, b: a @ b, "**": lambda a, b: a**b,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_arrays_beside_tensors_are_refused(name: str):
    """Not turned into arrays of objects, not broadcast over their elements."""
    t, array = Tensor(np.ones((2, 2))), np.ones((2, 2))
    for a, b in ((array, t), (t, array), (array[0], t), (t, array[0]), ([1.0, 2.0], t), (t, None)):
        with pytest.raises(TypeError, match=r"wants (Tensors|a Tensor or a number)"):
            OPERATORS[name](a, b)


def test_numpy_functions_refuse_tensors():
    t = Tensor([1.0, 2.0])
    for call in (lambda: np.add(np.ones(2), t), lambda: np.asarray(t), lambda: np.array([t, t]),
                 lambda: np.asarray(Tensor(1.0)), lambda: np.exp(t)):
        with pytest.raises(TypeError, match=r"numpy\(\)|does not support ufuncs"):
            call()


@pytest.mark.parametrize("number", [2, 2.0, True, np.float64(2), np.float32(2), np.int32(2),
                                    np.asarray(2.0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_keep_the_dtype(number, dtype: str):
    t = Tensor([[1.0, 3.0]], dtype=dtype)
    value = float(number)
    for name, f in OPERATORS.items():
        if name != "@":
            for y, want in ((f(t, number), f(t.numpy(), value)), (f(number, t),
                                                                  f(value, t.numpy()))):
                assert y.dtype == np.dtype(dtype), name
                assert np.allclose(y.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("number", [2, 0.5])
def test_number_operators_have_gradients(number):
    gradcheck(
        lambda t: ((number - t) / number + number / t) * number**t + t**number - (t - number),
        np.array([0.5, 1.5, 2.5]))


def test_small_conveniences():
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert (t.shape, t.ndim, t.size, len(t)) == ((2, 2), 2, 4, 2)
    assert t.device is minigrad.cpu()
    assert [row.numpy().tolist() for row in t] == [[1, 2], [3, 4]]
    assert t.T.shape == (2, 2) and t.realize_cached_data() is t.cached_data
    assert str(t) == str(t.numpy())
    assert repr(t) == "Tensor([[1., 2.],\n        [3., 4.]])"
    assert repr(t + 1.0) == "Tensor([[2., 3.],\n        [4., 5.]], op=AddScalar)"
    assert repr(Tensor([1], dtype="int32")) == "Tensor([1], dtype=int32)"
    assert repr(ops.split(Tensor([1.0]), 0)).startswith("TensorTuple(")
    one = Tensor([[2.5]])
    assert one.item() == 2.5 and float(one) == 2.5 and int(one) == 2 and bool(one)
    assert not bool(Tensor(0.0)) and isinstance(one.item(), float)
    assert isinstance(Tensor(np.arange(1)).item(), int)
    for call, error in ((lambda: t.item(), ShapeError), (lambda: float(t), ShapeError),
                        (lambda: bool(t), ValueError), (lambda: len(Tensor(1.0)), TypeError),
                        (lambda: iter(Tensor(1.0)), TypeError), (lambda: t > 0, TypeError)):
        with pytest.raises(error):
            call()
    assert t.to(minigrad.cpu()) is t
    assert t.astype("int64").dtype == np.int64 and not t.astype("float64").requires_grad
    assert {t: 1}[t] == 1 and t in [one, t]


def test_zero_dimensional_results_are_arrays_that_can_be_written():
    x = leaf(3)
    for y in (x.sum(), x.max(), ops.exp(leaf()), leaf() + leaf(), x[0], ops.softmax_loss(
            leaf(2, 2), [0, 1]), ops.bce_with_logits(leaf(), 1.0), x.mean(), x[0] * 2.0):
        assert isinstance(y.cached_data, np.ndarray) and y.shape == ()
        y.detach().copy_(np.zeros(()))
        assert y.item() == 0


def test_tensor_tuples():
    x = leaf(3, 2)
    parts = ops.split(x, 0)
    assert isinstance(parts, TensorTuple) and len(parts) == 3 and parts.grad is None
    assert parts.shapes == ((2,),) * 3
    assert [p.shape for p in parts.tuple()] == [(2,)] * 3
    assert np.array_equal(parts[-1].numpy(), x.numpy()[2])
    both = parts + parts
    assert np.array_equal(both[1].numpy(), 2 * x.numpy()[1])
    with pytest.raises(ShapeError, match="AddTuples"):
        parts + ops.split(x, 1)
    assert not parts.detach().requires_grad
    assert parts.op.__class__ is ops.Split


def test_ops_want_tensors():
    class Two(TensorOp):
        def compute(self, a, b):
            return a + b

    with pytest.raises(TypeError, match=r"Two: wants Tensors, got \(Tensor, int\)"):
        Two()(Tensor(1.0), 1)
    with pytest.raises(NotImplementedError, match=r"Two\.gradient"):
        Two()(Tensor(1.0), Tensor(2.0)).backward()
    assert Tensor.make_from_op(ops.EWiseAdd(), [Tensor(1.0), Tensor(2.0)]).item() == 3
