"""The training loop: batches in, ``train_step``, numbers and pictures out. It knows no loss.

A run is a folder::

    config.json      everything that the run depends on; a resume that differs is refused
    log.csv          one row for every ``log_every`` steps: means of what train_step returned
    samples/         step_XXXXXX.png, always from the same noise
    curves.png       the log, drawn
    checkpoint.npz   players, averages, optimizers, generators, cursors: written whole or not at all

**A run repeats and resumes bit for bit.** Weights, data order, training noise, pictures and live
metrics come from generators of their own, all made from the seed, so that looking at a run does not
change it. When things happen is fixed by step counts. Only checkpoints are written by the clock,
which changes no number; the columns ``seconds`` and ``ms_per_step`` of the log are the only values
that differ between two runs. Rows of the log beyond the checkpoint are cut off on resume.

**Time budgets.** ``plan`` times at least 20 steps and one second of them, one report (picture,
curves, live metric) and one checkpoint, and throws them away. The budget covers all of these
together; what is not in it is start-up, and the full evaluation after the end.

A model is any object with ``batch_size``, ``train_step(batches)`` returning 0-d Tensors by name,
and ``sample(n, generator)``. Three things are optional: ``datasets(data)``, a list of data sets of
which each gets a stream of its own (without it, the training data); ``set_total_steps(n)``, called
once before the first step, for schedules; ``balance``, the value of ``d_loss`` at which the
discriminator can tell nothing, which the curves then show. The command line also asks for
``measure(data)``: scores of the model itself, such as a reconstruction error, for its report, and
for ``default_data``: what it learns when no data are named, if not digits; and ``open_data``: what
opens them, if not ``evaluation.open_data``. A model whose data bring a ``ModelJudge``, such as one
that translates, needs no ``sample``.

State is found by looking at attributes (``named_state``): networks, optimizers, averages, NumPy
generators, and whatever has ``state_dict`` and ``load_state_dict``. Plain numbers and bare arrays
that a model changes while training are not state, and would not be resumed.

A resumed run may be given more steps than it had. Its schedules then are those of the new number,
so it equals a run that had that number from the start only if the model has no schedule.

Leaves out: several processes or devices, keeping more than one checkpoint, early stopping, and a
lock against two processes that resume one run.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import io
import json
import math
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import minigrad
from minigrad import Tensor, default_device, default_dtype, random, set_threads
from minigrad.backend import array_module, to_numpy
from minigrad.data import Stream
from minigrad.nn import Module
from minigrad.nn.module import Buffer, Parameter
from minigrad.serialize import CheckpointError, load, save, write_atomically

from . import plots
from .evaluation import (
    SPREAD_ROWS,
    Evaluation,
    Judge,
    ModelJudge,
    TrainingData,
    real_rows,
    spread,
)
from .monitor import REPORTED, Monitor

__all__ = [
    "ConfigError",
    "Interrupted",
    "Plan",
    "RunConfig",
    "RunError",
    "Trainer",
    "TrainingDiverged",
    "announce_steps",
    "draw_samples",
    "load_checkpoint",
    "load_state",
    "log_period",
    "look",
    "named_state",
    "new_run_folder",
    "plan",
    "read_log",
    "report_period",
    "running_versions",
    "save_picture",
    "state_arrays",
    "use_threads",
]

LOG_EVERY = 10  # steps of one row
SPREAD_EVERY = 10  # rows between two looks at the spread of the samples
REPORT_SECONDS = 30.0  # of training between two reports, where the budget is known
REPORTS = 8  # of a run whose duration is not known
LEAST_REPORTS = 4  # of a short run, if they do not take more than REPORT_SHARE
REPORT_SHARE = 0.1  # of a budget goes at most into reports
CHECKPOINT_SECONDS = 30.0
GRID = 100  # samples in a picture, ten in a row
TOY_GRID = 1000
CHUNK = 250  # samples made at once
CLOCKS = ("seconds", "ms_per_step")  # the columns that differ between two equal runs
FORMAT = 1  # of checkpoints


def use_threads(model: Any, threads: int) -> None:
    """Let so many threads work; a model may say with ``blas_threads`` how many of BLAS."""
    set_threads(threads, blas=getattr(model, "blas_threads", None))


class RunError(RuntimeError):
    """A run cannot go on, or a folder is no run; the message says what can be done."""


class ConfigError(ValueError):
    """A run would be resumed with something else than it was started with."""


class TrainingDiverged(RunError):
    """A number of the training became NaN or infinite."""


class Interrupted(RunError):
    """The user or the system stopped the run, and it was saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


# ------------------------------------------------------------------------------------------ state

_NO_STATE = (Tensor, Number, str, bytes, Enum, np.ndarray, np.generic, type, types.ModuleType,
             types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def named_state(root: Any) -> dict[str, Any]:
    """Everything that training changes and that can be reached from the attributes of ``root``.

    Returns path -> Parameter, Buffer, ``numpy.random.Generator``, or object with ``state_dict`` and
    ``load_state_dict`` that is no Module (optimizers, schedules, pools). An object that is met
    twice stands under its first path, in the order in which attributes were set. Properties are no
    attributes, so what they forward to is not met through them.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        path, value = stack.pop()
        is_tensor = isinstance(value, (Parameter, Buffer))
        if value is None or id(value) in seen or (isinstance(value, _NO_STATE) and not is_tensor):
            continue
        seen.add(id(value))
        below: list[tuple[str, Any]] = []
        if isinstance(value, Module):
            below = [*value.named_parameters(), *value.named_buffers()]
        elif is_tensor or isinstance(value, np.random.Generator):
            found[path] = value
        elif callable(getattr(value, "load_state_dict", None)) and hasattr(value, "state_dict"):
            found[path] = value
        elif isinstance(value, Mapping):
            below = [(str(key), item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)):
            below = [(str(i), item) for i, item in enumerate(value)]
        elif hasattr(value, "__dict__"):
            below = list(vars(value).items())
        stack.extend((f"{path}.{name}" if path else name, item) for name, item in reversed(below))
    return found


def state_arrays(root: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The state of ``root`` as arrays by path, and that of its generators as JSON values."""
    arrays, generators = {}, {}
    for path, value in named_state(root).items():
        if isinstance(value, Tensor):
            arrays[path] = np.array(to_numpy(value.cached_data))
        elif isinstance(value, np.random.Generator):
            generators[path] = value.bit_generator.state
        else:
            arrays.update({f"{path}.{key}": item for key, item in value.state_dict().items()})
    return arrays, generators


def load_state(
    root: Any, arrays: Mapping[str, np.ndarray], generators: Mapping[str, Any]
) -> None:
    """Put a state that ``state_arrays`` gave back into ``root``.

    Raises
    ------
    ConfigError
        If paths, shapes or dtypes are not those of ``root``.
    """
    state, rest = named_state(root), dict(arrays)
    wrong = []
    for path, value in state.items():
        if isinstance(value, Tensor):
            array = rest.pop(path, None)
            if array is None:
                wrong.append(f"{path} is missing")
            elif (array.shape, array.dtype) != (value.shape, value.dtype):
                wrong.append(f"{path} is {array.dtype} {array.shape}, the model has {value.dtype} "
                             f"{value.shape}")
        elif isinstance(value, np.random.Generator) and path not in generators:
            wrong.append(f"{path} is missing")
    parts = {path: {key.removeprefix(f"{path}."): rest.pop(key) for key in list(rest)
                    if key.startswith(f"{path}.")}
             for path, value in state.items()
             if not isinstance(value, (Tensor, np.random.Generator))}
    wrong += [f"{key} is unknown" for key in rest]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise ConfigError(f"the checkpoint belongs to another model: {'; '.join(wrong[:4])}{more}")
    for path, value in state.items():
        if isinstance(value, Tensor):
            value.copy_(arrays[path])
        elif isinstance(value, np.random.Generator):
            value.bit_generator.state = generators[path]
        else:
            try:
                value.load_state_dict(parts[path])
            except (KeyError, ValueError) as error:
                raise ConfigError(f"the checkpoint belongs to another model: {path}: "
                                  f"{error}") from error


# ----------------------------------------------------------------------------------------- config


def running_versions() -> dict[str, str]:
    """The versions of what numbers depend on, by name."""
    return {"minigrad": minigrad.__version__, "numpy": np.__version__,
            "python": platform.python_version()}


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on, as plain values: the content of ``config.json``.

    Attributes
    ----------
    model, settings
        The model's name and its settings (``models.settings_to_json``).
    data : dict
        ``TrainingData.describe()``.
    seed, steps : int
    log_every, report_every : int
        Steps of one row of the log; steps between two pictures with live metrics.
    threads : int
    paper : bool
        Whether the settings started from the paper's.
    command : str
        The command that repeats the run exactly.
    device, dtype, versions
        Where it ran.
    """

    model: str
    settings: dict[str, Any]
    data: dict[str, Any]
    seed: int
    steps: int
    log_every: int
    report_every: int
    threads: int
    paper: bool = False
    command: str = ""
    device: str = dataclasses.field(default_factory=lambda: default_device().name)
    dtype: str = dataclasses.field(default_factory=lambda: str(default_dtype()))
    versions: dict[str, str] = dataclasses.field(default_factory=running_versions)

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("steps", 1), ("log_every", 1), ("report_every", 1),
                            ("threads", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name}: wants a whole number of at least {least}, got "
                                  f"{value!r}")
        if self.report_every % self.log_every:
            raise ConfigError(f"report_every must be a multiple of {self.log_every} (log_every), "
                              f"got {self.report_every}")

    def save(self, folder: Path) -> None:
        """Write ``config.json``."""
        text = json.dumps(dataclasses.asdict(self), indent=2) + "\n"
        write_atomically(folder / "config.json", lambda file: file.write(text.encode()))

    @staticmethod
    def load(folder: Path) -> RunConfig:
        """Read ``config.json``.

        Raises
        ------
        RunError
            If the folder is no run, or the file is damaged.
        """
        path = folder / "config.json"
        try:
            return RunConfig(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            what = "has no config.json, so it is no run" if folder.is_dir() else "no such folder"
            raise RunError(f"{folder}: {what}") from None
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{path}: damaged ({error})") from error

    def refuse_other(self, given: Mapping[str, tuple[Any, Any]]) -> None:
        """Raise ConfigError unless each pair (of the run, given) is equal; both are shown."""
        wrong = [f"{name}: the run has {mine!r}, given was {other!r}"
                 for name, (mine, other) in given.items() if mine != other]
        if wrong:
            raise ConfigError(f"this run cannot go on with other settings: {'; '.join(wrong)}")


# ------------------------------------------------------------------------------------------ files


def new_run_folder(parent: Path, name: str) -> Path:
    """Make and return ``parent/name``, or ``name-2``, ``name-3`` ...: nothing is overwritten."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
        except NotADirectoryError:
            raise RunError(f"cannot make the run folder {folder}: {parent} is no folder") from None
        except OSError as error:
            raise RunError(f"cannot make the run folder {folder}: {error.strerror}") from error


class _Log:
    """``log.csv``: rows go to the file at once, and to the disk before each checkpoint.

    The file is opened for each row, so nothing stays open whatever happens to the run.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, list(columns)
        self.rows: list[dict[str, float]] = []

    def start(self) -> None:
        """Begin a new file with the names of the columns."""
        self.path.unlink(missing_ok=True)
        self._write(",".join(self.columns))

    def resume(self, step: int) -> None:
        """Read the rows up to ``step``, cut off all others, and go on behind them."""
        content = self.path.read_bytes()
        kept = 0
        lines = content.splitlines(keepends=True)
        if not lines or lines[0].decode().strip().split(",") != self.columns:
            raise RunError(f"{self.path}: damaged: wanted the columns {','.join(self.columns)}")
        for line in lines:
            if kept:
                row = self._parse(line)
                if row is None or row["step"] > step:
                    break
                self.rows.append(row)
            kept += len(line)
        os.truncate(self.path, kept)

    def _parse(self, line: bytes) -> dict[str, float] | None:
        """One row; None if it was cut off while it was written."""
        cells = line.decode(errors="replace").rstrip("\n").split(",")
        if not line.endswith(b"\n") or len(cells) != len(self.columns):
            return None
        try:
            return {name: float(cell) if cell else math.nan
                    for name, cell in zip(self.columns, cells, strict=True)}
        except ValueError:
            return None

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row; numbers that it lacks stay empty."""
        self.rows.append({name: row.get(name, math.nan) for name in self.columns})
        self._write(",".join(_cell(row.get(name)) for name in self.columns))

    def _write(self, line: str) -> None:
        data = f"{line}\n".encode()
        with open(self.path, "ab", buffering=0) as file:
            if file.write(data) != len(data):  # a full disk may take a part only
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def sync(self) -> None:
        """Bring the rows to the disk."""
        with open(self.path, "ab") as file:
            os.fsync(file.fileno())

    def table(self) -> dict[str, list[float]]:
        """The columns, with NaN where a number was not measured."""
        return {name: [row[name] for row in self.rows] for name in self.columns}


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.9g}"


def read_log(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's log, as far as they are whole."""
    text = (folder / "log.csv").read_text(encoding="utf-8")
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        with contextlib.suppress(TypeError, ValueError):
            rows.append({name: float(cell) if cell else math.nan for name, cell in row.items()})
    return rows


def load_checkpoint(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata of the checkpoint of a run.

    Raises
    ------
    CheckpointError
        If it is missing, damaged or not of a run.
    """
    path = folder / "checkpoint.npz"
    arrays, meta = load(path)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT or "pending" not in arrays:
        raise CheckpointError(f"{path}: no checkpoint of a run, or one of another version")
    return arrays, meta


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a run's folder."""
    for path in [*folder.glob(".*.tmp"), *folder.glob("samples/.*.tmp")]:
        path.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------- samples


def draw_samples(model: Any, n: int, generator: np.random.Generator) -> np.ndarray:
    """``n`` samples of the model on the host, without a trace in training.

    They are made in pieces, and minigrad's own generator is left as it was.
    """
    previous = random.set_generator(generator)
    try:
        parts = [model.sample(min(CHUNK, n - start), generator).numpy()
                 for start in range(0, n, CHUNK)]
    finally:
        random.set_generator(previous)
    return np.concatenate(parts)


class SampleLook(ModelJudge):
    """A judge of samples as a judge of the model that makes them from noise, the same each time.

    Raises
    ------
    FloatingPointError
        If samples are not finite.
    """

    def __init__(self, judge: Judge, data: TrainingData) -> None:
        self.judge, self.data = judge, data
        self.perfect = judge.perfect
        self._real_spread = spread(real_rows(data, 256))

    def live(self, model: Any, seed: int) -> dict[str, float]:
        return self.judge.live(self._samples(model, self.judge.live_samples, (seed, 3)))

    def spread(self, model: Any, seed: int) -> float:
        real = self._real_spread
        return spread(self._samples(model, SPREAD_ROWS, (seed, 4))) / real if real else 1.0

    def draw(self, model: Any, path: Path, seed: int) -> None:
        toy = self.data.toy
        samples = self._samples(model, GRID if toy is None else TOY_GRID, (seed, 2))
        save_picture(path, samples, self.data.shape,
                     None if toy is None else real_rows(self.data, TOY_GRID),
                     None if toy is None else toy.centres)

    def evaluate(self, model: Any, n: int, seed: int) -> Evaluation:
        return self.judge.evaluate(self._samples(model, n, seed))

    @staticmethod
    def _samples(model: Any, n: int, seed: int | tuple[int, int]) -> np.ndarray:
        samples = draw_samples(model, n, np.random.default_rng(seed))
        if not np.isfinite(samples).all():
            raise FloatingPointError("samples are not finite")
        return samples


def look(judge: Judge | ModelJudge, data: TrainingData) -> ModelJudge:
    """The judge itself if it judges models, else as one that does."""
    return judge if isinstance(judge, ModelJudge) else SampleLook(judge, data)


def save_picture(path: Path, samples: np.ndarray, data_shape: Sequence[int],
                 real: np.ndarray | None = None, centres: np.ndarray | None = None) -> None:
    """A grid of images, or a scatter plot of points over real ones."""
    if len(data_shape) == 1:
        plots.save_scatter(path, samples, real, centres)
    else:
        scale = max(1, 700 // (10 * (data_shape[-1] + 1)))
        plots.save_grid(path, plots.to_images(samples), columns=10, scale=scale)


# --------------------------------------------------------------------------------------- the loop


def announce_steps(model: Any, steps: int) -> None:
    """Tell a model that has schedules how many steps the run has."""
    if hasattr(model, "set_total_steps"):
        model.set_total_steps(steps)


class Trainer:
    """One run, in one folder.

    Parameters
    ----------
    model : Any
        Newly built after ``manual_seed(config.seed)``; see the module's docstring.
    data : TrainingData
    judge : Judge
        Measures the samples at every report.
    config : RunConfig
    folder : Path
        The run's folder. ``start`` wants it empty, ``resume`` wants a run in it.
    checkpoint_seconds : float
        Seconds between two checkpoints; a run also saves at its start, at its end and when it is
        stopped.
    progress : bool
        Whether to show a progress bar on the error stream.

    Attributes
    ----------
    step : int
        Steps that were done.
    seconds : float
        Time spent in ``run``, over all sessions.
    diagnoses : list of str
        What the monitor found.
    """

    def __init__(self, model: Any, data: TrainingData, judge: Judge | ModelJudge, config: RunConfig,
                 folder: Path, *, checkpoint_seconds: float = CHECKPOINT_SECONDS,
                 progress: bool = True) -> None:
        use_threads(model, config.threads)
        self.model, self.data, self.config = model, data, config
        self.look = look(judge, data)
        self.folder, self.progress = Path(folder), progress
        self.checkpoint_seconds = checkpoint_seconds
        self.step, self.seconds = 0, 0.0
        self.diagnoses: list[str] = []
        self.monitor = Monitor()
        sets = model.datasets(data) if hasattr(model, "datasets") else [data.dataset]
        self.streams = [Stream(dataset, model.batch_size,
                               seed=np.random.SeedSequence((config.seed, 1, k)))
                        for k, dataset in enumerate(sets)]
        self._batches = self.streams[0] if len(sets) == 1 else _together(self.streams)
        announce_steps(model, config.steps)
        self._metrics: list[str] = []  # names of what train_step returns, in its order
        self._values: list[np.ndarray] = []  # of steps not yet in the log, on the host
        self._fresh: list[list[Any]] = []  # of the latest of these, still on the device
        self._step_seconds = 0.0  # spent in the steps that are not yet in the log
        self._latest: dict[str, float] = {}  # live metrics, for the progress bar
        self._log: _Log | None = None
        self._signal = 0

    # ---- starting

    def start(self) -> None:
        """Write the first files of a new run."""
        with self._clear_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "samples").mkdir(exist_ok=True)
            self.config.save(self.folder)
            self.save()

    def resume(self) -> None:
        """Go to where the checkpoint of this folder was taken.

        Raises
        ------
        CheckpointError
            If the checkpoint is missing or damaged.
        ConfigError
            If it belongs to another model or other data.
        RunError
            If the log is damaged.
        """
        remove_leftovers(self.folder)
        arrays, meta = load_checkpoint(self.folder)
        path = self.folder / "checkpoint.npz"
        if len(meta["streams"]) != len(self.streams):
            raise ConfigError(f"{path}: has {len(meta['streams'])} data sets, the model "
                              f"{len(self.streams)}")
        pending = arrays.pop("pending")
        load_state(self.model, arrays, meta["generators"])
        for stream, state in zip(self.streams, meta["streams"], strict=True):
            stream.set_state(state)
        random.set_state(meta["random"])
        self.monitor.set_state(meta["monitor"])
        self.step, self.seconds = meta["step"], meta["seconds"]
        self._step_seconds, self.diagnoses = meta["step_seconds"], meta["diagnoses"]
        self._latest = meta["latest"]
        self._metrics, self._values = meta["metrics"], [*pending]
        log = self.folder / "log.csv"
        if self._metrics:
            if not log.exists():
                raise RunError(f"{log}: the log of the first {self.step} steps is missing")
            self._log = _Log(log, self._columns())
            self._log.resume(self.step)
        else:
            log.unlink(missing_ok=True)

    @property
    def finished(self) -> bool:
        """Whether every step was done."""
        return self.step >= self.config.steps

    # ---- training

    def run(self) -> None:
        """Train to the last step.

        Raises
        ------
        TrainingDiverged
            If a number becomes NaN or infinite; the last checkpoint stays.
        Interrupted
            After SIGINT or SIGTERM; the run was saved.
        RunError
            If a file cannot be written; the last checkpoint stays.
        """
        with self._clear_errors(), self._signals(), self._bar() as bar:
            began, saved = time.perf_counter() - self.seconds, time.monotonic()
            if self.step == 0:
                self._report()
            while not self.finished:
                self._advance()
                self.seconds = time.perf_counter() - began
                due_report = self.step % self.config.report_every == 0 or self.finished
                if self.step % self.config.log_every == 0 or self.finished:
                    row = self._row()
                    if due_report:
                        row |= self._report()
                    if due_report or self.step % (SPREAD_EVERY * self.config.log_every) == 0:
                        row["spread"] = self._spread()
                    self._write(row, bar)
                    if due_report:
                        self._draw_curves()
                bar.update(1)
                due = time.monotonic() - saved >= self.checkpoint_seconds
                if due or self._signal or self.finished:
                    self.save()
                    saved = time.monotonic()
                if self._signal and not self.finished:
                    name = signal.Signals(self._signal).name
                    raise Interrupted(f"stopped by {name} at step {self.step:,} of "
                                      f"{self.config.steps:,}; saved", self._signal)

    def _advance(self) -> None:
        """One step; its numbers stay on the device."""
        began = time.perf_counter()
        result = self.model.train_step(self._batches)
        self.step += 1
        if not self._metrics:
            self._metrics = self._checked_names(result)
            self._log = _Log(self.folder / "log.csv", self._columns())
            self._log.start()
        elif list(result) != self._metrics:
            raise RunError(f"train_step returned {list(result)} at step {self.step}, before that "
                           f"{self._metrics}")
        self._fresh.append([value.cached_data for value in result.values()])
        self._step_seconds += time.perf_counter() - began

    def _checked_names(self, result: Any) -> list[str]:
        taken = {"step", "spread", *CLOCKS, *self.look.perfect}
        for name, value in result.items():
            if not isinstance(value, Tensor) or value.shape != ():
                got = value.shape if isinstance(value, Tensor) else type(value).__name__
                raise RunError(f"train_step: {name} must be a 0-d Tensor, got {got}")
            if name in taken or not re.fullmatch(r"\w+", name):
                raise RunError(f"train_step: {name!r} cannot be a column of the log")
        return list(result)

    def _columns(self) -> list[str]:
        return ["step", *self._metrics, "spread", *self.look.perfect, *CLOCKS]

    def _fetch(self) -> None:
        """Bring the numbers of the latest steps to the host, in one copy, and look for NaN."""
        if self._fresh:
            began = time.perf_counter()
            first = self._fresh[0][0]
            flat = array_module(first).stack([x for values in self._fresh for x in values])
            table = to_numpy(flat).astype(np.float64).reshape(len(self._fresh), -1)
            self._fresh.clear()
            self._values += [*table]
            self._step_seconds += time.perf_counter() - began
        for i, values in enumerate(self._values):
            if not np.isfinite(values).all():
                step = self.step - len(self._values) + i + 1
                self._diverged(step, dict(zip(self._metrics, values.tolist(), strict=True)))

    def _diverged(self, step: int, numbers: Mapping[str, float]) -> None:
        found = Monitor().update(step, numbers)
        name = found[0].reading if found else ""
        advice = found[0].advice if found else ""
        raise TrainingDiverged(
            f"step {step:,}: {name} is {numbers.get(name)}, so the training has diverged. {advice} "
            f"{self._last_good()}")

    def _last_good(self) -> str:
        try:
            step = load_checkpoint(self.folder)[1]["step"]
        except CheckpointError:
            return "There is no checkpoint."
        return f"The last good checkpoint is of step {step:,}, in {self.folder}."

    def _row(self) -> dict[str, float]:
        """The means of the steps that are not yet in the log."""
        self._fetch()
        means = np.stack(self._values).mean(axis=0)
        row = {"step": self.step, **dict(zip(self._metrics, means.tolist(), strict=True)),
               "seconds": round(self.seconds, 2),
               "ms_per_step": round(1000 * self._step_seconds / len(self._values), 3)}
        self._values, self._step_seconds = [], 0.0
        return row

    def _write(self, row: dict[str, float], bar: Any) -> None:
        """Put a row into the log, before the monitor and onto the progress bar."""
        watched = {name: row[name] for name in self._metrics}
        watched |= {name: row[name] for name in REPORTED if name in row}
        if "spread" in row:
            watched |= {"fake_spread": row["spread"], "real_spread": 1.0}
        for diagnosis in self.monitor.update(self.step, watched):
            self.diagnoses.append(str(diagnosis))
            bar.write(str(diagnosis), file=sys.stderr)
        self._log.append(row)
        bar.set_postfix_str(self._status(row), refresh=False)

    def _status(self, row: Mapping[str, float]) -> str:
        shown = {"d_real": "D(x)", "d_fake": "D(G(z))"}
        names = [name for name in shown if name in row] or self._metrics[:2]
        parts = [f"{shown.get(name, name)} {row[name]:.2f}" for name in names]
        parts += [f"{name} {value:.2f} (real {self.look.perfect[name]:.2f})"
                  for name, value in list(self._latest.items())[:1]]
        return ", ".join(parts)

    # ---- looking

    def _report(self) -> dict[str, float]:
        """Draw the picture and measure samples; the numbers go into the log's row."""
        seed = self.config.seed
        with self._finite():
            self.look.draw(self.model, self.folder / "samples" / f"step_{self.step:06d}.png", seed)
            try:
                self._latest = self.look.live(self.model, seed)
            except ValueError as error:
                raise RunError(f"step {self.step:,}: the samples cannot be measured: {error}. "
                               f"{self._last_good()}") from error
        return dict(self._latest)

    def _spread(self) -> float:
        """The mean distance of a few samples, as a share of that of real items."""
        with self._finite():
            return self.look.spread(self.model, self.config.seed)

    @contextlib.contextmanager
    def _finite(self) -> Iterator[None]:
        """NaN among samples stops the run."""
        try:
            yield
        except FloatingPointError:
            self._diverged(self.step, {"fake_spread": math.nan})

    def _draw_curves(self) -> None:
        drawn = {*plots.RUN_COLUMNS, *self.look.perfect}
        if self._log is not None and drawn & set(self._log.columns):
            plots.save_curves(self.folder / "curves.png", self._log.table(),
                              metrics=list(self.look.perfect), floors=self.look.perfect,
                              balance=getattr(self.model, "balance", None))

    # ---- saving

    def save(self) -> None:
        """Write the checkpoint; the previous one stays until the new one is on the disk.

        Raises
        ------
        TrainingDiverged
            If a number or an array of the model is not finite: such a state is never saved.
        CheckpointError
            If the file cannot be written.
        """
        self._fetch()
        arrays, generators = state_arrays(self.model)
        for path, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                self._diverged(self.step, {path: math.nan})
        arrays["pending"] = np.reshape(self._values, (len(self._values), len(self._metrics)))
        meta = {"format": FORMAT, "step": self.step, "seconds": self.seconds,
                "step_seconds": self._step_seconds, "metrics": self._metrics,
                "latest": self._latest, "generators": generators, "random": random.get_state(),
                "streams": [stream.state() for stream in self.streams],
                "monitor": self.monitor.state(), "diagnoses": self.diagnoses}
        if self._log is not None:
            self._log.sync()
        save(self.folder / "checkpoint.npz", arrays, meta)

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Turn failures of writing into a RunError that names the last checkpoint."""
        try:
            yield
        except (OSError, CheckpointError) as error:
            if isinstance(error, OSError):
                what = f"cannot write {error.filename or self.folder}: {error.strerror or error}"
            else:
                what = str(error)
            raise RunError(f"step {self.step:,}: {what}. {self._last_good()}") from error

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM is noted; the second one acts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._signal = 0
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, frame: Any) -> None:
            self._signal = number
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

        try:
            for number in before:
                signal.signal(number, note)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _bar(self) -> Any:
        terminal = sys.stderr.isatty()
        return tqdm(total=self.config.steps, initial=self.step, unit="step", smoothing=0.1,
                    disable=not self.progress, dynamic_ncols=terminal, file=sys.stderr,
                    mininterval=0.2 if terminal else 10.0, desc=self.config.model)


def _together(streams: Sequence[Stream]) -> Iterator[tuple[Any, ...]]:
    """One batch of every stream at a time."""
    while True:
        yield tuple(next(stream) for stream in streams)


# ----------------------------------------------------------------------------------------- budget


@dataclass(frozen=True)
class Plan:
    """How many steps fit into a budget, and what was measured to know it.

    Attributes
    ----------
    steps, report_every : int
    seconds_per_step, seconds_per_report : float
    """

    steps: int
    report_every: int
    seconds_per_step: float
    seconds_per_report: float


def plan(build: Callable[[], Any], data: TrainingData, judge: Judge | ModelJudge, config: RunConfig,
         budget: float) -> Plan:
    """Time a model that ``build`` makes, throw it away, and say how many steps ``budget`` holds.

    Parameters
    ----------
    budget : float
        Seconds for training, reports and checkpoints together.
    config : RunConfig
        ``steps`` and ``report_every`` do not matter.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Trainer(build(), data, judge, config, Path(folder), progress=False)
        trial.start()
        times: list[float] = []
        while len(times) < 20 or sum(times) < 1.0:
            began = time.perf_counter()
            trial._advance()
            times.append(time.perf_counter() - began)
        row = trial._row()
        with trial._bar() as bar:
            trial._write(row | trial._report(), bar)
        trial._draw_curves()
        began = time.perf_counter()
        trial._report()
        trial._draw_curves()
        trial.save()
        report = time.perf_counter() - began
    step = float(np.mean(np.sort(times)[: -max(1, len(times) // 10)]))  # without the hiccups
    wanted = max(LEAST_REPORTS, round(budget / REPORT_SECONDS))
    reports = max(1, min(wanted, int(REPORT_SHARE * budget / report)))
    steps = max(1, int((budget - (reports + 1) * report) / step))
    if steps > LOG_EVERY:
        steps -= steps % LOG_EVERY
    return Plan(steps, report_period(steps, reports), step, report)


def log_period(steps: int) -> int:
    """The steps of one row of the log."""
    return LOG_EVERY if steps >= 10 * LOG_EVERY else 1


def report_period(steps: int, reports: int = REPORTS) -> int:
    """The steps between two reports, so that there are about ``reports``."""
    row = log_period(steps)
    return row * max(1, math.ceil(steps / (reports * row)))
