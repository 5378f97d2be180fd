"""The table of results: which runs it wants, its finished rows, and the page made from them.

``gans results`` is called in a checkout. It trains what is missing with the very command lines that
the page shows, each in a process of its own, and keeps one row per seed in
``docs/results/NAME.csv``. A row that is there is never run again; a run that was stopped goes on
where it was. The page ``docs/results.md`` is made from the rows alone.

A ``Job`` is a training by the command line. A ``Sweep`` is an experiment of a notebook: functions
that train something small and return numbers, its arms, each called with every seed in this
process.

Leaves out: running several seeds at once, since they would slow each other down, and choosing
pictures: the one shown is the last picture of seed 0.
"""

from __future__ import annotations

import csv
import datetime
import difflib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigrad import get_threads, set_threads
from minigrad.serialize import write_atomically

from . import tips
from .evaluation import Evaluation
from .trainer import RunConfig, load_checkpoint, read_log, running_versions

__all__ = ["JOBS", "SWEEPS", "Job", "ResultsError", "Sweep", "run", "write_page"]

DOCS = Path("docs")
RUNS = Path("runs") / "results"
_FIXED = ("arm", "seed", "command", "date", "steps", "seconds", "threads", "cores", "versions")


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
        Of the command line; the budget is a time such as "3m", or steps such as "5000 steps".
    seeds : tuple of int
        Three; five for runs under two minutes.
    options : tuple of str
        What else stands on the command line.
    aim : str
        What the entry has to reach.
    watch : str
        A live metric of which the row keeps the highest value of all reports after the first.
    """

    name: str
    title: str
    model: str
    data: str
    budget: str
    seeds: tuple[int, ...]
    options: tuple[str, ...] = ()
    aim: str = ""
    watch: str = ""

    def command(self, seed: int) -> list[str]:
        """The arguments of ``gans`` that train one row."""
        length = ["--steps", self.budget.removesuffix(" steps")] \
            if self.budget.endswith(" steps") else ["--budget", self.budget]
        return ["train", self.model, "--data", self.data, *length, "--seed", str(seed),
                *self.options]


Arms = Mapping[str, Callable[[int], Mapping[str, float]]]


@dataclass(frozen=True)
class Sweep:
    """An experiment with arms that are compared, each run with every seed.

    Attributes
    ----------
    name, title, text : str
        For files and for people.
    arms : callable
        Gives the arms by name: functions from a seed to numbers by name.
    seeds : tuple of int
    """

    name: str
    title: str
    arms: Callable[[], Arms]
    seeds: tuple[int, ...]
    text: str = ""


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
    Job("wgan-gp-ring8", "WGAN-GP on a ring of 8", "wgan-gp", "ring8", "2000 steps", _THREE,
        aim="8 modes, 80 % within 3 sigma of a mode", watch="modes"),
    Job("wgan-gp-grid25", "WGAN-GP on a grid of 25", "wgan-gp", "grid25", "4000 steps", _THREE,
        aim="24 modes, 70 % within 3 sigma of a mode", watch="modes"),
    Job("unrolled-ring8", "Unrolled GAN on a ring of 8, K = 5", "unrolled", "ring8", "5000 steps",
        _THREE, aim="8 modes, 60 % within 3 sigma of a mode", watch="modes"),
    Job("unrolled-ring8-k0", "The same without looking ahead, K = 0", "unrolled", "ring8",
        "5000 steps", _THREE, ("--unroll", "0"), aim="at most 3 modes at any report",
        watch="modes"),
    *(Job(f"minibatch-ring8{suffix}", f"GAN with {what} on a ring of 8", "minibatch", "ring8",
          "3000 steps", _THREE, ("--statistic", statistic), aim=aim, watch="modes")
      for suffix, statistic, what, aim in (
          ("-none", "NONE", "nothing added", "to collapse: at most 6 modes"),
          ("", "DISCRIMINATION", "minibatch discrimination", "at least 7.5 modes"),
          ("-stddev", "STDDEV", "the deviation of the batch", ""),
          ("-packing", "PACKING", "packs of two", ""))),
    Job("autoencoder-digits", "Autoencoder on digits, 32 numbers", "autoencoder", "digits",
        "3000 steps", _THREE, aim="squared error of unseen digits at most 0.012"),
    Job("denoising-digits", "Denoising autoencoder on digits", "autoencoder", "digits",
        "3000 steps", _THREE, ("--noise-std", "0.4"), aim="5 dB gained on noisy unseen digits"),
    Job("vae-digits", "VAE on digits", "vae", "digits", "4000 steps", _THREE,
        aim="classifier score at least 5, half of the latent numbers in use"),
    Job("cyclegan-emoji", "CycleGAN from Noto (A) to Twemoji (B) and back", "cyclegan", "emoji",
        "2500 steps", _THREE, ("--threads", "1"),
        aim="distance to the true partner 4 % below the identity map's, both ways; 80 % taken for "
            "the target collection; the true partner nearest more often than among untranslated "
            "items, 41 % and 50 %"),
    Job("cyclegan-inverted", "CycleGAN on digits and inverted digits", "cyclegan",
        "digits-inverted", "1000 steps", _THREE, ("--threads", "1"),
        aim="distance to the truth at most 0.15, class kept 90 %, way back 0.08"),
    Job("cyclegan-inverted-no-cycle", "The same without cycle and identity loss", "cyclegan",
        "digits-inverted", "1000 steps", (0,),
        ("--threads", "1", "--cycle-weight", "0", "--identity-weight", "0"),
        aim="one seed; fewer classes kept"),
    Job("cyclegan-striped", "CycleGAN on digits and striped digits", "cyclegan", "digits-striped",
        "1000 steps", (0,), ("--threads", "1"),
        aim="one seed; distance to the truth at most 0.15, class kept 90 %, way back 0.08"),
    Job("cyclegan-coloured", "CycleGAN on digits and coloured digits", "cyclegan",
        "digits-coloured", "1000 steps", (0,), ("--threads", "1"),
        aim="one seed; distance to the truth at most 0.15, class kept 90 %, way back 0.08"),
    Job("pix2pix-edges", "pix2pix from outlines to digits", "pix2pix", "digits-edges",
        "1200 steps", (0,), ("--threads", "1"),
        aim="one seed; sharpness at least 0.8, class kept as often as with the distance alone, at "
            "most 2 dB lost to it"),
    Job("pix2pix-edges-l1", "The same with the distance alone", "pix2pix", "digits-edges",
        "1200 steps", (0,), ("--threads", "1", "--gan-weight", "0"),
        aim="one seed; sharpness at most 0.6"),
    Job("pix2pix-halves", "pix2pix from left halves of digits to digits", "pix2pix",
        "digits-halves", "2000 steps", (0,), ("--threads", "1"),
        aim="one seed; sharpness at least 0.8, class kept as often as with the distance alone, at "
            "most 2 dB lost to it"),
    Job("pix2pix-halves-l1", "The same with the distance alone", "pix2pix", "digits-halves",
        "2000 steps", (0,), ("--threads", "1", "--gan-weight", "0"),
        aim="one seed; sharpness at most 0.6"),
    Job("pix2pix-emoji", "pix2pix from Noto to Twemoji", "pix2pix", "emoji-pairs", "800 steps",
        (0,), ("--threads", "1"), aim="one seed; sharper than with the distance alone"),
    Job("pix2pix-emoji-l1", "The same with the distance alone: what pairs can teach at most",
        "pix2pix", "emoji-pairs", "800 steps", (0,), ("--threads", "1", "--gan-weight", "0"),
        aim="one seed; distance to the true partner 9 % below the identity map's"),
    Job("lsgan-ring8", "LSGAN on a ring of 8", "lsgan", "ring8", "10000 steps", _THREE,
        ("--threads", "1"), aim="8 modes, give or take 2", watch="modes"),
    Job("lsgan-digits", "LSGAN on digits", "lsgan", "digits", "3000 steps", (0,),
        ("--threads", "1"), aim="one seed; classifier score at least 7.5"),
)}

SWEEPS: dict[str, Sweep] = {sweep.name: sweep for sweep in (
    Sweep("ganhacks", "Seventeen tips, each with and without", tips.arms, _FIVE,
          "What each arm does, and which are compared, is in `gans/tips.py`; the verdicts are in "
          "the notebook `12_ganhacks`."),
)}


def run(name: str | None = None, *, write_only: bool = False, jobs: Mapping[str, Job] = JOBS,
        sweeps: Mapping[str, Sweep] = SWEEPS,
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
    if name is not None and name not in {**jobs, **sweeps}:
        near = difflib.get_close_matches(name, {**jobs, **sweeps}, n=1)
        hint = f"did you mean {near[0]!r}?" if near else \
            f"there are {', '.join([*jobs, *sweeps])}"
        raise ResultsError(f"the table has no entry {name!r}; {hint}")
    if not DOCS.is_dir():
        raise ResultsError(f"gans results writes into {DOCS}/, which is not here; call it in a "
                           "checkout of minigrad")
    if not write_only:
        for job in jobs.values():
            if name not in (None, job.name):
                continue
            finished = {int(row["seed"]) for row in _rows(job)}
            for seed in job.seeds:
                if seed not in finished:
                    _train(job, seed, gans)
                    write_page(jobs, sweeps)
        for sweep in sweeps.values():
            if name in (None, sweep.name):
                _sweep(sweep)
    write_page(jobs, sweeps)
    print(f"wrote {DOCS / 'results.md'}")


def _sweep(sweep: Sweep) -> None:
    """Run what is missing, seed by seed, so that a sweep that was stopped has whole seeds."""
    arms = sweep.arms()
    before = get_threads()
    set_threads(1)
    try:
        for seed in sweep.seeds:
            for arm, experiment in arms.items():
                rows = _rows(sweep)
                if any((row["arm"], int(row["seed"])) == (arm, seed) for row in rows):
                    continue
                began = time.process_time()  # with one thread what it takes on an idle core
                numbers = experiment(seed)
                seconds = time.process_time() - began
                print(f"{sweep.name}, {arm}, seed {seed}: {seconds:.1f} s", flush=True)
                rows.append({"arm": arm, "seed": str(seed),
                             "command": f"gans results {sweep.name}", "date": _today(),
                             "seconds": f"{seconds:.1f}", "threads": "1",
                             "cores": str(os.cpu_count()), "versions": _named(running_versions()),
                             **{key: f"{value:.6g}" for key, value in numbers.items()}})
                order = list(arms)
                rows.sort(key=lambda row: (order.index(row["arm"]) if row["arm"] in arms
                                           else len(order), int(row["seed"])))
                _write_rows(sweep, rows)
    finally:
        set_threads(before)


def _today() -> str:
    return datetime.date.today().isoformat()


def _named(versions: Mapping[str, str]) -> str:
    return " ".join(f"{name} {version}" for name, version in versions.items())


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
    row = {"seed": seed, "command": config.command, "date": _today(), "steps": config.steps,
           "seconds": round(meta["seconds"], 1), "threads": config.threads,
           "cores": os.cpu_count(), "versions": _named(config.versions)}
    if job.watch:
        seen = [line[job.watch] for line in read_log(folder) if line[job.watch] == line[job.watch]]
        row[f"highest {job.watch}"] = max(seen)
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


def _path(job: Job | Sweep) -> Path:
    return DOCS / "results" / f"{job.name}.csv"


def _picture(job: Job) -> Path:
    return DOCS / "results" / f"{job.name}-seed{job.seeds[0]}.png"


def _rows(job: Job | Sweep) -> list[dict[str, str]]:
    """The finished rows of an entry."""
    try:
        with open(_path(job), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    if any(not (row.get("seed") or "").isdigit() or None in row for row in rows):
        raise ResultsError(f"{_path(job)}: damaged; every row must begin with its seed")
    return rows


def _write_rows(job: Job | Sweep, rows: Sequence[Mapping[str, str]]) -> None:
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
    "highest modes": "most modes with 1 % at any report",
    "mse": "squared error of unseen images, on [0, 1]",
    "psnr": "denoised unseen images, dB",
    "psnr_gain": "gain over the noisy images, dB",
    "reconstruction": "reconstruction, nats per image",
    "kl": "KL to the prior, nats per image",
    "elbo": "evidence lower bound, nats per image",
    "active_dims": "latent numbers in use",
    **{f"{name}_{way}": f"{arrow}: {label}" for way, arrow in (("ab", "A to B"), ("ba", "B to A"))
       for name, label in {
           "l1": "distance to the true partner, on [-1, 1]",
           "gain": "% below the identity map",
           "psnr": "peak signal to noise, dB",
           "sharpness": "sharpness",
           "retrieval": "true partner is the nearest, %",
           "cycle": "distance to the item after the way back, on [-1, 1]",
           "colour_corr": "correlation of an item and its translation",
           "style": "% taken for the target collection",
           "kept": "% whose class is kept",
           "two_sample": "told from real by 1 neighbour, %",
       }.items()},
}

_HEAD = """# Results

Written by `gans results` from the rows in `docs/results/`; do not edit. Values are mean ± standard
deviation over seeds, of 2,000 samples each. "Real" is what real data score that were not trained
on, "floor" what a perfect generator would score with so many samples. Pictures are not chosen: each
is the last one of seed 0.
"""


def write_page(jobs: Mapping[str, Job] = JOBS, sweeps: Mapping[str, Sweep] = SWEEPS) -> None:
    """Write ``docs/results.md`` from the finished rows."""
    parts = [_HEAD]
    for job in jobs.values():
        if rows := _rows(job):
            parts.append(_section(job, rows))
    for sweep in sweeps.values():
        if rows := _rows(sweep):
            parts.append(_sweep_section(sweep, rows))
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


def _sweep_section(sweep: Sweep, rows: Sequence[Mapping[str, str]]) -> str:
    """One line for every arm, one column for every number that any arm has."""
    names = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in _FIXED]
    lines = [f"## {sweep.title}", "", "```bash", f"gans results {sweep.name}", "```", ""]
    lines += [sweep.text, ""] if sweep.text else []
    seconds = sum(float(row["seconds"]) for row in rows)
    lines += [f"{len(rows)} runs, {seconds / 60:.0f} minutes of one CPU core. "
              f"{rows[0]['versions']}.", ""]
    lines += [f"| arm | seeds | {' | '.join(_LABELS.get(name, name) for name in names)} |",
              f"|---|---:|{'---:|' * len(names)}"]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        of_arm = [row for row in rows if row["arm"] == arm]
        cells = [_mean(of_arm, name) for name in names]
        lines.append(f"| {arm} | {len(of_arm)} | {' | '.join(cells)} |")
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
