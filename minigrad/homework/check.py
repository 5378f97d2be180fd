"""A check: one question put to a student's tree, and how the answer is judged.

A check stands in three places. Points, question and limits are in ``hwN.toml``. The function that
runs the student's code is in ``runs/hwN.py`` and is all that the child process gets. What is asked
(``inputs``) and what is right (``want``) are in ``checks/hwN.py``, which only the parent reads. So
nothing that a student's code does can change its verdict: the parent compares plain arrays.

Leaves out: starting the child process (``runner``) and the wording of messages (``report``).
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from .explain import SECOND, Explanation, explain, second_call

__all__ = ["Arrays", "Check", "Fault", "Kind", "Outcome", "Output", "compare", "drawn"]

Arrays = dict[str, numpy.ndarray]
MOST_NUMBERS = 100_000  # of an output that a property looks at; those of the solutions have 10,000
LONGEST = 1000  # characters of a text: names and types may be anything
NOT_FINITE = ("overflow", "infinit", "nan", "by 0", "of 0")  # said of what may make NaN or infinity


class Outcome(enum.Enum):
    """What became of a check: one word for each thing that can happen."""

    PASS = "PASS"
    WRONG = "WRONG"  # numbers that are not the right ones
    SHAPE = "SHAPE"
    DTYPE = "DTYPE"
    RAISED = "RAISED"  # the student's code raised an exception
    UNSOLVED = "UNSOLVED"  # a blank that this check is about is still open
    BLOCKED = "BLOCKED"  # another blank that it needs is still open
    TIMEOUT = "TIMEOUT"
    MEMORY = "MEMORY"
    DIED = "DIED"  # the process ended without an answer


class Kind(enum.Enum):
    """How an answer is compared."""

    VALUE = "value"  # with the arrays that ``want`` returns, by name
    GRADIENT = "gradient"  # the same, and every output has to be a Tensor; causes are looked for
    PROPERTY = "property"  # by ``want`` itself, which is given the outputs


@dataclass(frozen=True)
class Output:
    """One thing that a run returned: the name of its type, and its numbers if it has any."""

    kind: str  # "Tensor", "ndarray", "number", "None" or the name of another type
    array: numpy.ndarray | None


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer, and why that may be."""

    text: str  # which output, which element, both values
    cause: str = ""
    outcome: Outcome = Outcome.WRONG


@dataclass(frozen=True)
class Check:
    """One question, by the id that it has in the TOML file.

    Attributes
    ----------
    run : callable
        (lib, inputs) to a dictionary of outputs by name. ``lib("minigrad.ops")`` is a module of the
        student's tree. Outputs are Tensors, arrays, numbers or bools.
    inputs : callable
        A NumPy generator to the arrays that ``run`` is given. All that is random comes from here.
    want : callable
        inputs to the right outputs; for ``Kind.PROPERTY`` (inputs, outputs) to a Fault or None.
        From numeric differentiation, a property or another formula in float64; never the library.
    tol : float
        Allowed difference, relative to the largest element wanted.
    suspects : mapping
        Usual mistakes: what one would get by it, under the sentence that names it.
    blames : mapping
        For checks about several blanks: how the name of an output begins, and the blank it is of.
    """

    id: str
    run: Callable[[Any, Arrays], dict[str, Any]]
    inputs: Callable[[numpy.random.Generator], Arrays]
    want: Callable[..., Any]
    tol: float = 1e-6
    kind: Kind = Kind.VALUE
    suspects: Mapping[str, Callable[[Arrays], Arrays]] = field(default_factory=dict)
    blames: Mapping[str, str] = field(default_factory=dict)

    def blamed(self, fault: Fault, blanks: Sequence[str]) -> str:
        """The id of the blank that a fault is of, among those that the check is about.

        By ``blames``; else the blank of the operation with whose name the text begins; else the
        first.
        """
        for prefix, name in self.blames.items():
            if fault.text.startswith(prefix):
                return next((b for b in blanks if b.split(".", 2)[2] == name), blanks[0])
        operation = fault.text.split(":")[0]
        return next((b for b in blanks if b.split(".")[2] == operation), blanks[0])


def drawn(check: Check, seed: int, case: int) -> Arrays:
    """The inputs of one case: the same for the same seed, different for every check and case."""
    rng = numpy.random.default_rng([seed, zlib.crc32(check.id.encode()), case])
    return {name: numpy.asarray(value) for name, value in check.inputs(rng).items()}


def compare(
    check: Check, inputs: Arrays, outputs: Mapping[str, Output], mutated: list[str]
) -> Fault | None:
    """The first thing that is wrong with the outputs, or None.

    In this order: no answer at all, missing or of a wrong type, shape, dtype, numbers, inputs that
    were changed. Outputs may be whatever a process sent: nothing in them makes this raise.
    """
    with numpy.errstate(all="ignore"):
        fault = _no_answer(outputs) or (
            _property if check.kind is Kind.PROPERTY else _values)(check, inputs, outputs, mutated)
    return fault and replace(fault, text=fault.text[:LONGEST], cause=fault.cause[:LONGEST])


def _no_answer(outputs: Mapping[str, Output]) -> Fault | None:
    """What no run function returns: names and types that are no texts, complex numbers."""
    for name, output in outputs.items():
        if not isinstance(name, str) or not isinstance(output.kind, str):
            return Fault(f"the answer has not the form of an answer: an output {name!r} of type "
                         f"{output.kind!r}")
        if output.array is not None and output.array.dtype.kind not in "fiub":
            return Fault(f"{name}: numbers of dtype {output.array.dtype}, want real ones",
                         "another type of result is asked for", Outcome.DTYPE)
    return None


def _property(
    check: Check, inputs: Arrays, outputs: Mapping[str, Output], mutated: list[str]
) -> Fault | None:
    """What the judge of the check says; an answer that it cannot read is a wrong one."""
    for name, output in outputs.items():
        if output.array is None:
            return _no_numbers(name, output)
        if output.array.size > MOST_NUMBERS:
            return Fault(f"{name}: shape got {output.array.shape}; {MOST_NUMBERS:,} numbers are "
                         "more than any right answer has", "", Outcome.SHAPE)
    arrays = {name: output.array for name, output in outputs.items()}
    try:
        fault = check.want(inputs, arrays)
    except Exception as error:  # whatever a judge did not expect
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        fault = Fault(f"the answer cannot be judged: {error}; got {shapes}")
    return fault or _changed(mutated)


def _values(
    check: Check, inputs: Arrays, outputs: Mapping[str, Output], mutated: list[str]
) -> Fault | None:
    """How the outputs differ from what is wanted."""
    wanted = {name: numpy.asarray(value) for name, value in check.want(inputs).items()}
    for name, want in wanted.items():
        fault = _form(check, inputs, name, outputs.get(name), want)
        if fault is not None:
            return fault
    for name in wanted:
        fault = _numbers(check, inputs, name, outputs, wanted)
        if fault is not None:  # a changed input is the likely cause, above all of a second call's
            changed = _changed(mutated)
            return changed if changed and name.endswith(SECOND) else (
                Fault(fault.text, changed.cause) if changed else fault)
    return _changed(mutated)


def _form(
    check: Check, inputs: Arrays, name: str, output: Output | None, want: numpy.ndarray
) -> Fault | None:
    """What is wrong with type, shape or dtype of one output."""
    if output is None or output.array is None:
        return _no_numbers(name, output)
    if check.kind is Kind.GRADIENT and output.kind != "Tensor":
        return Fault(f"{name}: a {output.kind}, want a Tensor",
                     "ndarray instead of Tensor: compute with Tensors and return Tensors, so that "
                     "the gradient can be differentiated again")
    got = output.array
    if got.shape != want.shape:
        cause = explain(got, want).text if check.kind is Kind.GRADIENT else ""
        cause = _suspected(check, inputs, name, got) or cause
        added = got.shape[:max(0, got.ndim - want.ndim)]
        if added and got.shape == added + want.shape and set(added) == {1}:
            cause = "the axes in front have size 1 and are to go: reshape"
        return Fault(f"{name}: shape got {got.shape}, want {want.shape}", cause, Outcome.SHAPE)
    is_number = output.kind == "number" and not got.ndim  # Python's numbers have no dtype
    if not is_number and want.dtype.kind == "f" and got.dtype != want.dtype:
        low = "float32: " if got.dtype == numpy.float32 else ""
        return Fault(f"{name}: dtype got {got.dtype}, want {want.dtype}",
                     f"{low}the result has another dtype than the inputs", Outcome.DTYPE)
    return None


def _numbers(
    check: Check, inputs: Arrays, name: str, outputs: Mapping[str, Output], wanted: Arrays
) -> Fault | None:
    """What is wrong with the values of one output of the right form."""
    got, want = outputs[name].array, wanted[name]
    wrong = ~agrees(got, want, check.tol)
    if not wrong.any():
        return None
    worst = _worst(got, want, wrong)
    index = tuple(int(i) for i in worst)
    both = _both(got[worst], want[worst])
    where = f"{int(wrong.sum())} of {wrong.size} elements differ; worst {index}: {both}"
    text = f"{name}: {where if got.ndim else both}"
    try:
        return Fault(text, _cause(check, inputs, name, outputs, wanted).text)
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return Fault(text)  # the other outputs may be anything, and the verdict is clear


def agrees(got: numpy.ndarray, want: numpy.ndarray, tol: float) -> numpy.ndarray:
    """Where two arrays of one shape agree: NaN with NaN, infinities with themselves."""
    if want.dtype.kind in "biu":
        return numpy.asarray(got == want)
    finite = numpy.abs(want[numpy.isfinite(want)])
    scale = float(finite.max(initial=0.0)) or 1.0
    with numpy.errstate(all="ignore"):
        close = numpy.abs(got - want) <= tol * scale
    return close | (got == want) | (numpy.isnan(got) & numpy.isnan(want))


def _cause(
    check: Check, inputs: Arrays, name: str, outputs: Mapping[str, Output], wanted: Arrays
) -> Explanation:
    """The likely cause: a usual mistake of this check, else one of those of any array."""
    got, want = outputs[name].array, wanted[name]
    with numpy.errstate(all="ignore"):
        suspected = _suspected(check, inputs, name, got)
        if suspected:
            return Explanation(suspected)
        repeated = second_call(name, {n: o.array for n, o in outputs.items()})
        if repeated is not None:
            return repeated
        ones, swapped = None, []
        if check.kind is Kind.GRADIENT and "upstream" in inputs:
            ones = check.want({**inputs, "upstream": numpy.ones_like(inputs["upstream"])})[name]
            for key, a in inputs.items():
                if a.ndim >= 2 and a.shape[-1] == a.shape[-2] and a.dtype.kind == "f":
                    turned = numpy.ascontiguousarray(a.swapaxes(-1, -2))
                    other = check.want({**inputs, key: turned})[name]
                    if other.shape == want.shape:
                        swapped.append(other)
    if got.dtype.kind == "b" or want.dtype.kind == "b":
        return Explanation("")
    floats = {key: a for key, a in inputs.items() if a.dtype.kind == "f"}
    sizes = [(f"size of axis {axis} of {key}", size) for key, a in floats.items()
             for axis, size in enumerate(a.shape)]
    sizes += [(f"elements of {key}", a.size) for key, a in floats.items()]
    numbers = [size for _, size in sizes]  # a factor of 2 or a common size means nothing
    sizes = [(name, n) for name, n in sizes if n > 2 and numbers.count(n) <= 2]
    return explain(got, want, ones=ones, swapped=swapped, sizes=sizes,
                   gradient=check.kind is Kind.GRADIENT)


def _suspected(check: Check, inputs: Arrays, name: str, got: numpy.ndarray) -> str:
    """The usual mistake of this check that gives just this; empty if none does."""
    finite = got.dtype.kind != "f" or bool(numpy.isfinite(got).all())
    for text, suspect in check.suspects.items():
        if not finite and not any(word in text.lower() for word in NOT_FINITE):
            continue  # NaN equals NaN whatever it comes from
        found = suspect(inputs).get(name)  # a mistake need not show in every output
        if found is None:
            continue
        other = numpy.asarray(found)
        if other.shape == got.shape and agrees(got, other, max(check.tol, 1e-6)).all():
            return text
    return ""


def _worst(got: numpy.ndarray, want: numpy.ndarray, wrong: numpy.ndarray) -> tuple:
    """The index of the element that is furthest off."""
    if got.dtype.kind == "b" or want.dtype.kind == "b":
        distance = wrong.astype("float64")
    else:
        with numpy.errstate(all="ignore"):
            distance = numpy.abs(got.astype("float64") - want)
        distance = numpy.where(wrong, numpy.nan_to_num(distance, nan=numpy.inf), -1.0)
    return numpy.unravel_index(int(distance.argmax()), distance.shape)


def _both(got: Any, want: Any) -> str:
    """Both values, with as many digits as tell them apart."""
    if got.dtype.kind != "f" and want.dtype.kind != "f":
        return f"yours {got}, want {want}"
    for digits in (6, 9, 17):
        texts = [f"{float(value):+.{digits}g}" for value in (got, want)]
        if texts[0] != texts[1]:
            break
    return f"yours {texts[0]}, want {texts[1]}"


def _no_numbers(name: str, output: Output | None) -> Fault:
    if output is None or output.kind == "None":
        return Fault(f"{name}: None, want numbers", "is there a return statement?")
    return Fault(f"{name}: a {output.kind}, want numbers", "another type of result is asked for")


def _changed(mutated: list[str]) -> Fault | None:
    if not mutated:
        return None
    return Fault(f"{mutated[0]} was changed in place; its values belong to the caller",
                 f"input mutated: {mutated[0]} was written into; make a new array instead")
