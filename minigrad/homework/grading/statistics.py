"""One page about how a class did: for the lecturer, or without names for the class.

The page is a single HTML file that needs no network and no script, follows the light or dark mode
of the reader, and prints. It tells what to look at: the questions and checks that failed most, the
causes behind them, what only hidden inputs found, equal code, and what has to be graded again.

Mean, median and quartiles are over the submissions that were graded (state "done"); the others are
counted. Likely causes are read from the messages and shown once two different submissions have
them, so that nobody's own words get onto the page.

Leaves out: comparing two gradings (``changes``), and any judgement about equal code: an untouched
starter is equal to every other one.
"""

from __future__ import annotations

import html
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy

from ..check import Outcome
from ..spec import Homework
from .results import CheckResult, Result, State, plain

__all__ = ["causes", "equal_code", "page"]

BINS = 10
SHOWN = 15  # causes, and gradings that took long
FAILURES = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.PASS)
END_OF_CAUSE = ("  seed ", "  printed: ")

STYLE = """
:root { --ink: #1d2433; --soft: #5d6678; --line: #dfe3ea; --paper: #ffffff; --tile: #f5f7fa;
        --bar: #3b6fb6; --good: #2e8b57; --bad: 200, 70, 50; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #9aa4b5; --line: #343b48; --paper: #161a21; --tile: #1f252f;
          --bar: #6f9fe0; --good: #5fbf8a; --bad: 235, 110, 85; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 3rem; background: var(--paper);
       color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; }
p { margin: .3rem 0 .7rem; max-width: 46rem; }
p, .soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0; }
.tile { background: var(--tile); border: 1px solid var(--line); border-radius: .5rem;
        padding: .5rem .9rem; min-width: 6.6rem; }
.tile b { display: block; font-size: 1.45rem; line-height: 1.25; font-weight: 600; }
.tile span { color: var(--soft); font-size: .82rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; border-bottom: 1px solid var(--line); text-align: right;
         vertical-align: top; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .78rem; vertical-align: bottom; }
th.text, td.text { text-align: left; white-space: normal; }
th.wider { width: 80%; }
td.id { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .84rem;
        overflow-wrap: anywhere; min-width: 7.5rem; }
tr.head td { font-weight: 600; background: var(--tile); }
.share { display: inline-block; width: 5.5rem; height: .55rem; margin-right: .5rem;
         background: var(--line); border-radius: .3rem; overflow: hidden; }
.percent { display: inline-block; min-width: 2.6em; }
.share i { display: block; height: 100%; background: var(--good); }
svg { display: block; width: 100%; max-width: 46rem; height: auto; }
svg rect { fill: var(--bar); }
svg line { stroke: var(--line); }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg text.count { fill: var(--ink); font-weight: 600; }
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --tile: #f4f4f4;
          --bar: #3b6fb6; --good: #2e8b57; --bad: 200, 70, 50; }
  body { font-size: 9.5pt; max-width: none; padding: 0; }
  .wide { overflow: visible; }
  h2, h2 + p, thead, tr.head { break-after: avoid; } tr, svg, .tile { break-inside: avoid; }
  table { font-size: 7.5pt; } th { font-size: 5.5pt; } td.id { font-size: 7pt; min-width: 5rem; }
  th, td { padding: .15rem .2rem; } .share { width: 2rem; margin-right: .2rem; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""


def page(results: Sequence[Result], homework: Homework, title: str, names: bool = True) -> str:
    """The page as text.

    Parameters
    ----------
    results : sequence of Result
        In any order; also none.
    homework : Homework
        What they were graded by: its questions and checks are the rows.
    title : str
        The heading.
    names : bool
        Whether submissions are named. Without, the page has counts only and may be published.
    """
    results = sorted(results, key=lambda r: (r.submission, r.digest))
    graded = [result for result in results if result.state == State.DONE]
    parts = [
        f"<h1>{_safe(title)}</h1>",
        f"<p>{_safe(homework.name)}: {_safe(homework.title)}</p>",
        _tiles(results, graded, homework),
    ]
    if graded:
        parts += [_histogram(graded), _questions(graded, homework), _checks(graded, homework),
                  _causes(graded)]
    parts += [_equal(results, names), *(_lists(results, graded) if names else ())]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return "\n".join([
        '<!DOCTYPE html>', '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_safe(title)}</title>", f"<style>{STYLE}</style>", "</head>", "<body>",
        *(part for part in parts if part), "</body>", "</html>", ""])


def causes(results: Iterable[Result]) -> Counter[str]:
    """In how many different submissions each likely cause is named; equal code counts once."""
    found: dict[str, set[str]] = {}
    for number, result in enumerate(results):
        for check in _all_checks(result):
            cause = _cause(check.message)
            if cause:
                found.setdefault(cause, set()).add(result.digest or str(number))
    return Counter({cause: len(who) for cause, who in found.items()})


def equal_code(results: Iterable[Result]) -> list[list[Result]]:
    """Groups of submissions with the same code, the largest first."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.digest:
            groups.setdefault(result.digest, []).append(result)
    return sorted((group for group in groups.values() if len(group) > 1),
                  key=lambda group: (-len(group), group[0].submission))


def _all_checks(result: Result) -> list[CheckResult]:
    return [check for question in result.questions for check in question.checks]


def _cause(message: str) -> str:
    """The sentence after "likely cause:" in a message, which may go over several lines."""
    lines = message.split("\n")
    marked = [i for i, line in enumerate(lines) if line.startswith("  likely cause: ")]
    if not marked:
        return ""
    said = [lines[marked[-1]].removeprefix("  likely cause: ")]
    for line in lines[marked[-1] + 1:]:
        if line.startswith(END_OF_CAUSE):
            break
        said.append(line.strip())
    return " ".join(said)


# ------------------------------------------------------------------------------------ the parts


def _tiles(results: list[Result], graded: list[Result], homework: Homework) -> str:
    """The numbers at the top."""
    states = Counter(result.state for result in results)
    tiles = [("submissions", str(len(results))), ("graded", str(len(graded)))]
    tiles += [(words, str(states[state])) for state, words in (
        (State.REFUSED, "refused"), (State.FAILED, "grader failed"), (State.WAITING, "not ended"))
        if states[state]]
    late = sum(result.late is True for result in results)
    tiles += [("late", str(late))] if late else []
    if graded:
        scores = [result.score for result in graded]
        low, middle, high = numpy.percentile(scores, [25, 50, 75])
        points = sum(question.points for question in homework.questions)
        tiles += [("mean", f"{numpy.mean(scores):.1f}"), ("median", f"{middle:g}"),
                  ("quartiles", f"{low:g} to {high:g}"),
                  ("lowest, highest", f"{min(scores)}, {max(scores)}"),
                  (f"with all {points} points", str(sum(s >= points for s in scores)))]
    text = "".join(f'<div class="tile"><b>{_safe(value)}</b><span>{_safe(name)}</span></div>'
                   for name, value in tiles)
    empty = "" if graded else "<p>There is nothing graded to count.</p>"
    return f'<div class="tiles">{text}</div>{empty}'


def _histogram(graded: list[Result]) -> str:
    """How many scores lie in each tenth of the points; full points have a bar of their own."""
    points = max(result.points for result in graded) or 1
    counts = [0] * (BINS + 1)
    for result in graded:
        counts[min(BINS, result.score * BINS // points)] += 1
    edges = [-(-points * i // BINS) for i in range(BINS + 1)]
    labels = [f"{a}–{b - 1}" for a, b in itertools.pairwise(edges)] + [str(points)]
    width, left, top, tall = 62, 34, 22, 170
    marks = []
    for i, (count, label) in enumerate(zip(counts, labels, strict=True)):
        x, height = left + i * width, round(tall * count / max(counts))
        marks.append(_label(x + width // 2, top + tall + 18, label))
        if count:
            marks += [f'<rect x="{x + 5}" y="{top + tall - height}" width="{width - 10}" '
                      f'height="{height}" rx="2" fill="#3b6fb6"/>',
                      _label(x + width // 2, top + tall - height - 6, str(count), "count")]
    right, base, middle = left + width * (BINS + 1), top + tall, top + tall // 2
    words = ", ".join(f"{label}: {n}" for label, n in zip(labels, counts, strict=True) if n)
    return (f'<h2>Scores</h2><svg viewBox="0 0 {right + 6} {base + 46}" role="img" '
            f'aria-label="submissions by score: {words}">'
            f'<line x1="{left}" y1="{base}" x2="{right}" y2="{base}" stroke="#dfe3ea"/>'
            f'{"".join(marks)}{_label((left + right) // 2, base + 40, "points")}'
            f'<g transform="rotate(-90 14 {middle})">{_label(14, middle, "submissions")}</g></svg>')


def _label(x: int, y: int, text: str, kind: str = "") -> str:
    """A text in the picture; its colour is for readers that do not know style sheets."""
    return (f'<text class="{kind}" x="{x}" y="{y}" text-anchor="middle" fill="#5d6678">'
            f"{_safe(text)}</text>")


def _questions(graded: list[Result], homework: Homework) -> str:
    """A row for each question."""
    rows = []
    for question in homework.questions:
        scores = [q.score for result in graded for q in result.questions if q.id == question.id]
        if scores:
            mean = float(numpy.mean(scores))
            full = sum(score >= question.points for score in scores)
            none = sum(score == 0 for score in scores)
            rows.append(_row(
                _id(question.id), _text(question.title), _number(question.points),
                _number(f"{mean:.1f}"), _bar(mean / question.points),
                _number(_percent(full, len(scores))), _number(_percent(none, len(scores)))))
    head = _head(["question", ""], ["points", "mean", "share of the points", "full", "none"])
    return f"<h2>Questions</h2>{_table(head, rows)}"


def _checks(graded: list[Result], homework: Homework) -> str:
    """A row for each check: how often it passed, and how the others ended."""
    by_id: dict[str, list[CheckResult]] = {}
    for result in graded:
        for check in _all_checks(result):
            by_id.setdefault(check.id, []).append(check)
    outcomes = [word for word in FAILURES
                if any(c.outcome == word for found in by_id.values() for c in found)]
    rows = []
    for question in homework.questions:
        own = [spec for spec in question.checks if spec.id in by_id]
        if own:
            rows.append(f'<tr class="head"><td class="text" colspan="{4 + len(outcomes)}">'
                        f"{_safe(question.id)} {_safe(question.title)}</td></tr>")
        for spec in own:
            found = by_id[spec.id]
            passed = sum(check.outcome == Outcome.PASS.value for check in found)
            hidden = sum(check.hidden and check.outcome != Outcome.PASS.value for check in found)
            counts = Counter(check.outcome for check in found)
            rows.append(_row(
                _id(spec.id.removeprefix(question.id + ".")), _number(spec.points),
                _bar(passed / len(found)), _heat(hidden, len(found)),
                *(_heat(counts[word], len(found)) for word in outcomes)))
    head = _head(["check"], ["points", "passed", "hidden only", *outcomes])
    return ("<h2>Checks</h2><p>How many submissions ended how. “Hidden only” are those that passed "
            "with the public inputs and failed with a hidden one: many of them mean that the "
            f"public inputs show too little. {_hidden_only(graded)} of {len(graded)} submissions "
            f"lost points to hidden inputs only.</p>{_table(head, rows)}")


def _hidden_only(graded: list[Result]) -> int:
    """How many passed everything public, and yet lost points."""
    failed = [[check for check in _all_checks(result) if check.outcome != Outcome.PASS.value]
              for result in graded]
    return sum(bool(checks) and all(check.hidden for check in checks) for checks in failed)


def _causes(graded: list[Result]) -> str:
    """The likely causes that are named most often."""
    common = [(cause, n) for cause, n in causes(graded).items() if n > 1]
    common.sort(key=lambda pair: (-pair[1], pair[0]))
    if not common:
        return ""
    rows = [_row(_number(n), _text(cause)) for cause, n in common[:SHOWN]]
    more = f"<p>{len(common) - SHOWN} more are left out.</p>" if len(common) > SHOWN else ""
    head = '<tr><th>submissions</th><th class="text wider">cause</th></tr>'
    return f"<h2>Likely causes</h2>{_table(head, rows)}{more}"


def _equal(results: list[Result], names: bool) -> str:
    """Submissions with the same code."""
    groups = equal_code(results)
    if not groups:
        return ""
    count = sum(map(len, groups))
    text = (f"<h2>Equal code</h2><p>{count} submissions, in {len(groups)} "
            f"{'group' if len(groups) == 1 else 'groups'}, hold byte for byte the same code. "
            "Untouched starters are such a group too.</p>")
    if not names:
        return text
    rows = [_row(_id(group[0].digest[:12]), _number(group[0].score), _number(len(group)),
                 _text(", ".join(result.submission for result in group))) for group in groups]
    head = ('<tr><th class="text">digest</th><th>score</th><th>count</th>'
            '<th class="text wider">submissions</th></tr>')
    return text + _table(head, rows)


def _lists(results: list[Result], graded: list[Result]) -> list[str]:
    """What is to be looked at by name: not graded, late, took long."""
    found = []
    others = [result for result in results if result.state != State.DONE]
    if others:
        rows = [_row(_id(r.submission), _text(r.student), _text(r.state), _text(r.reason))
                for r in others]
        found.append("<h2>Not graded</h2>" + _table(
            _head(["submission", "student", "state", "reason"], []), rows))
    late = [result for result in results if result.late]
    if late:
        rows = [_row(_id(r.submission), _text(r.student), _number(r.score)) for r in late]
        found.append("<h2>Late</h2>" + _table(_head(["submission", "student"], ["score"]), rows))
    long = sorted(graded, key=lambda r: (-r.seconds, r.submission))[:5]
    if len(graded) > 1:
        rows = [_row(_id(r.submission), _text(_longest(r)), _number(f"{r.seconds:.1f} s"),
                     _number(r.score)) for r in long]
        found.append("<h2>Longest gradings</h2>" + _table(
            _head(["submission", "longest question"], ["time", "score"]), rows))
    return found


def _longest(result: Result) -> str:
    if not result.questions:
        return ""
    question = max(result.questions, key=lambda q: q.seconds)
    return f"{question.id}: {question.seconds:.1f} s"


# ------------------------------------------------------------------------------------- the tags


def _safe(text: str) -> str:
    """Text that may stand anywhere in the page."""
    return html.escape(plain(text), quote=True)


def _head(texts: list[str], numbers: list[str]) -> str:
    return "<tr>" + "".join(f'<th class="text">{_safe(text)}</th>' for text in texts) + "".join(
        f"<th>{_safe(number)}</th>" for number in numbers) + "</tr>"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _id(text: str) -> str:
    return f'<td class="text id">{_safe(text)}</td>'


def _text(text: str) -> str:
    return f'<td class="text">{_safe(text)}</td>'


def _number(number: int | str) -> str:
    return f"<td>{number}</td>"


def _table(head: str, rows: list[str]) -> str:
    return (f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody>'
            "</table></div>")


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.0f}%"


def _bar(share: float) -> str:
    """A cell with a share as a bar and a number."""
    return (f'<td><span class="share"><i style="width:{100 * share:.0f}%"></i></span>'
            f'<span class="percent">{100 * share:.0f}%</span></td>')


def _heat(count: int, total: int) -> str:
    """A cell with a count, the redder the larger its share is."""
    if not count:
        return '<td class="soft">·</td>'
    return f'<td style="background:rgba(var(--bad),{0.12 + 0.5 * count / total:.2f})">{count}</td>'
