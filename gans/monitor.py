"""Names sick training while it happens: what is wrong, the number seen, what to try.

`Monitor.update` takes the numbers of one step and returns the diagnoses that are new:

>>> monitor = Monitor()
>>> for step in range(300):
...     found = monitor.update(step, {"d_real": 0.999, "d_fake": 0.001})
...     if found:
...         print(step, found[0].name)
199 discriminator won

A GAN's loss curve alone does not tell a good run from a bad one. A run that makes good faces ends
at a discriminator loss of 0.01 to 0.10, one that fails at 0.003 to 0.04 (logs of the STAT453
lecture); a DCGAN that draws clear digits has every row of 150 batches in a row classified
correctly, single batches with D(G(z)) above 0.9, and gradient norms of 300 on a few steps. So no
rule looks at the height of a loss, and none fires at one odd batch: what a rule looks for has to
last (`patience`), or to be so in a moving average, or to return (oscillation), or to be so in
several reports in a row (inverted colours).

Left out: how good the samples are (`gans.metrics`), stopping or changing the run (the trainer's
decision), partial mode collapse (half of the modes have nearly the spread of all: count modes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Sickness(StrEnum):
    """The names of what a `Monitor` can find."""

    NOT_FINITE = "not finite"
    DISCRIMINATOR_WON = "discriminator won"
    COLLAPSE = "collapse"
    OSCILLATION = "oscillation"
    FROZEN = "frozen"
    EXPLODING_GRADIENTS = "exploding gradients"
    INVERTED_COLOURS = "inverted colours"


ADVICE: dict[Sickness, str] = {
    Sickness.NOT_FINITE: (
        "Go back to the last good checkpoint and lower the learning rate. Run the step under "
        "minigrad.detect_anomaly() to get the name of the op that made it."
    ),
    Sickness.DISCRIMINATOR_WON: (
        "D is sure of every image, so a minimax generator gets no gradient. Use the "
        "non-saturating loss on logits; check that real and fake images have the same range and "
        "size; then weaken D: lower learning rate, fewer steps, instance noise, one-sided label "
        "smoothing."
    ),
    Sickness.COLLAPSE: (
        "G makes nearly the same sample from every z. Look at the sample grid; lower both "
        "learning rates or use a larger batch; then let D see the batch (minibatch standard "
        "deviation, packing), unroll D, or change to WGAN-GP."
    ),
    Sickness.OSCILLATION: (
        "D and G chase each other instead of settling. Lower both learning rates, set Adam's "
        "beta1 to 0.5 or 0, keep a pool of older samples for D, and sample from the moving "
        "average of G's weights."
    ),
    Sickness.FROZEN: (
        "Neither loss moves. Check that both optimizers hold the parameters in use and that "
        "learning rates are not zero; compute the loss from logits, since a probability that is "
        "exactly 0 or 1 passes no gradient; look for units that are always off."
    ),
    Sickness.EXPLODING_GRADIENTS: (
        "Steps are too large to follow the loss. Lower the learning rate of this player, clip "
        "its gradient norm, and normalise its layers (batch or spectral norm)."
    ),
    Sickness.INVERTED_COLOURS: (
        "Translations are dark where their originals are light. A way there and back that "
        "exchanges black and white costs no cycle loss, and D may not mind, so training does not "
        "find out of it by itself. Start again with a larger weight of the identity loss, or "
        "another seed."
    ),
}
"""What to try, by sickness; `Diagnosis.advice` starts from it."""

_NOT_FINITE_CAUSE = {
    "d_loss": "The discriminator loss failed: log of a probability that is exactly 0 is the "
    "usual cause, so compute it from logits.",
    "g_loss": "The generator loss failed: log of a probability that is exactly 0 is the usual "
    "cause, so compute it from logits.",
    "d_real": "D's answer on real images is no number: look for NaN in the data, or in D's "
    "weights after its last step.",
    "d_fake": "D's answer on samples is no number: look for NaN in G's output, or in D's weights "
    "after its last step.",
    "fake_spread": "The samples hold NaN or infinity: G's weights have diverged.",
    "real_spread": "The data hold NaN or infinity: check how images are read and scaled.",
    "d_grad_norm": "D's gradient failed: a root or a division at exactly 0 (a gradient penalty "
    "without a small constant under the root) is the usual cause.",
    "g_grad_norm": "G's gradient failed: a root or a division at exactly 0 is the usual cause.",
}

REPORTED = ("colour_corr",)
"""The numbers of a judge's reports that a rule looks at."""

_PROBABILITIES = ("d_real", "d_fake")
_NOT_NEGATIVE = ("fake_spread", "real_spread", "d_grad_norm", "g_grad_norm")


@dataclass(frozen=True)
class Diagnosis:
    """One finding of a `Monitor`.

    Attributes
    ----------
    name : Sickness
        What it is; a string.
    step : int
        The step at which it was found.
    reading : str
        Which number shows it.
    seen : float
        Its value.
    threshold : float
        The value it crossed.
    advice : str
        What to try, in the order in which to try it.
    """

    name: Sickness
    step: int
    reading: str
    seen: float
    threshold: float
    advice: str

    def __str__(self) -> str:
        return (
            f"step {self.step}: {self.name} ({self.reading} = {self.seen:.4g}, "
            f"limit {self.threshold:.4g}). {self.advice}"
        )


@dataclass(eq=False)
class Monitor:
    """Watches the numbers of a training run.

    Attributes
    ----------
    patience : int
        How many steps a sign must last before it is reported, and be gone before it is forgotten.
    least_readings : int
        How many readings those steps must hold, where not every step is read.
    certainty : float
        Discriminator won: the mean probability that D gives to the right answer is above it.
    spread_ratio : float
        Collapse: spread of samples over spread of real rows is below it.
    movement : float
        Frozen: both losses stay within this share of the larger one.
    gradient_norm : float
        Exploding gradients: the moving geometric mean of a norm is above it.
    low, high : float
        Oscillation: the moving mean of D(G(z)) goes from below `low` to above `high` or back ...
        (0.5 is balance, so 0.6 already means that D prefers samples to real rows).
    swings, window : int
        ... so many times within so many steps.
    reports : int
        Inverted colours: the correlation is negative so many times in a row.

    The limits follow the list of failure signs in the ganhacks collection (Chintala et al. 2016)
    and were checked against series of healthy and sick runs.
    """

    patience: int = 200
    least_readings: int = 5
    certainty: float = 0.99
    spread_ratio: float = 0.1
    movement: float = 1e-4
    gradient_norm: float = 100.0
    low: float = 0.25
    high: float = 0.6
    swings: int = 4
    window: int = 1000
    reports: int = 2

    def __post_init__(self) -> None:
        for name in ("patience", "least_readings", "swings", "window", "reports"):
            if getattr(self, name) < 1:
                raise ValueError(f"Monitor: {name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.low < self.high < 1.0:
            raise ValueError(
                f"Monitor: 0 < low < high < 1 must hold, got low = {self.low}, high = {self.high}"
            )
        self._step: int | None = None  # the last step seen
        self._streaks: dict[str, list[int]] = {}  # sign -> [first step, readings]
        self._last_bad: dict[str, int] = {}  # sign -> last step at which it showed
        self._reported: list[str] = []  # signs that have been reported and still show
        self._means: dict[str, list[float]] = {}  # reading -> [moving mean, readings, last step]
        self._anchor: list[float] = []  # [d_loss, g_loss] from which movement is measured
        self._side = 0  # the extreme at which D(G(z)) was last: -1 low, 1 high
        self._turns: list[int] = []  # the steps at which it reached the other one

    def update(self, step: int, numbers: Mapping[str, float]) -> list[Diagnosis]:
        """Take the numbers of one step, return what is newly wrong (usually nothing).

        Parameters
        ----------
        step : int
            Steps must grow, but need not be adjacent: the means of the steps since the last
            call will do. All spans are counted in steps.
        numbers : mapping of str to float
            Any of the following; a rule whose numbers are missing rests.

            ==============================  ==================================================
            `d_real`, `d_fake`              mean D(x) and D(G(z)), probabilities (not logits,
                                            nor the scores of a Wasserstein critic)
            `d_loss`, `g_loss`              the losses, in any unit
            `fake_spread`, `real_spread`    `metrics.mean_pairwise_distance` of small batches
            `d_grad_norm`, `g_grad_norm`    Euclidean norms of the players' whole gradients
            `colour_corr`                   correlation of images and their translations; leave
                                            it out where bright is not to stay bright
            ==============================  ==================================================

            Numbers of other names are only checked for NaN and infinity.

        Each sickness is reported once, and again only after its sign was gone for `patience`
        steps. Raises ValueError for a step that does not grow, a probability outside 0 to 1, or
        a negative norm or spread; TypeError for something that is not a number.
        """
        if self._step is not None and step <= self._step:
            raise ValueError(f"Monitor: step must grow, got {step} after {self._step}")
        values = {name: self._number(name, value) for name, value in numbers.items()}
        self._step = step
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        return [
            *self._not_finite(step, values),
            *self._discriminator_won(step, finite),
            *self._collapse(step, finite),
            *self._oscillation(step, finite),
            *self._frozen(step, finite),
            *self._exploding_gradients(step, finite),
            *self._inverted_colours(step, finite),
        ]

    def state(self) -> dict[str, Any]:
        """Everything that later answers depend on, as values that JSON can hold.

        The limits are settings, not state: they belong to the run's configuration.
        """
        return {
            "step": self._step,
            "streaks": {name: list(streak) for name, streak in self._streaks.items()},
            "last_bad": dict(self._last_bad),
            "reported": list(self._reported),
            "means": {name: list(mean) for name, mean in self._means.items()},
            "anchor": list(self._anchor),
            "side": self._side,
            "turns": list(self._turns),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`. Raises ValueError if keys are missing or unknown."""
        if set(state) != set(self.state()):
            missing = sorted(set(self.state()) - set(state))
            unknown = sorted(set(state) - set(self.state()))
            raise ValueError(f"Monitor: not a state: missing {missing}, unknown {unknown}")
        self._step = state["step"]
        self._streaks = {name: list(streak) for name, streak in state["streaks"].items()}
        self._last_bad = dict(state["last_bad"])
        self._reported = list(state["reported"])
        self._means = {name: list(mean) for name, mean in state["means"].items()}
        self._anchor = list(state["anchor"])
        self._side = state["side"]
        self._turns = list(state["turns"])

    # the rules -------------------------------------------------------------------------------

    def _not_finite(self, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        found = []
        for name, value in values.items():
            if self._is_news(f"{Sickness.NOT_FINITE}: {name}", step, not math.isfinite(value)):
                cause = _NOT_FINITE_CAUSE.get(name, f"{name} is no number any more.")
                advice = f"{cause} {ADVICE[Sickness.NOT_FINITE]}"
                found.append(Diagnosis(Sickness.NOT_FINITE, step, name, value, math.inf, advice))
        return found

    def _discriminator_won(self, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        if not {"d_real", "d_fake"} <= values.keys():
            return []
        # Not the share of right answers: that is 1.0 for long stretches of good runs.
        seen = (values["d_real"] + 1.0 - values["d_fake"]) / 2
        sickness = Sickness.DISCRIMINATOR_WON
        if not self._is_news(sickness, step, seen > self.certainty, lasting=True):
            return []
        reading = "(d_real + 1 - d_fake) / 2"
        return [Diagnosis(sickness, step, reading, seen, self.certainty, ADVICE[sickness])]

    def _collapse(self, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        # Real rows that are all equal say nothing about the samples.
        if "fake_spread" not in values or not values.get("real_spread"):
            return []
        # An untrained generator has little spread too; patience lets it start.
        seen = values["fake_spread"] / values["real_spread"]
        sickness = Sickness.COLLAPSE
        if not self._is_news(sickness, step, seen < self.spread_ratio, lasting=True):
            return []
        reading = "fake_spread / real_spread"
        return [Diagnosis(sickness, step, reading, seen, self.spread_ratio, ADVICE[sickness])]

    def _oscillation(self, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        if "d_fake" not in values:
            return []
        mean, _ = self._moving_mean("d_fake", step, values["d_fake"], length=10, least=1)
        side = -1 if mean < self.low else 1 if mean > self.high else 0
        if side:
            if side == -self._side:
                self._turns.append(step)
            self._side = side
        self._turns = [turn for turn in self._turns if turn > step - self.window]
        seen = len(self._turns)
        if not self._is_news(Sickness.OSCILLATION, step, seen >= self.swings):
            return []
        reading = f"swings of d_fake in {self.window} steps"
        advice = ADVICE[Sickness.OSCILLATION]
        return [Diagnosis(Sickness.OSCILLATION, step, reading, seen, self.swings, advice)]

    def _frozen(self, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        if not {"d_loss", "g_loss"} <= values.keys():
            return []
        losses = [values["d_loss"], values["g_loss"]]
        if not self._anchor:
            self._anchor = losses
        moved = max(abs(a - b) for a, b in zip(losses, self._anchor, strict=True))
        limit = self.movement * max(abs(loss) for loss in self._anchor)
        still = moved <= limit
        if not still:
            self._anchor = losses
        if not self._is_news(Sickness.FROZEN, step, still, lasting=True):
            return []
        reading = f"movement of d_loss and g_loss in {self.patience} steps"
        return [Diagnosis(Sickness.FROZEN, step, reading, moved, limit, ADVICE[Sickness.FROZEN])]

    def _exploding_gradients(self, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        found = []
        for name in ("d_grad_norm", "g_grad_norm"):
            if name not in values:
                continue
            # The mean of logarithms is the usual size; a few steps of 1000 do not move it.
            size = math.log(max(values[name], 1e-30))
            mean, full = self._moving_mean(name, step, size, 20, self.least_readings)
            bad = full and mean > math.log(self.gradient_norm)
            if self._is_news(f"{Sickness.EXPLODING_GRADIENTS}: {name}", step, bad):
                seen = math.exp(min(mean, 700.0))
                advice = ADVICE[Sickness.EXPLODING_GRADIENTS]
                sickness = Sickness.EXPLODING_GRADIENTS
                found.append(Diagnosis(sickness, step, name, seen, self.gradient_norm, advice))
        return found

    def _inverted_colours(self, step: int, values: Mapping[str, float]) -> list[Diagnosis]:
        if "colour_corr" not in values:
            return []
        seen, sickness = values["colour_corr"], Sickness.INVERTED_COLOURS
        if not self._is_news(sickness, step, seen < 0, readings=self.reports):
            return []
        return [Diagnosis(sickness, step, "colour_corr", seen, 0.0, ADVICE[sickness])]

    # what the rules share --------------------------------------------------------------------

    @staticmethod
    def _number(name: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"Monitor: {name} must be one number, got {type(value).__name__}"
            ) from error
        if name in _PROBABILITIES and (number < 0.0 or number > 1.0):
            raise ValueError(
                f"Monitor: {name} must be a probability between 0 and 1, got {number}; apply the "
                f"sigmoid to logits, and leave it out for a critic, which gives no probability"
            )
        if name in _NOT_NEGATIVE and number < 0.0:
            raise ValueError(f"Monitor: {name} must not be negative, got {number}")
        return number

    def _is_news(
        self, sign: str, step: int, bad: bool, lasting: bool = False, readings: int = 1
    ) -> bool:
        """Whether the sign is to be reported now.

        `lasting` ones need `patience` steps first, all need so many `readings` in a row.
        """
        if not bad:
            self._streaks.pop(sign, None)
            if sign in self._reported and step - self._last_bad[sign] >= self.patience:
                self._reported.remove(sign)
            return False
        self._last_bad[sign] = step
        streak = self._streaks.setdefault(sign, [step, 0])
        streak[1] += 1
        if lasting:
            readings = max(readings, self.least_readings)
            if step - streak[0] + 1 < self.patience:
                return False
        if streak[1] < readings:
            return False
        if sign in self._reported:
            return False
        self._reported.append(sign)
        return True

    def _moving_mean(
        self, name: str, step: int, value: float, length: int, least: int
    ) -> tuple[float, bool]:
        """Mean over about the last `length` steps, but at least so many readings; whether full."""
        mean, readings, last = self._means.get(name, [0.0, 0, step - 1])
        readings += 1
        count = max(length / (step - last), least)
        mean += (value - mean) / min(readings, count)
        self._means[name] = [mean, readings, step]
        return mean, readings >= count
