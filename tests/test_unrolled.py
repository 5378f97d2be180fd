"""Unrolled GAN: the slope through D's answer, and what must stay as it is."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as ndl
from gans import unrolled
from gans.objectives import Objective
from gans.trainer import load_state, state_arrays
from gans.unrolled import UnrolledGAN, orthogonal_init
from minigrad import Tensor, grad, nn, no_grad, ops
from minigrad.autograd import default_dtype, set_default_dtype


def small(**options) -> UnrolledGAN:
    values = dict(data_shape=(2,), latent_dim=3, hidden_G=(5,), hidden_D=(6,), batch_size=16,
                  lr_inner=0.4, input_scale=0.5)
    return UnrolledGAN(**{**values, **options})


def normals(batch_size=16, seed=0):
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(g.standard_normal((batch_size, 2)) + 1, requires_grad=False)


@pytest.fixture
def in_float64():
    before = default_dtype()
    set_default_dtype("float64")
    yield
    set_default_dtype(before)


def generator_gradient(gan, real, z) -> np.ndarray:
    """d g_loss / d theta_G as one vector."""
    slopes = grad(gan.g_loss(real=real, fake=gan.G(z)), gan.G.parameters())
    return np.concatenate([s.numpy().ravel() for s in slopes])


def f_after_steps(gan, real, fake) -> float:
    """What G minimizes, by NumPy alone: D takes K steps on (real, fake), then f is evaluated.

    D is: scale, Linear, ReLU, Linear; its slopes are written out by hand.
    """
    w1, b1, w2, b2 = (p.numpy().copy() for p in gan.D.parameters())
    x = gan.input_scale * np.concatenate([real.numpy(), fake])
    n = len(fake)
    label = np.concatenate([np.ones((n, 1)), np.zeros((n, 1))])
    for _ in range(gan.unroll):
        h = np.maximum(x @ w1 + b1, 0)
        error = (1 / (1 + np.exp(-(h @ w2 + b2))) - label) / n
        back = (error @ w2.T) * (h > 0)
        steps = x.T @ back, back.sum(0, keepdims=True), h.T @ error, error.sum(0, keepdims=True)
        w1, b1, w2, b2 = (p - gan.lr_inner * s
                          for p, s in zip((w1, b1, w2, b2), steps, strict=True))
    logits = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    if gan.objective is Objective.MINIMAX:
        return -float(np.logaddexp(0, -logits[:n]).mean() + np.logaddexp(0, logits[n:]).mean())
    return float(np.logaddexp(0, -logits[n:]).mean())


def numeric_gradient(gan, real, z, eps=1e-6) -> np.ndarray:
    """Central differences of ``f_after_steps`` in every parameter of G."""
    slopes = []
    for p in gan.G.parameters():
        value = p.numpy().copy()
        for index in np.ndindex(value.shape):
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * eps
                p.copy_(moved)
                with no_grad():
                    ends.append(f_after_steps(gan, real, gan.G(z).numpy()))
            slopes.append((ends[0] - ends[1]) / (2 * eps))
        p.copy_(value)
    return np.array(slopes)


@pytest.mark.parametrize("objective", [Objective.MINIMAX, Objective.NON_SATURATING])
@pytest.mark.parametrize("unroll", [0, 1, 2])
def test_the_slope_is_that_of_f_after_d_has_stepped(in_float64, unroll, objective):
    ndl.manual_seed(1)
    gan = small(unroll=unroll, objective=objective)
    real, z = next(normals()), Tensor(np.random.default_rng(2).standard_normal((16, 3)))
    got = generator_gradient(gan, real, z)
    wanted = numeric_gradient(gan, real, z)
    assert got.dtype == np.float64
    assert abs(wanted).max() > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-8 * abs(wanted).max())


@pytest.mark.parametrize("unroll", [1, 2])
def test_steps_outside_the_graph_give_another_slope(in_float64, unroll, monkeypatch):
    ndl.manual_seed(1)
    gan = small(unroll=unroll)
    real, z = next(normals()), Tensor(np.random.default_rng(2).standard_normal((16, 3)))
    through = generator_gradient(gan, real, z)
    monkeypatch.setattr(unrolled, "grad", lambda *args, **_: grad(*args))
    stopped = generator_gradient(gan, real, z)
    assert np.linalg.norm(through - stopped) > 0.1 * np.linalg.norm(through)


def test_real_samples_count_as_soon_as_g_looks_ahead(in_float64):
    ndl.manual_seed(1)
    z = Tensor(np.random.default_rng(2).standard_normal((16, 3)))
    real = next(normals())
    for unroll in (0, 1):
        gan = small(unroll=unroll)
        one, other = (generator_gradient(gan, x, z) for x in (real, real + 1.0))
        assert np.array_equal(one, other) == (unroll == 0)


@pytest.mark.parametrize("objective", list(Objective))
def test_without_a_look_ahead_the_slope_is_that_of_the_plain_gan(objective):
    ndl.manual_seed(1)
    gan = small(unroll=0, objective=objective)
    z, real = gan.noise(16), next(normals())
    plain = grad(gan.loss.g_loss(fake=gan.G(z)), gan.G.parameters())
    np.testing.assert_allclose(generator_gradient(gan, real, z),
                               np.concatenate([s.numpy().ravel() for s in plain]),
                               rtol=1e-6, atol=1e-9)


def test_the_step_of_g_leaves_d_as_it_was():
    gan = small(unroll=3)
    arrays = {name: p.numpy() for name, p in gan.D.named_parameters()}
    parameters = gan.D.parameters()
    before_G = gan.G.parameters()[0].numpy()
    gan.opt_G.minimize(gan.g_loss(real=next(normals()), fake=gan.G(gan.noise(16))))
    assert not np.array_equal(before_G, gan.G.parameters()[0].numpy())
    assert all(p is q for p, q in zip(parameters, gan.D.parameters(), strict=True))
    for name, p in gan.D.named_parameters():
        assert np.array_equal(p.numpy(), arrays[name]), name
        assert p.grad is None
    assert gan.loss.opt_D.t == 0


def test_the_step_of_d_is_the_usual_one_on_fakes_of_the_new_g():
    """Whatever K was, D goes on from where it was: G's look ahead is thrown away."""
    gan = small(unroll=4)
    seen, drawn = [], []
    d_step, noise = gan.loss.d_step, gan.noise

    def watched(real, fake):
        seen.append((real, fake, gan.G(drawn[-1]).numpy(), state_arrays(gan.D)[0]))
        return d_step(real=real, fake=fake)

    def recorded(n):
        drawn.append(noise(n))
        return drawn[-1]

    gan.loss.d_step, gan.noise = watched, recorded
    before = state_arrays(gan.D)[0]
    gan.train_step(normals())
    (real, fake, of_new_G, at_step), = seen
    assert len(drawn) == 2 and not fake.requires_grad
    np.testing.assert_array_equal(fake.numpy(), of_new_G)
    np.testing.assert_array_equal(real.numpy(), next(normals()).numpy())
    assert all(np.array_equal(at_step[name], before[name]) for name in before)


@pytest.mark.parametrize("k", [1, 3])
def test_train_step_consumes_k_batches_and_steps_g_once(k):
    gan = small(k=k, unroll=1)
    taken = []

    def counted():
        for batch in normals():
            taken.append(batch)
            yield batch

    report = gan.train_step(counted())
    assert len(taken) == k and gan.opt_G.t == 1 and gan.loss.opt_D.t == k
    assert set(report) == {"d_loss", "g_loss", "d_real", "d_fake"}
    assert all(t.shape == () for t in report.values())


def test_a_run_resumes_bit_for_bit():
    options = dict(unroll=2, ema_decay=0.9, cool_down=0.5)
    ndl.manual_seed(4)
    whole = small(**options)
    whole.set_total_steps(8)
    stream = normals()
    for _ in range(5):
        whole.train_step(stream)
    arrays, generators = state_arrays(whole)
    noise = ndl.random.get_state()
    resumed = small(**options)
    resumed.set_total_steps(8)
    load_state(resumed, arrays, generators)
    rest = [next(stream) for _ in range(3)]
    for gan in (whole, resumed):
        ndl.random.set_state(noise)
        for batch in rest:
            gan.train_step(iter([batch]))
    assert whole.opt_G.lr == resumed.opt_G.lr == 0
    for path, value in state_arrays(whole)[0].items():
        np.testing.assert_array_equal(state_arrays(resumed)[0][path], value, err_msg=path)


def test_orthogonal_weights_keep_lengths():
    net = orthogonal_init(nn.Sequential(nn.Linear(7, 4), nn.Linear(4, 9)), gain=0.8)
    tall, wide = (layer.weight.numpy() for layer in net.layers)
    np.testing.assert_allclose(tall.T @ tall, 0.64 * np.eye(4), atol=1e-6)
    np.testing.assert_allclose(wide @ wide.T, 0.64 * np.eye(4), atol=1e-6)
    assert not net.layers[0].bias.numpy().any()


def test_plain_defaults_are_those_of_the_paper():
    gan = UnrolledGAN()
    shapes = [p.shape for p in gan.G.parameters() if p.shape[0] > 1]
    assert shapes == [(256, 128), (128, 128), (128, 2)]
    assert [p.shape for p in gan.D.parameters()] == [(2, 128), (1, 128), (128, 1), (1, 1)]
    assert (gan.lr_G, gan.lr_D, gan.beta1, gan.batch_size) == (1e-4, 1e-4, 0.5, 512)
    assert gan.objective is Objective.MINIMAX
    x = Tensor(np.random.default_rng(0).standard_normal((3, 2)))
    w1, b1, w2, b2 = (p.numpy() for p in gan.D.parameters())
    np.testing.assert_allclose(gan.D(x).numpy(),
                               np.maximum(x.numpy() / 4 @ w1 + b1, 0) @ w2 + b2, rtol=1e-5)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="at least 0 steps to look ahead, got -1"):
        small(unroll=-1)

    class Digits:
        name, shape = "digits", (1, 28, 28)

    with pytest.raises(ValueError, match=r"points in the plane, not for items of shape \(1, 28"):
        UnrolledGAN.laptop(Digits)


def test_images_can_be_unrolled():
    gan = small(data_shape=(1, 4, 4), unroll=1)
    batch = Tensor(np.zeros((4, 1, 4, 4)), requires_grad=False)
    report = gan.train_step(iter([batch]))
    assert np.isfinite(ops.add(report["d_loss"], report["g_loss"]).item())
    assert gan.sample(3, np.random.default_rng(0)).shape == (3, 1, 4, 4)
