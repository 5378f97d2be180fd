"""The seventeen tips: what each run changes, what it measures, and the rule of the verdict."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import minigrad as ndl
from gans import tips
from gans.classifier import load_classifier
from gans.ganloss import GANLoss
from gans.objectives import NonSaturating
from gans.theory import normal_pdf, optimal_discriminator
from gans.tips import (
    TIPS,
    Activation,
    Batches,
    Belief,
    Course,
    Digits,
    DropoutIn,
    FastRing,
    LabelChannels,
    LabelCode,
    Labels,
    Lines,
    MixedBatches,
    Network,
    Pixels,
    Ring,
    Schedule,
    Shrink,
    SoftTargets,
    Targets,
    TwoModes,
    Verdict,
    Watched,
    arms,
    verdict,
    verdict_table,
)
from gans.toys import TOYS
from minigrad import Tensor, nn, ops, optim

TINY = 3


def short(arm, steps=TINY):
    """The same run, cut to a few steps."""
    on_a_line = isinstance(arm, (TwoModes, Watched))  # which is read every ten steps
    brief = {"steps": 20 if on_a_line else steps}
    if getattr(arm, "head_start", 0):
        brief["head_start"] = 2
    return dataclasses.replace(arm, **brief)


def differences(a, b):
    """The settings in which two runs differ."""
    if type(a) is not type(b):
        return ["kind"]
    return [f.name for f in dataclasses.fields(a) if getattr(a, f.name) != getattr(b, f.name)]


# ------------------------------------------------------------------------------------ the list


def test_there_are_seventeen_tips_in_order():
    assert [tip.number for tip in TIPS] == list(range(1, 18))
    assert len({tip.name for tip in TIPS}) == 17
    assert all(tip.advice and tip.claim and tip.least > 0 for tip in TIPS)


def test_an_arm_s_name_stands_for_one_run():
    seen = {}
    for tip in TIPS:
        for name, arm in tip.arms.items():
            assert seen.setdefault(name, arm) == arm, name
    assert arms() == seen
    # Two names for one run would train it twice, and its seeds would count double.
    assert len({repr(arm) for arm in seen.values()}) == len(seen)


@pytest.mark.parametrize("tip", TIPS, ids=lambda tip: f"{tip.number:02}")
def test_what_is_compared_is_in_the_tip_and_has_its_metric(tip):
    assert tip.followed and tip.ignored and not set(tip.followed) & set(tip.ignored)
    for name in (*tip.followed, *tip.ignored):
        assert tip.metric in tip.arms[name].metrics


@pytest.mark.parametrize("tip", [tip for tip in TIPS if tip.number != 10],
                         ids=lambda tip: f"{tip.number:02}")
def test_the_runs_that_are_compared_differ_in_one_setting(tip):
    (followed,), (ignored,) = tip.followed, tip.ignored
    assert len(differences(tip.arms[followed], tip.arms[ignored])) == 1


@pytest.mark.parametrize("tip", [tip for tip in TIPS if tip.number not in (7, 10)],
                         ids=lambda tip: f"{tip.number:02}")
def test_every_other_run_is_one_setting_away_from_some_run_of_its_tip(tip):
    for name, arm in tip.arms.items():
        nearest = min(len(differences(arm, other)) for key, other in tip.arms.items()
                      if key != name)
        assert nearest == 1, name


def test_a_detector_is_tried_on_four_failures_and_on_healthy_runs():
    tip = TIPS[9]
    courses = [tip.arms[name].course for name in (*tip.followed, *tip.ignored)]
    assert courses == list(Course) and len(tip.followed) == 4
    assert tips.SIGN.keys() < set(courses[:4])  # nothing provoked has a healthy course's name


@pytest.mark.parametrize("name", arms())
def test_every_run_gives_finite_numbers_of_the_names_it_declares(name):
    arm = arms()[name]
    found = short(arm)(7)
    assert tuple(sorted(found)) == tuple(sorted(arm.metrics))
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("arm", [
    Ring(steps=TINY, targets=Targets.TWO_SIDED, noise=0.1), FastRing(steps=TINY),
    Digits(steps=TINY, dropout=DropoutIn.TRAINING_AND_SAMPLES), TwoModes(steps=200, pool=True),
    Lines(steps=TINY, head_start=2, noise=0.5), Belief(steps=TINY, targets=Targets.FLIPPED)],
    ids=lambda arm: type(arm).__name__)
def test_a_seed_gives_the_same_numbers_again_and_another_one_others(arm):
    first, again, other = arm(1), arm(1), arm(2)
    assert first == again
    # A generator of three steps covers nothing, whatever the seed.
    assert first != other or isinstance(arm, Ring)


# ------------------------------------------------------------------------------------ the verdict


@pytest.mark.parametrize(("followed", "ignored", "higher", "least", "wanted"), [
    ([5.0, 5.1, 4.9], [4.0, 4.1, 3.8], True, 0.3, Verdict.HELPED),
    ([5.0, 5.1, 4.9], [4.0, 4.1, 3.8], False, 0.3, Verdict.HURT),
    ([4.0, 4.1, 3.8], [5.0, 5.1, 4.9], True, 0.3, Verdict.HURT),
    ([5.0, 5.1, 4.9], [4.0, 4.1, 3.8], True, 1.5, Verdict.NO_EFFECT),  # too small to matter
    ([9.0, 1.0, 5.0], [4.0, 4.0, 4.0], True, 0.0, Verdict.NO_EFFECT),  # one lucky seed
    ([1.0, 1.0], [1.0, 1.0], True, 0.0, Verdict.NO_EFFECT),
    # Seeds differ far more than the arms do; only the pairs show it.
    ([1.5, 5.4, 9.6], [1.0, 5.0, 9.0], True, 0.1, Verdict.HELPED),
])
def test_the_verdict_is_paired_and_wants_size_and_certainty(followed, ignored, higher, least,
                                                            wanted):
    assert verdict(followed, ignored, higher, least) is wanted


def test_the_bounds_of_the_verdict_are_two_standard_errors():
    without = [0.0, 0.0, 0.0, 0.0]
    spread = [-1.0, 1.0, -1.0, 1.0]  # standard deviation sqrt(4/3), error sqrt(1/3)
    for mean, wanted in ((2 * math.sqrt(1 / 3) - 0.01, Verdict.NO_EFFECT),
                         (2 * math.sqrt(1 / 3) + 0.01, Verdict.HELPED)):
        assert verdict([mean + s for s in spread], without, True) is wanted


@pytest.mark.parametrize(("a", "b", "message"), [
    ([1.0], [2.0], "two seeds"), ([1.0, 2.0], [1.0], "2 and 1"),
    ([1.0, math.nan], [1.0, 2.0], "finite")])
def test_a_verdict_on_too_little_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        verdict(a, b, True)


def test_a_tip_takes_the_mean_over_its_arms_seed_by_seed():
    tip = dataclasses.replace(TIPS[9], metric="alarm")
    alarms = {name: [1.0, 1.0] for name in tip.followed} | {n: [0.0, 0.0] for n in tip.ignored}
    alarms[tip.followed[0]] = [0.0, 1.0]
    assert tip.values(tip.followed, lambda metric, arm: alarms[arm]) == [0.75, 1.0]
    assert tip.verdict(lambda metric, arm: alarms[arm]) is Verdict.HELPED


def test_a_gain_is_an_improvement_whichever_way_the_metric_goes():
    score, flips = TIPS[0], TIPS[7]
    values = {"score": {score.followed[0]: [5.0, 6.0], score.ignored[0]: [1.0, 1.0]},
              "flips": {flips.followed[0]: [2.0, 3.0], flips.ignored[0]: [10.0, 10.0]}}
    assert score.gains(lambda metric, arm: values[metric][arm]) == [4.0, 5.0]
    assert flips.gains(lambda metric, arm: values[metric][arm]) == [8.0, 7.0]


def test_the_table_has_a_row_and_a_verdict_for_every_tip():
    def column(metric, arm):
        followed = any(metric == tip.metric and arm in tip.followed for tip in TIPS)
        return [9.0, 9.5] if followed else [5.0, 5.5]

    lines = verdict_table(column).splitlines()
    assert len(lines) == 2 + 17 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| 1 |") and "| 9.25 | 5.25 | +4 ± 0 |" in lines[2]
    assert lines[2].endswith("**helped** |") and lines[2 + 7].endswith("**hurt** |")


# ------------------------------------------------------------------------------------ the labels


def logits(n=6, seed=0):
    g = np.random.default_rng(seed)
    return [Tensor(g.standard_normal((n, 1)).astype("float32")) for _ in range(2)]


@pytest.mark.parametrize(("targets", "plain"), [
    (Targets.HARD, NonSaturating()), (Targets.ONE_SIDED, NonSaturating(real_label=0.9))])
def test_certain_targets_are_the_library_s_objective(targets, plain):
    real, fake = logits()
    assert SoftTargets(targets=targets).d_loss(real, fake).item() == pytest.approx(
        plain.d_loss(real, fake).item(), rel=1e-6)


@pytest.mark.parametrize("targets", list(Targets))
def test_targets_have_the_means_that_d_is_expected_to_learn(targets):
    """The loss is linear in the targets, so its mean over draws is that of the mean targets."""
    ndl.manual_seed(0)
    real, fake = (ops.broadcast_to(x[:1], (40_000, 1)) for x in logits())
    a, b = targets.means
    wanted = ops.bce_with_logits(real[:1], a) + ops.bce_with_logits(fake[:1], b)
    assert SoftTargets(targets=targets).d_loss(real, fake).item() == pytest.approx(
        wanted.item(), abs=0.01)


def test_the_means_of_the_list_s_own_labels():
    assert Targets.TWO_SIDED.means == pytest.approx((0.95, 0.15))
    assert Targets.FLIPPED.means == pytest.approx((0.95, 0.05))
    assert Targets.ONE_SIDED.means == (0.9, 0.0)


def test_one_sided_smoothing_scales_the_best_answer_and_two_sided_shifts_it():
    x = np.linspace(-4, 4, 9)
    honest = optimal_discriminator(normal_pdf(x, -1.0), normal_pdf(x, 1.0))
    np.testing.assert_allclose(Belief().best(x), honest)
    np.testing.assert_allclose(Belief(targets=Targets.ONE_SIDED).best(x), 0.9 * honest)
    np.testing.assert_allclose(Belief(targets=Targets.TWO_SIDED).best(x), 0.15 + 0.8 * honest)


def test_a_discriminator_learns_the_best_answer_to_its_targets():
    found = Belief(steps=600, targets=Targets.TWO_SIDED)(0)
    assert found["rest"] < 0.03 < 0.06 < found["bias"]


# ------------------------------------------------------------------------------------ the ring


def test_coverage_wants_all_modes_and_points_on_them():
    toy = TOYS["ring8"]
    g = np.random.default_rng(0)
    assert tips.ring_scores(toy.sample(1000, g), toy)["covered"] > 0.93
    one = np.tile(toy.centres[:1], (1000, 1))
    assert tips.ring_scores(one, toy) == {"covered": 0.125, "modes": 1.0, "quality": 1.0}
    assert tips.ring_scores(one + 5, toy)["covered"] == 0
    assert tips.ring_scores(one * np.nan, toy) == {"covered": 0.0, "modes": 0.0, "quality": 0.0}


class Counted:
    """Steps of either player of a GAN, as they are taken."""

    def __init__(self, monkeypatch):
        self.steps = []
        original = optim.Adam.step

        def step(opt):
            self.steps.append(opt)
            original(opt)

        monkeypatch.setattr(optim.Adam, "step", step)


@pytest.mark.parametrize(("settings", "of_D", "of_G"), [
    ({}, 12, 12), ({"k": 2}, 16, 8), ({"k": 5}, 20, 4)])
def test_every_schedule_has_as_many_steps_in_all(monkeypatch, settings, of_D, of_G):
    counted = Counted(monkeypatch)
    Ring(steps=12, **settings)(0)
    taken = sorted(counted.steps.count(opt) for opt in {id(o): o for o in counted.steps}.values())
    assert taken == sorted([of_D, of_G])


def test_turns_by_loss_end_where_a_player_is_better_than_at_the_balance(monkeypatch):
    counted = Counted(monkeypatch)
    Ring(steps=20, schedule=Schedule.BY_LOSS)(0)
    assert len(counted.steps) == 40
    turns = [a is not b for a, b in zip(counted.steps, counted.steps[1:], strict=False)]
    # D of a new GAN is at the balance: it soon leaves, and G then is far from its own.
    assert 1 <= sum(turns) < 30


def test_instance_noise_is_gone_at_the_end(monkeypatch):
    seen = []

    class Spied(tips.InstanceNoise):
        def forward(self, x):
            seen.append(self.sigma)
            return super().forward(x)

    monkeypatch.setattr(tips, "InstanceNoise", Spied)
    Ring(steps=10, noise=0.1)(0)
    assert seen[0] == 0.1 and seen[-1] == pytest.approx(0.01) and sorted(seen)[::-1] == seen


# ------------------------------------------------------------------------------------ the digits


def layers(net):
    return [type(layer).__name__ for layer in net]


def test_g_ends_where_the_pixels_lie():
    ends = {pixels: type(list(Digits(pixels=pixels)._generator())[-2]).__name__
            for pixels in Pixels}
    assert ends == {Pixels.TANH: "Tanh", Pixels.UNIT: "Sigmoid", Pixels.BYTES: "Identity"}
    images = np.array([-1.0, 1.0], dtype="float32").reshape(1, 1, 1, 2)
    for pixels, wanted in zip(Pixels, ((-1, 1), (0, 1), (0, 255)), strict=True):
        digits = Digits(pixels=pixels)
        scaled = digits._scaled(images)
        assert tuple(scaled.ravel()) == wanted
        np.testing.assert_array_equal(digits._as_bytes(scaled).ravel(), [0, 255])


@pytest.mark.parametrize("activation", list(Activation))
def test_activations_of_both_players(activation):
    digits = Digits(Network.DCGAN, activation=activation)
    for net, slope in zip((digits._generator(), digits._loss().D), activation.value, strict=True):
        found = {layer.negative_slope for layer in net if isinstance(layer, nn.LeakyReLU)}
        assert found == {slope} and not any(isinstance(layer, nn.ReLU) for layer in net)


def test_max_pooling_takes_the_place_of_strides_and_leaves_the_sizes():
    D = Digits(Network.DCGAN, shrink=Shrink.MAX_POOL)._loss().D
    assert layers(D).count("MaxPool2d") == 2
    strides = [layer.stride for layer in D if isinstance(layer, nn.Conv2d)]
    assert strides == [(1, 1)] * 3
    assert D(Tensor(np.zeros((2, 1, 28, 28), "float32"))).shape == (2, 1)


@pytest.mark.parametrize("labels", [Labels.ONE_HOT, Labels.EMBEDDING])
def test_labels_reach_d_as_channels_that_are_the_same_everywhere(labels):
    code = LabelCode(labels)
    y = tips.one_hot(np.array([3, 7]))
    x = Tensor(np.random.default_rng(0).standard_normal((2, 784)).astype("float32"))
    images = LabelChannels()(code(ops.concat([x, y], axis=1))).numpy()
    assert images.shape == (2, 1 + labels.value, 28, 28)
    np.testing.assert_array_equal(images[:, 0].reshape(2, -1), x.numpy())
    channels = images[:, 1:]
    wanted = np.eye(10)[[3, 7]] if code.table is None else code.table.numpy()[[3, 7]]
    np.testing.assert_allclose(channels, np.broadcast_to(wanted[:, :, None, None], channels.shape),
                               rtol=1e-6)


def test_the_table_of_embeddings_learns():
    loss = Digits(labels=Labels.EMBEDDING)._loss()
    table = dict(loss.D.named_parameters())["layers.0.table"]
    before = table.numpy()
    rows = Tensor(np.random.default_rng(0).standard_normal((4, 784)).astype("float32"))
    x = ops.concat([rows, tips.one_hot(np.arange(4))], axis=1)
    loss.d_step(real=x, fake=-x)
    moved = np.abs(table.numpy() - before).max(axis=1)
    assert (moved[:4] > 0).all()


def batch_normed():
    ndl.manual_seed(3)
    D = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    return D, optim.SGD(D.parameters(), lr=0.1)


@pytest.mark.parametrize("normed", [False, True])
def test_mixed_batches_differ_by_batch_norm_alone(normed):
    g = np.random.default_rng(0)
    real, fake = (Tensor((g.standard_normal((8, 2)) + m).astype("float32"), requires_grad=False)
                  for m in (-2, 2))
    losses = []
    for make in (GANLoss, lambda *a: MixedBatches(*a, also_for_G=True)):
        D, opt_D = batch_normed()
        if not normed:
            D = nn.Sequential(D[0], D[2])
            opt_D = optim.SGD(D.parameters(), lr=0.1)
        unit = make(D, opt_D, NonSaturating())
        losses.append((unit.d_step(real=real, fake=fake).item(), unit.g_loss(fake=fake).item()))
    close = np.allclose(*losses, rtol=1e-5)
    assert close is not normed


def test_a_mixed_d_shows_g_fakes_alone_unless_told_otherwise():
    g = np.random.default_rng(0)
    real, fake = (Tensor((g.standard_normal((8, 2)) + m).astype("float32"), requires_grad=False)
                  for m in (-2, 2))
    found = []
    for also in (False, True):
        D, opt_D = batch_normed()
        unit = MixedBatches(D, opt_D, NonSaturating(), also_for_G=also)
        unit.d_step(real=real, fake=fake)
        found.append((unit.g_loss(fake=fake).item(), NonSaturating().g_loss(D(fake)).item()))
    assert found[0][0] == found[0][1] and abs(found[1][0] - found[1][1]) > 0.03


def test_batches_choose_the_loss():
    kinds = {batches: type(Digits(Network.DCGAN, batches=batches)._loss()) for batches in Batches}
    assert kinds == {Batches.SEPARATE: GANLoss, Batches.MIXED_IN_D: MixedBatches,
                     Batches.MIXED: MixedBatches}


def test_dropout_in_samples_alone_makes_one_z_many_images():
    quiet = Digits(steps=TINY, dropout=DropoutIn.TRAINING)(0)
    noisy = Digits(steps=TINY, dropout=DropoutIn.TRAINING_AND_SAMPLES)(0)
    assert quiet["same_z"] == 0.0 and noisy["same_z"] > 0.2


def test_a_straight_line_leaves_the_shell_and_asked_classes_are_counted():
    arm = Digits(steps=TINY, labels=Labels.ONE_HOT)
    found = arm(0)
    assert found["lerp_length"] == pytest.approx(math.sqrt(0.5), abs=0.02)
    G = arm.train(0).G
    z = np.random.default_rng(0).standard_normal((1000, 32), dtype="float32")
    classes = np.arange(1000) % 10
    guessed = load_classifier().probabilities(arm.pictures(G, z, classes)).argmax(axis=1)
    assert found["obeyed"] == (guessed == classes).mean()


# ------------------------------------------------------------------------------------ the rest


def test_a_pool_calms_the_cycle_of_two_modes():
    alone, pooled = (TwoModes(steps=600, pool=pool)(3) for pool in (False, True))
    assert alone["flips"] >= 8 and alone["swing"] > 1 and pooled["flips"] < alone["flips"]


def test_noise_on_lines_that_never_touch_gives_a_gradient():
    sure, noisy = Lines(steps=1, head_start=400)(0), Lines(steps=1, head_start=400, noise=0.5)(0)
    assert noisy["gradient"] > 5 * sure["gradient"]


def test_an_alarm_counts_and_only_the_provoked_sickness_is_named(monkeypatch):
    class Alarmed(tips.Monitor):
        def update(self, step, numbers):
            assert {"d_real", "d_loss", "g_grad_norm"} <= set(numbers)
            return [dataclasses.make_dataclass("Found", ["name"])(tips.Sickness.COLLAPSE)]

    monkeypatch.setattr(tips, "Monitor", Alarmed)
    assert Watched(Course.RING, steps=2)(0) == {"alarm": 1.0, "named": 0.0}
    monkeypatch.setattr(tips, "diagnose", lambda recording: [
        dataclasses.make_dataclass("Found", ["name"])(tips.Sickness.COLLAPSE)])
    for course, named in ((Course.COLLAPSE, 1.0), (Course.OSCILLATION, 0.0), (Course.WEAK_D, 0.0)):
        found = Watched(course, steps=20)(0)
        assert found["alarm"] == 1.0 and found["named"] == named
    monkeypatch.setattr(tips, "diagnose", lambda recording: [])
    assert Watched(Course.COLLAPSE, steps=20)(0)["alarm"] == 0.0


def test_every_demonstration_is_the_one_it_is_called(monkeypatch):
    names = {Course.OSCILLATION: "oscillation", Course.COLLAPSE: "collapse",
             Course.WEAK_D: "weak_discriminator", Course.LINE: "healthy"}
    for course, name in names.items():
        called = []
        original = getattr(tips, name)

        def spied(*args, original=original, called=called, **options):
            called.append(options["seed"])
            return original(*args, **options)

        monkeypatch.setattr(tips, name, spied)
        Watched(course, steps=20)(5)
        assert called == [5], course
