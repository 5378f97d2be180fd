"""Modules, optimizers, data and whole training steps on CuPy: the CPU's numbers, and budgets."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minigrad as ndl
from minigrad import data, init, nn, optim, selfcheck, serialize

CPU, CUDA = ndl.cpu(), ndl.cuda()


def both(make) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """`make(device)` gives Tensors: their values on the GPU and on the CPU, from equal seeds."""
    results = []
    for device in (CUDA, CPU):
        ndl.manual_seed(0)
        tensors = make(device)
        assert all(t.device is device for t in tensors)
        results.append([t.numpy() for t in tensors])
    return results[0], results[1]


def assert_same(make, bound: float = 1e-5) -> None:
    got, want = both(make)
    assert len(got) == len(want)
    for i, (g, w) in enumerate(zip(got, want, strict=True)):
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=bound, atol=bound, err_msg=str(i))


# ------------------------------------------------------------------------------- random numbers

INITS = {
    "rand": lambda d: init.rand(3, 4, low=-1, device=d),
    "randn": lambda d: init.randn(3, 4, mean=2, device=d),
    "randb": lambda d: init.randb(3, 4, device=d),
    "constant": lambda d: init.constant(3, 4, c=0.1, device=d),
    "ones": lambda d: init.ones(3, 4, device=d, dtype="int32"),
    "one_hot": lambda d: init.one_hot(4, [3, 0], device=d),
    "zeros_like": lambda d: init.zeros_like(init.ones(2, device=d)),
    "xavier_uniform": lambda d: init.xavier_uniform(3, 4, device=d),
    "xavier_normal": lambda d: init.xavier_normal(3, 4, device=d),
    "kaiming_uniform": lambda d: init.kaiming_uniform(3, 4, device=d),
    "kaiming_normal": lambda d: init.kaiming_normal(3, 4, device=d),
}


@pytest.mark.parametrize("name", INITS)
def test_both_devices_draw_the_same_bits(cp, name):
    got, want = both(lambda device: [INITS[name](device)])
    np.testing.assert_array_equal(got[0], want[0])


def test_a_draw_is_one_upload(cp, trace):
    init.randn(3, 4, device=CUDA)
    with trace() as t:
        init.randn(3, 4, device=CUDA)
    assert (t.delta["h2d"], t.delta["d2h"], t.delta["sync"]) == (1, 0, 0)
    with trace() as t:
        init.ones(3, 4, device=CUDA)
    assert (t.delta["h2d"], t.delta["sync"]) == (0, 0)


# --------------------------------------------------------------------------------------- modules

MODULES = {
    "Linear": (lambda d: nn.Linear(6, 5, device=d), (4, 6)),
    "Linear without bias": (lambda d: nn.Linear(6, 5, bias=False, device=d), (4, 6)),
    "BatchNorm1d": (lambda d: nn.BatchNorm1d(6, device=d), (8, 6)),
    "LayerNorm1d": (lambda d: nn.LayerNorm1d(6, device=d), (8, 6)),
    "Dropout": (lambda d: nn.Dropout(0.4), (8, 6)),
    "activations": (lambda d: nn.Sequential(
        nn.LeakyReLU(0.2), nn.ELU(), nn.GELU(), nn.Softplus(), nn.Tanh(), nn.Sigmoid()), (8, 6)),
    "Linear and ReLU": (lambda d: nn.Sequential(nn.Linear(6, 5, device=d), nn.ReLU()), (8, 6)),
    "Residual": (lambda d: nn.Residual(nn.Linear(6, 6, device=d)), (8, 6)),
    "Flatten and Reshape": (lambda d: nn.Sequential(nn.Reshape(2, 3), nn.Flatten()), (8, 6)),
    "Upsample": (lambda d: nn.Upsample(2), (2, 4, 3, 3)),
    "PixelShuffle": (lambda d: nn.PixelShuffle(2), (2, 4, 3, 3)),
    "ReflectionPad2d": (lambda d: nn.ReflectionPad2d(2), (2, 1, 4, 4)),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(cp, name):
    make, shape = MODULES[name]
    x_values = np.random.default_rng(1).standard_normal(shape)
    up_values = np.random.default_rng(2).standard_normal(10_000)

    def run(device):
        module, x = make(device), ndl.Tensor(x_values, device=device)
        y = module(x)
        y.backward(ndl.Tensor(up_values[: y.size].reshape(y.shape), device=device))
        buffers = [b for _, b in module.named_buffers()]
        still = module.eval()(x)
        return [y, x.grad, *(p.grad for p in module.parameters()), *buffers, still]

    assert_same(run)


def test_embedding(cp):
    def run(device):
        layer = nn.Embedding(5, 3, device=device)
        y = layer(np.array([[0, 4], [4, 4]]))
        y.sum().backward()
        return [y, layer.weight.grad]

    assert_same(run)


@pytest.mark.parametrize("loss", [nn.SoftmaxLoss(), nn.BCEWithLogitsLoss(), nn.BCELoss(),
                                  nn.MSELoss(), nn.L1Loss()], ids=lambda loss: type(loss).__name__)
def test_losses(cp, loss):
    g = np.random.default_rng(0)
    a, b = g.random((6, 3)) * 0.8 + 0.1, g.random((6, 3))

    def run(device):
        x = ndl.Tensor(a, device=device)
        y = np.array([0, 2, 1, 1, 0, 2]) if isinstance(loss, nn.SoftmaxLoss) else ndl.Tensor(
            b, device=device)
        value = loss(x, y)
        value.backward()
        return [value, x.grad]

    assert_same(run)


def test_gradient_penalty_through_a_network(cp):
    """Second order through linear layers and a norm of gradients, as WGAN-GP needs it."""
    x_values = np.random.default_rng(1).standard_normal((8, 6))

    def run(device):
        D = nn.Sequential(nn.Linear(6, 5, device=device), nn.LeakyReLU(0.2),
                          nn.LayerNorm1d(5, device=device), nn.Linear(5, 1, device=device))
        x = ndl.Tensor(x_values, device=device)
        (slope,) = ndl.grad(D(x).sum(), [x], create_graph=True)
        norm = ((slope * slope).sum(1) + 1e-12) ** 0.5
        penalty = ndl.mean((norm - 1) ** 2)
        penalty.backward()
        return [penalty, *(p.grad for p in D.parameters() if p.grad is not None)]

    assert_same(run)


def test_functional_call(cp):
    def run(device):
        net = nn.Linear(3, 2, device=device)
        params = dict(net.named_parameters())
        x = ndl.Tensor(np.eye(3), device=device)
        loss = (net(x) ** 2).sum()
        grads = ndl.grad(loss, list(params.values()), create_graph=True)
        new = optim.sgd_step(params, dict(zip(params, grads, strict=True)), 0.1)
        after = (nn.functional_call(net, new, x) ** 2).sum()
        return [after, *ndl.grad(after, list(params.values()))]

    assert_same(run)


# ------------------------------------------------------------------------------------ optimizers

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.5, weight_decay=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(cp, name, kernels):
    x_values = np.random.default_rng(1).standard_normal((8, 6))

    def run(device):
        net = nn.Sequential(nn.Linear(6, 5, device=device), nn.Tanh(),
                            nn.Linear(5, 1, device=device))
        opt = OPTIMIZERS[name](net.parameters())
        average = optim.EMA(net, decay=0.9)
        x = ndl.Tensor(x_values, device=device)
        for step in range(6):
            ((net(x) - 1) ** 2).sum().backward()
            if step % 2:
                net[0].bias.grad = None  # skipped
            norm = opt.clip_grad_norm(0.5)
            opt.step()
            average.update()
        state = [ndl.Tensor(v, device=device) for v in opt.state_dict().values() if v.ndim]
        return [*net.parameters(), *average.module.parameters(), norm, *state]

    if kernels == "reference":
        run = ndl.reference_kernels()(run)
    assert_same(run)


def test_a_state_crosses_devices(cp):
    """Saved on one device, loaded on the other: parameters, buffers and moments."""
    x_values = np.random.default_rng(1).standard_normal((8, 3))

    def make(device):
        net = nn.Sequential(nn.BatchNorm1d(3, device=device), nn.Linear(3, 3, device=device))
        return net, optim.Adam(net.parameters(), lr=0.1)

    def train(net, opt, steps):
        x = ndl.Tensor(x_values, device=net[1].weight.device)
        for _ in range(steps):
            opt.minimize(((net(x) - 1) ** 2).sum())

    there, here = make(CUDA), make(CPU)
    train(*there, 3)
    here[0].load_state_dict(there[0].state_dict())
    here[1].load_state_dict(there[1].state_dict())
    train(*there, 3)
    train(*here, 3)
    for a, b in zip(there[0].state_dict().values(), here[0].state_dict().values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    there[0].load_state_dict(here[0].state_dict())
    assert there[0][1].weight.device is CUDA


def test_checkpoints(cp, tmp_path):
    net = nn.Linear(2, 2, device=CUDA)
    serialize.save_module(tmp_path / "a.npz", net)
    twin = nn.Linear(2, 2)
    serialize.load_module(tmp_path / "a.npz", twin)
    np.testing.assert_array_equal(twin.weight.numpy(), net.weight.numpy())
    serialize.save(tmp_path / "b.npz", {"x": cp.arange(3)})
    np.testing.assert_array_equal(serialize.load(tmp_path / "b.npz")[0]["x"], [0, 1, 2])


# ------------------------------------------------------------------------------------------ data


def test_loaders_bring_batches_to_the_device(cp, trace):
    images, labels = np.arange(24.0).reshape(6, 4), np.arange(6)
    loader = data.DataLoader(data.NDArrayDataset(images, labels), 4, device=CUDA)
    next(iter(loader))
    with trace() as t:
        batches = list(loader)
    assert t.delta["sync"] == t.delta["d2h"] == 0
    assert t.delta["h2d"] == 4  # two parts of two batches
    assert [x.device for batch in batches for x in batch] == [CUDA] * 4
    np.testing.assert_array_equal(batches[1][0].numpy(), images[4:])
    stream = data.Stream(data.NDArrayDataset(images), 2, seed=0, device=CUDA)
    assert next(stream).device is CUDA


# --------------------------------------------------------------------------- budgets of one step


def gan_step(device, softmax: bool = False):
    """One step of an MLP GAN, as the lecture writes it; nothing is read back."""
    # no bias before the norm: its gradient is all rounding, which Adam would blow up
    G = nn.Sequential(nn.Linear(32, 64, bias=False, device=device),
                      nn.BatchNorm1d(64, device=device), nn.ReLU(),
                      nn.Linear(64, 64, device=device), nn.Tanh())
    D = nn.Sequential(nn.Linear(64, 64, device=device), nn.LeakyReLU(0.2),
                      nn.Linear(64, 2 if softmax else 1, device=device))
    opt_G = optim.Adam(G.parameters(), lr=2e-4, beta1=0.5)
    opt_D = optim.Adam(D.parameters(), lr=2e-4, beta1=0.5)
    images = np.random.default_rng(0).standard_normal((64, 64)).astype("float32")
    ones, zeros = np.ones(64, "int64"), np.zeros(64, "int64")

    def loss(logits, real: bool):
        if softmax:
            return ndl.softmax_loss(logits, ones if real else zeros)
        return ndl.bce_with_logits(logits, float(real))

    def step():
        real = ndl.Tensor(images, device=device)
        fake = G(ndl.randn(64, 32, device=device))
        d_loss = loss(D(real), True) + loss(D(fake.detach()), False)
        d_loss.backward()
        opt_D.step()
        g_loss = loss(D(fake), True)
        opt_G.minimize(g_loss)
        return [d_loss, g_loss]

    return step, [*G.parameters(), *D.parameters()]


def count(trace, step):
    for _ in range(3):
        step()
    with trace() as t:
        step()
    return t


@pytest.mark.parametrize("mode, most", [("fast", 100), ("reference", 220)])
def test_the_budget_of_a_gan_step(cp, trace, capsys, mode, most):
    """KERNELS.md: no synchronisation, no download, three uploads at most, bounded launches."""
    step, _ = gan_step(CUDA)
    if mode == "reference":
        step = ndl.reference_kernels()(step)
    t = count(trace, step)
    with capsys.disabled():
        print(f"\nMLP GAN step, {mode} kernels: {t.delta['launch']} launches, {t.delta['gemm']} "
              f"gemm, {t.delta['d2d']} d2d, {t.delta['h2d']} h2d, {t.delta['malloc']} malloc")
    assert t.delta["sync"] == 0
    assert t.delta["d2h"] == 0
    assert t.delta["h2d"] <= 3
    assert t.delta["launch"] + t.delta["gemm"] + t.delta["memset"] <= most, t.names
    assert t.delta["malloc"] == 0  # the pool has all it needs after the first steps


def test_float64_never_slips_in(cp, trace):
    step, params = gan_step(CUDA)
    t = count(trace, step)
    assert [name for name in t.names if "float64" in name] == []
    assert {str(p.dtype) for p in params} == {"float32"}


def test_labels_are_the_only_further_uploads(cp, trace):
    """Cross entropy on two logits: each loss uploads its labels, after checking them here."""
    t = count(trace, gan_step(CUDA, softmax=True)[0])
    assert t.delta["sync"] == t.delta["d2h"] == 0
    assert t.delta["h2d"] <= 2 + 3


@pytest.mark.parametrize("softmax", [False, True])
def test_a_training_equals_the_cpus(cp, softmax):
    def run(device):
        step, params = gan_step(device, softmax)
        losses = [loss for _ in range(8) for loss in step()]
        return [*losses, *params]

    assert_same(run, 1e-4)


def test_clipping_and_ema_wait_for_nothing(cp, trace):
    net = nn.Linear(4, 4, device=CUDA)
    opt, average = optim.Adam(net.parameters()), optim.EMA(net)
    x = ndl.ones(2, 4, device=CUDA)

    def step():
        (net(x) ** 2).sum().backward()
        opt.clip_grad_norm(1.0)
        opt.step()
        average.update()

    t = count(trace, step)
    assert t.delta["sync"] == t.delta["d2h"] == t.delta["h2d"] == 0


def test_reading_a_loss_is_one_download(cp, trace):
    loss = (ndl.ones(3, device=CUDA) * 2).sum()
    with trace() as t:
        assert loss.item() == 6.0
    assert t.delta["d2h"] == 1


# ------------------------------------------------------------------------------------- selfcheck


def test_selfcheck(cp, tmp_path, capsys, request):
    out = tmp_path / "gpu.json"
    code = selfcheck.main(["--device", "cuda", "--steps", "5", "--out", str(out)])
    printed = capsys.readouterr()
    assert code == 0, printed.out
    report = json.loads(out.read_text())
    assert report["passed"] is True
    assert report["device"] == "cuda"
    on_standin = "cupusim" in report["device_name"]
    assert report["real_gpu"] is not on_standin
    assert ("not a GPU" in printed.out) is on_standin
    assert report["clock"] == "cuda events"
    assert report["versions"]["cupy"] == cp.__version__
    assert report["memory_pool"]["total_bytes"] >= report["memory_pool"]["used_bytes"] > 0


def test_selfcheck_notices_a_fault(cp, tmp_path, monkeypatch, capsys):
    """Right on the CPU and wrong on the GPU: the fault that only this comparison finds."""
    right = ndl.ops.EWiseSqrt.compute

    def wrong(self, a):
        return right(self, a) * (1.001 if isinstance(a, cp.ndarray) else 1.0)

    monkeypatch.setattr(ndl.ops.EWiseSqrt, "compute", wrong)
    assert selfcheck.main(["--device", "cuda", "--steps", "1"]) == 1
    assert "FAIL op sqrt" in capsys.readouterr().out
