"""Minibatch discrimination, the standard deviation of the batch, packing, and their GAN."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as ndl
from gans.gan import GAN
from gans.minibatch import (
    MinibatchDiscrimination,
    MinibatchGAN,
    MinibatchStdDev,
    Pack,
    Statistic,
)
from gans.models import settings, settings_from_json, settings_to_json
from gans.trainer import load_state, named_state, state_arrays
from minigrad import Tensor, grad, ops
from minigrad.errors import ShapeError
from minigrad.gradcheck import gradcheck
from minigrad.nn import functional_call


def small(**options) -> MinibatchGAN:
    values = dict(data_shape=(2,), latent_dim=3, hidden_G=(8,), hidden_D=(8,), batch_size=12,
                  kernels=3, dims=2, pack=3)
    return MinibatchGAN(**{**values, **options})


def normals(batch_size=12, seed=0):
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(g.standard_normal((batch_size, 2), dtype="float32") + 2, requires_grad=False)


def features(n, width, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width))


def exact(array):
    return Tensor(array, dtype="float64")


def test_two_points_by_hand():
    layer = MinibatchDiscrimination(2, kernels=2, dims=1)
    layer.T.copy_(np.array([[1.0, 0.0], [0.0, 2.0]], dtype="float32"))
    x = Tensor(np.array([[1.0, 1.0], [3.0, 1.5]], dtype="float32"))
    got = layer(x).numpy()
    # M = (1, 2) and (3, 3): distances 2 in the first kernel, 1 in the second
    both = [math.exp(-2.0), math.exp(-1.0)]
    np.testing.assert_allclose(got, [[1.0, 1.0, *both], [3.0, 1.5, *both]], rtol=1e-6)


@pytest.mark.parametrize(("n", "width", "kernels", "dims"), [(3, 4, 2, 3), (5, 1, 4, 1)])
def test_statistics_are_those_of_a_loop_over_pairs(n, width, kernels, dims):
    layer = MinibatchDiscrimination(width, kernels, dims)
    x, T = features(n, width), layer.T.numpy().astype("float64")
    M = np.einsum("na,abc->nbc", x, T.reshape(width, kernels, dims))
    wanted = np.zeros((n, kernels))
    for i in range(n):
        for b in range(kernels):
            for j in range(n):
                if j != i:
                    wanted[i, b] += math.exp(-sum(abs(M[i, b, c] - M[j, b, c])
                                                  for c in range(dims)))
    got = functional_call(layer, {"T": exact(T)}, exact(x)).numpy()
    np.testing.assert_array_equal(got[:, :width], x)
    np.testing.assert_allclose(got[:, width:], wanted, rtol=1e-12, atol=1e-14)


def test_the_scale_is_that_of_the_statistics_alone():
    layer = MinibatchDiscrimination(3, kernels=2, dims=2, scale=0.25)
    x = Tensor(features(5, 3))
    got = layer(x).numpy()
    np.testing.assert_array_equal(got[:, :3], x.numpy())
    np.testing.assert_array_equal(got[:, 3:], 0.25 * layer.statistics(x).numpy())
    assert small(scale=0.25).D.layers[-2].scale == 0.25


def test_gradients_of_first_and_second_order():
    layer = MinibatchDiscrimination(3, kernels=2, dims=2)
    T = layer.T.numpy().astype("float64")
    gradcheck(lambda x, t: functional_call(layer, {"T": t}, x), features(4, 3), T)
    gradcheck(MinibatchStdDev(), features(4, 3))
    gradcheck(MinibatchStdDev(), features(3, 8, seed=1).reshape(3, 2, 2, 2))
    gradcheck(Pack(2), features(4, 3))


@pytest.mark.parametrize("layer", [MinibatchDiscrimination(3, kernels=2, dims=2),
                                   MinibatchStdDev()])
def test_samples_in_another_order_give_the_outputs_in_that_order(layer):
    x = features(6, 3).astype("float32")
    order = np.random.default_rng(1).permutation(6)
    np.testing.assert_allclose(layer(Tensor(x[order])).numpy(), layer(Tensor(x)).numpy()[order],
                               rtol=1e-5)


def test_equal_samples_are_as_close_as_can_be():
    layer = MinibatchDiscrimination(4, kernels=5, dims=3)
    x = Tensor(np.repeat(features(1, 4).astype("float32"), 7, axis=0))
    np.testing.assert_array_equal(layer.statistics(x).numpy(), np.full((7, 5), 6.0))
    far = Tensor(1e4 * features(7, 4).astype("float32"))
    np.testing.assert_array_equal(layer.statistics(far).numpy(), np.zeros((7, 5)))


def test_a_batch_of_one_has_nothing_to_compare_with():
    x = Tensor(features(1, 4).astype("float32"))
    np.testing.assert_array_equal(MinibatchDiscrimination(4, 5, 3).statistics(x).numpy(),
                                  np.zeros((1, 5)))
    np.testing.assert_allclose(MinibatchStdDev()(x).numpy()[:, 4], 1e-4, rtol=1e-4)
    assert np.isfinite(small().D(Tensor(features(1, 2).astype("float32"))).numpy()).all()


def test_the_deviation_is_that_of_every_feature_averaged():
    x = features(5, 12).reshape(5, 3, 2, 2)
    got = MinibatchStdDev()(exact(x)).numpy()
    assert got.shape == (5, 4, 2, 2)
    np.testing.assert_array_equal(got[:, :3], x)
    np.testing.assert_allclose(got[:, 3], x.std(axis=0).mean(), rtol=1e-7)
    flat = MinibatchStdDev()(exact(x.reshape(5, 12))).numpy()
    np.testing.assert_allclose(flat[:, 12], x.std(axis=0).mean(), rtol=1e-7)


def test_the_deviation_of_equal_samples_is_nearly_zero_with_a_finite_slope():
    x = Tensor(np.repeat(features(1, 4).astype("float32"), 6, axis=0))
    y = MinibatchStdDev()(x)
    assert 0 < y.numpy()[:, 4].max() < 2e-4
    slope = grad(ops.summation(y[:, 4]), x).numpy()
    assert np.isfinite(slope).all() and abs(slope).max() < 1e-2


def test_packs_are_samples_that_follow_each_other():
    x = np.arange(12, dtype="float32").reshape(6, 2)
    np.testing.assert_array_equal(Pack(3)(Tensor(x)).numpy(), x.reshape(2, 6))
    images = features(4, 18).reshape(4, 2, 3, 3)
    packed = Pack(2)(exact(images)).numpy()
    assert packed.shape == (2, 4, 3, 3)
    np.testing.assert_array_equal(packed[1], np.concatenate([images[2], images[3]]))
    assert Pack(1)(Tensor(x)).shape == (6, 2)


def test_a_pack_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ShapeError, match="batch of 5 cannot be cut into packs of 2"):
        Pack(2)(Tensor(features(5, 3)))
    with pytest.raises(ValueError, match="batch_size 10 cannot be cut into packs of 3"):
        small(statistic=Statistic.PACKING, batch_size=10, pack=3)
    small(statistic=Statistic.STDDEV, batch_size=10, pack=3)  # no packs, no matter
    with pytest.raises(ShapeError, match="packs of 3"):
        small(statistic=Statistic.PACKING).D(Tensor(features(4, 2).astype("float32")))


def test_wrong_shapes_and_sizes_are_refused():
    with pytest.raises(ShapeError, match=r"\(n, 4\), got \(3, 5\)"):
        MinibatchDiscrimination(4, 2, 2)(Tensor(features(3, 5)))
    with pytest.raises(ValueError, match="kernels 0"):
        MinibatchDiscrimination(4, 0, 2)
    with pytest.raises(ValueError, match="at least 1 sample, got 0"):
        Pack(0)
    for layer in (Pack(1), MinibatchStdDev()):
        with pytest.raises(ShapeError, match=r"got shape \(3,\)"):
            layer(Tensor(np.zeros(3)))


@pytest.mark.parametrize("statistic", list(Statistic))
def test_real_and_fake_samples_are_judged_in_batches_of_their_own(statistic):
    gan = small(statistic=statistic)
    seen = []
    D = gan.loss.D

    def watched(x):
        seen.append(x)
        return D(x)

    gan.loss.D = watched
    gan.train_step(normals())
    assert [x.shape for x in seen] == [(12, 2)] * 3  # real; fake for D; fake for G
    np.testing.assert_array_equal(seen[0].numpy(), next(normals()).numpy())


@pytest.mark.parametrize("statistic", list(Statistic))
def test_whether_a_sample_is_judged_by_its_company(statistic):
    gan = small(statistic=statistic, pack=3)
    x = features(12, 2).astype("float32")
    elsewhere = x.copy()
    elsewhere[6:] += 1.0
    alone, moved = (gan.D(Tensor(a)).numpy() for a in (x, elsewhere))
    assert alone.shape == ((4, 1) if statistic is Statistic.PACKING else (12, 1))
    same = np.allclose(alone[:2], moved[:2], rtol=1e-6, atol=1e-7)  # of samples that stayed
    assert same == (statistic in (Statistic.NONE, Statistic.PACKING))


def test_without_a_statistic_it_is_the_plain_gan_bit_for_bit():
    finals = []
    for cls, options in ((GAN, {}), (MinibatchGAN, {"statistic": Statistic.NONE})):
        ndl.manual_seed(3)
        gan = cls((2,), latent_dim=3, hidden_G=(8,), hidden_D=(8,), batch_size=12, **options)
        stream = normals()
        for _ in range(5):
            gan.train_step(stream)
        finals.append(gan.sample(9, np.random.default_rng(0)).numpy())
    assert np.array_equal(*finals)


@pytest.mark.parametrize("statistic", list(Statistic))
def test_a_run_resumes_bit_for_bit(statistic):
    ndl.manual_seed(4)
    whole = small(statistic=statistic, ema_decay=0.9)
    stream = normals()
    for _ in range(3):
        whole.train_step(stream)
    arrays, generators = state_arrays(whole)
    noise = ndl.random.get_state()
    resumed = small(statistic=statistic, ema_decay=0.9)
    load_state(resumed, arrays, generators)
    ndl.random.set_state(noise)
    rest = [next(stream) for _ in range(3)]
    for batch in rest:
        whole.train_step(iter([batch]))
    ndl.random.set_state(noise)
    for batch in rest:
        resumed.train_step(iter([batch]))
    for path, value in state_arrays(whole)[0].items():
        np.testing.assert_array_equal(state_arrays(resumed)[0][path], value, err_msg=path)


def test_the_tensor_of_the_kernels_is_learned_and_saved():
    gan = small()
    paths = [path for path in named_state(gan) if path.endswith(".T")]
    assert len(paths) == 1
    before = named_state(gan)[paths[0]].numpy()
    gan.train_step(normals())
    assert not np.array_equal(named_state(gan)[paths[0]].numpy(), before)


def test_plain_defaults_are_those_of_the_papers():
    gan = MinibatchGAN(batch_size=20)
    assert (gan.statistic, gan.kernels, gan.dims, gan.pack) == (Statistic.DISCRIMINATION, 100, 5, 2)
    assert gan.D(Tensor(np.zeros((2, 1, 28, 28), dtype="float32"))).shape == (2, 1)


def test_settings_become_json_and_come_back():
    values = settings(small(statistic=Statistic.PACKING))
    plain = settings_to_json(values)
    assert plain["statistic"] == "PACKING"
    assert settings_from_json(MinibatchGAN, plain) == values
