"""The command line: ``gans list | train | sample | evaluate | interpolate | neighbours | ...``.

Every command is a dataclass whose fields are its options; tyro makes the parser and the help from
it. The options of ``gans train MODEL`` are those of ``Train`` and the settings of the model. Where
the settings start from depends on the data, so the line is read twice: first for the trainer's
options, then whole, with the right defaults.

What a user can do wrong ends in one line and exit code 2; a run that fails, in exit code 1. With
``--debug`` there is a traceback too.

Leaves out: a window to look at pictures in; they are files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import json
import math
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image

import minigrad
from minigrad import get_threads
from minigrad.data import DataError, to_uint8
from minigrad.data.download import DOWNLOADS, PICTURES, data_folders
from minigrad.serialize import CheckpointError, write_atomically

from . import latent, metrics, models, plots, pretrained, results, translation
from .classifier import load_classifier
from .evaluation import DIGITS, SAMPLES, Evaluation, TrainingData, judge, open_data
from .figures import FIGURES
from .toys import TOYS
from .trainer import (
    ConfigError,
    Interrupted,
    RunConfig,
    RunError,
    Trainer,
    announce_steps,
    draw_samples,
    load_checkpoint,
    load_state,
    log_period,
    look,
    new_run_folder,
    plan,
    read_log,
    report_period,
    use_threads,
)
from .translator import Direction, as_network, read_pictures, translated

__all__ = ["main"]

_TITLE = "minigrad's GANs: train, sample and measure them on a laptop."


class UsageError(ValueError):
    """A command line that cannot be meant."""


# ---------------------------------------------------------------------------------------- options


@dataclass
class Train:
    """How to train; the settings of the model are below."""

    data: str | None = None
    """digits (the default of most models), optdigits, emoji, a toy (gaussian, ring8, grid25,
    swissroll), a .npz or IDX file, or a folder of pictures; for models that translate, a task
    (gans list shows them) or a folder with trainA and trainB."""
    a: str | None = None
    """A folder of pictures, to be translated to those of --b and back."""
    b: str | None = None
    """The other folder."""
    budget: str | None = None
    """Time for the training, such as 90s, 3m or 1h; it becomes a number of steps."""
    steps: int | None = None
    """Number of steps, instead of a budget."""
    seed: int | None = None
    """Seed of all random numbers (0)."""
    resume: str | None = None
    """The folder of a run that shall go on."""
    threads: int | None = None
    """Threads of BLAS (what suits the model)."""
    out: Path | None = None
    """Folder of the run, which must not exist (runs/MODEL-DATA-seedSEED)."""
    paper: bool = False
    """Start from the paper's settings, not from those measured on laptops."""
    size: int | None = None
    """Side in pixels of pictures from a folder (32)."""
    grey: bool = False
    """Read pictures of a folder as grey."""
    report_every: int | None = None
    """Steps between two pictures with metrics."""
    checkpoint_seconds: float = 30.0
    """Seconds between two checkpoints."""


@dataclass
class Sample:
    """Write samples of a trained run to a file."""

    run: tyro.conf.Positional[str]
    """The folder of a run, or a generator (gans list shows their names)."""
    n: int | None = None
    """How many (2000; 100 if numbered)."""
    seed: int = 0
    """Seed of their noise."""
    out: Path | None = None
    """A .npz file: key images, uint8 (N,H,W) or (N,H,W,3); points: key samples, float32 (N,2)
    (samples.npz; samples.png if numbered)."""
    numbered: bool = False
    """Draw a picture with the number of each sample instead, for gans arithmetic."""


@dataclass
class Evaluate:
    """Measure a trained run; every score stands beside that of real data."""

    run: tyro.conf.Positional[str]
    """The folder of a run, or a generator (gans list shows their names)."""
    n: int = SAMPLES
    """How many samples to measure."""
    seed: int = 0
    """Seed of their noise."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass
class Translate:
    """Translate pictures by a trained run, each into a file of its own."""

    run: tyro.conf.Positional[str]
    """The folder of a run."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures, or folders of pictures."""
    out: Path = Path("translated")
    """The folder for the translations; what is there already is not overwritten."""
    back: bool = False
    """From B to A instead of from A to B."""
    size: int | None = None
    """Side in pixels of the squares that are translated (that of training)."""


@dataclass
class Interpolate:
    """Draw images on the way from one latent vector to another, and measure how they change."""

    run: tyro.conf.Positional[str]
    """The folder of a run, or a generator (gans list shows their names)."""
    path: tyro.conf.EnumChoicesFromValues[latent.Interpolation | None] = None
    """slerp: along the sphere; lerp: straight (slerp if the noise is Gaussian)."""
    rows: int = 8
    """Paths: from sample 0 to 1, from 2 to 3 ..."""
    steps: int = 10
    """Images of a path, both ends included."""
    seed: int = 0
    """Seed of the noise."""
    out: Path | None = None
    """A .png file (RUN/interpolation.png)."""


@dataclass
class Neighbours:
    """Draw samples beside the training images nearest to them: does the model copy?"""

    run: tyro.conf.Positional[str]
    """The folder of a run, or a generator (gans list shows their names)."""
    n: int = 10
    """Samples, one in a row."""
    k: int = 7
    """Nearest training images of each."""
    features: bool = False
    """Compare features of the digit classifier, not pixels."""
    seed: int = 0
    """Seed of the noise."""
    out: Path | None = None
    """A .png file (RUN/neighbours.png)."""


@dataclass
class Arithmetic:
    """Draw mean(a) - mean(b) + mean(c), the means of the latent vectors of three groups."""

    run: tyro.conf.Positional[str]
    """The folder of a run, or a generator (gans list shows their names)."""
    a: str
    """Numbers of samples such as 3,17,42 (gans sample RUN --numbered shows them) or, for digits,
    words such as "thick 3": a digit and one of thick, thin, left, right (the way it leans)."""
    b: str
    """The group that is taken away, such as "thin 3"."""
    c: str
    """The group to which the difference is added, such as "thin 7"."""
    members: int = 10
    """Samples of a group that is given in words."""
    pool: int = 5000
    """Samples among which these are looked for."""
    noise: float = 0.25
    """Noise added for the eight images around the result."""
    seed: int = 0
    """Seed of the samples and of this noise."""
    out: Path | None = None
    """A .png file (RUN/arithmetic.png)."""


@dataclass
class Animate:
    """Make an animated GIF of the pictures that a run drew while it learned."""

    run: tyro.conf.Positional[str]
    """The folder of the run."""
    fps: float = 4.0
    """Pictures in a second."""
    width: int | None = None
    """Pixels (those of the pictures)."""
    out: Path | None = None
    """A .gif file (RUN/animation.gif)."""


@dataclass
class Export:
    """Write the generator of a run to a small file: weights in float16, nothing else of the run."""

    run: tyro.conf.Positional[str]
    """The folder of the run."""
    out: Path | None = None
    """A .npz file (MODEL-DATA.npz)."""


@dataclass
class Info:
    """Say what a run is and how far it got."""

    run: tyro.conf.Positional[str]
    """The folder of a run, or a generator (gans list shows their names)."""


@dataclass
class FigureOptions:
    """Draw a figure of the notebooks; without a name, list them."""

    name: tyro.conf.Positional[str | None] = None
    """Its name."""
    out: Path | None = None
    """A .png file (NAME.png)."""


@dataclass
class Results:
    """Run what is missing in the table of results, and write docs/results.md."""

    name: tyro.conf.Positional[str | None] = None
    """One row of the table; all rows without it."""
    write_only: bool = False
    """Run nothing, only write the page from the finished rows."""


@dataclass
class List:
    """List the models and the data."""


# --------------------------------------------------------------------------------------- commands


def list_command(argv: Sequence[str]) -> None:
    """``gans list``"""
    _parse(List, argv, "gans list")
    print("models (gans train MODEL):")
    for name, cls in models.MODELS.items():
        print(f"  {name:11} {models.summary(cls)} [{_duration(cls.default_budget)} by default]")
    if pretrained.names():
        print("trained generators (gans sample NAME):")
    for name in pretrained.names():
        found = pretrained.load_generator(name)
        print(f"  {name:15} {found.config.model} on {found.data_name}, step {found.step:,}")
    print("data to translate (--data TASK):")
    for text, tasks in (("cyclegan", translation.COLLECTIONS), ("pix2pix", translation.PAIRS)):
        print(f"  {text:10} {', '.join(tasks)}")
    print(f"  {'':10} or two folders of pictures: --a FOLDER --b FOLDER")
    print(f"  {'downloads':10} {', '.join(PICTURES)}, on first use")
    print("data (--data DATA):")
    print("  digits     28x28 grey, 8,000 and 1,000 for testing; optdigits 8x8; emoji 32x32 colour")
    print(f"  {'toys':10} {', '.join(TOYS)}: points in the plane")
    print(f"  {'downloads':10} {', '.join(DOWNLOADS)}, on first use")
    for folder in data_folders(None):
        print(f"  {'files':10} {', '.join(sorted(x.stem for x in folder.glob('*.npz')))}, "
              f"in {folder}")
    print("  or the path of a .npz file, an IDX file or a folder of pictures")


def train_command(argv: Sequence[str]) -> None:
    """``gans train MODEL``"""
    name, rest = (argv[0], list(argv[1:])) if argv and not argv[0].startswith("-") \
        else (None, list(argv))
    wants_help = {"-h", "--help"} & set(rest)
    first = [x for x in rest if x not in ("-h", "--help")]
    options, _ = _parse(Train, first, "gans train", unknown_allowed=True)
    folder = None if options.resume is None else _run_folder(options.resume)
    config = None if folder is None else RunConfig.load(folder)
    if name is None and config is None:
        if not wants_help:
            raise UsageError("gans train: which model? For example: gans train gan (gans list "
                             "shows all)")
        name = next(iter(models.MODELS))
    cls = models.model_class(name or config.model)
    if config is not None:
        config.refuse_other({"model": (config.model, cls.name)})
    data = _data(options, config, cls)
    if config is not None:
        base = models.settings_from_json(cls, config.settings)
    else:
        make = models.paper_settings if options.paper else models.laptop_settings
        base = make(cls, data)
    options, values = _parse_train(cls, rest, base)
    if config is not None:
        trainer = _resumed(folder, config, cls, data, options, base, values)
    else:
        trainer = _started(cls, data, options, base, values)
    _train(trainer)


def _parse_train(
    cls: type, argv: Sequence[str], base: Mapping[str, Any]
) -> tuple[Train, dict[str, Any]]:
    """The whole command line: the trainer's options, and the model's settings from ``base`` on."""
    fields = type(cls.__name__, (cls,), {"__post_init__": lambda self: None,  # settings, no nets
                                         "__doc__": cls.__doc__})
    both = dataclasses.make_dataclass("Both", [
        ("train", tyro.conf.OmitArgPrefixes[Train]), ("model", tyro.conf.OmitArgPrefixes[fields])])
    found = _parse(both, argv, f"gans train {cls.name}", both(Train(), fields(**base)))
    return found.train, models.settings(found.model)


def _data(options: Train, config: RunConfig | None, cls: type) -> TrainingData:
    """The data that the command line asks for, else those of the run."""
    opener = getattr(cls, "open_data", open_data)
    given = {"spec": _spec(options, cls), "size": options.size, "grey": options.grey or None}
    usual = {"spec": getattr(cls, "default_data", "digits"), "size": 32, "grey": False}
    of_run = usual if config is None else config.data
    spec, size, grey = (of_run[key] if value is None else value for key, value in given.items())
    if size < 1:
        raise UsageError(f"--size: wants at least 1 pixel, got {size}")
    data = opener(spec, size=size, grey=grey)
    if config is not None:
        now = data.describe()
        config.refuse_other({key: (config.data[key], now[key])
                             for key in ("name", "shape", "items", "sha256")})
    return data


def _spec(options: Train, cls: type) -> str | None:
    """What --data, or --a and --b, name."""
    folders = [options.a, options.b]
    if folders == [None, None]:
        return options.data
    if None in folders or options.data is not None:
        raise UsageError("--a and --b go together, and without --data")
    if getattr(cls, "open_data", None) is not translation.open_collections:
        raise UsageError(f"--a and --b: {cls.name} does not translate between two folders; "
                         "cyclegan does")
    return translation.MARK.join(folders)


def _started(cls: type, data: TrainingData, options: Train, base: Mapping[str, Any],
             values: Mapping[str, Any]) -> Trainer:
    """A new run, its folder made and its number of steps fixed."""
    if options.steps is not None and options.budget is not None:
        raise UsageError("--steps and --budget exclude each other; give one")
    if tuple(values["data_shape"]) != data.shape:
        raise UsageError(f"--data-shape {values['data_shape']}: the data have shape {data.shape}")
    seed = options.seed or 0
    usual = getattr(cls, "default_threads", get_threads())
    threads = min(usual, get_threads()) if options.threads is None else options.threads
    steps = 1 if options.steps is None else options.steps
    period = report_period(max(1, steps)) if options.report_every is None else options.report_every
    config = RunConfig(cls.name, models.settings_to_json(values), data.describe(), seed, steps,
                       log_period(max(1, steps)) if options.steps is not None else 1, period,
                       threads, options.paper)
    for note in data.notes:
        _say(f"note: {note}")
    referee = judge(data)

    def build() -> Any:
        return models.build(cls, values, seed)

    if options.steps is None:
        budget = cls.default_budget if options.budget is None else _seconds(options.budget)
        use_threads(cls, threads)
        found = plan(build, data, referee, config, budget)
        config = dataclasses.replace(
            config, steps=found.steps, log_every=log_period(found.steps),
            report_every=options.report_every or found.report_every)
        _say(f"timed: {1000 * found.seconds_per_step:.2f} ms a step, so {_duration(budget)} hold "
             f"{found.steps:,} steps")
    command = _repeat(cls, data, config, options, base, values)
    config = dataclasses.replace(config, command=command)
    folder = options.out
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder}: exists already; give a new folder, or --resume it")
    trainer = Trainer(build(), data, referee, config, folder or Path("runs"),
                      checkpoint_seconds=options.checkpoint_seconds)
    if folder is None:  # made last: what cannot be built leaves no folder behind
        trainer.folder = new_run_folder(Path("runs"), f"{cls.name}-{data.name}-seed{seed}")
    _say(f"run: {trainer.folder}")
    if hasattr(referee, "sheet") and len(data.shape) == 3:
        trainer.folder.mkdir(parents=True, exist_ok=True)
        referee.sheet(trainer.folder / "data.png", trainer.model.datasets(data))
        _say(f"what the network will see: {trainer.folder / 'data.png'}")
    _say(f"to repeat it exactly: {command}")
    trainer.start()
    return trainer


def _resumed(folder: Path, config: RunConfig, cls: type, data: TrainingData, options: Train,
             base: Mapping[str, Any], values: Mapping[str, Any]) -> Trainer:
    """The run in ``folder`` as its checkpoint left it; whatever was given must agree with it."""
    if options.budget is not None:
        raise UsageError(f"--budget: the run in {folder} has its {config.steps:,} steps fixed; "
                         "leave --budget out")
    longer = options.steps is not None and options.steps > config.steps
    given = {"seed": options.seed, "steps": None if longer else options.steps,
             "report_every": options.report_every, "paper": options.paper or None}
    if options.out is not None and options.out.resolve() != folder.resolve():
        given["out"] = str(options.out)
    config.refuse_other({
        **{name: (getattr(config, name, str(folder)), value)
           for name, value in given.items() if value is not None},
        **{name: (base[name], values[name]) for name in base}})
    here = config
    now = RunConfig(config.model, {}, {}, 0, 1, 1, 1, 1)
    config.refuse_other({"device": (config.device, now.device), "dtype": (config.dtype, now.dtype)})
    if now.versions != config.versions:
        changed = [f"{name} {config.versions.get(name)} then, {version} now"
                   for name, version in now.versions.items()
                   if version != config.versions.get(name)]
        _say(f"note: {'; '.join(changed)}: the last bits may differ from an uninterrupted run")
    if options.threads is not None and options.threads != config.threads:
        _say(f"note: {options.threads} threads, the run had {config.threads}: the last bits may "
             "differ from an uninterrupted run")
        here = dataclasses.replace(config, threads=options.threads)
    elif options.threads is None and config.threads > get_threads():
        raise ConfigError(f"threads: the run has {config.threads}, this machine {get_threads()}; "
                          f"to go on all the same, give --threads {get_threads()} (or "
                          f"{config.threads}, which is exact but slow)")
    if longer:
        _say(f"note: {options.steps:,} steps, the run had {config.steps:,}; schedules, if any, are "
             "those of the new number")
        command = config.command.replace(f"--steps {config.steps} ", f"--steps {options.steps} ")
        here = dataclasses.replace(here, steps=options.steps, command=command)
    trainer = Trainer(models.build(cls, values, config.seed), data, judge(data), here, folder,
                      checkpoint_seconds=options.checkpoint_seconds)
    trainer.resume()
    if here != config:
        here.save(folder)
    if trainer.finished:
        _say(f"the run in {folder} is finished: all {config.steps:,} steps were done")
    else:
        _say(f"going on with step {trainer.step + 1:,} of {config.steps:,} in {folder}")
    return trainer


def _train(trainer: Trainer) -> None:
    """Run to the end, then say how good it is and what to do next."""
    folder, config = trainer.folder, trainer.config
    resume = f"gans train {config.model} --resume {shlex.quote(str(folder))}"
    if not trainer.finished:
        try:
            trainer.run()
        except Interrupted as error:
            raise Interrupted(f"{error}. To go on: {resume}", error.number) from error
        except RunError as error:
            raise type(error)(f"{error} To go on from the checkpoint: {resume}") from error
    evaluation = _evaluate(trainer.model, trainer.data, SAMPLES, 0)
    _keep(folder, evaluation, 0)
    print(f"trained {config.model} on {trainer.data.name}: {config.steps:,} steps in "
          f"{_duration(trainer.seconds)}")
    print("\n".join(evaluation.lines()))
    run = shlex.quote(str(folder))
    last = sorted((folder / "samples").glob("step_*.png"))[-1:]
    print(f"pictures: {', '.join(map(str, [*last, folder / 'curves.png']))}")
    translates = hasattr(trainer.model, "translate")
    use = f"gans translate {run} PICTURES --out FOLDER" if translates else (
        f"gans sample {run} --n 2000 --out samples.npz")
    print(f"next: {use} | gans evaluate {run} | gans info {run}")
    print(f"to repeat it exactly: {config.command}")
    for text in trainer.diagnoses:
        print(f"monitor: {text}")


def sample_command(argv: Sequence[str]) -> None:
    """``gans sample RUN``"""
    options = _parse(Sample, argv, "gans sample")
    config, model, _, step = _trained(options.run)
    if not hasattr(model, "sample"):
        raise UsageError(f"{options.run}: {config.model} translates images and makes none from "
                         f"noise: gans translate {options.run} IMAGES")
    usual, ending = (100, ".png") if options.numbered else (SAMPLES, ".npz")
    n = usual if options.n is None else options.n
    out = _file(options.out, Path("samples"), ending)
    _whole("n", n, most=1000 if options.numbered else None)
    _whole("seed", options.seed, 0)
    points = len(config.data["shape"]) == 1
    if options.numbered and points:
        raise UsageError(f"--numbered: {options.run} makes points in the plane, not images")
    samples = draw_samples(model, n, np.random.default_rng(options.seed))
    if options.numbered:
        picture = _tiles(to_uint8(samples), [str(i) for i in range(n)], columns=min(n, 20))
        _write_picture(out, picture)
        what = f"{n:,} numbered samples of seed {options.seed}"
    else:
        arrays = {"samples": samples.astype(np.float32)} if points \
            else {"images": to_uint8(samples)}
        write_atomically(out, lambda file: np.savez_compressed(file, **arrays))
        (key, array), = arrays.items()
        what = f"{key} {array.dtype} {array.shape}"
    print(f"{out}: {what}, from step {step:,} of {options.run}")


def evaluate_command(argv: Sequence[str]) -> None:
    """``gans evaluate RUN``"""
    options = _parse(Evaluate, argv, "gans evaluate")
    config, model, folder, step = _trained(options.run)
    _whole("n", options.n, 128)
    _whole("seed", options.seed, 0)
    data = _data(Train(), config, models.model_class(config.model))
    evaluation = _evaluate(model, data, options.n, options.seed)
    if folder is not None:
        _keep(folder, evaluation, options.seed)
    if options.json:
        print(json.dumps(evaluation.to_json(), indent=2))
    else:
        print(f"{folder or options.run}: step {step:,} of {config.steps:,}, samples from seed "
              f"{options.seed}")
        print("\n".join(evaluation.lines()))


def translate_command(argv: Sequence[str]) -> None:
    """``gans translate RUN IMAGES``"""
    options = _parse(Translate, argv, "gans translate")
    config, model, _, step = _trained(options.run)
    direction = Direction.B_TO_A if options.back else Direction.A_TO_B
    if direction not in getattr(model, "directions", ()):
        what = "goes from A to B only" if hasattr(model, "directions") else (
            "makes images from noise and translates none: gans sample")
        raise UsageError(f"{options.run}: {config.model} {what}")
    if len(model.data_shape) == 1:
        raise UsageError(f"{options.run}: translates points in the plane, not pictures")
    channels, side, _ = model.data_shape
    size = side if options.size is None else options.size
    _whole("size", size, 16, most=4096)
    if size % 4:
        raise UsageError(f"--size: wants a multiple of 4, got {size}")
    if not options.images:
        raise UsageError("gans translate: which pictures? gans translate RUN PICTURE...")
    names, images = read_pictures(options.images, size=size, grey=channels == 1)
    files = [options.out / f"{name}.png" for name in names]
    taken = [file for file in files if file.exists()]
    if taken:
        raise UsageError(f"--out {options.out}: {taken[0].name} is there already; give another "
                         "folder")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a file, wanted a folder")
    options.out.mkdir(parents=True, exist_ok=True)
    fakes = to_uint8(np.clip(translated(model, as_network(images), direction), -1, 1))
    for file, fake in zip(files, fakes, strict=True):
        picture = Image.fromarray(fake)
        write_atomically(file, lambda target, picture=picture: picture.save(target, format="png"))
    print(f"{options.out}: {len(names)} picture{'s' * (len(names) != 1)} of {size} x {size}, "
          f"{' to '.join(direction.value.upper())}, by step {step:,} of {options.run}")


def interpolate_command(argv: Sequence[str]) -> None:
    """``gans interpolate RUN``"""
    options = _parse(Interpolate, argv, "gans interpolate")
    _, model, folder, step = _decoder(options.run)
    out = _file(options.out, folder / "interpolation", ".png")
    rows, steps = options.rows, options.steps
    _whole("rows", rows, most=100)
    _whole("steps", steps, 3, most=100)
    _whole("seed", options.seed, 0)
    z = latent.latents(model, 2 * rows, np.random.default_rng(options.seed))
    kind = options.path or latent.natural_interpolation(
        latent.latents(model, 1000, np.random.default_rng(0)))
    paths = [latent.path(z[2 * i], z[2 * i + 1], steps, kind) for i in range(rows)]
    images = latent.decode(model, np.concatenate(paths))
    found = latent.evenness(images.reshape(rows, steps, -1))
    _write_picture(out, _tiles(to_uint8(images), columns=steps))
    print(f"{out}: {rows} {kind.value} paths of {steps} images, samples 0 to {2 * rows - 1} of "
          f"seed {options.seed}, from step {step:,}")
    print(f"largest step / mean step: {found.ratio:.2f} on the worst path (row {found.row + 1}, "
          f"after image {found.step + 1}), {found.typical:.2f} on a typical one")
    print(f"  1 is even; {steps - 1} is a single jump, as of a model that knows the ends and "
          "nothing between")


def neighbours_command(argv: Sequence[str]) -> None:
    """``gans neighbours RUN``"""
    options = _parse(Neighbours, argv, "gans neighbours")
    config, model, folder, step = _decoder(options.run)
    out = _file(options.out, folder / "neighbours", ".png")
    if options.features and not _is_digits(config):
        raise UsageError(f"--features: the digit classifier knows nothing of {config.data['name']}")
    _whole("n", options.n, most=100)
    _whole("k", options.k, most=min(30, config.data["items"]))
    _whole("seed", options.seed, 0)
    data = _data(Train(), config, models.model_class(config.model))
    look = load_classifier().features if options.features else lambda images: images
    samples = to_uint8(draw_samples(model, max(SAMPLES, options.n),
                                    np.random.default_rng(options.seed)))
    shown, train = samples[:options.n], look(data.train)
    index, distance = latent.nearest_neighbours(look(shown), train, options.k)
    lines = _copying(look(samples[:SAMPLES]), train,
                     None if data.held_out is None else look(data.held_out))
    images = np.concatenate([shown[:, None], data.train[index]], axis=1)
    captions = [text for i in range(options.n)
                for text in (f"sample {i}", *(f"{x:.2f}" for x in distance[i]))]
    space = "features" if options.features else "pixels from 0 to 1"
    picture = _tiles(images.reshape(-1, *images.shape[2:]), captions, columns=options.k + 1,
                     first_apart=True)
    _write_picture(out, plots.with_caption(picture, f"left: generated. Right: the nearest training "
                                                    f"images and their distances ({space})"))
    print(f"{out}: {options.n} samples of seed {options.seed}, from step {step:,}; nearest of "
          f"{len(train):,} training images, Euclidean on {space}")
    for i in range(options.n):
        print(f"  sample {i:3}  " + "  ".join(
            f"{x:.2f} (image {j})" for j, x in zip(index[i], distance[i], strict=True)))
    print("\n".join(lines))


def _copying(samples: np.ndarray, train: np.ndarray, held_out: np.ndarray | None) -> list[str]:
    """What the nearest-neighbour ratio says, beside that of real, unseen images."""
    if held_out is None or len(held_out) < 16:
        return ["there are no held-back images, so copying cannot be measured"]
    half = len(held_out) // 2
    try:
        ratio = metrics.nearest_neighbour_ratio(samples, train, held_out)
        real = metrics.nearest_neighbour_ratio(held_out[:half], train, held_out[half:])
    except ValueError as error:
        raise RunError(f"copying cannot be measured: {error}") from error
    return [f"nearest neighbours, train/unseen, of {len(samples):,} samples: {ratio:.2f}; of real "
            f"data: {real:.2f}", "  1 is ideal; copies of training images give 0"]


def arithmetic_command(argv: Sequence[str]) -> None:
    """``gans arithmetic RUN``"""
    options = _parse(Arithmetic, argv, "gans arithmetic")
    config, model, folder, step = _decoder(options.run)
    out = _file(options.out, folder / "arithmetic", ".png")
    _whole("members", options.members, most=100)
    _whole("pool", options.pool, most=100_000)
    _whole("seed", options.seed, 0)
    if not 0 <= options.noise < math.inf:
        raise UsageError(f"--noise: wants a number of at least 0, got {options.noise}")
    wishes = {name: _group(name, getattr(options, name), config) for name in "abc"}
    numbers = [i for wish in wishes.values() if isinstance(wish, list) for i in wish]
    draw = max([i + 1 for i in numbers] + [options.pool] * _is_digits(config))
    z = latent.latents(model, draw, np.random.default_rng(options.seed))
    pool = latent.JudgedDigits.of(to_uint8(latent.decode(model, z))) if _is_digits(config) else None
    groups = {name: wish if isinstance(wish, list) else _best(name, wish, pool, options)
              for name, wish in wishes.items()}
    means, result = latent.arithmetic(*(z[group] for group in groups.values()))
    around = latent.surround(result, 9, options.noise, np.random.default_rng((options.seed, 1)))
    mean_images, results = (to_uint8(latent.decode(model, x)) for x in (means, around))

    titles = [name if isinstance(wish, list) else str(wish) for name, wish in wishes.items()]
    rows = []
    for i, group in enumerate(groups.values()):
        members = to_uint8(latent.decode(model, z[group]))
        mean = _tiles(mean_images[i:i + 1], [f"mean of {titles[i]}"], columns=1, enlarge=2)
        members = _tiles(members, [str(j) for j in group], columns=min(len(group), 5))
        rows.append(plots.side_by_side([plots.sign(" -+"[i], mean), mean, members], gap=12))
    picture = plots.stacked(rows, gap=12)
    answer = _tiles(results, columns=3, enlarge=2)
    answer = plots.with_caption(answer, "the result, and with noise around it")
    picture = plots.side_by_side([picture, plots.sign("=", picture), answer], gap=12)
    _write_picture(out, picture)

    print(f"{out}: mean({titles[0]}) - mean({titles[1]}) + mean({titles[2]}), seed {options.seed}, "
          f"from step {step:,}")
    for (name, group), title in zip(groups.items(), titles, strict=True):
        print(f"  {name}: {title + ', ' if title != name else ''}samples "
              f"{', '.join(map(str, group))}")
    if pool is not None:
        all_wishes = [wish for wish in wishes.values() if isinstance(wish, latent.Wish)]
        wanted = latent.result_of(*all_wishes) if len(all_wishes) == 3 else None
        print("\n".join(_opinion(mean_images, results, titles, wanted, pool)))


def _group(name: str, text: str, config: RunConfig) -> list[int] | latent.Wish:
    """What ``--a``, ``--b`` or ``--c`` asks for."""
    numbers = latent.parse_numbers(text)
    if numbers is not None:
        _whole(name, max(numbers), 0, most=100_000)
        return numbers
    if not _is_digits(config):
        raise UsageError(f"--{name} {text}: wants numbers of samples such as 3,17,42; words are "
                         f"understood for digits only, and this run is of {config.data['name']}")
    try:
        return latent.Wish.parse(text)
    except ValueError as error:
        raise UsageError(f"--{name} {text}: {error}; for example \"thick 3\", or numbers of "
                         "samples such as 3,17,42") from error


def _best(name: str, wish: latent.Wish, pool: latent.JudgedDigits, options: Arithmetic
          ) -> list[int]:
    try:
        return pool.best(wish, options.members).tolist()
    except ValueError as error:
        raise UsageError(f"--{name} {wish}: {error}; take fewer --members or a larger --pool, or "
                         "train longer") from error


def _opinion(means: np.ndarray, results: np.ndarray, titles: Sequence[str],
             wanted: latent.Wish | None, pool: latent.JudgedDigits) -> list[str]:
    """What the classifier and the measures say of the means and of the nine results."""
    middle = len(results) // 2
    judged = latent.JudgedDigits.of(np.concatenate([means, results]))
    names = [*(f"mean of {title}" for title in titles), "the result"]
    width = max(map(len, names))
    lines = [f"{'':{width + 2}}  classifier    stroke width (median)    slant (median)"]
    for name, i in zip(names, [0, 1, 2, 3 + middle], strict=True):
        digit = int(judged.probabilities[i].argmax())
        cells = [f"{judged.measures[key][i]:.2f} ({pool.median(key, digit):.2f})"
                 for key in ("width", "slant")]
        lines.append(f"  {name:{width}}  {digit} ({judged.probabilities[i, digit]:.2f})"
                     f"{cells[0]:>21}{cells[1]:>20}")
    lines.append("  median: of the samples that the classifier takes for the same digit")
    if wanted is None:
        return [*lines, "nothing plain is left of these words, so nothing can be checked"
                if all(title not in "abc" for title in titles) else
                "groups are given by numbers, so what is wanted is not known"]
    good = judged.meets(wanted, pool)[3:]
    rest = np.delete(good, middle)
    return [*lines, f"wanted: a {wanted}; the result is {'one' if good[middle] else 'none'}; of "
            f"{len(rest)} images with noise, {rest.sum()} are"]


def animate_command(argv: Sequence[str]) -> None:
    """``gans animate RUN``"""
    options = _parse(Animate, argv, "gans animate")
    folder = _run_folder(options.run)
    out = _file(options.out, folder / "animation", ".gif")
    if not 0.1 <= options.fps <= 50:  # NaN too; viewers show faster frames slowly
        raise UsageError(f"--fps: wants a number from 0.1 to 50, got {options.fps:g}")
    if options.width is not None:
        _whole("width", options.width, 64, most=4000)
    try:
        pictures = latent.step_pictures(folder / "samples")
        frames = latent.animation_frames(pictures, options.width)
    except ValueError as error:
        raise UsageError(str(error)) from error
    durations = latent.animation_durations(len(frames), options.fps)
    write_atomically(out, lambda file: frames[0].save(
        file, format="gif", save_all=True, append_images=frames[1:], duration=durations, loop=0))
    print(f"{out}: {len(frames)} pictures from step {pictures[0][0]:,} to {pictures[-1][0]:,}, "
          f"{frames[0].width} x {frames[0].height}, {sum(durations) / 1000:.3g} s")


def export_command(argv: Sequence[str]) -> None:
    """``gans export RUN``"""
    options = _parse(Export, argv, "gans export")
    config, model, _, step = _trained(options.run)
    out = _file(options.out, Path(f"{config.model}-{config.data['name']}"), ".npz")
    pretrained.export_generator(out, model, config, step)
    print(f"{out}: the generator of step {step:,} of {options.run}, {out.stat().st_size:,} bytes; "
          f"gans sample {shlex.quote(str(out))} draws from it")


def info_command(argv: Sequence[str]) -> None:
    """``gans info RUN``"""
    options = _parse(Info, argv, "gans info")
    if _generator_file(options.run) is not None:
        _generator_info(options.run)
        return
    folder = _run_folder(options.run)
    config = RunConfig.load(folder)
    arrays, meta = load_checkpoint(folder)
    state = "finished" if meta["step"] >= config.steps else "not finished"
    data, versions = config.data, config.versions
    settings = ", ".join(f"{key}={value}" for key, value in config.settings.items())
    print(f"{folder}: {config.model} on {data['name']} {tuple(data['shape'])}, {data['items']:,} "
          f"items")
    print(f"  step      {meta['step']:,} of {config.steps:,} ({state}), "
          f"{_duration(meta['seconds'])} of training")
    print(f"  settings  {settings}")
    print(f"  seed      {config.seed}; {config.threads} threads, {config.device}, {config.dtype}, "
          + ", ".join(f"{name} {version}" for name, version in versions.items()))
    sizes: dict[str, int] = {}
    for path, array in arrays.items():
        if path.endswith(("weight", "bias")):
            part = re.split(r"\.(?:layers\.)?\d", path)[0]
            sizes[part] = sizes.get(part, 0) + array.size
    print("  weights   " + ", ".join(f"{part} {size:,}" for part, size in sizes.items()))
    with contextlib.suppress(FileNotFoundError):
        if rows := read_log(folder):
            shown = {key: value for key, value in rows[-1].items() if not math.isnan(value)}
            print("  log       " + ", ".join(f"{key} {value:g}" for key, value in shown.items()))
    print(f"  pictures  {len(list((folder / 'samples').glob('*.png')))} in {folder / 'samples'}, "
          f"{folder / 'curves.png'}")
    print(f"  repeat    {config.command}")
    for text in meta["diagnoses"]:
        print(f"  monitor   {text}")
    with contextlib.suppress(FileNotFoundError):
        kept = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        print("\n".join(Evaluation.from_json(kept["evaluation"]).lines()))


def _generator_info(text: str) -> None:
    config, model, _, step = _trained(text)
    settings = ", ".join(f"{key}={value}" for key, value in config.settings.items())
    print(f"{text}: the generator of {config.model} on {config.data['name']} "
          f"{tuple(config.data['shape'])}, {config.data['items']:,} items")
    print(f"  step      {step:,} of {config.steps:,}")
    print(f"  settings  {settings}")
    print(f"  seed      {config.seed}; {config.threads} threads, {config.device}, {config.dtype}, "
          + ", ".join(f"{name} {version}" for name, version in config.versions.items()))
    print(f"  weights   {sum(p.size for p in model.G.parameters()):,}")
    print(f"  repeat    {config.command}")


def figure_command(argv: Sequence[str]) -> None:
    """``gans figure [NAME]``"""
    options = _parse(FigureOptions, argv, "gans figure")
    if options.name is None:
        print("\n".join(FIGURES))
        return
    if options.name not in FIGURES:
        near = difflib.get_close_matches(options.name, FIGURES, n=1)
        hint = f"did you mean {near[0]}?" if near else "gans figure lists all"
        raise UsageError(f"no figure is called {options.name!r}; {hint}")
    out = _file(options.out, Path(options.name), ".png")
    FIGURES[options.name]().save(out)
    print(f"{out}: {options.name}")


def results_command(argv: Sequence[str]) -> None:
    """``gans results [NAME]``"""
    options = _parse(Results, argv, "gans results")
    results.run(options.name, write_only=options.write_only)


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "list": (list_command, "the models and the data"),
    "train": (train_command, "train a model: gans train gan [--data ring8] [--budget 3m]"),
    "sample": (sample_command, "samples of a run into a file: gans sample RUN --n 2000"),
    "translate": (translate_command, "pictures as the other collection: gans translate RUN "
                                     "IMAGES"),
    "evaluate": (evaluate_command, "measure a run, beside real data: gans evaluate RUN"),
    "interpolate": (interpolate_command, "images between latent vectors: gans interpolate RUN"),
    "neighbours": (neighbours_command, "samples beside the nearest training images: gans "
                                       "neighbours RUN"),
    "arithmetic": (arithmetic_command, "sums of latent vectors: gans arithmetic RUN "
                                       "--a \"thick 3\" --b \"thin 3\" --c \"thin 7\""),
    "animate": (animate_command, "the run's pictures as an animated GIF: gans animate RUN"),
    "export": (export_command, "the generator alone, as a small file: gans export RUN"),
    "info": (info_command, "what a run is and how far it got: gans info RUN"),
    "figure": (figure_command, "a figure of the notebooks as a file: gans figure NAME"),
    "results": (results_command, "fill in the table of results: gans results [NAME]"),
}


# ------------------------------------------------------------------------------------------ parts


def _generator_file(text: str) -> Path | None:
    """The file of an exported generator that ``text`` means; a run of this name goes before it."""
    is_run = any((folder / "config.json").is_file() for folder in (Path(text), Path("runs") / text))
    return None if is_run else pretrained.find(text)


def _run_folder(text: str, others: Sequence[str] = ()) -> Path:
    """The folder of a run, given by its path or by its name in ``runs/``.

    ``others`` are names that would have been understood, too.
    """
    for folder in (Path(text), Path("runs") / text):
        if (folder / "config.json").is_file():
            return folder
    if Path(text).is_dir():
        raise UsageError(f"{text}: has no config.json, so it is no run")
    known = {str(path.parent): path.parent for path in Path("runs").glob("*/config.json")}
    near = difflib.get_close_matches(text, [*known, *others], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else (
        f"in runs/ there are {', '.join(sorted(p.name for p in known.values()))}" if known
        else "there are no runs in runs/ yet: gans train gan")
    raise UsageError(f"{text}: no such run; {hint}")


def _trained(text: str) -> tuple[RunConfig, Any, Path | None, int]:
    """The configuration of a run, its model as the checkpoint has it, its folder and its step.

    Or the same of an exported generator, which has no folder.
    """
    if (file := _generator_file(text)) is not None:
        found = pretrained.load_generator(file)
        use_threads(found.model, min(found.config.threads, get_threads()))
        return found.config, found.model, None, found.step
    folder = _run_folder(text, pretrained.names())
    config = RunConfig.load(folder)
    cls = models.model_class(config.model)
    use_threads(cls, min(config.threads, get_threads()))
    model = models.build(cls, models.settings_from_json(cls, config.settings), config.seed)
    announce_steps(model, config.steps)
    arrays, meta = load_checkpoint(folder)
    del arrays["pending"]
    load_state(model, arrays, meta["generators"])
    return config, model, folder, meta["step"]


def _decoder(text: str) -> tuple[RunConfig, Any, Path, int]:
    """``_trained``, for models that make images of latent vectors; others are refused.

    Exported generators have no folder; what is made of them goes to where one is.
    """
    config, model, folder, step = _trained(text)
    folder = folder or Path()
    if len(config.data["shape"]) == 1:
        raise UsageError(f"{text}: its samples are points in the plane; this command wants a "
                         "model of images")
    if not (hasattr(model, "noise") and hasattr(model, "decode")):
        raise UsageError(f"{text}: {config.model} does not make images from latent vectors, so "
                         "there is nothing to explore")
    return config, model, folder, step


def _is_digits(config: RunConfig) -> bool:
    """Whether the digit classifier can judge samples of this run."""
    return config.data["name"] in DIGITS and tuple(config.data["shape"]) == (1, 28, 28)


def _whole(name: str, value: int, least: int = 1, most: int | None = None) -> None:
    """Refuse an option outside its range."""
    if value < least:
        raise UsageError(f"--{name}: wants at least {least}, got {value}")
    if most is not None and value > most:
        raise UsageError(f"--{name}: wants at most {most:,}, got {value:,}")


def _file(given: Path | None, usual: Path, ending: str) -> Path:
    """The file to write; its name has to say what is in it."""
    if given is not None and given.suffix.lower() != ending:
        raise UsageError(f"--out {given}: the name must end in {ending}")
    return usual.with_name(usual.name + ending) if given is None else given


def _tiles(images: np.ndarray, captions: Sequence[str] = (), *, columns: int, enlarge: int = 1,
           first_apart: bool = False) -> Image.Image:
    """Tiles as large as one can look at."""
    scale = enlarge * plots.tile_scale(images.shape[1])
    return plots.tiles(images, captions, columns=columns, scale=scale, first_apart=first_apart)


def _write_picture(path: Path, picture: Image.Image) -> None:
    framed = plots.framed(picture)
    write_atomically(path, lambda file: framed.save(file, format="png"))


def _evaluate(model: Any, data: TrainingData, n: int, seed: int) -> Evaluation:
    """What the data's judge says of samples, and what the model measures of itself, if it does."""
    try:
        found = look(judge(data), data).evaluate(model, n, seed)
        own = model.measure(data) if hasattr(model, "measure") else ()
    except (ValueError, FloatingPointError) as error:
        raise RunError(f"the samples cannot be measured: {error}") from error
    return dataclasses.replace(found, scores=(*found.scores, *own))


def _keep(folder: Path, evaluation: Evaluation, seed: int) -> None:
    """Write ``evaluation.json`` into the run's folder."""
    text = json.dumps({"seed": seed, "evaluation": evaluation.to_json()}, indent=2) + "\n"
    write_atomically(folder / "evaluation.json", lambda file: file.write(text.encode()))


def _repeat(cls: type, data: TrainingData, config: RunConfig, options: Train,
            base: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The command line that repeats a run exactly."""
    words = ["gans", "train", cls.name, "--data", data.spec, "--steps", str(config.steps),
             "--report-every", str(config.report_every), "--seed", str(config.seed),
             "--threads", str(config.threads)]
    words += ["--paper"] if options.paper else []
    words += ["--size", str(options.size)] if options.size is not None else []
    words += ["--grey"] if options.grey else []
    for name, value in values.items():
        if value != base[name]:
            words += _option(name, value)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    items = value if isinstance(value, tuple) else (value,)
    return [f"--{flag}", *(x.name if isinstance(x, Enum) else str(x) for x in items)]


def _seconds(text: str) -> float:
    """``90``, ``90s``, ``3m`` or ``1.5h`` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if seconds <= 0:
        raise UsageError(f"--budget {text}: wants a time such as 90s, 3m or 1h")
    return seconds


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" + f" {rest} s" * (rest > 0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(cls: Any, argv: Sequence[str], prog: str, default: Any = None,
           *, unknown_allowed: bool = False) -> Any:
    """An instance of the dataclass ``cls`` from a command line.

    With ``unknown_allowed``, also the arguments that it does not know. Otherwise these are refused
    with the nearest that it does know.
    """
    messages = io.StringIO()
    extra = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(messages):
            found, unknown = tyro.cli(cls, args=list(argv), prog=prog, return_unknown_args=True,
                                      add_help=not unknown_allowed, **extra)
    except SystemExit as error:
        if error.code:
            raise UsageError(f"{_one_line(messages.getvalue())} ({prog} --help shows the "
                             "options)") from None
        raise
    if unknown_allowed:
        return found, unknown
    if unknown:
        options = _option_names(cls if default is None else default)
        near = difflib.get_close_matches(unknown[0].split("=")[0].replace("_", "-"), options, n=1)
        hint = f"did you mean {near[0]}?" if near else f"{prog} --help shows the options"
        kind = "option" if unknown[0].startswith("-") else "argument"
        raise UsageError(f"{prog}: unknown {kind} {unknown[0]}; {hint}")
    return found


def _option_names(of: Any) -> list[str]:
    names = []
    for f in dataclasses.fields(of):
        value = None if isinstance(of, type) else getattr(of, f.name)
        is_group = dataclasses.is_dataclass(value)
        names += _option_names(value) if is_group else [f"--{f.name.replace('_', '-')}"]
    return names


def _one_line(box: str) -> str:
    """What tyro says in its box, without the box and the help below it."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:  # the first is the title
        text = line.strip("│ ")
        is_rule = bool(text) and set(text) <= set("─-╰╯")
        if text.startswith("Got errors") or (is_rule and lines):
            break
        lines += [text] if text and not is_rule else []
    return " ".join(lines).strip() or "the command line cannot be read"


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"usage: gans {{{','.join(COMMANDS)}}} ... [--debug]", "", _TITLE, ""]
    lines += [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([*lines, "", "gans COMMAND --help shows the options of a command."])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        if not words or words[0] in ("-h", "--help", "--version"):
            print(f"minigrad {minigrad.__version__}" if words[:1] == ["--version"] else _help())
            return 0
        if words[0] not in COMMANDS:
            near = difflib.get_close_matches(words[0], [*COMMANDS, *models.MODELS], n=1)
            hint = f"there are {', '.join(COMMANDS)}" if not near else (
                f"did you mean gans {'train ' * (near[0] not in COMMANDS)}{near[0]}?")
            raise UsageError(f"no command is called {words[0]!r}; {hint}")
        COMMANDS[words[0]][0](words[1:])
        return 0
    except (UsageError, models.ModelError, ConfigError, DataError, CheckpointError) as error:
        return _failed(error, 2, debug)
    except Interrupted as error:
        return _failed(error, 128 + error.number, debug, "")
    except (RunError, OSError, results.ResultsError) as error:
        return _failed(error, 1, debug)
    except KeyboardInterrupt:
        _say("\ngans: stopped at once; what was saved before is kept")
        return 128 + signal.SIGINT


def _failed(error: Exception, code: int, debug: bool, head: str = "error: ") -> int:
    if debug:
        traceback.print_exc()
    _say(f"gans: {head}{error}")
    return code


if __name__ == "__main__":
    sys.exit(main())
