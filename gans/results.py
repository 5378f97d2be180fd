"""The table of results: which runs it wants, its finished rows, and the page made from them.

``gans results`` is called in a checkout. It trains what is missing with the very command lines that
the page shows, each in a process of its own, and keeps one row per seed in
``docs/results/NAME.csv``. A row that is there is never run again; a run that was stopped goes on
where it was. The page ``docs/results.md`` is made from the rows alone.

Leaves out: running several seeds at once, since they would slow each other down, and choosing
pictures: the one shown is the last picture of seed 0.
"""

from __future__ import annotations

import csv
import difflib
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigrad.serialize import write_atomically

from .evaluation import Evaluation
from .trainer import RunConfig, load_checkpoint

__all__ = ["JOBS", "Job", "ResultsError", "run", "write_page"]

DOCS = Path("docs")
RUNS = Path("runs") / "results"
_FIXED = ("seed", "command", "steps", "seconds", "threads", "cores", "versions")


class ResultsError(RuntimeError):
    """The table cannot be filled in here, or one of its runs failed."""


@dataclass(frozen=True)
class Job:
    """One entry of the table.

    Attributes
    ----------
    name, title : str
        For files and for people.
    model, data, budget : str
        Of the command line.
    seeds : tuple of int
        Three; five for runs under two minutes.
    options : tuple of str
        What else stands on the command line.
    aim : str
        What the entry has to reach.
    """

    name: str
    title: str
    model: str
    data: str
    budget: str
    seeds: tuple[int, ...]
    options: tuple[str, ...] = ()
    aim: str = ""

    def command(self, seed: int) -> list[str]:
        """The arguments of ``gans`` that train one row."""
        return ["train", self.model, "--data", self.data, "--budget", self.budget,
                "--seed", str(seed), *self.options]


_THREE, _FIVE = (0, 1, 2), (0, 1, 2, 3, 4)

JOBS: dict[str, Job] = {job.name: job for job in (
    Job("gan-digits", "GAN on digits", "gan", "digits", "3m", _THREE,
        aim="classifier score at least 0.53 of that of real digits, every class at 1 % or more"),
    Job("gan-gaussian", "GAN on the lecture's Gaussian", "gan", "gaussian", "20s", _FIVE,
        aim="mean within 0.3, covariance within 25 %"),
    Job("gan-ring8", "GAN on a ring of 8", "gan", "ring8", "60s", _FIVE),
    Job("dcgan-digits", "DCGAN on digits", "dcgan", "digits", "5m", _THREE,
        aim="classifier score at least 0.75 of that of real digits, every class at 4 % or more, "
            "Frechet distance at most half of the GAN's, nearest neighbours at least 0.9"),
    Job("dcgan-emoji", "DCGAN on emoji", "dcgan", "emoji", "10m", _THREE,
        aim="nearest neighbours at least 0.9"),
)}


def run(name: str | None = None, *, write_only: bool = False, jobs: Mapping[str, Job] = JOBS,
        gans: Sequence[str] = (sys.executable, "-m", "gans")) -> None:
    """Train the missing rows of one entry (or of all), then write the page.

    Parameters
    ----------
    gans : sequence of str
        The command that trains.

    Raises
    ------
    ResultsError
        If there is no such entry, this is no checkout, or a run fails.
    """
    if name is not None and name not in jobs:
        near = difflib.get_close_matches(name, jobs, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(jobs)}"
        raise ResultsError(f"the table has no entry {name!r}; {hint}")
    if not DOCS.is_dir():
        raise ResultsError(f"gans results writes into {DOCS}/, which is not here; call it in a "
                           "checkout of minigrad")
    if not write_only:
        for job in jobs.values() if name is None else [jobs[name]]:
            finished = {int(row["seed"]) for row in _rows(job)}
            for seed in job.seeds:
                if seed not in finished:
                    _train(job, seed, gans)
                    write_page(jobs)
    write_page(jobs)
    print(f"wrote {DOCS / 'results.md'}")


def _train(job: Job, seed: int, gans: Sequence[str]) -> None:
    """One run to its end, then its row."""
    folder = RUNS / f"{job.name}-seed{seed}"
    if (folder / "checkpoint.npz").exists():
        arguments = ["train", job.model, "--resume", str(folder)]
    else:
        shutil.rmtree(folder, ignore_errors=True)  # a run that was killed before its first step
        arguments = [*job.command(seed), "--out", str(folder)]
    print(f"gans {' '.join(arguments)}", flush=True)
    done = subprocess.run([*gans, *arguments], check=False)
    if done.returncode:
        raise ResultsError(f"{job.name}, seed {seed}: gans ended with code {done.returncode}; "
                           "gans results goes on from here")
    config = RunConfig.load(folder)
    meta = load_checkpoint(folder)[1]
    kept = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    row = {"seed": seed, "command": config.command, "steps": config.steps,
           "seconds": round(meta["seconds"], 1), "threads": config.threads,
           "cores": os.cpu_count(), "versions": " ".join(
               f"{name} {version}" for name, version in config.versions.items())}
    for score in Evaluation.from_json(kept["evaluation"]).scores:
        row[score.name] = f"{score.value:.6g}"
        row[f"{score.name} real"] = "" if score.real is None else f"{score.real:.6g}"
        row[f"{score.name} floor"] = "" if score.floor is None else f"{score.floor:.6g}"
    rows = sorted([*_rows(job), {key: str(value) for key, value in row.items()}],
                  key=lambda one: int(one["seed"]))
    _write_rows(job, rows)
    if seed == job.seeds[0]:
        picture = sorted((folder / "samples").glob("step_*.png"))[-1]
        content = picture.read_bytes()
        write_atomically(_picture(job), lambda file: file.write(content))


def _path(job: Job) -> Path:
    return DOCS / "results" / f"{job.name}.csv"


def _picture(job: Job) -> Path:
    return DOCS / "results" / f"{job.name}-seed{job.seeds[0]}.png"


def _rows(job: Job) -> list[dict[str, str]]:
    """The finished rows of an entry."""
    try:
        with open(_path(job), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    if any(not (row.get("seed") or "").isdigit() or None in row for row in rows):
        raise ResultsError(f"{_path(job)}: damaged; every row must begin with its seed")
    return rows


def _write_rows(job: Job, rows: Sequence[Mapping[str, str]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines: list[str] = []

    class Lines:
        write = staticmethod(lines.append)

    writer = csv.DictWriter(Lines, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _path(job).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(job), lambda file: file.write("".join(lines).encode()))


# ------------------------------------------------------------------------------------------- page

_LABELS = {
    "score": "classifier score (of 10)",
    "min_share": "smallest class, %",
    "class_tv": "% in the wrong class",
    "fcd": "Frechet distance",
    "nn_ratio": "nearest neighbours, train/unseen",
    "modes": "modes found",
    "modes_1pct": "modes with 1 % or more",
    "quality": "% within 3 sigma of a mode",
    "reverse_kl": "unevenness of modes, nats",
    "mean_error": "distance of the means",
    "cov_error": "error of the covariance, %",
    "variance_error": "error of the variance in the worst direction, %",
    "two_sample": "told from real by 1 neighbour, %",
    "sharpness": "sharpness",
}

_HEAD = """# Results

Written by `gans results` from the rows in `docs/results/`; do not edit. Values are mean ± standard
deviation over seeds, of 2,000 samples each. "Real" is what real data score that were not trained
on, "floor" what a perfect generator would score with so many samples. Pictures are not chosen: each
is the last one of seed 0.
"""


def write_page(jobs: Mapping[str, Job] = JOBS) -> None:
    """Write ``docs/results.md`` from the finished rows."""
    parts = [_HEAD]
    for job in jobs.values():
        if rows := _rows(job):
            parts.append(_section(job, rows))
    text = "\n".join(parts)
    write_atomically(DOCS / "results.md", lambda file: file.write(text.encode()))


def _section(job: Job, rows: Sequence[Mapping[str, str]]) -> str:
    lines = [f"## {job.title}", "", "```bash", f"gans {' '.join(job.command(job.seeds[0]))}", "```",
             ""]
    if job.aim:
        lines += [f"To reach: {job.aim}.", ""]
    seeds = ", ".join(row["seed"] for row in rows)
    missing = len(job.seeds) - len(rows)
    note = f" ({missing} of {len(job.seeds)} seeds are missing)" if missing > 0 else ""
    cores, threads = ("/".join(sorted({row[key] for row in rows})) for key in ("cores", "threads"))
    lines += [f"Seeds {seeds}{note}: {_mean(rows, 'steps')} steps, {_mean(rows, 'seconds')} s on "
              f"{cores} CPU cores, {threads} in use. {rows[0]['versions']}. Exactly the run "
              f"of seed {rows[0]['seed']}: `{rows[0]['command']}`", ""]
    names = [key for key in rows[0] if key not in _FIXED
             and not key.endswith((" real", " floor"))]
    lines += ["| | samples | real | floor |", "|---|---:|---:|---:|"]
    for name in names:
        cells = [_mean(rows, name), _mean(rows, f"{name} real"), _mean(rows, f"{name} floor")]
        lines.append(f"| {_LABELS.get(name, name)} | {' | '.join(cells)} |")
    picture = _picture(job)
    if picture.exists():
        lines += ["", f"![Samples of {job.title}, seed {job.seeds[0]}](results/{picture.name})"]
    return "\n".join([*lines, ""])


def _mean(rows: Sequence[Mapping[str, str]], name: str) -> str:
    """Mean ± standard deviation; one number where all are equal."""
    values = [float(row[name]) for row in rows if row.get(name)]
    if not values:
        return ""
    mean = statistics.fmean(values)
    digits = f"{mean:,.0f}" if abs(mean) >= 100 else f"{mean:.3g}"
    if len(set(values)) == 1:
        return digits
    return f"{digits} ± {statistics.stdev(values):.2g}"
