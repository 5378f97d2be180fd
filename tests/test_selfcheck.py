"""The self-check: it covers everything, it notices faults, and its report says where it ran."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import numpy as np
import pytest
from syntax import ROOT
from threadpoolctl import threadpool_limits

import minigrad as ndl
from minigrad import kernels, ops, selfcheck


@pytest.fixture(autouse=True)
def one_thread():
    """Threads of BLAS that wait for a busy core make these small products very slow."""
    with threadpool_limits(1):
        yield


def report(tmp_path, *arguments: str) -> tuple[int, dict]:
    out = tmp_path / "report.json"
    code = selfcheck.main(["--device", "cpu", "--steps", "8", "--out", str(out), *arguments])
    return code, json.loads(out.read_text())


def failed(found: dict) -> list[str]:
    return [f"{row['group']} {row['name']}" for row in found["rows"] if not row["passed"]]


def test_everything_has_a_case():
    functions = {name for name in ops.__all__ if name[0].islower()}
    assert functions <= set(selfcheck.OPS)
    assert set(kernels.fast.__all__) == set(selfcheck.KERNELS)
    assert {name.partition(" ")[0] for name in selfcheck._MORE} <= set(selfcheck.KERNELS)


def test_the_operands_keep_clear_of_kinks():
    """A difference across a kink would fail for no fault of the operation."""
    for name in selfcheck.OPS:
        for a in selfcheck._operands(name):
            assert np.abs(a).min() > 1e-4
            assert np.abs(np.abs(a) - 0.5).min() > 1e-5


def test_all_right_on_the_cpu(tmp_path, capsys):
    code, found = report(tmp_path)
    assert code == 0
    assert failed(found) == []
    assert found["schema"] == selfcheck.SCHEMA == 1
    assert found["device"] == "cpu"
    assert found["real_gpu"] is False
    assert found["passed"] is True
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["minigrad"] == ndl.__version__
    # the report is to be shown: the system and the processor, not which machine it was
    assert found["versions"]["platform"] == f"{platform.system()} {platform.machine()}"
    assert found["memory_pool"] is None
    groups = {row["group"] for row in found["rows"]}
    assert groups == {"kernel fast", "kernel reference", "op", "GAN"}
    assert all(row["milliseconds"] > 0 for row in found["rows"])
    assert len(found["gan"]["cpu"]["d_loss"]) == len(found["gan"]["device"]["g_loss"]) == 8
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 1 + len(found["rows"]) + 1
    assert all(line.startswith("ok ") for line in table[1:-1])
    assert "not a GPU" in table[-1]


def test_the_gan_learns(tmp_path):
    """The whole length: what is compared is a training, not a line that stands still."""
    code, found = report(tmp_path, "--steps", "150")
    assert code == 0
    assert {row["name"] for row in found["rows"] if row["group"] == "GAN"} == {
        "d_loss", "g_loss", "it learns"}


FAULTS = {
    "a gradient": (ops.Tanh, "gradient", lambda self, g, node: g * (1 - node), ["op tanh"]),
    "a second derivative": (
        ops.Exp, "gradient", lambda self, g, node: g * node.detach(), ["op exp"]),
    "a forward pass": (ops.EWiseAbs, "compute", lambda self, a: a, ["op abs"]),
    "float64 results": (ops.Negate, "compute", lambda self, a: -a.astype("float64"),
                        ["op negate"]),
    "an error": (ops.Flip, "compute", lambda self, a: 1 / 0, ["op flip"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_noticed(tmp_path, monkeypatch, capsys, fault):
    owner, attribute, wrong, names = FAULTS[fault]
    monkeypatch.setattr(owner, attribute, wrong)
    code, found = report(tmp_path)
    assert code == 1
    assert found["passed"] is False
    assert set(names) <= set(failed(found))
    assert f"FAIL {names[0]}" in capsys.readouterr().out


def test_a_wrong_kernel_is_noticed(tmp_path, monkeypatch):
    right = kernels.fast.adam

    def wrong(p, g, m, v, t, lr, *options):
        right(p, g, m, v, t, 2 * lr, *options)

    monkeypatch.setattr(kernels.fast, "adam", wrong)
    code, found = report(tmp_path, "--steps", "40")
    assert code == 1
    assert "kernel fast adam" in failed(found)
    assert "kernel reference adam" not in failed(found)
    assert "GAN d_loss" in failed(found)


@pytest.mark.parametrize("name, position", [
    ("conv2d", None), ("conv2d_input_gradient", None), ("conv2d_weight_gradient", None),
    ("conv2d_gradient", 0), ("conv2d_gradient", 1), ("conv_transpose2d_gradient", 0),
    ("conv_transpose2d_gradient", 1), ("batch_norm", 0), ("batch_norm", 2),
    ("batch_norm_gradient", 0), ("batch_norm_gradient", 1), ("leaky_relu_gradient", None)])
def test_one_wrong_element_of_an_image_or_a_weight_is_noticed(name, position, monkeypatch):
    right = getattr(kernels.fast, name)

    def wrong(*args):
        found = right(*args)
        array = found if position is None else found[position]
        array[(-1,) * array.ndim] += 0.1
        return found

    monkeypatch.setattr(kernels.fast, name, wrong)
    rows = selfcheck.check_kernels(ndl.cpu())
    bad = {(row.group, row.name.partition(" ")[0]) for row in rows if not row.passed}
    # what conv2d makes of its weight is judged by a convolution
    assert bad - {("kernel fast", "conv2d_transform")} == {("kernel fast", name)}
    cases = [row for row in rows if row.group == "kernel fast" and row.name.split()[0] == name]
    assert not any(row.passed for row in cases)


def test_a_wrong_transform_is_noticed(monkeypatch):
    right = kernels.fast.conv2d_transform

    def wrong(*args):
        found = right(*args)
        return found if found is None else 1.01 * found

    monkeypatch.setattr(kernels.fast, "conv2d_transform", wrong)
    bad = {row.name for row in selfcheck.check_kernels(ndl.cpu()) if not row.passed}
    assert bad == {"conv2d_transform k4 s2"}  # (none is kept of kernels of 3)


def test_a_kernel_without_a_case_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels.fast, "__all__", [*kernels.fast.__all__, "conv3d"])
    code, found = report(tmp_path)
    assert code == 1
    assert failed(found) == ["kernel fast conv3d"]


def test_nan_is_a_failure_and_valid_json(tmp_path, monkeypatch):
    monkeypatch.setattr(ops.EWiseSqrt, "compute", lambda self, a: a * float("nan"))
    code, found = report(tmp_path)
    assert code == 1
    (row,) = [row for row in found["rows"] if row["name"] == "sqrt"]
    assert (row["error"], row["passed"]) == ("nan", False)


def test_without_cupy(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "cupy", None)
    out = tmp_path / "gpu.json"
    assert selfcheck.main(["--device", "cuda", "--out", str(out)]) == 2
    text = capsys.readouterr()
    assert 'selfcheck: cuda(): CuPy is not installed' in text.err
    assert 'pip install "minigrad[cupy]"' in text.err
    assert text.out == ""
    assert not out.exists()


def test_wrong_arguments(capsys):
    for arguments in (["--device", "tpu"], ["--steps", "0"], ["extra"]):
        with pytest.raises(SystemExit) as stop:
            selfcheck.main(arguments)
        assert stop.value.code == 2
    capsys.readouterr()


def test_a_report_that_cannot_be_written(tmp_path, capsys):
    code = selfcheck.main(["--device", "cpu", "--steps", "1", "--out", str(tmp_path / "no" / "x")])
    assert code == 2
    assert "cannot write" in capsys.readouterr().err


def test_it_leaves_everything_as_it_was(tmp_path):
    state = ndl.random.get_state()
    with ndl.course_mode(), ndl.no_grad():
        assert report(tmp_path)[0] == 0
        assert ndl.Tensor(np.ones(1)).dtype == np.float64
        assert not ndl.is_recording()
    assert ndl.random.get_state() == state
    assert kernels.active() is kernels.fast


def test_two_runs_agree(tmp_path):
    one, two = (report(tmp_path)[1] for _ in range(2))
    for side in ("cpu", "device"):
        assert one["gan"][side]["d_loss"] == two["gan"][side]["d_loss"]
    errors = [[row["error"] for row in found["rows"]] for found in (one, two)]
    assert errors[0] == errors[1]


def test_as_a_module():
    child = subprocess.run([sys.executable, "-m", "minigrad.selfcheck", "--steps", "2"], cwd=ROOT,
                           capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout
    assert " passed on cpu: " in child.stdout
