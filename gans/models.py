"""The table of models, and how their settings become JSON and come back.

A model is a dataclass whose fields are its settings. ``config.json`` holds them as plain values: an
Enum by its name, a tuple as a list.

Leaves out: settings that are objects of their own.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from minigrad import manual_seed

from .autoencoder import Autoencoder
from .cyclegan import CycleGAN
from .dcgan import DCGAN
from .evaluation import TrainingData
from .gan import GAN
from .lsgan import LSGAN
from .minibatch import MinibatchGAN
from .pix2pix import Pix2Pix
from .unrolled import UnrolledGAN
from .vae import VAE
from .wgan import WGAN
from .wgan_gp import WGANGP

__all__ = ["MODELS", "ModelError", "build", "laptop_settings", "model_class", "paper_settings",
           "settings_from_json", "settings_to_json", "summary"]

MODELS: dict[str, type] = {cls.name: cls for cls in (
    GAN, DCGAN, LSGAN, WGAN, WGANGP, UnrolledGAN, MinibatchGAN, Autoencoder, VAE, CycleGAN,
    Pix2Pix)}


class ModelError(ValueError):
    """There is no such model, or it cannot be built with these settings."""


def model_class(name: str) -> type:
    """The class of the model called ``name``.

    Raises
    ------
    ModelError
        If there is none; the message names the nearest.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(MODELS)}"
        raise ModelError(f"no model is called {name!r}; {hint} (gans list shows all)")
    return MODELS[name]


def summary(cls: type) -> str:
    """The first line of the model's own documentation."""
    module = inspect.getmodule(cls)
    text = (inspect.getdoc(module) if module and module.__name__ != "__main__" else None) \
        or inspect.getdoc(cls) or ""
    return text.splitlines()[0] if text else ""


def settings(model: Any) -> dict[str, Any]:
    """The settings of a model or of an object with its fields, by name."""
    return {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.init}


def paper_settings(cls: type, data: TrainingData) -> dict[str, Any]:
    """The class's defaults, which are the paper's, for items of the data's shape."""
    defaults = {}
    for f in dataclasses.fields(cls):
        if f.default is not dataclasses.MISSING:
            defaults[f.name] = f.default
        elif f.default_factory is not dataclasses.MISSING:
            defaults[f.name] = f.default_factory()
    return {**defaults, "data_shape": data.shape}


def laptop_settings(cls: type, data: TrainingData) -> dict[str, Any]:
    """The settings that were measured on a laptop for data like these.

    Raises
    ------
    ModelError
        If the model cannot learn such data.
    """
    try:
        return settings(cls.laptop(data))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{cls.name} cannot learn {data.name}: {error}") from error


def build(cls: type, values: Mapping[str, Any], seed: int) -> Any:
    """The model with these settings, its weights drawn from ``seed``.

    Raises
    ------
    ModelError
        If the settings are refused.
    """
    manual_seed(seed)
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{cls.name} cannot be built with these settings: {error}") from error


def settings_to_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as values that JSON can hold."""
    return {name: _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (tuple, list)):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ModelError(f"setting {name}: wants an Enum, a number, a text or a tuple of these, got "
                     f"{type(value).__name__}")


def settings_from_json(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``cls`` from what ``settings_to_json`` gave.

    Raises
    ------
    ModelError
        If a setting is missing, unknown, or not a value of its type.
    """
    hints = typing.get_type_hints(cls)
    wanted = [f.name for f in dataclasses.fields(cls) if f.init]
    missing, unknown = sorted(set(wanted) - set(values)), sorted(set(values) - set(wanted))
    if missing or unknown:
        raise ModelError(f"{cls.name}: this version has other settings than the run: missing "
                         f"{missing}, unknown {unknown}")
    return {name: _typed(name, hints[name], values[name]) for name in wanted}


def _typed(name: str, hint: Any, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    choices = [t for t in (hint, *typing.get_args(hint))
               if isinstance(t, type) and issubclass(t, Enum)]
    if choices and isinstance(value, str):
        if value not in choices[0].__members__:
            raise ModelError(f"setting {name}: wants one of {[*choices[0].__members__]}, got "
                             f"{value!r}")
        return choices[0][value]
    return value
