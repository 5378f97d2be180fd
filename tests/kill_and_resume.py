"""Runs that are killed: the small model of the trainer's tests, and a stress test by hand.

    python tests/kill_and_resume.py gans train tiny --data ring8 --steps 50
    python tests/kill_and_resume.py stress gan digits 300 --kills 10 --folder FOLDER

The first line is the command ``gans`` with one more model. The second trains a model once in peace
and once with kill -9 at random moments, resuming each time, and compares both runs bit for bit.
"""

from __future__ import annotations

import argparse
import os
import random as dice
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gans import __main__ as command_line
from gans.ganloss import GANLoss
from gans.models import MODELS
from gans.objectives import OBJECTIVES, Objective
from gans.trainer import CLOCKS, read_log
from minigrad import Tensor, no_grad, random
from minigrad.nn import BatchNorm1d, Flatten, Linear, ReLU, Reshape, Sequential, Tanh
from minigrad.optim import EMA, Adam, LinearDecay
from minigrad.serialize import load

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}  # also where minigrad is not installed


class Mood(Enum):
    """A choice among settings."""

    CALM = "calm"
    WILD = "wild"


class Pool:
    """Fakes of earlier steps: state that is neither a network nor an optimizer."""

    def __init__(self, size: int) -> None:
        self.size, self.rows = size, np.empty((0,))

    def __call__(self, fake: Tensor) -> Tensor:
        rows = fake.numpy()
        old = self.rows if len(self.rows) == len(rows) else rows
        picked = random.generator().random(len(rows)) < 0.3
        self.rows = rows
        shape = (-1,) + (1,) * (rows.ndim - 1)
        return Tensor(np.where(picked.reshape(shape), old, rows), requires_grad=False)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        self.rows = state["rows"]


@dataclass(eq=False)
class Tiny:
    """A GAN with everything that has state: buffers, an average, a schedule, a pool."""

    name: ClassVar[str] = "tiny"
    default_budget: ClassVar[float] = 2.0
    balance: ClassVar[float] = 2.0 * float(np.log(2.0))

    data_shape: tuple[int, ...] = (2,)
    width: int = 16  # of the hidden layers
    batch_size: int = 32
    lr: float = 1e-3
    pooled: bool = True
    scheduled: bool = True  # the rate of G decays
    mood: Mood = Mood.CALM
    delay: float = 0.0  # seconds that a step waits
    nan_at: int = 0  # the step whose loss is NaN; 0: none
    poison_at: int = 0  # the step after which a weight is NaN; 0: none

    def __post_init__(self) -> None:
        n = int(np.prod(self.data_shape))
        ends = [Tanh(), Reshape(*self.data_shape)] if len(self.data_shape) > 1 else []
        self.G = Sequential(Linear(4, self.width), BatchNorm1d(self.width), ReLU(),
                            Linear(self.width, n), *ends)
        self.opt_G = Adam(self.G.parameters(), lr=self.lr, beta1=0.5)
        self.ema = EMA(self.G, decay=0.9)
        D = Sequential(Flatten(), Linear(n, self.width), ReLU(), Linear(self.width, 1))
        self.loss = GANLoss(D, Adam(D.parameters(), lr=self.lr, beta1=0.5),
                            OBJECTIVES[Objective.NON_SATURATING],
                            Pool(self.batch_size) if self.pooled else None)

    @classmethod
    def laptop(cls, data: Any) -> Tiny:
        return cls(data_shape=data.shape, width=24)

    def set_total_steps(self, steps: int) -> None:
        if self.scheduled:
            self.decay = LinearDecay(self.opt_G, start=steps // 2, total=steps)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        time.sleep(self.delay)
        real = next(batches)
        z = Tensor(random.generator().standard_normal((len(real), 4)), requires_grad=False)
        fake = self.G(z)
        d_loss = self.loss.d_step(real=real, fake=fake)
        g_loss = self.loss.g_loss(fake=fake)
        self.opt_G.minimize(g_loss)
        self.ema.update()
        if self.scheduled:
            self.decay.step()
        step = self.opt_G.t
        if step == self.nan_at:
            g_loss = g_loss * float("nan")
        if step == self.poison_at:
            self.loss.D.parameters()[0].cached_data[0] = np.nan
        return {"d_loss": d_loss, "g_loss": g_loss,
                "d_real": self.loss.d_real, "d_fake": self.loss.d_fake}

    def sample(self, n: int, g: np.random.Generator) -> Tensor:
        with no_grad():
            self.ema.module.eval()
            return self.ema.module(Tensor(g.standard_normal((n, 4)), requires_grad=False))


def command(*words: str) -> list[str]:
    """The command line of ``gans`` with the small model."""
    return [sys.executable, str(HERE), "gans", *words]


def same_runs(a: Path, b: Path) -> list[str]:
    """What differs between two runs; the clocks may."""
    different = []
    (mine, meta_a), (theirs, meta_b) = load(a / "checkpoint.npz"), load(b / "checkpoint.npz")
    if list(mine) != list(theirs):
        different.append(f"checkpoint: {sorted(set(mine) ^ set(theirs))}")
    for key in mine.keys() & theirs.keys():
        if mine[key].dtype != theirs[key].dtype or mine[key].tobytes() != theirs[key].tobytes():
            different.append(f"checkpoint: {key}")
    for key in meta_a.keys() | meta_b.keys():
        if key not in ("seconds", "step_seconds") and meta_a.get(key) != meta_b.get(key):
            different.append(f"checkpoint: {key} {meta_a.get(key)} {meta_b.get(key)}")
    logs = [[{name: repr(value) for name, value in row.items() if name not in CLOCKS}
             for row in read_log(folder)] for folder in (a, b)]
    if logs[0] != logs[1]:
        different.append("log.csv")
    names = [sorted(p.name for p in (folder / "samples").iterdir()) for folder in (a, b)]
    if names[0] != names[1]:
        different.append(f"samples: {names}")
    different += [f"samples/{name}" for name in set(names[0]) & set(names[1])
                  if (a / "samples" / name).read_bytes() != (b / "samples" / name).read_bytes()]
    return different


def train_and_kill(words: Sequence[str], folder: Path, kills: int, chance: dice.Random) -> int:
    """Train in ``folder`` with ``kills`` kill -9 at random moments; returns how many happened.

    After each kill the checkpoint has to load.
    """
    arguments, happened = [*words, "--out", str(folder)], 0
    while True:
        child = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, env=ENVIRONMENT)
        if happened < kills:
            _wait_for_progress(child, folder)
            time.sleep(chance.random() * 0.4)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                happened += 1
        errors = child.communicate()[1].decode()
        if child.returncode == 0:
            return happened
        if child.returncode != -signal.SIGKILL:
            raise AssertionError(f"gans ended with {child.returncode}: {errors}")
        load(folder / "checkpoint.npz")
        arguments = ["train", words[1], "--resume", str(folder), *_kept(words)]


def _kept(words: Sequence[str]) -> list[str]:
    """The options that are not part of a run's configuration."""
    at = [i for i, word in enumerate(words) if word == "--checkpoint-seconds"]
    return [x for i in at for x in words[i:i + 2]]


def _wait_for_progress(child: subprocess.Popen, folder: Path) -> None:
    """Wait until the child has written a checkpoint, or has ended."""
    path = folder / "checkpoint.npz"

    def stamp() -> Any:
        return path.stat().st_mtime_ns if path.exists() else None

    before, end = stamp(), time.monotonic() + 120
    while child.poll() is None and stamp() == before and time.monotonic() < end:
        time.sleep(0.005)


def stress(model: str, data: str, steps: int, kills: int, folder: Path) -> int:
    """Compare a run in peace with one that is killed; returns the exit code."""
    words = ["train", model, "--data", data, "--steps", str(steps), "--checkpoint-seconds", "0.2"]
    peace, war = folder / "peace", folder / "war"
    subprocess.run(command(*words, "--out", str(peace)), check=True, env=ENVIRONMENT)
    happened = train_and_kill(words, war, kills, dice.Random())
    different = same_runs(peace, war)
    print(f"{happened} kills; {'equal bit for bit' if not different else different}")
    return int(bool(different))


if __name__ == "__main__":
    MODELS["tiny"] = Tiny
    if sys.argv[1:2] == ["gans"]:
        sys.exit(command_line.main(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["stress"])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("steps", type=int)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    sys.exit(stress(given.model, given.data, given.steps, given.kills, given.folder))
