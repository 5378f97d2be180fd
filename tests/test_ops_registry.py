"""Every public op has a case, every Op class runs in one, and every wrong call is refused."""

import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from op_cases import CASES, Case, Draw, Wrong

from minigrad import ops
from minigrad.autograd import Op, TensorOp, TensorTupleOp
from minigrad.gradcheck import gradcheck

FUNCTIONS = [name for name in ops.__all__ if callable(getattr(ops, name)) and name[0].islower()]
BASES = {"BroadcastOp"}  # abstract, like the names with a leading underscore


def op_classes() -> set[type[Op]]:
    """The concrete Op classes that minigrad.ops defines."""
    found, todo = set(), [Op]
    while todo:
        todo += (subclasses := todo.pop().__subclasses__())
        found.update(subclasses)
    return {c for c in found if c.__module__.startswith("minigrad.ops")
            and not c.__name__.startswith("_") and c.__name__ not in BASES}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_op_has_a_case(name: str):
    assert [case.name for case in CASES if case.name == name], f"no case for ops.{name}"
    assert [case.name for case in CASES if case.name == name and case.wrong], (
        f"no wrong call for ops.{name}")


def test_every_case_is_of_a_public_op():
    assert {case.name for case in CASES} <= set(FUNCTIONS)


def test_every_op_class_is_public():
    exported = {getattr(ops, name) for name in ops.__all__}
    assert {c.__name__ for c in op_classes() - exported} == {"AddTuples"}


def test_every_op_class_runs_in_a_case(monkeypatch: pytest.MonkeyPatch):
    """Traced: which ops compute, and of which the gradient is taken, in all cases together."""
    computed, differentiated = set(), set()
    for base in (TensorOp, TensorTupleOp):
        original = base.__call__
        monkeypatch.setattr(base, "__call__", lambda self, *inputs, original=original: (
            computed.add(type(self)), original(self, *inputs))[1])
    for cls in op_classes():
        original = cls.gradient
        monkeypatch.setattr(cls, "gradient", lambda self, g, node, original=original: (
            differentiated.add(type(self)), original(self, g, node))[1])

    @settings(max_examples=3)
    @hypothesis.given(st.data())
    def run(case: Case, data: st.DataObject) -> None:
        trial = case.make(Draw(data.draw))
        gradcheck(trial.f, *trial.inputs)

    for case in CASES:
        run(case)
    assert op_classes() - computed == set()
    assert op_classes() - differentiated == set()


@pytest.mark.parametrize(
    "wrong", [pytest.param(wrong, id=f"{case.id}-{i}")
              for case in CASES for i, wrong in enumerate(case.wrong)])
def test_wrong_calls_are_refused(wrong: Wrong):
    with pytest.raises(wrong.error) as caught:
        wrong.call()
    assert wrong.text in str(caught.value)
    assert type(caught.value) is wrong.error
