"""Trained generators as small files: what ``gans export`` writes, and those that come with gans.

A file is an npz without pickles: the weights of the generator that samples (the averaged one, if
the model has an average) as float16, running statistics, which are few and of any size, as float32,
and one text in JSON with the configuration of the run that made it: model, settings, data, seed,
steps, command. It is a twentieth of a checkpoint: no discriminator, no optimizers, half the bits.

>>> shipped = load_generator("dcgan-digits")                                     # doctest: +SKIP
>>> images = shipped.model.sample(16, np.random.default_rng(0))                  # doctest: +SKIP

Those in the folder ``gans/pretrained`` are known by name. Whoever has a file gives its path.

Leaves out: going on with the training, which needs the run; models of more than one generator.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import random
from minigrad.nn import Module
from minigrad.serialize import CheckpointError, load, save

from . import models
from .trainer import RunConfig

__all__ = ["Pretrained", "export_generator", "find", "load_generator", "names"]

FORMAT = 1  # of the files
FOLDER = Path(str(importlib.resources.files("gans") / "pretrained"))


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained generator.

    Attributes
    ----------
    name : str
        The file's, without its ending.
    model : Any
        Samples and decodes as the run's model did; its discriminator is untrained.
    config : RunConfig
        Of the run that made it.
    step : int
        Of that run, when it was exported.
    """

    name: str
    model: Any
    config: RunConfig
    step: int

    @property
    def data_name(self) -> str:
        """What it was trained on."""
        return self.config.data["name"]


def names() -> list[str]:
    """The generators that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.npz"))


def find(text: str) -> Path | None:
    """The file of a generator: one that is shipped under this name, or the path of a .npz file.

    None if ``text`` can be neither; that the file exists is not checked.
    """
    if text in names():
        return FOLDER / f"{text}.npz"
    return Path(text) if text.endswith(".npz") else None


def export_generator(path: Path, model: Any, config: RunConfig, step: int) -> None:
    """Write the generator of a trained model to ``path``.

    Data that were given by a path are called by their name only: files may travel, and the folders
    of one machine mean nothing on another.

    Raises
    ------
    CheckpointError
        If the model has no generator that is sampled from, a weight is NaN or too large for
        float16, or the file cannot be written.
    """
    *_, generator = _generators(model, config)
    weights = {key for key, _ in generator.named_parameters()}
    arrays = {}
    for key, array in generator.state_dict().items():
        with np.errstate(over="ignore"):
            arrays[key] = array.astype(np.float16 if key in weights else np.float32)
        if not np.isfinite(arrays[key]).all():
            raise CheckpointError(f"{path}: {key} cannot be exported: its largest value is "
                                  f"{np.abs(array).max():g}, and float16 ends at 65504")
    save(path, arrays, {"generator": FORMAT, "step": step,
                        "config": dataclasses.asdict(_without_paths(config))}, compress=True)


def _without_paths(config: RunConfig) -> RunConfig:
    """The configuration with the data called by name, where they were given by a path."""
    spec, name = config.data["spec"], config.data["name"]
    if not Path(spec.removeprefix("folder:")).is_absolute():
        return config
    command = config.command.replace(shlex.quote(spec), name)
    return dataclasses.replace(config, data={**config.data, "spec": name}, command=command)


def _generators(model: Any, config: RunConfig) -> list[Module]:
    """G, and the average of G if the model has one; the last is the one that samples."""
    average = getattr(model, "ema", None)
    found = [getattr(model, "G", None), *([] if average is None else [average.module])]
    if not isinstance(found[0], Module) or not hasattr(model, "decode"):
        raise CheckpointError(f"{config.model}: has no single generator that decodes latent "
                              "vectors, so there is nothing to export or to load")
    return found


def load_generator(name_or_path: str | Path) -> Pretrained:
    """A generator that comes with the package, by name, or any exported file, by path.

    minigrad's random numbers go on as if nothing had been built.

    Raises
    ------
    CheckpointError
        If there is none, or the file is damaged or no exported generator.
    ModelError
        If this version has no such model, or with other settings.
    """
    path = name_or_path if isinstance(name_or_path, Path) else find(name_or_path)
    if path is None:
        there = ", ".join(names()) or "none in this version"
        raise CheckpointError(f"{name_or_path}: no generator of this name; there are: {there}; or "
                              "give the path of a .npz file that gans export made")
    arrays, meta = load(path)
    if not isinstance(meta, dict) or "generator" not in meta:
        raise CheckpointError(f"{path}: holds no generator; gans export RUN makes such files")
    if meta["generator"] != FORMAT:
        raise CheckpointError(f"{path}: a generator in format {meta['generator']!r}, this version "
                              f"reads {FORMAT}")
    try:
        config, step = RunConfig(**meta["config"]), int(meta["step"])
        data_shape = tuple(config.data["shape"])
        if {type(config.data[key]) for key in ("name", "spec")} != {str}:
            raise TypeError("the data have no name")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {type(error).__name__}: {error}") from error
    cls = models.model_class(config.model)
    previous = random.set_generator(np.random.default_rng(0))  # building draws weights
    try:
        model = models.build(cls, models.settings_from_json(cls, config.settings), config.seed)
    finally:
        random.set_generator(previous)
    try:
        if tuple(model.data_shape) != data_shape:
            raise ValueError(f"images of {tuple(model.data_shape)}, data of {data_shape}")
        for key, array in arrays.items():
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{key} holds something else than finite numbers")
        for generator in _generators(model, config):
            generator.load_state_dict(arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not fit {config.model}: {error}") from error
    return Pretrained(path.stem, model, config, step)
