"""The trainer: what a run saves, that it resumes bit for bit, and how it ends when it cannot go on.

Every run is of ``kill_and_resume.Tiny``, which has one of everything that has state.
"""

import errno
import json
import os
import random as dice
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import kill_and_resume
import numpy as np
import pytest
from kill_and_resume import ENVIRONMENT, Pool, Tiny, command, same_runs, train_and_kill

import minigrad
from gans import __main__ as command_line
from gans import trainer
from gans.evaluation import judge, open_data
from gans.models import MODELS, ModelError, build, settings_from_json, settings_to_json
from gans.trainer import (
    ConfigError,
    RunConfig,
    RunError,
    Trainer,
    load_state,
    named_state,
    new_run_folder,
    read_log,
    state_arrays,
)
from minigrad.serialize import load

SHORT = ["train", "tiny", "--data", "optdigits", "--steps", "60", "--report-every", "30",
         "--threads", "1"]


@pytest.fixture(autouse=True)
def small_world(tmp_path, monkeypatch):
    """The tiny model is known, and runs go into a folder of their own."""
    monkeypatch.setitem(MODELS, "tiny", Tiny)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trainer, "_draw_curves", lambda self: None)  # slow, and of no effect


@pytest.fixture(scope="module")
def peace(tmp_path_factory) -> Path:
    """One run of 60 steps that nothing disturbed."""
    folder = tmp_path_factory.mktemp("peace") / "run"
    MODELS["tiny"] = Tiny
    try:
        assert command_line.main([*SHORT, "--out", str(folder)]) == 0
    finally:
        del MODELS["tiny"]
    return folder


def copy(folder: Path, name: str = "copy") -> Path:
    return Path(shutil.copytree(folder, Path.cwd() / name))


def gans(*words: str) -> int:
    return command_line.main([str(word) for word in words])


def stopped_at(step: int, folder: Path, monkeypatch, *options: str) -> Path:
    """A run that was interrupted after ``step`` steps, as Ctrl-C does it."""
    advance = Trainer._advance

    def and_stop(self):
        advance(self)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", and_stop)
        assert gans(*SHORT, "--out", str(folder), *options) == 128 + signal.SIGINT
    return folder


# ---------------------------------------------------------------------------------- named_state


class Holder:
    """Any object with attributes."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def test_keys_are_attribute_paths():
    model = Tiny()
    model.set_total_steps(5)
    keys = list(state_arrays(model)[0])
    for key in ("G.layers.0.weight", "G.layers.1.running_mean", "opt_G.m",
                "ema.module.layers.3.bias", "loss.D.layers.1.weight", "loss.opt_D.v",
                "loss.pool.rows", "decay.t"):
        assert key in keys
    assert not [key for key in keys if key.startswith("ema.source")]  # it is G, which came first


def test_an_object_met_twice_has_its_first_path():
    layer = minigrad.nn.Linear(2, 3)
    root = Holder(first=layer, again={"x": [layer]}, net=minigrad.nn.Sequential(layer))
    root.itself = root
    assert list(named_state(root)) == ["first.weight", "first.bias"]


def test_what_is_no_state_is_passed_over():
    root = Holder(number=1, text="a", array=np.ones(3), tensor=minigrad.Tensor([1.0]), f=len,
                  choice=kill_and_resume.Mood.CALM, kind=Tiny, nothing=None)
    assert named_state(root) == {}


def test_properties_are_not_met():
    class Owner(Holder):
        @property
        def D(self):
            return self.loss.D

    root = Owner(loss=Holder(D=minigrad.nn.Linear(1, 1, bias=False)))
    assert list(named_state(root)) == ["loss.D.weight"]


def test_generators_and_containers():
    g = np.random.default_rng(3)
    root = Holder(parts=[Holder(g=g), (minigrad.nn.Linear(1, 1, bias=False),)],
                  pools={"a": Pool(2)})
    assert list(named_state(root)) == ["parts.0.g", "parts.1.0.weight", "pools.a"]
    arrays, generators = state_arrays(root)
    arrays = {key: array.copy() for key, array in arrays.items()}
    expected = g.random(4)
    load_state(root, arrays, json.loads(json.dumps(generators)))
    assert (g.random(4) == expected).all()


@pytest.mark.parametrize("change, message", [
    (lambda a: a.pop("G.layers.0.bias"), "G.layers.0.bias is missing"),
    (lambda a: a.update(strange=np.zeros(2)), "strange is unknown"),
    (lambda a: a.update({"G.layers.0.bias": np.zeros((1, 9), "f4")}), "(1, 9)"),
    (lambda a: a.update({"G.layers.0.bias": np.zeros((1, 16))}), "float64"),
    (lambda a: a.pop("opt_G.v"), "opt_G"),
])
def test_another_models_state_is_refused(change, message):
    arrays, generators = state_arrays(Tiny())
    change(arrays)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_state(Tiny(), arrays, generators)


def test_settings_come_back_from_json():
    values = {"data_shape": (1, 8, 8), "width": 3, "batch_size": 4, "lr": 1e-3, "pooled": False,
              "scheduled": True, "mood": kill_and_resume.Mood.WILD, "delay": 0.0, "nan_at": 0,
              "poison_at": 0}
    plain = json.loads(json.dumps(settings_to_json(values)))
    assert plain["mood"] == "WILD"
    assert settings_from_json(Tiny, plain) == values
    with pytest.raises(ModelError, match=r"wants one of \['CALM', 'WILD'\], got 'ODD'"):
        settings_from_json(Tiny, {**plain, "mood": "ODD"})
    with pytest.raises(ModelError, match=r"missing \['width'\], unknown \['depth'\]"):
        settings_from_json(Tiny, {**{k: v for k, v in plain.items() if k != "width"}, "depth": 1})


# ------------------------------------------------------------------------------- bit for bit


def test_two_runs_are_equal(peace, tmp_path):
    assert gans(*SHORT, "--out", "again") == 0
    assert same_runs(peace, tmp_path / "again") == []


def test_other_seeds_differ(peace, tmp_path):
    assert gans(*SHORT, "--out", "other", "--seed", "1") == 0
    assert {"log.csv", "checkpoint: G.layers.0.weight"} <= set(same_runs(peace, tmp_path / "other"))


@pytest.mark.parametrize("step", [1, 25, 30, 37, 59])
def test_interrupt_and_resume(peace, tmp_path, monkeypatch, step):
    folder = stopped_at(step, tmp_path / "run", monkeypatch)
    assert load(folder / "checkpoint.npz")[1]["step"] == step
    assert gans("train", "tiny", "--resume", folder) == 0
    assert same_runs(peace, folder) == []


def test_resume_twice_from_within_a_row(peace, tmp_path, monkeypatch):
    # log_every is 10 from 100 steps on: rows of several steps, cut in the middle
    words = [*SHORT[:4], "--steps", "120", "--report-every", "40", "--threads", "1"]
    assert gans(*words, "--out", "whole") == 0
    advance, stops = Trainer._advance, [3, 13, 17, 58, 90]  # 3: no row yet

    def and_stop(self):
        advance(self)
        if self.step in stops:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", and_stop)
        assert gans(*words, "--out", "cut") == 130
        for _ in stops[1:]:
            assert gans("train", "tiny", "--resume", "cut") == 130
    assert gans("train", "tiny", "--resume", "cut") == 0
    assert len(read_log(tmp_path / "cut")) == 12
    assert same_runs(tmp_path / "whole", tmp_path / "cut") == []


def test_looking_does_not_change_training(peace, tmp_path):
    assert gans(*[x if x != "30" else "3" for x in SHORT], "--out", "curious") == 0
    different = same_runs(peace, tmp_path / "curious")
    assert [x for x in different if x.startswith(("checkpoint: G", "checkpoint: loss"))] == []
    losses = [[(row["step"], row["d_loss"]) for row in read_log(folder)]
              for folder in (peace, tmp_path / "curious")]
    assert losses[0] == losses[1]


def test_rows_beyond_the_checkpoint_are_cut(peace, tmp_path, monkeypatch):
    folder = stopped_at(37, tmp_path / "run", monkeypatch)
    with open(folder / "log.csv", "ab") as file:
        file.write(b"38,9,9,9,9,,,,1,1\n39,9,9")  # as a kill leaves it
    (folder / ".checkpoint.npz.0badcafe.tmp").write_bytes(b"half")
    assert gans("train", "tiny", "--resume", folder) == 0
    assert same_runs(peace, folder) == []
    assert not list(folder.glob(".*"))


def test_kill_minus_nine(tmp_path):
    """A child is killed again and again, mostly while it saves; nothing is lost or changed."""
    words = ["train", "tiny", "--data", "optdigits", "--steps", "100", "--width", "384",
             "--report-every", "50", "--threads", "1", "--checkpoint-seconds", "0"]
    assert gans(*words[:-2], "--out", "peace") == 0
    happened = train_and_kill(words, tmp_path / "war", 4, dice.Random(0))
    assert happened >= 2
    assert same_runs(tmp_path / "peace", tmp_path / "war") == []


def test_the_budget_is_its_steps_command(tmp_path, capsys):
    assert gans("train", "tiny", "--data", "optdigits", "--budget", "1s", "--lr", "0.002") == 0
    text = capsys.readouterr()
    line = [x for x in text.out.splitlines() if x.startswith("to repeat it exactly: ")][-1]
    words = line.removeprefix("to repeat it exactly: gans ").split()
    assert "--steps" in words and "0.002" in words
    assert gans(*words) == 0
    a, b = (tmp_path / "runs" / f"tiny-optdigits-seed0{end}" for end in ("", "-2"))
    assert same_runs(a, b) == []
    assert RunConfig.load(a) == RunConfig.load(b)


def test_a_budget_is_kept_roughly(tmp_path):
    assert gans("train", "tiny", "--data", "optdigits", "--budget", "2s", "--delay", "0.02") == 0
    folder = tmp_path / "runs" / "tiny-optdigits-seed0"
    config, meta = RunConfig.load(folder), load(folder / "checkpoint.npz")[1]
    assert 20 <= config.steps <= 100  # 2 s of 20 ms and more, less what reports take
    assert meta["seconds"] > 0.5


def test_schedules_know_the_number_of_steps(peace):
    arrays, _ = load(peace / "checkpoint.npz")
    assert arrays["opt_G.lr"] == 0.0  # LinearDecay came to its end at the last step
    assert arrays["decay.t"] == 60


def test_two_streams_have_two_orders(tmp_path):
    class Pair(Tiny):
        def datasets(self, data):
            return [data.dataset, data.dataset]

        def train_step(self, batches):
            a, b = next(batches)
            assert a.shape == b.shape == (32, 2)
            assert (a.numpy() != b.numpy()).any()
            return super().train_step(iter([a]))

    data = open_data("ring8")
    config = RunConfig("pair", {}, data.describe(), 0, 3, 1, 1, 1)
    run = Trainer(build(Pair, {}, 0), data, judge(data), config, tmp_path / "run", progress=False)
    run.start()
    run.run()
    meta = load(tmp_path / "run" / "checkpoint.npz")[1]
    assert [stream["position"] for stream in meta["streams"]] == [3, 3]


# ------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("words, shown", [
    (["tiny", "--lr", "0.5"], "lr: the run has 0.001, given was 0.5"),
    (["tiny", "--mood", "WILD"], "Mood.CALM"),
    (["tiny", "--seed", "3"], "seed: the run has 0, given was 3"),
    (["tiny", "--steps", "50"], "steps: the run has 60, given was 50"),
    (["tiny", "--data", "digits"], "name: the run has 'optdigits', given was 'digits'"),
    (["gan"], "model: the run has 'tiny', given was 'gan'"),
    (["tiny", "--report-every", "10"], "report_every: the run has 30, given was 10"),
    (["tiny", "--out", "elsewhere"], "given was 'elsewhere'"),
    (["tiny", "--paper"], "paper: the run has False, given was True"),
    (["tiny", "--budget", "3m"], "60 steps fixed"),
])
def test_another_configuration_is_refused(peace, capsys, words, shown):
    folder = copy(peace)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert gans("train", words[0], "--resume", folder, *words[1:]) == 2
    assert shown in capsys.readouterr().err
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_changed_data_are_refused(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 255, (64, 8, 8), dtype=np.uint8)
    np.savez("mine.npz", images=images)
    assert gans("train", "tiny", "--data", "mine.npz", "--steps", "3", "--threads", "1") == 0
    assert (tmp_path / "runs" / "tiny-mine-seed0").is_dir()
    np.savez("mine.npz", images=images[::-1])
    assert gans("train", "tiny", "--resume", "tiny-mine-seed0") == 2
    assert "sha256: the run has" in capsys.readouterr().err


def test_more_threads_than_there_are_is_refused_unless_given(
    peace, tmp_path, capsys, monkeypatch
):
    folder = stopped_at(20, tmp_path / "run", monkeypatch)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "threads": 64}))
    assert gans("train", "tiny", "--resume", folder) == 2
    assert "threads: the run has 64, this machine" in capsys.readouterr().err
    assert gans("train", "tiny", "--resume", folder, "--threads", "1") == 0
    assert "1 threads, the run had 64" in capsys.readouterr().err
    assert RunConfig.load(folder).threads == 1
    assert same_runs(peace, folder) == []


def test_other_versions_are_said(peace, tmp_path, capsys, monkeypatch):
    folder = stopped_at(20, tmp_path / "run", monkeypatch)
    config = json.loads((folder / "config.json").read_text())
    config["versions"]["numpy"] = "1.0"
    (folder / "config.json").write_text(json.dumps(config))
    assert gans("train", "tiny", "--resume", folder) == 0
    assert "numpy 1.0 then, " in capsys.readouterr().err


def test_a_finished_run_stays_as_it_is(peace, capsys):
    folder = copy(peace)
    assert gans("train", "tiny", "--resume", folder) == 0
    assert "is finished: all 60 steps" in capsys.readouterr().err
    assert same_runs(peace, folder) == []


def test_a_run_may_be_given_more_steps(tmp_path, capsys):
    # without a schedule nothing else changes
    words = [*SHORT[:4], "--no-scheduled", "--threads", "1", "--report-every", "50", "--steps"]
    assert gans(*words, "100", "--out", "short") == 0
    assert gans("train", "tiny", "--resume", "short", "--steps", "150") == 0
    assert "note: 150 steps, the run had 100;" in capsys.readouterr().err
    assert gans(*words, "150", "--out", "long") == 0
    assert same_runs(tmp_path / "short", tmp_path / "long") == []
    assert RunConfig.load(tmp_path / "short") == RunConfig.load(tmp_path / "long")


def damage(kind: str, folder: Path) -> None:
    path = folder / "checkpoint.npz"
    content = path.read_bytes()
    if kind == "gone":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":  # inside an array: only the zip's checksum sees it
        at = content.index(b"\x93NUMPY") + 200
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1:])
    elif kind == "pickle":
        np.savez(path, objects=np.array([{}], dtype=object))
    else:
        np.savez(path, x=np.zeros(3))


@pytest.mark.parametrize("kind", ["gone", "empty", "cut", "flipped", "pickle", "foreign"])
@pytest.mark.parametrize("what", ["resume", "sample"])
def test_damaged_checkpoints(peace, capsys, kind, what):
    folder = copy(peace)
    damage(kind, folder)
    words = ["train", "tiny", "--resume"] if what == "resume" else ["sample"]
    assert gans(*words, folder) == 2
    error = capsys.readouterr().err
    assert "checkpoint.npz" in error and "Traceback" not in error
    assert not Path("samples.npz").exists()


def test_a_log_that_is_missing_or_foreign(peace, tmp_path, capsys, monkeypatch):
    folder = stopped_at(37, tmp_path / "run", monkeypatch)
    (folder / "log.csv").write_text("a,b\n1,2\n")
    assert gans("train", "tiny", "--resume", folder) == 1
    assert "log.csv: damaged: wanted the columns step,d_loss" in capsys.readouterr().err
    (folder / "log.csv").unlink()
    assert gans("train", "tiny", "--resume", folder) == 1
    assert "log of the first 37 steps is missing" in capsys.readouterr().err


def test_a_damaged_config(peace, capsys):
    folder = copy(peace)
    (folder / "config.json").write_text("{")
    assert gans("train", "tiny", "--resume", folder) == 1
    assert "config.json: damaged" in capsys.readouterr().err


# ----------------------------------------------------------------------------------- going wrong


def test_nan_stops_the_run(tmp_path, capsys):
    assert gans(*SHORT, "--out", "run", "--nan-at", "47", "--checkpoint-seconds", "0") == 1
    error = capsys.readouterr().err
    assert "step 47: g_loss is nan" in error
    assert "generator loss failed" in error  # the likely reason
    assert "last good checkpoint is of step 46" in error
    assert "--resume run" in error
    arrays, meta = load(tmp_path / "run" / "checkpoint.npz")
    assert meta["step"] == 46
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_nan_between_two_rows_is_named_by_its_step(tmp_path, capsys):
    assert gans(*SHORT[:4], "--steps", "200", "--threads", "1", "--nan-at", "123") == 1
    error = capsys.readouterr().err
    assert "step 123: g_loss is nan" in error
    assert "last good checkpoint is of step 0" in error


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, capsys):
    # The losses of step 30 are fine; its weights are not, and step 30 is saved.
    assert gans(*SHORT, "--out", "run", "--poison-at", "30", "--checkpoint-seconds", "0") == 1
    assert "loss.D.layers.1.weight" in capsys.readouterr().err
    assert load(tmp_path / "run" / "checkpoint.npz")[1]["step"] == 29


def test_a_full_disk_while_saving(tmp_path, capsys, monkeypatch):
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        assert gans(*SHORT, "--out", "run", "--checkpoint-seconds", "0") == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error and "last good checkpoint is of step" in error
    step = load(tmp_path / "run" / "checkpoint.npz")[1]["step"]
    assert 0 < step < 60
    assert not list((tmp_path / "run").glob(".*"))
    assert gans("train", "tiny", "--resume", "run") == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_while_logging(peace, tmp_path, capsys, monkeypatch):
    append = trainer._Log.append

    def to_a_full_disk(self, row):
        if row["step"] == 45:
            self.path = Path("/dev/full")
        append(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(trainer._Log, "append", to_a_full_disk)
        assert gans(*SHORT, "--out", "run") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert gans("train", "tiny", "--resume", "run") == 0
    assert same_runs(peace, tmp_path / "run") == []


def test_pictures_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "somewhere.png")

    monkeypatch.setattr(Trainer, "_draw_curves", refuse)
    assert gans(*SHORT, "--out", "run") == 1
    assert "cannot write somewhere.png: Permission denied" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    Path("runs").write_text("a file")
    assert gans(*SHORT) == 1
    assert "runs is no folder" in capsys.readouterr().err


def test_folders_are_never_overwritten(tmp_path):
    assert [new_run_folder(tmp_path, "a").name for _ in range(3)] == ["a", "a-2", "a-3"]
    Path("full").mkdir()
    Path("full", "x").write_text("mine")
    assert gans(*SHORT, "--out", "full") == 2
    assert Path("full", "x").read_text() == "mine"


@pytest.mark.parametrize("result, message", [
    (lambda t: {"d_loss": t}, "0-d Tensor, got (2,)"),
    (lambda t: {"d_loss": 1.0}, "got float"),
    (lambda t: {"seconds": t.sum()}, "cannot be a column"),
    (lambda t: {"a,b": t.sum()}, "cannot be a column"),
])
def test_what_train_step_must_return(tmp_path, result, message):
    class Odd(Tiny):
        def train_step(self, batches):
            return result(minigrad.Tensor([1.0, 2.0]))

    with pytest.raises(RunError, match=re.escape(message)):
        one_step(Odd, tmp_path)


def test_columns_must_stay(tmp_path):
    class Odd(Tiny):
        def train_step(self, batches):
            self.calls = getattr(self, "calls", 0) + 1
            return {"b" if self.calls == 1 else "a": minigrad.Tensor(1.0)}

    with pytest.raises(RunError, match=r"returned \['a'\] at step 2, before that \['b'\]"):
        one_step(Odd, tmp_path)


def one_step(cls: type, folder: Path) -> None:
    data = open_data("ring8")
    config = RunConfig("odd", {}, data.describe(), 0, 2, 1, 1, 1)
    run = Trainer(build(cls, {}, 0), data, judge(data), config, folder / "run", progress=False)
    run.start()
    run.run()


@pytest.mark.parametrize("change", [{"seed": -1}, {"steps": 0}, {"threads": True},
                                    {"report_every": 15, "log_every": 10}])
def test_configurations_that_cannot_be(change):
    values = {"model": "m", "settings": {}, "data": {}, "seed": 0, "steps": 1, "log_every": 1,
              "report_every": 1, "threads": 1}
    with pytest.raises(ConfigError, match=next(iter(change))):
        RunConfig(**{**values, **change})


def test_a_collapse_is_reported(tmp_path, capsys):
    class Same(Tiny):
        def sample(self, n, g):
            return minigrad.Tensor(np.ones((n, *self.data_shape), "float32"))

    MODELS["tiny"] = Same
    assert gans(*SHORT[:4], "--steps", "600", "--threads", "1", "--out", "run") == 0
    text = capsys.readouterr()
    assert "collapse" in text.err  # while it trains
    assert "monitor: step" in text.out  # and at the end
    assert "collapse" in load(tmp_path / "run" / "checkpoint.npz")[1]["diagnoses"][0]


# --------------------------------------------------------------------------------------- signals


def child(*words: str) -> subprocess.Popen:
    """The command line in a process of its own; returns when it has trained a little."""
    words = [*SHORT, "--out", "run", "--steps", "1000", "--report-every", "500", *words]
    process = subprocess.Popen(command(*words), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not Path("run/samples/step_000000.png").exists() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.15)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_resume(number, tmp_path):
    process = child("--delay", "0.01")
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} at step" in error
    assert "gans train tiny --resume run" in error
    assert "Traceback" not in error
    said = int(re.search(r"at step ([\d,]+) of", error)[1].replace(",", ""))
    assert load(Path("run/checkpoint.npz"))[1]["step"] == said > 0


def test_a_second_interrupt_quits_at_once():
    process = child("--delay", "30")
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None  # waits for the step
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=20)[1]
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert "stopped at once" in error and "Traceback" not in error
    assert load(Path("run/checkpoint.npz"))[1]["step"] == 0


def test_handlers_are_put_back(peace, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert gans(*SHORT, "--out", "run") == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
