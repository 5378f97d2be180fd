"""Properties of every case: gradients of both orders, dtypes, layouts, staleness, pruning."""

import itertools
from collections.abc import Callable, Sequence

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from op_cases import CASES, Case, Draw, Trial

from minigrad import Tensor, TensorTuple, grad, reference_kernels
from minigrad.autograd import constant, find_topo_sort, no_grad
from minigrad.errors import VersionError
from minigrad.gradcheck import gradcheck

every_case = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])


def run_examples(case: Case, check: Callable[[Trial, Draw], None], count: int) -> None:
    """Draw `count` trials of a case and check each."""

    @settings(max_examples=count)
    @hypothesis.given(st.data())
    def run(data: st.DataObject) -> None:
        draw = Draw(data.draw)
        check(case.make(draw), draw)

    run()


def leaves(arrays: Sequence[np.ndarray], dtype: str = "float64") -> list[Tensor]:
    return [Tensor(a, dtype=dtype) for a in arrays]


def members(y: Tensor | TensorTuple) -> list[Tensor]:
    return list(y) if isinstance(y, TensorTuple) else [y]


def upstream(ys: Sequence[Tensor], seed: int = 0) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [constant(np.asarray(rng.standard_normal(y.shape)).astype(y.dtype)) for y in ys]


def arrays_of(tensors: Sequence[Tensor | None]) -> list[np.ndarray | None]:
    return [None if t is None else t.numpy() for t in tensors]


def assert_equal(got: Sequence, want: Sequence, tol: float = 0.0) -> None:
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape
            scale = max(1.0, np.abs(b).max(initial=0.0))
            assert np.abs(a - b).max(initial=0.0) <= tol * scale


@every_case
def test_first_and_second_order(case: Case):
    run_examples(case, lambda trial, d: gradcheck(trial.f, *trial.inputs), case.examples)


@every_case
def test_float32_stays_float32(case: Case):
    """Forward, backward and double backward, with the numbers of float64."""

    def check(trial: Trial, d: Draw) -> None:
        found = []
        for dtype in ("float32", "float64"):
            rounded = [np.asarray(a, "float32") for a in trial.inputs]
            xs = leaves(rounded, dtype)
            ys = members(trial.f(*xs))
            assert {y.dtype for y in ys} == {np.dtype(dtype)}
            rng = np.random.default_rng(1)
            ups = [Tensor(rng.standard_normal(y.shape).astype("float32"), dtype=dtype) for y in ys]
            plain = grad(ys, xs, ups)
            first = grad(ys, xs, ups, create_graph=True)
            first = [g for g in first if g is not None]
            assert {g.dtype for g in (*plain, *first) if g is not None} == {np.dtype(dtype)}
            second = grad(first, [*xs, *ups])
            assert {g.dtype for g in second if g is not None} == {np.dtype(dtype)}
            found.append(arrays_of([*ys, *plain, *first, *second]))
        for a, b in zip(*found, strict=True):
            assert (a is None) == (b is None)
            if a is not None and a.size:
                assert np.abs(a - b).max() <= 2e-5 * max(1.0, np.abs(b).max())

    run_examples(case, check, case.examples // 2)


def lay_out(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values, placed in memory as `layout` says."""
    a = np.asarray(a)
    if layout == "read-only":
        a = np.array(a)
        a.flags.writeable = False
    elif layout == "negative stride":
        a = a[(slice(None, None, -1),) * a.ndim].copy()[(slice(None, None, -1),) * a.ndim]
    elif layout == "transposed":
        a = a.T.copy().T
    elif layout == "sliced":
        wide = np.full([2 * size + 1 for size in a.shape], np.nan)
        wide[(slice(1, None, 2),) * a.ndim] = a
        a = wide[(slice(1, None, 2),) * a.ndim]
    elif layout == "inside":
        wide = np.full([size + 2 for size in a.shape], np.nan)
        inner = (slice(1, -1),) * a.ndim
        wide[inner] = a
        a = wide[inner]
    return np.asarray(a)


LAYOUTS = ["read-only", "negative stride", "transposed", "sliced", "inside"]


@every_case
def test_value_in_every_memory_layout(case: Case):
    """Against the oracle, and value and gradient against those of contiguous inputs."""

    def check(trial: Trial, d: Draw) -> None:
        xs = leaves(trial.inputs)
        ys = members(trial.f(*xs))
        want = trial.oracle(*trial.inputs)
        assert_equal(arrays_of(ys), list(want) if isinstance(want, tuple) else [want], 1e-13)
        ups = upstream(ys)
        placed = [constant(lay_out(a, d.pick(*LAYOUTS))) for a in trial.inputs]
        kept = [x.numpy() for x in placed]
        for x in placed:
            x.requires_grad = True
        others = members(trial.f(*placed))
        assert_equal(arrays_of(others), arrays_of(ys), 1e-14)
        assert_equal(arrays_of(grad(others, placed, ups)), arrays_of(grad(ys, xs, ups)), 1e-13)
        assert_equal([x.numpy() for x in placed], kept)

    run_examples(case, check, case.examples)


@every_case
def test_changed_arrays_are_refused_or_not_needed(case: Case):
    """After an in-place change the gradient is refused, or it is what it would have been."""

    def check(trial: Trial, d: Draw) -> None:
        xs = leaves(trial.inputs)
        ys = members(trial.f(*xs))
        ups = upstream(ys)
        want = arrays_of(grad(ys, xs, ups))
        for k, create_graph in itertools.product(range(len(xs) + len(ys)), (False, True)):
            xs = leaves(trial.inputs)
            ys = members(trial.f(*xs))
            changed = [*xs, *ys][k]
            if not changed.cached_data.flags.writeable:
                continue  # a broadcast view
            changed.detach().copy_(0.7 * np.flip(changed.numpy()) + 0.6)
            try:
                got = grad(ys, xs, ups, create_graph)
            except VersionError as error:
                assert "changed in place" in str(error)
            else:
                assert_equal(arrays_of(got), want, 1e-14)

    run_examples(case, check, case.examples)


@every_case
def test_only_what_is_asked_for(case: Case):
    """Each input's gradient alone is that among all; so for a constant beside the others."""

    def check(trial: Trial, d: Draw) -> None:
        xs = leaves(trial.inputs)
        ys = members(trial.f(*xs))
        ups = upstream(ys)
        every = arrays_of(grad(ys, xs, ups))
        for k, x in enumerate(xs):
            assert_equal(arrays_of([grad(ys, x, ups)]), [every[k]])
            if len(xs) > 1:
                mixed = [Tensor(a, dtype="float64", requires_grad=i == k)
                         for i, a in enumerate(trial.inputs)]
                out = members(trial.f(*mixed))
                if every[k] is not None:
                    assert_equal([grad(out, mixed[k], ups).numpy()], [every[k]], 1e-13)

    run_examples(case, check, 4)


@every_case
def test_fan_out_and_a_second_backward(case: Case):
    """Used twice, an input gets both gradients; .grad is overwritten, not added to."""

    def check(trial: Trial, d: Draw) -> None:
        xs = leaves(trial.inputs)
        ys = members(trial.f(*xs))
        again = members(trial.f(*xs))
        ups = upstream(ys)
        once = arrays_of(grad(ys, xs, ups))
        twice = arrays_of(grad([*ys, *again], xs, [*ups, *ups]))
        assert_equal(twice, [g if g is None else 2 * g for g in once], 1e-13)
        if len(ys) == 1:
            for _ in range(2):
                ys[0].backward(ups[0])
                assert_equal(arrays_of([x.grad for x in xs]), once)

    run_examples(case, check, 4)


@every_case
def test_nothing_is_recorded_without_need(case: Case):
    def check(trial: Trial, d: Draw) -> None:
        with no_grad():
            under = trial.f(*leaves(trial.inputs))
        constants = trial.f(*[Tensor(a, requires_grad=False) for a in trial.inputs])
        for y in (*members(under), *members(constants)):
            assert not y.requires_grad
            assert len(find_topo_sort([y])) == 1

    run_examples(case, check, 2)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in (
    "linear", "softmax_loss", "bce_with_logits")], ids=lambda case: case.id)
def test_fused_composed_and_reference_gradients_agree(case: Case):
    def check(trial: Trial, d: Draw) -> None:
        found = []
        for kernels in (None, reference_kernels()):
            for create_graph in (False, True):
                xs = leaves(trial.inputs)
                if kernels is None:
                    ys = members(trial.f(*xs))
                    got = grad(ys, xs, upstream(ys), create_graph)
                else:
                    with kernels:
                        ys = members(trial.f(*xs))
                        got = grad(ys, xs, upstream(ys), create_graph)
                found.append(arrays_of([*ys, *got]))
        for other in found[1:]:
            assert_equal(other, found[0], 1e-14)

    run_examples(case, check, 20)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in (
    "linear", "softmax_loss", "bce_with_logits")], ids=lambda case: case.id)
def test_reference_kernels_pass_gradcheck(case: Case):
    def check(trial: Trial, d: Draw) -> None:
        with reference_kernels():
            gradcheck(trial.f, *trial.inputs)

    run_examples(case, check, 5)
