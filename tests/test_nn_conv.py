"""Layers of images: convolutions, whose weights have their channels last in memory, and their norm.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as ndl
from minigrad import nn, ops, optim, serialize
from minigrad.autograd import constant, find_topo_sort
from minigrad.errors import ShapeError

Array = np.ndarray


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def tensor(rng: np.random.Generator, *shape: int, **options) -> ndl.Tensor:
    return ndl.Tensor(rng.standard_normal(shape), **options)


def is_channels_last(weight: Array) -> bool:
    """Whether (o, c, kh, kw) lies in the order (kh, kw, c, o) in memory."""
    return weight.transpose(2, 3, 1, 0).flags.c_contiguous


def generator() -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(5, 6, 4, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 2, 4, stride=2, padding=1), nn.Tanh())


def discriminator() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.2),
        nn.Conv2d(6, 1, 4), nn.Flatten())


# ------------------------------------------------------------------------------------ the layers


@settings(max_examples=60)
@given(c=st.integers(1, 4), o=st.integers(1, 4), kernel=st.integers(1, 4),
       stride=st.integers(1, 3), padding=st.integers(0, 2), h=st.integers(4, 9),
       w=st.integers(4, 9), bias=st.booleans(), seed=st.integers(0, 99))
def test_layers_are_their_operations(c, o, kernel, stride, padding, h, w, bias, seed):
    g = np.random.default_rng(seed)
    x = tensor(g, 2, c, h, w)
    options = {"stride": stride, "padding": padding, "bias": bias}
    layer = nn.Conv2d(c, o, kernel, **options)
    y = layer(x)
    assert y.shape == (2, o, (h + 2 * padding - kernel) // stride + 1,
                       (w + 2 * padding - kernel) // stride + 1)
    assert y.dtype == np.float32
    assert [path for path, _ in layer.named_parameters()] == ["weight", "bias"][:1 + bias]
    plain = ops.conv2d(x, layer.weight, stride, padding).numpy()
    beside = layer.bias.numpy().reshape(1, -1, 1, 1) if bias else 0
    np.testing.assert_allclose(y.numpy(), plain + beside, rtol=1e-6, atol=1e-6)

    extra = stride - 1
    back = nn.ConvTranspose2d(c, o, kernel, output_padding=extra, **options)
    assert back.weight.shape == (c, o, kernel, kernel)
    z = back(x)
    assert z.shape == (2, o, (h - 1) * stride - 2 * padding + kernel + extra,
                       (w - 1) * stride - 2 * padding + kernel + extra)
    plain = ops.conv_transpose2d(x, back.weight, stride, padding, extra).numpy()
    beside = back.bias.numpy().reshape(1, -1, 1, 1) if bias else 0
    np.testing.assert_allclose(z.numpy(), plain + beside, rtol=1e-6, atol=1e-6)
    up = tensor(g, *y.shape)
    y.backward(up)
    assert layer.weight.grad.shape == (o, c, kernel, kernel)
    if bias:
        np.testing.assert_allclose(layer.bias.grad.numpy(), up.numpy().sum((0, 2, 3)), rtol=1e-4,
                                   atol=1e-4)


def test_pairs_and_dtypes():
    layer = nn.Conv2d(2, 3, (1, 3), stride=(2, 1), padding=(0, 1), dtype="float64")
    assert layer.weight.shape == (3, 2, 1, 3)
    assert layer(ndl.zeros(1, 2, 5, 5, dtype="float64")).shape == (1, 3, 3, 5)
    assert layer.weight.dtype == layer.bias.dtype == "float64"
    layer = nn.ConvTranspose2d(2, 3, (3, 1), stride=(2, 1), output_padding=(1, 0))
    assert layer(ndl.zeros(1, 2, 5, 5)).shape == (1, 3, 12, 5)
    ndl.set_default_dtype("float64")
    assert nn.Conv2d(1, 1, 1).weight.dtype == "float64"


def test_the_shapes_of_dcgan():
    """Radford et al. 2016, figure 1, with fewer features."""
    G = [nn.ConvTranspose2d(10, 16, 4), nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1),
         nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1),
         nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1),
         nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)]
    x = ndl.zeros(2, 10, 1, 1)
    shapes = []
    for layer in G:
        x = layer(x)
        shapes.append(x.shape[1:])
    assert shapes == [(16, 4, 4), (8, 8, 8), (4, 16, 16), (2, 32, 32), (3, 64, 64)]
    for i, size in zip((3, 2, 4, 8, 16), (32, 16, 8, 4, 1), strict=True):
        last = size == 1
        x = nn.Conv2d(i, 1 if last else {3: 2, 2: 4, 4: 8, 8: 16}[i], 4, stride=1 if last else 2,
                      padding=0 if last else 1)(x)
        assert x.shape[2:] == (size, size)


@pytest.mark.parametrize("layer, fan", [
    (lambda: nn.Conv2d(16, 20, 4), 16 * 16), (lambda: nn.Conv2d(16, 64, (2, 3)), 16 * 6),
    (lambda: nn.ConvTranspose2d(32, 20, 4), 20 * 16)], ids=["Conv2d", "Conv2d-2x3", "transpose"])
def test_initial_values(layer, fan):
    """Uniform in +-1 / sqrt(fan): of a transposed convolution the second axis counts."""
    layer, bound = layer(), 1 / np.sqrt(fan)
    w = layer.weight.numpy()
    assert 0.98 * bound < np.abs(w).max() <= bound
    np.testing.assert_allclose([w.std(), w.mean()], [bound / np.sqrt(3), 0], atol=0.05 * bound)
    assert np.abs(layer.bias.numpy()).max() <= bound
    assert np.abs(layer.bias.numpy()).max() > 0.5 * bound
    ndl.manual_seed(1)
    first = nn.Conv2d(2, 3, 3).state_dict()
    ndl.manual_seed(1)
    for path, array in nn.Conv2d(2, 3, 3).state_dict().items():
        np.testing.assert_array_equal(array, first[path])


def test_initial_values_of_the_courses_layer():
    """Kaiming's bound for ReLU, sqrt(6 / fan_in), over the kernel's area; the bias as above."""
    layer = nn.Conv(8, 32, 3)
    assert layer.weight.shape == (3, 3, 8, 32)
    bound = np.sqrt(6 / (8 * 9))
    assert 0.98 * bound < np.abs(layer.weight.numpy()).max() <= bound
    assert np.abs(layer.bias.numpy()).max() <= 1 / np.sqrt(8 * 9)
    assert nn.Conv(8, 32, 3, bias=False).bias is None


def test_repr():
    assert repr(nn.Conv2d(3, 8, 4, stride=2, padding=1, bias=False)) == (
        "Conv2d(3, 8, 4, stride=2, padding=1, bias=False)")
    assert repr(nn.Conv2d(3, 8, (4, 3), stride=(2, 1))) == (
        "Conv2d(3, 8, (4, 3), stride=(2, 1), padding=0)")
    assert repr(nn.ConvTranspose2d(3, 8, 4)).startswith("ConvTranspose2d(3, 8, 4, stride=1, padd")
    assert repr(nn.Conv(3, 8, 3, stride=2)) == "Conv(3, 8, 3, stride=2)"
    assert repr(nn.BatchNorm2d(3)) == "BatchNorm2d(3, eps=1e-05, momentum=0.1)"


def test_a_repr_tells_layers_apart_that_differ():
    assert repr(nn.ConvTranspose2d(3, 8, 3, stride=2)) != repr(
        nn.ConvTranspose2d(3, 8, 3, stride=2, output_padding=1))


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d], ids=["Conv2d", "transpose"])
def test_refused(layer):
    name = layer.__name__
    for call, message in [
        (lambda: layer(4, 8, 3, groups=2), "groups must be 1, got 2; slice the channels"),
        (lambda: layer(4, 8, 3, dilation=2), "dilation must be 1, got 2"),
        (lambda: layer(4, 8, 3, dilation=(1, 2)), r"dilation must be 1, got \(1, 2\)"),
        (lambda: layer(4, 8, 0), "kernel_size must be one or two integers of at least 1, got 0"),
        (lambda: layer(4, 8, (3, 3, 3)), "kernel_size must be one or two"),
        (lambda: layer(4, 8, 3, stride=0), "stride must be one or two integers of at least 1"),
        (lambda: layer(4, 8, 3, padding=-1), "padding must be one or two integers of at least 0"),
        (lambda: layer(0, 8, 3), "channels must be at least 1, got 0 and 8"),
        (lambda: layer(4, 0, 3), "channels must be at least 1, got 4 and 0"),
    ]:
        with pytest.raises(ShapeError, match=f"^{name}: {message}"):
            call()
    layer(4, 8, 3, groups=1, dilation=(1, 1))
    with pytest.raises(TypeError):
        layer(4, 8, 3, 2)  # what has a default is keyword-only
    with pytest.raises(ShapeError, match=r"\(1, 5, 6, 6\) have 5 channels"):
        layer(4, 8, 3)(ndl.zeros(1, 5, 6, 6))
    with pytest.raises(ShapeError, match=r"output_padding .* at least 0, got -1"):
        nn.ConvTranspose2d(4, 8, 3, output_padding=-1)
    with pytest.raises(ShapeError, match=r"output_padding must be smaller than the stride \(1, 1"):
        nn.ConvTranspose2d(4, 8, 3, output_padding=1)(ndl.zeros(1, 4, 6, 6))


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, (3, 3)])
def test_the_courses_layer(k, stride, rng):
    layer = nn.Conv(2, 3, (k, k) if stride == (3, 3) else k, stride)
    x = tensor(rng, 2, 2, 7, 6)
    s = stride if isinstance(stride, int) else stride[0]
    y = layer(x)
    assert y.shape == (2, 3, -(-7 // s), -(-6 // s))
    same = ops.conv2d(x, layer.weight.permute((3, 2, 0, 1)), s, (k - 1) // 2).numpy()
    np.testing.assert_allclose(y.numpy(), same + layer.bias.numpy().reshape(1, 3, 1, 1), rtol=1e-5,
                               atol=1e-6)
    for shape in [(2, 3, 7, 6), (2, 7, 6), (7, 6, 2)]:
        with pytest.raises(ShapeError, match=r"Conv: wants \(n, 2, h, w\)"):
            layer(ndl.zeros(*shape))


def test_what_comes_out_flattens_as_it_should(rng):
    """Channels come last in memory, not in the shape."""
    y = nn.Conv2d(2, 3, 3)(tensor(rng, 2, 2, 5, 5))
    np.testing.assert_array_equal(nn.Flatten()(y).numpy(),
                                  np.array(y.numpy().tolist(), "float32").reshape(2, -1))


# --------------------------------------------------------------------- memory, copies and states


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(3, 8, 4), lambda: nn.ConvTranspose2d(3, 8, 4),
                                  lambda: nn.Conv2d(3, 8, (1, 2), dtype="float64")])
def test_weights_have_their_channels_last_in_memory(make, rng):
    layer = make()
    assert is_channels_last(layer.weight.cached_data)
    state = layer.state_dict()
    layer.load_state_dict({k: np.asfortranarray(v) for k, v in state.items()})
    assert is_channels_last(layer.weight.cached_data)
    np.testing.assert_array_equal(layer.weight.numpy(), state["weight"])
    opt = optim.Adam(layer.parameters())
    assert is_channels_last(layer.weight.cached_data)
    layer(tensor(rng, 2, 3, 6, 6, dtype=layer.weight.dtype)).sum().backward()
    opt.step()
    assert is_channels_last(layer.weight.cached_data)
    layer.load_state_dict(state)
    assert is_channels_last(layer.weight.cached_data)
    layer.weight.data = ndl.Tensor(state["weight"], dtype=layer.weight.dtype)
    assert is_channels_last(layer.weight.cached_data)


def test_deepcopy_keeps_values_and_memory(rng):
    net = generator()
    other = copy.deepcopy(net)
    for (path, a), (_, b) in zip(net.named_parameters(), other.named_parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=path)
        assert a.cached_data.strides == b.cached_data.strides, path
        assert not np.shares_memory(a.cached_data, b.cached_data)


def test_ema_averages_weight_by_weight(rng):
    """Source and average lie in two flat buffers: in one order."""
    net = generator()
    ema = optim.EMA(net, decay=0.75)
    opt = optim.SGD(net.parameters(), lr=0.5)
    average = {path: p.numpy().astype("float64") for path, p in net.named_parameters()}
    for _ in range(3):
        opt.minimize((net(tensor(rng, 4, 5, 1, 1)) ** 2).sum())
        ema.update()
        for path, p in net.named_parameters():
            average[path] = 0.75 * average[path] + 0.25 * p.numpy()
    for path, p in ema.module.named_parameters():
        np.testing.assert_allclose(p.numpy(), average[path], rtol=1e-5, atol=1e-6, err_msg=path)
        if p.ndim == 4:
            assert is_channels_last(p.cached_data), path


def plain_layout(net: nn.Module) -> nn.Module:
    """The same network with all weights in C order."""
    other = copy.deepcopy(net)
    for module in other.layers:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            weight = np.array(module.weight.cached_data, order="C")
            module.weight = nn.Parameter(constant(weight))
    return other


OPTIMIZERS = {
    "adam": lambda p: optim.Adam(p, lr=0.02, beta1=0.5, weight_decay=0.01),
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_give_the_numbers_of_a_plain_layout(name, rng):
    nets = [discriminator()]
    nets.append(plain_layout(nets[0]))
    assert not is_channels_last(nets[1][2].weight.cached_data)
    start = nets[0].state_dict()
    opts = [OPTIMIZERS[name](net.parameters()) for net in nets]
    for step in range(4):
        x = tensor(rng, 3, 2, 8, 8, requires_grad=False)
        for net, opt in zip(nets, opts, strict=True):
            loss = ops.bce_with_logits(net(x), 1.0)
            if step == 2:  # one parameter has no gradient: the others move apart from it
                loss.backward()
                net[2].weight.grad = None
                opt.step()
            else:
                opt.minimize(loss)
    for (path, a), (_, b) in zip(nets[0].named_parameters(), nets[1].named_parameters(),
                                 strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=2e-6, err_msg=path)
        assert np.abs(a.numpy() - start[path]).max() > 1e-3, path
        if a.ndim == 4:
            assert is_channels_last(a.cached_data)
            assert b.cached_data.flags.c_contiguous


def test_an_optimizer_moves_each_weight_by_its_own_gradient(rng):
    """Against NumPy: a flat gradient in another order than the flat weights would show."""
    layer = nn.Conv2d(2, 3, (3, 2), bias=False)
    opt = optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):
        layer(tensor(rng, 2, 2, 5, 5)).backward(tensor(rng, 2, 3, 3, 4))
        want = layer.weight.numpy() - 0.1 * layer.weight.grad.numpy()
        opt.step()
        np.testing.assert_allclose(layer.weight.numpy(), want, rtol=1e-6, atol=1e-6)
    opt.clip_grad_norm(1e-3)
    want = layer.weight.numpy() - 0.1 * layer.weight.grad.numpy()
    opt.step()
    np.testing.assert_allclose(layer.weight.numpy(), want, rtol=1e-6, atol=1e-6)


def test_a_checkpoint_continues_bit_for_bit(tmp_path, rng):
    """Weights, running statistics and moments in files: six steps equal three and three."""
    batches = [rng.standard_normal((4, 2, 8, 8)).astype("float32") for _ in range(6)]

    def step(net: nn.Module, opt: optim.Optimizer, x: Array) -> float:
        loss = ops.bce_with_logits(net(ndl.Tensor(x, requires_grad=False)), 1.0)
        opt.minimize(loss)
        return loss.item()

    net = discriminator()
    opt = optim.Adam(net.parameters(), lr=0.01)
    for x in batches[:3]:
        step(net, opt, x)
    serialize.save_module(tmp_path / "net.npz", net)
    serialize.save(tmp_path / "opt.npz", opt.state_dict())
    losses = [step(net, opt, x) for x in batches[3:]]
    again = discriminator()
    opt = optim.Adam(again.parameters(), lr=0.01)
    serialize.load_module(tmp_path / "net.npz", again)
    opt.load_state_dict(serialize.load(tmp_path / "opt.npz")[0])
    assert [step(again, opt, x) for x in batches[3:]] == losses
    for path, array in net.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[path], array)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    serialize.save_module(tmp_path / "G.npz", generator())
    before = discriminator()
    state = before.state_dict()
    with pytest.raises(serialize.CheckpointError, match="does not fit Sequential"):
        serialize.load_module(tmp_path / "G.npz", before)
    turned = {path: a.transpose(1, 0, 2, 3) if a.ndim == 4 else a for path, a in state.items()}
    with pytest.raises(ShapeError, match=r"layers\.0\.weight has shape \(4, 2, 4, 4\)"):
        before.load_state_dict(turned)
    for path, array in before.state_dict().items():
        np.testing.assert_array_equal(array, state[path])


# ----------------------------------------------------------------------------------- BatchNorm2d


def test_batch_norm_against_its_formula(rng):
    layer = nn.BatchNorm2d(3, momentum=0.3)
    gamma, beta = rng.standard_normal((2, 3)).astype("float32")
    layer.weight.data, layer.bias.data = ndl.Tensor(gamma), ndl.Tensor(beta)
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = 3 * rng.standard_normal((4, 3, 5, 2)) + 2
        y = layer(ndl.Tensor(x)).numpy()
        m, v = x.mean((0, 2, 3)), x.var((0, 2, 3))  # biased: PyTorch keeps n / (n - 1) times that
        mean, var = 0.7 * mean + 0.3 * m, 0.7 * var + 0.3 * v
        normal = (x - m[:, None, None]) / np.sqrt(v[:, None, None] + 1e-5)
        np.testing.assert_allclose(y, gamma[:, None, None] * normal + beta[:, None, None],
                                   rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
        np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-5)
        assert layer.running_mean.dtype == layer.running_var.dtype == "float32"
    layer.eval()
    running = layer.running_mean
    x = rng.standard_normal((1, 3, 1, 1))  # in evaluation one image will do
    normal = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    np.testing.assert_allclose(layer(ndl.Tensor(x)).numpy(),
                               gamma[:, None, None] * normal + beta[:, None, None], rtol=1e-4,
                               atol=1e-5)
    assert layer.running_mean is running


def test_batch_norm_against_pytorch(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is wanted by benchmarks only")
    ours, theirs = nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    biased = np.ones(3)
    for _ in range(3):
        array = rng.standard_normal((4, 3, 5, 2)).astype("float32")
        up = rng.standard_normal(array.shape).astype("float32")
        x, a = ndl.Tensor(array), torch.tensor(array, requires_grad=True)
        y, b = ours(x), theirs(a)
        np.testing.assert_allclose(y.numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
        y.backward(ndl.Tensor(up))
        b.backward(torch.tensor(up))
        np.testing.assert_allclose(x.grad.numpy(), a.grad.numpy(), rtol=1e-3, atol=1e-5)
        biased = 0.9 * biased + 0.1 * array.var((0, 2, 3))
    np.testing.assert_allclose(ours.running_mean.numpy(), theirs.running_mean.numpy(), rtol=1e-4,
                               atol=1e-6)
    np.testing.assert_allclose(ours.running_var.numpy(), biased, rtol=1e-4)
    unbiased = 0.9**3 + (biased - 0.9**3) * 40 / 39
    np.testing.assert_allclose(theirs.running_var.numpy(), unbiased, rtol=1e-4)


def test_a_batch_of_one_is_refused_in_training(rng):
    layer = nn.BatchNorm2d(2)
    before = layer.state_dict()
    with pytest.raises(ShapeError, match=r"\(1, 2, 1, 1\).*batch of one"):
        layer(tensor(rng, 1, 2, 1, 1))
    for path, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[path])
    assert layer(tensor(rng, 1, 2, 1, 2)).shape == (1, 2, 1, 2)  # two pixels have a variance
    for shape in [(2, 3, 4, 4), (2, 2), (2, 2, 4), (0, 2, 4, 4)]:
        for mode in (True, False):
            with pytest.raises(ShapeError, match=r"BatchNorm2d: wants \(n, 2, h, w\) with n > 0"):
                layer.train(mode)(tensor(rng, *shape))
    with pytest.raises(ValueError, match=r"BatchNorm2d: eps.*momentum"):
        nn.BatchNorm2d(4, 0.8)


@pytest.mark.parametrize("norm, shape", [(nn.BatchNorm2d, (4, 3, 3, 2)), (nn.BatchNorm1d, (6, 3))])
@pytest.mark.parametrize("activation", [
    nn.ReLU(), nn.LeakyReLU(0.2), nn.LeakyReLU(), nn.LeakyReLU(1.0), nn.LeakyReLU(0.0)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_sequential_joins_norm_and_activation(norm, shape, activation, training, rng):
    """Outputs, gradients of both orders and running statistics are those of the two apart."""
    net = nn.Sequential(norm(3, dtype="float64"), activation).train(training)
    net[0].weight.data = tensor(rng, 3, dtype="float64")
    net[0].running_mean = nn.Buffer(rng.standard_normal(3), dtype="float64")
    other = copy.deepcopy(net)
    x, up = tensor(rng, *shape, dtype="float64"), tensor(rng, *shape, dtype="float64")
    joined, apart = net(x), other[1](other[0](x))
    if training:
        assert type(joined.op).__name__ == "BatchNorm"
        assert type(apart.op).__name__ == type(activation).__name__
    np.testing.assert_allclose(joined.numpy(), apart.numpy(), rtol=1e-12, atol=1e-12)
    for (path, a), (_, b) in zip(net.named_buffers(), other.named_buffers(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=path)
    for create_graph in (False, True):
        found = [ndl.grad(y, [x, *n.parameters()], up, create_graph)
                 for y, n in ((joined, net), (apart, other))]
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-11)
    if training:  # (in evaluation the gradient does not depend on x)
        second = [ndl.grad((g * g).sum(), x).numpy() for g in (
            ndl.grad(y, x, up, True) for y in (joined, apart))]
        assert np.abs(second[0]).max() > 1e-3
        np.testing.assert_allclose(*second, rtol=1e-8, atol=1e-10)
        with ndl.reference_kernels():
            assert type(net(x).op).__name__ == type(activation).__name__


def test_sequential_leaves_apart_what_it_cannot_join(rng):
    """Slopes outside 0 to 1, subclasses with a forward of their own, other activations."""

    class Doubled(nn.BatchNorm2d):
        def forward(self, x):
            return 2 * super().forward(x)

    x = tensor(rng, 4, 3, 2, 2)
    for net, last in [
        (nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(1.5)), "LeakyReLU"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(-0.5)), "LeakyReLU"),
        (nn.Sequential(Doubled(3), nn.ReLU()), "ReLU"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Tanh()), "Tanh"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Identity(), nn.ReLU()), "ReLU"),
    ]:
        other = copy.deepcopy(net)
        y = net(x)
        assert type(y.op).__name__ == last
        apart = x
        for layer in other:
            apart = layer(apart)
        np.testing.assert_array_equal(y.numpy(), apart.numpy())


def test_functional_call_with_batch_norm(rng):
    """Given tensors take part, also where the norm is joined; the module's own come back."""
    net = discriminator()
    own = dict(net.named_parameters())
    given_ = {path: ndl.Tensor(p.numpy() * 1.5) for path, p in own.items()}
    x = tensor(rng, 3, 2, 8, 8)
    out = nn.functional_call(net, given_, x)
    assert all(p is own[path] for path, p in net.named_parameters())
    scaled = discriminator()
    scaled.load_state_dict({k: (v * 1.5 if k in own else v) for k, v in net.state_dict().items()}
                           | {k: b.numpy() for k, b in discriminator().named_buffers()})
    np.testing.assert_allclose(out.numpy(), scaled(x).numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net[3].running_mean.numpy(), scaled[3].running_mean.numpy(),
                               rtol=1e-4, atol=1e-6)
    out.sum().backward()
    assert all(t.grad is not None and np.abs(t.grad.numpy()).max() > 0
               for path, t in given_.items() if path != "layers.3.bias")
    assert all(p.grad is None for p in own.values())


def test_a_step_inside_the_graph(rng):
    """The gradient through an inner step of D, against differences: unrolled GANs need it."""
    net = nn.Sequential(nn.Conv2d(1, 2, 2, dtype="float64"), nn.BatchNorm2d(2, dtype="float64"),
                        nn.LeakyReLU(0.2), nn.Conv2d(2, 1, 2, dtype="float64"))
    start = dict(net.named_parameters())
    real, direction = rng.standard_normal((2, 3, 1, 3, 3))

    def after(x: Array) -> tuple[ndl.Tensor, ndl.Tensor]:
        images = ndl.Tensor(x, dtype="float64")
        loss = (nn.functional_call(net, start, images) ** 2).mean()
        grads = ndl.grad(loss, list(start.values()), create_graph=True)
        stepped = optim.sgd_step(start, dict(zip(start, grads, strict=True)), 0.1)
        return images, (nn.functional_call(net, stepped, images) ** 3).mean()

    images, loss = after(real)
    exact = (ndl.grad(loss, images).numpy() * direction).sum()
    up, down = (after(real + s * 1e-5 * direction)[1].item() for s in (1, -1))
    assert exact == pytest.approx((up - down) / 2e-5, rel=1e-5)
    assert net[0].weight is start["layers.0.weight"]


def test_training_learns(rng):
    """A small network tells horizontal from vertical stripes."""
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
                        nn.Conv2d(6, 2, 4, stride=2, padding=1), nn.Flatten(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=0.01)
    labels = rng.integers(2, size=64)
    stripes = np.where(np.arange(8) % 2, 1.0, -1.0) * np.ones((8, 1))
    x = np.stack([stripes.T if k else stripes for k in labels])[:, None]
    x = ndl.Tensor(x + 0.5 * rng.standard_normal(x.shape), requires_grad=False)
    for _ in range(25):
        opt.minimize(ndl.softmax_loss(net(x), labels))
    net.eval()
    assert (net(x).numpy().argmax(1) == labels).mean() > 0.95


# ----------------------------------------------------------------------- activation taken along


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_conv2d_with_a_slope_is_conv2d_then_leaky_relu(slope, rng):
    x, w = tensor(rng, 2, 3, 7, 6), tensor(rng, 4, 3, 3, 3)
    c = tensor(rng, 2, 4, 4, 3)

    def values(y):
        first = ndl.grad((y * y * c).sum(), [x, w], create_graph=True)
        second = ndl.grad(sum((g * g).sum() for g in first), [x, w])
        return [t.numpy() for t in (y, *first, *second)]

    joined = values(ops.conv2d(x, w, 2, 1, slope))
    apart = values(ops.leaky_relu(ops.conv2d(x, w, 2, 1), slope))
    for a, b in zip(joined, apart, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    plain = [g.numpy() for g in ndl.grad(ops.conv2d(x, w, 2, 1, slope).sum(), [x, w])]
    simple = [g.numpy() for g in ndl.grad(
        ops.leaky_relu(ops.conv2d(x, w, 2, 1), slope).sum(), [x, w])]
    for a, b in zip(plain, simple, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_conv2d_refuses_a_slope_out_of_range(rng):
    x, w = tensor(rng, 1, 1, 4, 4), tensor(rng, 1, 1, 3, 3)
    for slope in (-0.1, 1.5):
        with pytest.raises(ValueError, match="slope"):
            ops.conv2d(x, w, slope=slope)


@pytest.mark.parametrize("bias", [True, False])
def test_sequential_joins_conv2d_and_activation(bias, rng):
    conv = nn.Conv2d(2, 3, 3, bias=bias)
    net = nn.Sequential(conv, nn.LeakyReLU(0.2))
    x = tensor(rng, 2, 2, 5, 5)
    y = net(x)
    np.testing.assert_allclose(y.numpy(), ops.leaky_relu(conv(x), 0.2).numpy(), rtol=1e-6,
                               atol=1e-6)
    assert (type(y.op) is ops.Conv2d) is not bias
    with ndl.reference_kernels():
        assert type(net(x).op) is ops.LeakyReLU


# -------------------------------------------------------------------------- reflected borders


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("follows", [[], [nn.ReLU()], [nn.LeakyReLU(0.2)], [nn.Tanh()]],
                         ids=lambda layers: "".join(type(m).__name__ for m in layers))
def test_sequential_joins_reflection_and_conv2d(bias, follows, rng):
    """One operation, the numbers of two or three, to second order."""
    conv = nn.Conv2d(2, 3, (3, 2), bias=bias, stride=(2, 1), dtype="float64")
    net = nn.Sequential(nn.ReflectionPad2d(2), conv, *follows)
    x = ndl.Tensor(rng.standard_normal((2, 2, 5, 4)), dtype="float64")
    wanted = [x, *net.parameters()]

    def values(y):
        first = ndl.grad((y * y).sum(), wanted, create_graph=True)
        plain = ndl.grad((y * y).sum(), wanted)
        second = ndl.grad(sum((g * g).sum() for g in first), wanted)
        return [t.numpy() for t in (y, *first, *plain, *second)]

    apart = x
    for layer in net:
        apart = layer(apart)
    for a, b in zip(values(net(x)), values(apart), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    seen = {type(t.op) for t in find_topo_sort([net(x)])}
    assert ops.Conv2d in seen and ops.ReflectionPad not in seen
    with ndl.reference_kernels():
        assert ops.ReflectionPad in {type(t.op) for t in find_topo_sort([net(x)])}


NEIGHBOURS = {  # layers that become one operation, with what comes of it
    "norm, conv": ([nn.InstanceNorm2d(2), nn.Conv2d(2, 3, 3, padding=1)], 1),
    "norm, ReLU, conv": ([nn.InstanceNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 3, stride=2)], 1),
    "norm, pad, conv": ([nn.InstanceNorm2d(2), nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3)], 1),
    "all": ([nn.InstanceNorm2d(2), nn.LeakyReLU(0.2), nn.ReflectionPad2d(2),
             nn.Conv2d(2, 3, 3, bias=False), nn.ReLU()], 1),
    "norm, ReLU, back": ([nn.InstanceNorm2d(2), nn.ReLU(),
                          nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1), nn.ReLU()], 1),
    "two": ([nn.Conv2d(2, 2, 3, bias=False), nn.InstanceNorm2d(2), nn.ReLU(),
             nn.Conv2d(2, 2, 2, bias=False), nn.InstanceNorm2d(2), nn.LeakyReLU(0.2),
             nn.Conv2d(2, 1, 2)], 2),
    "affine": ([nn.InstanceNorm2d(2, affine=True), nn.ReLU(), nn.Conv2d(2, 3, 3)], 0),
    "Tanh between": ([nn.InstanceNorm2d(2), nn.Tanh(), nn.Conv2d(2, 3, 3)], 0),
    "pads twice": ([nn.InstanceNorm2d(2), nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3, padding=1)], 0),
    "pad, back": ([nn.InstanceNorm2d(2), nn.ReflectionPad2d(1), nn.ConvTranspose2d(2, 3, 3)], 0),
    "nothing follows": ([nn.Conv2d(2, 2, 3), nn.InstanceNorm2d(2), nn.ReLU()], 0),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_sequential_joins_instance_norm_and_convolution(name, rng):
    """The numbers of the layers one by one, to second order; the normalised images are not kept."""
    layers, joined = NEIGHBOURS[name]
    net = nn.Sequential(*layers)
    for parameter in net.parameters():
        parameter.data = tensor(rng, *parameter.shape)
    x = tensor(rng, 2, 2, 6, 5)
    wanted = [x, *net.parameters()]

    def values(y):
        first = ndl.grad((y * y).sum(), wanted, create_graph=True)
        plain = ndl.grad((y * y).sum(), wanted)
        second = ndl.grad(sum((g * g).sum() for g in first), wanted)
        return [t.numpy() for t in (y, *first, *plain, *second)]

    apart = x
    for layer in net:
        apart = layer(apart)
    for a, b in zip(values(net(x)), values(apart), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5 + 2e-3 * np.abs(b).max())
    kinds = [type(t.op) for t in find_topo_sort([net(x)])]
    assert kinds.count(ops.Recomputed) == joined
    assert (ops.InstanceNorm in kinds) == (not joined)
    with pytest.raises(ShapeError, match="InstanceNorm2d: wants"):
        nn.Sequential(nn.InstanceNorm2d(3), *layers)(x)


def test_a_convolution_of_normalised_images_computes_what_is_wanted(rng):
    """Once forwards; backwards the norm again, and the gradients that are asked for."""
    x, w = tensor(rng, 2, 3, 5, 5), tensor(rng, 4, 3, 3, 3)
    y = ops.conv2d(x, w, before=ops.InstanceNorm(slope=0))
    for inputs in ([x], [w], [x, w]):
        got = ndl.grad(y.sum(), inputs)
        want = ndl.grad(ops.conv2d(ops.instance_norm(x, slope=0), w).sum(), inputs)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    images = ndl.Tensor(x.numpy(), requires_grad=False)
    y = ops.conv2d(images, w, before=ops.InstanceNorm(slope=0))
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), got[1].numpy())


def test_what_pads_zeros_itself_is_not_joined(rng):
    net = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3, padding=1))
    x = tensor(rng, 1, 2, 4, 4)
    y = net(x)
    np.testing.assert_array_equal(y.numpy(), net[1](net[0](x)).numpy())
    assert ops.ReflectionPad in {type(t.op) for t in find_topo_sort([y])}
    assert nn.Sequential(nn.ReflectionPad2d(1))(x).shape == (1, 2, 6, 6)  # nothing follows
    small = nn.Sequential(nn.ReflectionPad2d(4), nn.Conv2d(2, 3, 3))
    with pytest.raises(ShapeError, match="ReflectionPad2d: wants"):
        small(x)


def test_the_padded_image_is_not_kept(rng):
    conv = nn.Conv2d(2, 3, 3, bias=False)
    y = nn.Sequential(nn.ReflectionPad2d(1), conv)(tensor(rng, 1, 2, 4, 4))
    assert [t.shape for t in y.inputs] == [(1, 2, 4, 4), conv.weight.shape]
    assert y.op.latest[2] is None  # nor is a transformed weight, of kernels of 3
