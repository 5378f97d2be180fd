"""What the notebooks share: checks that print what they saw, rows of results, and the fast switch.

A claim in the text is followed by a cell that computes it and calls ``check``, which prints the
number beside what was wanted and raises if it is not so: a notebook that runs to its end is true.

With ``MINIGRAD_NOTEBOOKS=fast`` in the environment trainings are cut to a few steps, and what only
a full training can show (``trained=True``) is printed but not checked.

Leaves out: the texts, which are in ``notebooks/``, and running them: ``notebooks/run.py``.
"""

from __future__ import annotations

import csv
import math
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

__all__ = ["CheckFailed", "Rows", "check", "fast", "results", "steps"]


class CheckFailed(AssertionError):
    """A claim of a notebook does not hold."""


def fast() -> bool:
    """Whether trainings shall be cut short, as the tests do."""
    return os.environ.get("MINIGRAD_NOTEBOOKS") == "fast"


def steps(full: int, short: int) -> int:
    """``full`` steps of a training, or ``short`` ones in a fast run."""
    return short if fast() else full


def check(
    claim: str,
    got: float | bool,
    want: float | None = None,
    *,
    within: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    trained: bool = False,
) -> None:
    """Print a claim with the number that was computed, and raise CheckFailed unless it holds.

    Parameters
    ----------
    claim : str
        What the number is, as the text has it.
    got : float or bool
        A bool needs nothing else; a number needs ``want`` and ``within``, or a bound.
    want, within : float
        The value, and how far ``got`` may be from it.
    at_least, at_most : float
        Bounds, one or both.
    trained : bool
        Whether a fast run is too short to show it.

    Raises
    ------
    CheckFailed
        If the claim does not hold, or the number is NaN.
    TypeError
        If it is not said what is wanted.
    """
    bounds = {"at least": at_least, "at most": at_most}
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    if isinstance(got, bool) or type(got).__name__ == "bool":
        if want is not None or bounds:
            raise TypeError(f"check: {claim}: a yes or no is compared with nothing")
        holds, shown = bool(got), str(bool(got))
    elif (want is None) != (within is None) or (want is None and not bounds):
        raise TypeError(f"check: {claim}: wants `want` and `within`, or `at_least`, or `at_most`")
    else:
        got = float(got)
        holds = not math.isnan(got)
        if want is not None:
            holds = holds and abs(got - want) <= within
            bounds = {"wanted": f"{want:.6g} ± {within:.2g}", **bounds}
        if at_least is not None:
            holds = holds and got >= at_least
        if at_most is not None:
            holds = holds and got <= at_most
        words = [f"{name} {bound if isinstance(bound, str) else f'{bound:.6g}'}"
                 for name, bound in bounds.items()]
        shown = f"{got:.6g} ({', '.join(words)})"
    if trained and fast():
        print(f"- {claim}: {shown}; a fast run does not check this")
    elif holds:
        print(f"✓ {claim}: {shown}")
    else:
        raise CheckFailed(f"{claim}: {shown}")


class Rows:
    """Finished rows of ``gans results NAME``: a table in a notebook, numbers for a check.

    Parameters
    ----------
    name : str
        Of the file ``docs/results/NAME.csv``.
    rows : sequence of dict
        Its rows.
    columns : sequence of str
        What the table shows.
    by : str, optional
        The column whose values are compared, such as "arm".
    """

    def __init__(self, name: str, rows: Sequence[dict[str, str]], columns: Sequence[str],
                 by: str | None = None) -> None:
        self.name, self.rows, self.columns, self.by = name, list(rows), list(columns), by

    def values(self, column: str, group: str | None = None) -> list[float]:
        """The numbers of a column, one for each seed, of one group or of all rows."""
        return [float(row[column]) for row in self.rows
                if (group is None or row[self.by] == group) and row.get(column)]

    def mean(self, column: str, group: str | None = None) -> float:
        """Their mean."""
        return statistics.fmean(self.values(column, group))

    def groups(self) -> list[str | None]:
        """The values of ``by`` in the order of the file."""
        return [None] if self.by is None else list(dict.fromkeys(r[self.by] for r in self.rows))

    def __repr__(self) -> str:
        return f"<rows of gans results {self.name}>"

    def _repr_markdown_(self) -> str:
        head = [self.by or "", *self.columns, "seeds"]
        lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
        for group in self.groups():
            cells = [self._cell(column, group) for column in self.columns]
            n = len([r for r in self.rows if group is None or r[self.by] == group])
            lines.append(f"| {group or self.name} | {' | '.join(cells)} | {n} |")
        dates = sorted({row["date"] for row in self.rows if row.get("date")})
        when = f", {' to '.join(dict.fromkeys([dates[0], dates[-1]]))}" if dates else ""
        return "\n".join([*lines, "", f"`gans results {self.name}`{when}; mean ± standard "
                          "deviation over seeds"])

    def _cell(self, column: str, group: str | None) -> str:
        values = self.values(column, group)
        if not values:
            return ""
        spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.3g}{spread}"


def results(name: str, columns: Sequence[str], by: str | None = None) -> Rows:
    """The finished rows of ``gans results NAME``, from ``docs/results`` of this checkout.

    Raises
    ------
    FileNotFoundError
        If there are none; the message names the command that makes them.
    KeyError
        If a column is missing.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        path = folder / "docs" / "results" / f"{name}.csv"
        if path.is_file():
            break
    else:
        raise FileNotFoundError(f"no docs/results/{name}.csv in this folder or above; "
                                f"gans results {name} makes it")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for column in (*columns, *([by] if by else [])):
        if not rows or column not in rows[0]:
            raise KeyError(f"{path.name} has no column {column!r}; it has "
                           f"{', '.join(rows[0]) if rows else 'no rows'}")
    return Rows(name, rows, columns, by)
