"""The monitor: real runs of a small GAN, healthy and sick, series like published ones, and edges.

The small GAN is written here in NumPy with its gradients by hand, so that these tests say nothing
about the engine and need nothing of it.
"""

import functools
import itertools
import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans.metrics import mean_pairwise_distance
from gans.monitor import ADVICE, Diagnosis, Monitor, Sickness
from gans.toys import TOYS


def names(found):
    return [str(diagnosis.name) for diagnosis in found]


def feed(monitor, rows, start=0):
    return [d for i, row in enumerate(rows) for d in monitor.update(start + i, row)]


# real runs -----------------------------------------------------------------------------------


class Net:
    """Linear layers with ReLU between them, and Adam."""

    def __init__(self, sizes, lr, beta1, generator):
        pairs = list(itertools.pairwise(sizes))
        self.w = [generator.standard_normal((a, b)) * math.sqrt(2 / a) for a, b in pairs]
        self.w += [np.zeros(b) for _, b in pairs]
        self.depth, self.lr, self.beta1, self.t = len(pairs), lr, beta1, 0
        self.m, self.v = [[np.zeros_like(w) for w in self.w] for _ in range(2)]

    def forward(self, x):
        seen = [x]
        for i in range(self.depth):
            x = x @ self.w[i] + self.w[self.depth + i]
            x = np.maximum(x, 0) if i < self.depth - 1 else x
            seen.append(x)
        return x, seen

    def backward(self, seen, out_grad):
        gradients = [None] * len(self.w)
        for i in reversed(range(self.depth)):
            if i < self.depth - 1:
                out_grad = out_grad * (seen[i + 1] > 0)
            gradients[i], gradients[self.depth + i] = seen[i].T @ out_grad, out_grad.sum(axis=0)
            out_grad = out_grad @ self.w[i].T
        return gradients, out_grad

    def step(self, gradients):
        self.t += 1
        for w, m, v, g in zip(self.w, self.m, self.v, gradients, strict=True):
            m += (1 - self.beta1) * (g - m)
            v += 0.001 * (g * g - v)
            unbiased = math.sqrt(1 - 0.999**self.t) / (1 - self.beta1**self.t)
            w -= self.lr * unbiased * m / (np.sqrt(v) + 1e-8)
        return math.sqrt(sum((g * g).sum() for g in gradients))


@functools.cache
def run(toy, g_sizes, d_sizes, g_lr, d_lr, steps, n, beta1):
    """The readings of a GAN with the non-saturating loss on a toy, one dict per step."""
    generator = np.random.default_rng(0)
    G, D = Net(g_sizes, g_lr, beta1, generator), Net(d_sizes, d_lr, beta1, generator)

    def sigmoid(a):
        return 1 / (1 + np.exp(-np.clip(a, -500, 500)))

    rows = []
    for _ in range(steps):
        real = TOYS[toy].sample(n, generator).astype(np.float64)
        fake = G.forward(generator.standard_normal((n, g_sizes[0])))[0]
        (a, seen_a), (b, seen_b) = D.forward(real), D.forward(fake)
        for_real = D.backward(seen_a, (sigmoid(a) - 1) / n)[0]
        for_fake = D.backward(seen_b, sigmoid(b) / n)[0]
        d_norm = D.step([x + y for x, y in zip(for_real, for_fake, strict=True)])
        fake, seen = G.forward(generator.standard_normal((n, g_sizes[0])))
        c, seen_c = D.forward(fake)
        g_norm = G.step(G.backward(seen, D.backward(seen_c, (sigmoid(c) - 1) / n)[1])[0])
        rows.append(
            {
                "d_loss": (np.logaddexp(0, -a) + np.logaddexp(0, b)).mean(),
                "g_loss": np.logaddexp(0, -c).mean(),
                "d_real": sigmoid(a).mean(),
                "d_fake": sigmoid(b).mean(),
                "fake_spread": mean_pairwise_distance(fake[:16]),
                "real_spread": mean_pairwise_distance(real[:16]),
                "d_grad_norm": d_norm,
                "g_grad_norm": g_norm,
            }
        )
    return rows


def lecture_run():
    return run("gaussian", (2, 2), (2, 20, 10, 1), 0.01, 0.01, 2000, 32, 0.9)


def test_the_lecture_toy_trains_without_an_alarm():
    rows = lecture_run()
    assert abs(np.mean([row["d_loss"] for row in rows[-200:]]) - 2 * math.log(2)) < 0.02
    assert feed(Monitor(), rows) == []


def test_a_run_at_a_hundred_times_the_learning_rate_collapses():
    rows = run("ring8", (8, 64, 64, 2), (2, 64, 64, 1), 0.1, 0.1, 500, 64, 0.5)
    found = feed(Monitor(), rows)
    assert "collapse" in names(found)
    first = next(d for d in found if d.name == Sickness.COLLAPSE)
    assert first.seen < first.threshold == 0.1 and 199 <= first.step < 500


def test_a_generator_much_faster_than_its_discriminator_oscillates():
    rows = run("gaussian", (2, 32, 2), (2, 32, 32, 1), 0.02, 0.002, 1700, 64, 0.9)
    found = feed(Monitor(), rows)
    assert "oscillation" in names(found)
    first = next(d for d in found if d.name == Sickness.OSCILLATION)
    assert first.seen == first.threshold == 4


# series like published and measured ones -----------------------------------------------------


def faces_run(d_loss, g_loss, spread, steps=3000, seed=0):
    """Losses that wander within the given ranges, as in the logs of the STAT453 lecture."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(steps):
        d, g = generator.uniform(*d_loss), generator.uniform(*g_loss)
        rows.append(
            {
                "d_loss": d,
                "g_loss": g,
                "d_fake": math.exp(-g),
                "d_real": math.exp(-2 * d) / (1 - math.exp(-g)) if d > math.exp(-g) else 1.0,
                "fake_spread": spread * generator.uniform(0.8, 1.2),
                "real_spread": 40 * generator.uniform(0.9, 1.1),
            }
        )
        rows[-1]["d_real"] = min(1.0, rows[-1]["d_real"])
    return rows


def test_runs_with_nearly_the_same_losses_are_told_apart_by_their_samples_alone():
    good = faces_run((0.01, 0.10), (4.5, 6.5), spread=30)
    failed = faces_run((0.003, 0.04), (7.3, 8.7), spread=2)
    assert feed(Monitor(), good) == []
    assert names(feed(Monitor(), failed)) == ["collapse"]
    losses_only = [{"d_loss": row["d_loss"], "g_loss": row["g_loss"]} for row in failed]
    assert feed(Monitor(), losses_only) == []


def test_a_clear_headed_discriminator_with_single_wild_batches_is_healthy():
    # Measured on a 16-channel DCGAN that draws digits: D(x) .95, D(G(z)) .05 and every image
    # classified correctly for 150 steps, small spread until step 120, D(G(z)) above .9 and gradient
    # norms up to 520 on one or two steps, sixteen such jumps in 1000 steps.
    generator = np.random.default_rng(0)
    rows = []
    for i in range(3000):
        wild = i % 120 in (60, 61)
        rows.append(
            {
                "d_loss": 3.0 if wild else 0.1 * generator.uniform(0.5, 2),
                "g_loss": 0.1 if wild else 3.5 * generator.uniform(0.7, 1.3),
                "d_real": 0.96 * generator.uniform(0.97, 1.03),
                "d_fake": 0.95 if wild else 0.05 * generator.uniform(0.2, 3),
                "fake_spread": 36 * (0.09 if 30 < i < 120 else 0.6) * generator.uniform(0.9, 1.1),
                "real_spread": 36.0,
                "d_grad_norm": 520.0 if wild else 12 * generator.uniform(0.3, 4),
                "g_grad_norm": 30 * generator.uniform(0.5, 1.7),
            }
        )
    assert feed(Monitor(), rows) == []


def test_the_balance_itself_is_not_frozen():
    generator = np.random.default_rng(0)
    rows = [
        {"d_loss": 2 * math.log(2) + 1e-3 * x, "g_loss": math.log(2) + 1e-3 * y, "d_fake": 0.5}
        for x, y in generator.standard_normal((2000, 2))
    ]
    assert feed(Monitor(), rows) == []


# one rule at a time --------------------------------------------------------------------------

WON = {"d_real": 0.996, "d_fake": 0.004}
NOT_WON = {"d_real": 0.96, "d_fake": 0.04}


def test_discriminator_won_needs_200_steps_in_a_row():
    assert feed(Monitor(), [WON] * 199) == []
    (found,) = feed(Monitor(), [WON] * 400)
    assert found.step == 199 and found.name == "discriminator won"
    assert found.seen == pytest.approx(0.996) and found.threshold == 0.99
    assert feed(Monitor(), ([WON] * 199 + [NOT_WON]) * 5) == []
    one_sided = {"d_real": 1.0, "d_fake": 0.3}
    assert feed(Monitor(), [one_sided] * 400) == []


def test_collapse_needs_both_spreads_and_a_spread_of_real():
    assert feed(Monitor(), [{"fake_spread": 0.0}] * 400) == []
    assert feed(Monitor(), [{"fake_spread": 0.0, "real_spread": 0.0}] * 400) == []
    assert feed(Monitor(), [{"fake_spread": 0.11, "real_spread": 1.0}] * 400) == []
    (found,) = feed(Monitor(), [{"fake_spread": 0.09, "real_spread": 1.0}] * 400)
    assert found.name == Sickness.COLLAPSE and found.seen == pytest.approx(0.09)


@pytest.mark.parametrize("period", [40, 200, 400])
def test_slow_swings_between_extremes_oscillate(period):
    rows = [{"d_fake": 0.5 - 0.45 * math.cos(2 * math.pi * i / period)} for i in range(3000)]
    found = feed(Monitor(), rows)
    assert names(found) == ["oscillation"]
    small = [{"d_fake": 0.4 + 0.17 * math.sin(2 * math.pi * i / period)} for i in range(3000)]
    assert feed(Monitor(), small) == []


def test_swings_that_are_long_past_do_not_count():
    turn = [{"d_fake": 0.05}] * 600 + [{"d_fake": 0.95}] * 600
    assert feed(Monitor(), turn * 4) == []
    assert names(feed(Monitor(window=5000), turn * 4)) == ["oscillation"]


def test_four_turns_are_five_extremes():
    low, high = [{"d_fake": 0.05}] * 100, [{"d_fake": 0.95}] * 100
    monitor = Monitor()
    assert feed(monitor, low + high + low + high) == []
    (found,) = feed(monitor, low, start=400)
    assert found.name == "oscillation" and found.seen == 4
    assert feed(Monitor(), high + low * 20) == []


@pytest.mark.parametrize(
    ("d_loss", "g_loss"), [(-0.0, 13.82), (1.3863, 0.6931), (0.0, 0.0), (2e-5, -3e-5)]
)
def test_losses_that_stand_still_are_frozen_in_any_unit(d_loss, g_loss):
    (found,) = feed(Monitor(), [{"d_loss": d_loss, "g_loss": g_loss}] * 500)
    assert found.name == "frozen" and found.step == 199


def test_losses_that_come_to_rest_are_frozen_where_they_rest():
    rows = [{"d_loss": 1.0 - 0.01 * i, "g_loss": 1.0} for i in range(50)]
    (found,) = feed(Monitor(), rows + [{"d_loss": 0.3, "g_loss": 2.0}] * 400)
    assert found.name == "frozen" and found.step == 50 + 200


def test_movement_is_measured_in_the_unit_of_the_losses():
    wander = np.random.default_rng(0).standard_normal(600)
    critic = [{"d_loss": 1e-5 * (3 + x), "g_loss": -1e-5} for x in wander]
    assert feed(Monitor(), critic) == [], "a critic with clipped weights starts like this"
    large = [{"d_loss": 1e6 + x, "g_loss": 1e6} for x in wander]
    assert names(feed(Monitor(), large)) == ["frozen"]


def test_one_loss_that_moves_is_enough_to_be_alive():
    generator = np.random.default_rng(0)
    moving = 1e-2 * generator.standard_normal(600)
    assert feed(Monitor(), [{"d_loss": 0.0, "g_loss": 3 + x} for x in moving]) == []
    assert feed(Monitor(), [{"d_loss": 0.7 + x, "g_loss": 3.0} for x in moving]) == []
    assert feed(Monitor(), [{"d_loss": 0.0}] * 600) == [], "one loss alone says nothing"


def test_a_slow_steady_descent_is_not_frozen():
    rows = [{"d_loss": 1.0 - 2e-6 * i, "g_loss": 1.0} for i in range(600)]
    assert feed(Monitor(), rows) == []
    slower = [{"d_loss": 1.0 - 2e-7 * i, "g_loss": 1.0} for i in range(600)]
    assert names(feed(Monitor(), slower)) == ["frozen"]


@pytest.mark.parametrize("name", ["d_grad_norm", "g_grad_norm"])
def test_gradients_explode_when_the_usual_norm_is_above_100(name):
    (found,) = feed(Monitor(), [{name: 150.0}] * 300)
    assert found.name == "exploding gradients" and found.reading == name
    assert found.seen == pytest.approx(150) and found.threshold == 100
    assert feed(Monitor(), [{name: 90.0}] * 300) == []
    single = [{name: 1e6 if i % 50 == 20 else 10.0} for i in range(600)]
    assert feed(Monitor(), single) == []
    assert feed(Monitor(), [{name: 1e6}] * 5 + [{name: 1.0}] * 300) == [], "the first steps"
    assert feed(Monitor(), [{name: 0.0}] * 300) == []
    assert names(feed(Monitor(), [{name: sys.float_info.max}] * 30)) == ["exploding gradients"]


def test_colours_are_inverted_if_two_reports_in_a_row_say_so():
    def found(*correlations, **settings):
        rows = [{"colour_corr": c} for c in correlations]
        spaced = [row for c in rows for row in (c, *[{"d_fake": 0.5}] * 9)]  # reports are rare
        return [(str(d.name), d.step, d.seen) for d in feed(Monitor(**settings), spaced)]

    assert found(-0.1, -0.2) == [("inverted colours", 10, -0.2)]
    assert found(0.3, -0.1, 0.0, -0.1, 0.9) == []  # one odd report, and no correlation at all
    assert found(-0.5, -0.5, -0.5, -0.5) == [("inverted colours", 10, -0.5)]  # once
    assert found(-0.1, reports=1) == [("inverted colours", 0, -0.1)]
    back = [-0.5, -0.5, *[0.5] * 25, -0.5, -0.5]
    assert [step for _, step, _ in found(*back)] == [10, 280]  # and again after 200 good steps
    with pytest.raises(ValueError, match="reports must be at least 1, got 0"):
        Monitor(reports=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["d_loss", "g_loss", "slope"])
def test_not_finite_is_named_at_once(name, bad):
    monitor = Monitor()
    feed(monitor, [{"d_loss": 1.0, "g_loss": 1.0, "slope": 1.0}] * 3)
    (found,) = monitor.update(3, {"d_loss": 1.0, "g_loss": 1.0, "slope": 1.0, name: bad})
    assert found.name == "not finite" and found.reading == name and found.step == 3
    assert found.seen == bad or math.isnan(found.seen)
    assert "detect_anomaly" in found.advice and "checkpoint" in found.advice
    assert feed(monitor, [{name: bad}] * 50, start=4) == [], "reported once"


def test_each_number_that_is_not_finite_is_reported_with_its_own_advice():
    every = ["d_loss", "d_real", "d_fake", "fake_spread", "real_spread", "d_grad_norm", "other"]
    found = Monitor().update(0, dict.fromkeys(every, math.nan))
    assert [d.reading for d in found] == every
    assert len({d.advice for d in found}) == len(every)


# reporting once, steps, state ----------------------------------------------------------------


def test_reported_once_until_it_clears():
    monitor = Monitor()
    blip = [WON] * 250 + [NOT_WON]  # it comes back too soon to have been gone
    assert [d.step for d in feed(monitor, blip * 4)] == [199]
    found = feed(monitor, [NOT_WON] * 201 + [WON] * 300, start=2000)
    assert [d.step for d in found] == [2000 + 201 + 199]


@pytest.mark.parametrize("every", [1, 7, 40])
def test_steps_are_counted_not_readings(every):
    monitor = Monitor()
    found = [d for step in range(0, 1000, every) for d in monitor.update(step, WON)]
    assert len(found) == 1 and 199 <= found[0].step < 199 + every


@pytest.mark.parametrize("every", [10, 50])
def test_means_of_many_steps_will_do(every):
    def rows_of(values):
        return enumerate(np.asarray(values).reshape(-1, every).mean(axis=1))

    def watch(name, values):
        monitor = Monitor()
        return [d for i, v in rows_of(values) for d in monitor.update(every * (i + 1), {name: v})]

    steps = np.arange(3000)
    swinging = 0.5 - 0.45 * np.cos(2 * np.pi * steps / 400)
    assert names(watch("d_fake", swinging)) == ["oscillation"]
    (found,) = watch("d_grad_norm", np.full(3000, 150.0))
    assert found.step <= 5 * every
    once = np.where(steps == 1007, 1e5, 10.0)
    assert watch("d_grad_norm", once) == []


def test_a_few_readings_far_apart_are_not_enough():
    monitor = Monitor()
    found = [d for step in range(0, 5000, 500) for d in monitor.update(step, WON)]
    assert [d.step for d in found] == [2000], "the fifth reading"


def test_two_sicknesses_are_both_reported():
    row = WON | {"fake_spread": 0.0, "real_spread": 1.0, "d_loss": 0.0, "g_loss": 5.0}
    assert names(feed(Monitor(), [row] * 200)) == ["discriminator won", "collapse", "frozen"]


def test_what_a_rule_needs_may_be_missing():
    assert feed(Monitor(), [{}] * 3 + [{"critic": -2.0, "slope": 1.1}] * 300) == []


def any_rows(seed, n):
    """Rows with everything in them: sick stretches, gaps, NaN."""
    generator = np.random.default_rng(seed)
    rows, row = [], {}
    for i in range(n):
        if i % 60 == 0:
            row = {
                "d_real": generator.choice([0.5, 0.999]),
                "d_fake": generator.choice([0.001, 0.5, 0.9]),
                "d_loss": generator.choice([1.0, 1.0, math.nan]),
                "g_loss": generator.choice([1.0, 2.0]),
                "fake_spread": generator.choice([0.01, 1.0]),
                "real_spread": 1.0,
                "d_grad_norm": generator.choice([1.0, 1e5]),
                "colour_corr": generator.choice([-0.3, 0.3]),
            }
        row["g_loss"] += 4e-6 * (1.0 + 1000 * (i % 60 < 30))  # creeps, or runs
        rows.append({k: v for k, v in row.items() if generator.random() < 0.95})
    return rows


def small():
    return Monitor(patience=20, window=300)


@given(seed=st.integers(0, 1000), cut=st.integers(0, 300))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_a_resumed_monitor_says_what_an_uninterrupted_one_says(seed, cut):
    rows = any_rows(seed, 600)
    through = small()
    expected = [str(d) for d in feed(through, rows)]
    first, second = small(), small()
    found = feed(first, rows[:cut])
    second.set_state(json.loads(json.dumps(first.state(), allow_nan=False)))
    found += feed(second, rows[cut:], start=cut)
    assert [str(d) for d in found] == expected and len(expected) > 1
    assert second.state() == through.state()


def test_a_state_is_a_copy():
    monitor = Monitor()
    feed(monitor, [WON] * 100)
    state = monitor.state()
    kept = json.dumps(state)
    other = Monitor()
    other.set_state(state)
    feed(monitor, [WON] * 200, start=100)
    feed(other, [NOT_WON] * 200, start=100)
    assert json.dumps(state) == kept
    with pytest.raises(ValueError, match=r"missing \['side'\], unknown \['sides'\]"):
        other.set_state({("sides" if k == "side" else k): v for k, v in state.items()})


def test_numpy_scalars_are_numbers():
    row = {"d_real": np.float32(0.999), "d_fake": np.array(0.001), "d_loss": np.float64(1)}
    assert names(feed(Monitor(), [row] * 200)) == ["discriminator won"]


def test_refusals_name_the_number():
    monitor = Monitor()
    monitor.update(5, {})
    for step in (5, 4):
        with pytest.raises(ValueError, match=f"step must grow, got {step} after 5"):
            monitor.update(step, {})
    for value in (-0.1, 1.5):
        with pytest.raises(ValueError, match=f"d_real must be a probability .* got {value}"):
            monitor.update(6, {"d_real": value})
    with pytest.raises(ValueError, match=r"g_grad_norm must not be negative, got -1\.0"):
        monitor.update(6, {"g_grad_norm": -1})
    for value in ("high", None, np.zeros(2)):
        with pytest.raises(TypeError, match="d_loss must be one number, got"):
            monitor.update(6, {"d_loss": value})
    assert monitor.update(6, {}) == [], "a refused step has left no trace"
    with pytest.raises(ValueError, match="patience must be at least 1, got 0"):
        Monitor(patience=0)
    with pytest.raises(ValueError, match=r"0 < low < high < 1 must hold, got low = 0\.8"):
        Monitor(low=0.8)


def test_a_diagnosis_reads_as_one_line_and_every_sickness_has_advice():
    found = Diagnosis(Sickness.COLLAPSE, 7, "spread", 0.0123456, 0.1, "Try this.")
    assert str(found) == "step 7: collapse (spread = 0.01235, limit 0.1). Try this."
    assert set(ADVICE) == set(Sickness)
    with pytest.raises(AttributeError):
        found.step = 8
