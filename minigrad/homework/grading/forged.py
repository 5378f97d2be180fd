"""Answers that nobody computed: whether any of them earns a point.

A submission runs in the process that answers, and may send whatever it likes. So each check has to
ask in a way that what is right depends on what was drawn. Here every check is given answers of the
library to other cases, constants, noise, the inputs themselves, and answers without the form of
one; they are judged on hidden cases, as the grader judges.

Leaves out: answers that are computed from the inputs, which is what is asked for.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy

from ..acceptance import Bench, Finding
from ..check import Arrays, Check, Kind, Output, compare
from ..runner import PUBLIC_CASES, PUBLIC_SEED, Runner
from ..spec import CheckSpec, Homework

__all__ = ["forged_answers"]

HIDDEN_SEED = 20_390_107  # any but the public one: a course draws its own
LONGEST_S = 1.0  # of the grader's time for one answer
MOST_BYTES = 64 * 2**20  # of the grader's memory for one answer
FEW = 3  # of the usual mistakes are looked for
NAMED = 5  # of the answers that a check takes
ENORMOUS = ("a million numbers", "a column and a row of thousands")
DTYPES = ("bool", "int8", "int64", "uint64", "float16", "float32", "longdouble", "complex64",
          "complex128", ">f8")
Forged = tuple[str, dict[str, Output]]


@dataclass(frozen=True)
class _Case:
    """One draw of a check, and what the library answers."""

    inputs: Arrays
    right: Arrays


def forged_answers(bench: Bench, homework: Homework) -> Finding:
    """Recorded, constant and echoed answers earn nothing.

    Every answer is also judged within a second and 64 MiB, and none makes the grader raise.
    """
    tried, earned, against = 0, 0, []
    with Runner(bench.tree, homework, caches=False) as runner:
        for spec in homework.checks:
            try:
                count, passed, odd = _attacked(runner, spec)
            except LookupError as error:
                against.append(f"{spec.id}: {error}")
                continue
            tried += count
            earned += spec.points if passed else 0
            if passed:
                more = f" and {len(passed) - NAMED} others" if len(passed) > NAMED else ""
                against.append(f"{spec.id}: {spec.points} points for "
                               f"{', '.join(passed[:NAMED])}{more}")
            against += [f"{spec.id}: {line}" for line in odd]
    return Finding(f"{tried:,} forged answers to {len(homework.checks)} checks: {earned} points",
                   against)


def _attacked(runner: Runner, spec: CheckSpec) -> tuple[int, list[str], list[str]]:
    """How many answers were tried, which of them passed every hidden case, what else was odd."""
    recorded = [_answered(runner, spec, PUBLIC_SEED, case).right for case in range(PUBLIC_CASES)]
    cases = [_answered(runner, spec, HIDDEN_SEED, 0)]
    check = _remembering(runner.checks[spec.id])
    plain, odd = replace(check, suspects={}), []
    seen: set[int] = set()

    def case(i: int) -> _Case:
        while len(cases) <= i:
            cases.append(_answered(runner, spec, HIDDEN_SEED, len(cases)))
        return cases[i]

    def passes(title: str, outputs: dict[str, Output], i: int) -> bool:
        """Whether case i takes these outputs; what they cost, or raise, is noted."""
        inputs, watched = case(i).inputs, title in ENORMOUS
        judge = check if i == 0 else plain  # looking for causes of the first is enough
        if i not in seen:
            seen.add(i)  # what any wrong answer costs is not the fault of this one
            compare(judge, inputs, _sent(_each(cases[i].right, lambda name, a: _constant(a, 7)),
                                         check.kind), [])
        if watched:
            tracemalloc.start()
        began = time.thread_time()
        try:
            return compare(judge, inputs, outputs, []) is None
        except Exception as error:  # the grader would end here
            odd.append(f"{title} made the grader raise {type(error).__name__}: {error}")
            return False
        finally:
            seconds = time.thread_time() - began
            if seconds > LONGEST_S:
                odd.append(f"{title} took {seconds:.1f} s of the grader")
            if watched:
                if tracemalloc.get_traced_memory()[1] > MOST_BYTES:
                    odd.append(f"{title} took {tracemalloc.get_traced_memory()[1]:,} bytes")
                tracemalloc.stop()

    def forged(i: int) -> Iterator[Forged]:
        return _forgeries(recorded, case(i), spec.id, check.kind)

    if not passes("the right answer", _sent(cases[0].right, check.kind), 0):
        raise LookupError("the library's own answer is refused")
    others = range(1, spec.hidden_cases)
    count, passed = 1, []
    if all(passes("one answer", _sent(cases[0].right, check.kind), i) for i in others):
        passed.append("the right answer to another case")
    for title, outputs in forged(0):
        count += 1
        if passes(title, outputs, 0) and all(
                passes(title, dict(forged(i)).get(title, {}), i) for i in others):
            passed.append(title)
    return count, passed, odd


def _answered(runner: Runner, spec: CheckSpec, seed: int, case: int) -> _Case:
    """What the tree of the runner answers.

    Raises
    ------
    LookupError
        If there is no answer with numbers.
    """
    heard: list[_Case] = []

    def listen(inputs: Arrays, outputs: Arrays) -> None:
        heard.append(_Case(inputs, outputs))

    check = runner.checks[spec.id]
    runner.checks[spec.id] = replace(check, kind=Kind.PROPERTY, want=listen)
    try:
        verdict = runner.run(spec, seed, [case])
    finally:
        runner.checks[spec.id] = check
    if not heard:
        raise LookupError(f"the library gives no answer: {verdict.outcome.value} {verdict.text}")
    return heard[0]


def _remembering(check: Check) -> Check:
    """The check, which computes what is right only once for the same inputs.

    It looks for few of the usual mistakes: the verdict does not depend on them.
    """

    def once(f: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
        known: dict[tuple, Arrays] = {}

        def asked(inputs: Arrays) -> Arrays:
            key = tuple((name, a.shape, a.tobytes()) for name, a in inputs.items())
            if key not in known:
                known[key] = f(inputs)
            return known[key]

        return asked

    if check.kind is Kind.PROPERTY:
        return check
    few = [*check.suspects.items()][:FEW]
    return replace(check, want=once(check.want), suspects={text: once(f) for text, f in few})


# ------------------------------------------------------------------------------------ the answers


def _sent(arrays: Mapping[str, Any], kind: Kind) -> dict[str, Output]:
    """Outputs with these numbers, of the types that are refused least."""
    found = {name: numpy.asarray(a) for name, a in arrays.items()}
    return {name: Output("Tensor" if a.ndim or kind is Kind.GRADIENT else "number", a)
            for name, a in found.items()}


def _forgeries(recorded: list[Arrays], case: _Case, seed: str, kind: Kind) -> Iterator[Forged]:
    """Titles, and answers for one case; their form is right wherever nothing else is said."""
    form = case.right
    fitted = [_fitted(answer, form) for answer in recorded]
    for i, (as_it_was, answer) in enumerate(zip(recorded, fitted, strict=True)):
        yield f"public answer {i}", _sent(as_it_was, kind)
        yield f"public answer {i}, made to fit", _sent(answer, kind)
        yield f"public answer {i}, made to fit and turned round", _sent(
            _each(form, lambda name, a, answer=answer: answer[name][::-1] if a.ndim
                  else answer[name]), kind)
        yield f"public answer {i}, its mean everywhere", _sent(_each(
            form, lambda name, a, answer=answer: _constant(a, answer[name].mean()) if a.size
            else a), kind)
    for title, answer in (*_fillings(form, fitted[0], seed), *_echoes(case, fitted[0])):
        yield title, _sent(answer, kind)
    yield from _without_form(form, fitted[0], kind)


def _each(form: Arrays, make: Callable[[str, numpy.ndarray], Any]) -> Arrays:
    """An array made for every output of the form."""
    with numpy.errstate(all="ignore"):
        return {name: numpy.asarray(make(name, a)) for name, a in form.items()}


def _fitted(answer: Arrays, form: Arrays) -> Arrays:
    """An answer repeated or cut, so that it has the form of another one."""

    def fit(name: str, a: numpy.ndarray) -> numpy.ndarray:
        numbers = answer.get(name, numpy.zeros(1))
        return numpy.resize(numbers if numbers.size else numpy.zeros(1), a.shape).astype(a.dtype)

    return _each(form, fit)


def _constant(a: numpy.ndarray, number: float) -> numpy.ndarray:
    """One number in the form of ``a``; where its dtype cannot hold that, in float64."""
    holds = a.dtype.kind == "f" or numpy.isfinite(number)
    return numpy.full(a.shape, number, a.dtype if holds else "float64")


def _fillings(form: Arrays, public: Arrays, seed: str) -> Iterator[tuple[str, Arrays]]:
    """Constants and noise, everywhere or only where the public answer has fractions."""
    rng = numpy.random.default_rng(list(seed.encode()))
    numbers = {"zeros": 0.0, "ones": 1.0, "minus ones": -1.0, "halves": 0.5, "NaN": numpy.nan,
               "infinity": numpy.inf, "minus infinity": -numpy.inf, "huge numbers": 1e300}
    makers = {title: lambda a, number=number: _constant(a, number)
              for title, number in numbers.items()}
    makers["normal noise"] = lambda a: rng.standard_normal(a.shape).astype(a.dtype)
    makers["uniform noise"] = lambda a: rng.random(a.shape).astype(a.dtype)
    makers["counting"] = lambda a: numpy.arange(a.size).reshape(a.shape).astype(a.dtype)
    for title, make in makers.items():
        yield title, _each(form, lambda name, a, make=make: make(a))
        yield f"{title} for fractions, the rest public", _each(
            form, lambda name, a, make=make: make(a) if a.dtype.kind == "f" else public[name])


def _echoes(case: _Case, public: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Each input, where an output has its size, or repeated everywhere; the rest public."""
    for source, given in case.inputs.items():
        if given.size > 1 and any(given.size == a.size for a in case.right.values()):
            yield f"the input {source}", _each(
                case.right, lambda name, a, given=given: given.reshape(a.shape).astype(a.dtype)
                if given.size == a.size else public[name])
        if given.size:
            yield f"the input {source}, repeated", _each(
                case.right, lambda name, a, given=given:
                numpy.resize(given, a.shape).astype(a.dtype) if a.dtype.kind == "f"
                else public[name])


def _without_form(form: Arrays, public: Arrays, kind: Kind) -> Iterator[Forged]:
    """Answers of other dtypes, shapes, names and types than any run function gives."""
    for dtype in DTYPES:
        with numpy.errstate(all="ignore"):
            yield f"public answer as {dtype}", _sent(
                {name: a.astype(dtype) for name, a in public.items()}, kind)
    for dtype in ("complex64", "complex128"):
        yield f"the right answer as {dtype}", _sent(
            {name: a.astype(dtype) for name, a in form.items()}, kind)
    shapes: dict[str, Callable[[numpy.ndarray, int], Any]] = {
        "numbers without axes": lambda a, i: a.reshape(-1)[:1].sum(),
        "nothing": lambda a, i: numpy.zeros(0),
        "nothing with many axes": lambda a, i: numpy.zeros((0,) * max(a.ndim, 1)),
        "one number with 32 axes": lambda a, i: numpy.ones((1,) * 32),
        "another axis in front": lambda a, i: a[None],
        "another axis at the end": lambda a, i: a[..., None],
        "the order of Fortran": lambda a, i: numpy.asfortranarray(a),
        "turned axes": lambda a, i: a.T,
        "one list": lambda a, i: a.reshape(-1),
        ENORMOUS[0]: lambda a, i: numpy.zeros(10**6, a.dtype),
        ENORMOUS[1]: lambda a, i: numpy.ones((4000, 1) if i % 2 else (1, 4000), a.dtype),
    }
    for title, make in shapes.items():
        yield title, _sent({name: make(a, i) for i, (name, a) in enumerate(public.items())}, kind)
    whole = _sent(public, kind)
    yield "no outputs", {}
    for name in whole:
        yield f"public answer without {name}", {n: o for n, o in whole.items() if n != name}
    for name in ("", "x: y", "right: none", "a\nb", "x" * 10**6, 3):
        yield f"public answer and {str(name)[:20]!r}", {**whole, name: Output(
            "number", numpy.zeros(()))}
    for said in ("ndarray", "number", "None", "", "x" * 10**6, {"a": 1}):
        yield f"public answer said to be {str(said)[:20]!r}", {
            name: Output(said, output.array) for name, output in whole.items()}
        yield f"{str(said)[:20]!r} without numbers", {name: Output(said, None) for name in whole}
