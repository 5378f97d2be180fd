"""Why a wrong array is wrong: the likely cause, read from the numbers.

The causes of wrong gradients are those of ``minigrad.gradcheck.likely_cause``, which looks in a
fixed order: unsummed broadcast, zero, upstream ignored, transposed, sign, constant factor, mask,
NaN. Here they are put into a sentence for a student, for gradients and for other values.

Leaves out: the mistakes that are usual in one question only, which that check lists itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy

from ..gradcheck import Cause, likely_cause

__all__ = ["SECOND", "Explanation", "explain", "second_call"]

NEARLY = 1e-4  # relative to the largest element
SECOND = ", second call"
"""How the names of outputs end that repeat a call: they have to be equal to the first."""


@dataclass(frozen=True)
class Explanation:
    """A likely cause as a sentence."""

    text: str


def explain(
    got: numpy.ndarray,
    want: numpy.ndarray,
    *,
    ones: numpy.ndarray | None = None,
    swapped: Sequence[numpy.ndarray] = (),
    sizes: Sequence[tuple[str, int]] = (),
    gradient: bool = True,
) -> Explanation:
    """What was probably forgotten where ``got`` is not ``want``.

    ``ones`` is what would be right for an upstream gradient of ones, ``swapped`` what would be
    right with a transposed operand, ``sizes`` are (name, number) pairs that a factor may stand for.
    """
    if got.shape == want.shape and got.dtype.kind == "f":
        strange = numpy.argwhere(~numpy.isfinite(want) & numpy.isfinite(got))
        if strange.size:
            index = tuple(int(i) for i in strange[0])
            what = "NaN" if numpy.isnan(want[index]) else "infinity"
            return Explanation(f"{what} is right at {index}")
        if numpy.isfinite(got).all() and numpy.isfinite(want).all() and (
                numpy.abs(got - want).max(initial=0) <= NEARLY * numpy.abs(want).max(initial=0)):
            return Explanation("nearly right: an eps or a rounded constant that does not belong "
                               "there, or lost digits")
    cause, advice = likely_cause(got, want, ones=ones, swapped=swapped, sizes=sizes)
    if cause is Cause.UNKNOWN:
        return Explanation("")
    if not gradient:
        advice = _OF_VALUES.get(cause, advice.replace("gradient", "result"))
    return Explanation(f"{cause.value}: {advice.replace('analytic ', '')}")


_OF_VALUES = {
    Cause.ZERO: "everything is 0",
    Cause.MASK: "some elements are right, and the others differ just where one of both is 0",
}


def second_call(name: str, outputs: Mapping[str, numpy.ndarray | None]) -> Explanation | None:
    """The explanation where a second call of the same thing gave something else."""
    if not name.endswith(SECOND):
        return None
    first, again = outputs.get(name.removesuffix(SECOND)), outputs[name]
    if first is None or again is None or first.shape != again.shape:
        return None
    if numpy.allclose(again, 2 * first):
        return Explanation("doubled on a second backward: something is kept from the first call "
                           "and added to")
    if not numpy.allclose(again, first):
        return Explanation("not the same on a second call: something is kept from the first, or "
                           "changed by it")
    return None
