"""The course promise, part one: every name of needle is there, with its arguments in their order.

Also here: what `course_mode` switches, and `as_needle`, with which the other course tests let a
program that says `import needle as ndl` run on minigrad.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import minigrad as ndl
from minigrad import course_mode


@contextmanager
def as_needle() -> Iterator[None]:
    """Inside, `import needle`, `import needle.nn as nn` ... find minigrad under that name."""
    ours = {name: module for name, module in sys.modules.items()
            if name.partition(".")[0] == "minigrad"}
    names = {"needle" + name.removeprefix("minigrad"): module for name, module in ours.items()}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def names_of(callable_object, drop: int = 0) -> list[str]:
    """The arguments in order; those without a name of their own with their star."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + p.name
            for p in inspect.signature(callable_object).parameters.values()][drop:]


# What the course's files define: name, and arguments in order. `needle.` is left out.
OPS = {
    "add": "a b", "add_scalar": "a scalar", "multiply": "a b", "mul_scalar": "a scalar",
    "power": "a b", "power_scalar": "a scalar", "divide": "a b", "divide_scalar": "a scalar",
    "transpose": "a axes", "reshape": "a shape", "broadcast_to": "a shape", "summation": "a axes",
    "matmul": "a b", "negate": "a", "log": "a", "exp": "a", "relu": "a", "tanh": "a",
    "stack": "args axis", "split": "a axis", "flip": "a axes", "dilate": "a axes dilation",
    "undilate": "a axes dilation", "conv": "a b stride padding", "logsoftmax": "a",
    "logsumexp": "a axes", "make_tuple": "*args", "tuple_get_item": "value index",
}
OP_CLASSES = {
    "EWiseAdd": "", "AddScalar": "scalar", "EWiseMul": "", "MulScalar": "scalar", "EWisePow": "",
    "PowerScalar": "scalar", "EWiseDiv": "", "DivScalar": "scalar", "Transpose": "axes",
    "Reshape": "shape", "BroadcastTo": "shape", "Summation": "axes", "MatMul": "", "Negate": "",
    "Log": "", "Exp": "", "ReLU": "", "Tanh": "", "Stack": "axis", "Split": "axis", "Flip": "axes",
    "Dilate": "axes dilation", "UnDilate": "axes dilation", "Conv": "stride padding",
    "LogSoftmax": "", "LogSumExp": "axes", "MakeTensorTuple": "", "TupleGetItem": "index",
}
OTHERS = {
    "init.rand": "*shape low high device dtype requires_grad",
    "init.randn": "*shape mean std device dtype requires_grad",
    "init.randb": "*shape p device dtype requires_grad",
    "init.constant": "*shape c device dtype requires_grad",
    "init.ones": "*shape device dtype requires_grad",
    "init.zeros": "*shape device dtype requires_grad",
    "init.one_hot": "n i device dtype requires_grad",
    "init.ones_like": "array device requires_grad",
    "init.zeros_like": "array device requires_grad",
    "init.xavier_uniform": "fan_in fan_out gain **",
    "init.xavier_normal": "fan_in fan_out gain **",
    "init.kaiming_uniform": "fan_in fan_out nonlinearity **",
    "init.kaiming_normal": "fan_in fan_out nonlinearity **",
    "nn.Module": "",
    "nn.Identity": "",
    "nn.Linear": "in_features out_features bias device dtype",
    "nn.Flatten": "",
    "nn.ReLU": "",
    "nn.Sequential": "*modules",
    "nn.SoftmaxLoss": "",
    "nn.SoftmaxLoss.forward": "self logits y",
    "nn.BatchNorm1d": "dim eps momentum device dtype",
    "nn.BatchNorm2d": "dim eps momentum device dtype",
    "nn.LayerNorm1d": "dim eps device dtype",
    "nn.Dropout": "p",
    "nn.Residual": "fn",
    "nn.Conv": "in_channels out_channels kernel_size stride bias device dtype",
    "nn.Module.parameters": "self",
    "nn.Module.eval": "self",
    "nn.Module.train": "self",
    "optim.Optimizer": "params",
    "optim.SGD": "params lr momentum weight_decay",
    "optim.Adam": "params lr beta1 beta2 eps weight_decay",
    "optim.SGD.step": "self",
    "optim.SGD.reset_grad": "self",
    "optim.SGD.clip_grad_norm": "self max_norm",
    "optim.Adam.step": "self",
    "data.Dataset": "transforms",
    "data.Dataset.apply_transforms": "self x",
    "data.DataLoader": "dataset batch_size shuffle",
    "data.RandomFlipHorizontal": "p",
    "data.RandomCrop": "padding",
    "data.MNISTDataset": "image_filename label_filename transforms",
    "data.NDArrayDataset": "*arrays",
    "data.CIFAR10Dataset": "base_folder train p transforms",
    "autograd.Op": "",
    "autograd.Op.compute": "self *",
    "autograd.Op.gradient": "self out_grad node",
    "autograd.Op.gradient_as_tuple": "self out_grad node",
    "autograd.TensorOp": "",
    "autograd.TensorTupleOp": "",
    "autograd.find_topo_sort": "node_list",
    "autograd.compute_gradient_of_variables": "output_tensor out_grad",
    "Tensor": "array device dtype requires_grad",
    "Tensor.backward": "self out_grad",
    "Tensor.make_const": "data requires_grad",
    "Tensor.make_from_op": "op inputs",
    "Tensor.numpy": "self",
    "Tensor.detach": "self",
    "Tensor.is_leaf": "self",
    "Tensor.realize_cached_data": "self",
    "Tensor.sum": "_ axes",
    "Tensor.reshape": "_ shape",
    "Tensor.broadcast_to": "_ shape",
    "Tensor.transpose": "_ axes",
    "Tensor.matmul": "_ _",
    "TensorTuple.tuple": "self",
    "TensorTuple.detach": "self",
    "cpu": "", "cuda": "", "all_devices": "",
}
TABLE = {**{f"ops.{name}": arguments for name, arguments in (OPS | OP_CLASSES).items()}, **OTHERS}
DEFAULTS = {
    "optim.SGD": {"lr": 0.01, "momentum": 0.0, "weight_decay": 0.0},
    "optim.Adam": {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "optim.SGD.clip_grad_norm": {"max_norm": 0.25},
    "nn.BatchNorm1d": {"eps": 1e-5, "momentum": 0.1},
    "nn.BatchNorm2d": {"eps": 1e-5, "momentum": 0.1},
    "nn.Conv": {"stride": 1, "bias": True},
    "ops.conv": {"stride": 1, "padding": 1},
    "ops.Conv": {"stride": 1, "padding": 0},
    "nn.LayerNorm1d": {"eps": 1e-5},
    "nn.Dropout": {"p": 0.5},
    "nn.Linear": {"bias": True},
    "init.rand": {"low": 0.0, "high": 1.0, "requires_grad": False},
    "init.randn": {"mean": 0.0, "std": 1.0, "requires_grad": False},
    "init.randb": {"p": 0.5, "dtype": "bool"},
    "init.constant": {"c": 1.0},
    "init.xavier_uniform": {"gain": 1.0},
    "init.kaiming_uniform": {"nonlinearity": "relu"},
    "ops.summation": {"axes": None},
    "ops.transpose": {"axes": None},
    "ops.logsumexp": {"axes": None},
    "data.DataLoader": {"batch_size": 1, "shuffle": False},
    "data.RandomCrop": {"padding": 3},
    "data.RandomFlipHorizontal": {"p": 0.5},
    "data.MNISTDataset": {"transforms": None},
    "Tensor": {"device": None, "dtype": None, "requires_grad": True},
    "Tensor.make_const": {"requires_grad": False},
}


def find(path: str):
    value = ndl
    for part in path.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("path", TABLE)
def test_arguments(path: str):
    wanted, got = TABLE[path].split(), names_of(find(path))
    assert len(got) >= len(wanted), (got, wanted)
    for name, here in zip(wanted, got, strict=False):
        same = name in ("_", here) or (name.startswith("*") and here.startswith(name[:2].rstrip(
            "abcdefghijklmnopqrstuvwxyz")))
        assert same, (path, wanted, got)
    extra = list(inspect.signature(find(path)).parameters.values())[len(wanted):]
    must = [p.name for p in extra if p.default is p.empty and p.kind.name.endswith(
        ("KEYWORD", "ONLY")) and not p.kind.name.startswith("VAR")]
    assert must == [], f"{path} wants more than in the course: {must}"


@pytest.mark.parametrize("path", DEFAULTS)
def test_defaults(path: str):
    parameters = inspect.signature(find(path)).parameters
    assert {name: parameters[name].default for name in DEFAULTS[path]} == DEFAULTS[path]


@pytest.mark.parametrize(
    "name", [*OPS, *OP_CLASSES, *"ones zeros ones_like zeros_like one_hot rand randn".split(),
             *"cpu cuda all_devices Tensor TensorTuple autograd ops nn init optim data".split()])
def test_top_level(name: str):
    """`ndl.add`, `ndl.EWiseAdd`, `ndl.ones` ...: the course's __init__ re-exports them all."""
    assert hasattr(ndl, name)
    if hasattr(ndl.ops, name):
        assert getattr(ndl, name) is getattr(ndl.ops, name)


@pytest.mark.parametrize("name", "rand randn zeros ones empty full one_hot enabled".split())
def test_devices_make_raw_arrays(name: str):
    calls = {"rand": (2, 3), "randn": (2, 3), "zeros": (2, 3), "ones": (2, 3), "empty": ((2, 3),),
             "full": ((2, 3), 7.0), "one_hot": (3, np.array([2, 0])), "enabled": ()}
    made = getattr(ndl.cpu(), name)(*calls[name])
    if name == "enabled":
        assert made is True
        return
    assert type(made) is np.ndarray
    assert made.shape == (2, 3)
    assert made.dtype == np.float32
    if name == "one_hot":
        np.testing.assert_array_equal(made, [[0, 0, 1], [1, 0, 0]])


def test_devices_compare_as_in_the_course():
    assert ndl.cpu() == ndl.cpu()
    assert ndl.cpu() != ndl.cuda()
    assert ndl.Tensor([1.0]).device == ndl.cpu()
    assert ndl.all_devices()[0] == ndl.cpu()


# ---------------------------------------------------------------------------------- import needle

PROGRAM = """
import numpy as np
import needle as ndl
import needle.nn as nn
import needle.init as init
from needle import ops, optim, data
from needle.autograd import Tensor, TensorOp, TensorTuple, find_topo_sort
from needle.nn import Parameter, Module

class Square(TensorOp):
    def compute(self, a):
        return a * a

    def gradient(self, out_grad, node):
        return 2 * out_grad * node.inputs[0]

class Net(Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(init.ones(3, 1))

    def forward(self, x):
        return Square()(x @ self.w)

net = Net()
x = ndl.Tensor(np.arange(6).reshape(2, 3), dtype="float32")
loss = net(x).sum()
loss.backward()
optim.SGD(net.parameters(), lr=0.5).step()
RESULT = net.w.numpy()
"""


def test_a_program_that_imports_needle():
    with as_needle():
        scope: dict = {}
        exec(compile(PROGRAM, "program.py", "exec"), scope)
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(scope["RESULT"], 1 - 0.5 * 2 * x.T @ x.sum(1, keepdims=True))
    assert "needle" not in sys.modules


# ------------------------------------------------------------------------- the three departures


def test_outside_dtypes_follow_the_default():
    assert ndl.Tensor(np.ones(2)).dtype == np.float32
    assert ndl.Tensor([1, 2]).dtype == np.float32
    assert ndl.Tensor(3).dtype == np.float32
    whole = ndl.Tensor(np.arange(2))
    assert whole.dtype == np.int64
    assert not whole.requires_grad
    assert not ndl.Tensor(np.array([True])).requires_grad


def test_outside_backward_records_nothing():
    x = ndl.Tensor([2.0])
    (x * x).backward()
    assert x.grad.op is None
    assert not x.grad.requires_grad
    (x * x).backward(create_graph=True)
    assert x.grad.requires_grad


def test_outside_intermediates_keep_no_grad():
    x = ndl.Tensor([2.0])
    y = x * 3
    (y * y).backward()
    assert y.grad is None
    np.testing.assert_allclose(x.grad.numpy(), [36.0])


def test_inside_all_three_are_the_courses():
    with course_mode():
        x = ndl.Tensor(np.array([2.0]))
        assert x.dtype == np.float64
        assert ndl.Tensor([1, 2]).dtype == np.int64
        assert ndl.Tensor(np.arange(2)).requires_grad
        y = x * 3
        (y * y).backward()
        np.testing.assert_allclose(y.grad.numpy(), [12.0])
        assert x.grad.requires_grad
        x.grad.backward()
        np.testing.assert_allclose(x.grad.numpy(), [18.0])


def is_course() -> bool:
    return ndl.Tensor(np.ones(1)).dtype == np.float64


def test_course_mode_restores():
    assert not is_course()
    with course_mode():
        assert is_course()
        with course_mode(False):
            assert not is_course()
        assert is_course()
        with pytest.raises(KeyError), course_mode(False):
            raise KeyError
        assert is_course()
    assert not is_course()


def test_course_mode_as_a_call_stays():
    course_mode(True)
    assert is_course()
    with course_mode(False):
        assert not is_course()
    assert is_course()
    course_mode(False)
    assert not is_course()


def test_a_gradient_overwrites_in_both_modes():
    """The course's backward sets `.grad`; PyTorch's would add the second pass to the first."""
    for mode in (True, False):
        with course_mode(mode):
            x = ndl.Tensor([3.0])
            for _ in range(2):
                (x * x).backward()
            np.testing.assert_allclose(x.grad.numpy(), [6.0])
