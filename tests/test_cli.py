"""The command line: what it prints, what it writes, and how it refuses what cannot be meant."""

import csv
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kill_and_resume import ENVIRONMENT, Tiny, command
from PIL import Image

import minigrad
from gans import __main__ as command_line
from gans import results
from gans.figures import FIGURES
from gans.models import MODELS, ModelError, model_class, settings_from_json, summary
from gans.results import Job, ResultsError, Sweep
from gans.trainer import RunConfig, read_log
from gans.translation import PAIRS, open_pairs
from minigrad import __main__ as engine
from minigrad import get_threads
from minigrad.data import load as load_set
from minigrad.data import write_idx


@pytest.fixture(autouse=True)
def small_world(tmp_path, monkeypatch):
    """The tiny model is known, and the folder is empty."""
    monkeypatch.setitem(MODELS, "tiny", Tiny)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A short run on each kind of data."""
    folder = tmp_path_factory.mktemp("runs")
    MODELS["tiny"] = Tiny
    try:
        for data in ("digits", "ring8", "emoji:a"):
            words = ["train", "tiny", "--data", data, "--steps", "20", "--threads", "1",
                     "--report-every", "20"]
            assert gans(*words, "--out", folder / data.replace(":", "-")) == 0
    finally:
        del MODELS["tiny"]
    return {path.name: path for path in folder.iterdir()}


def gans(*words: object) -> int:
    return command_line.main([str(word) for word in words])


def only_error(capsys) -> str:
    """The one line of a refusal."""
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith("gans: error: ") and text.err.count("\n") == 1, text.err
    return text.err


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("words, message", [
    (["trian", "gan"], "no command is called 'trian'; did you mean gans train?"),
    (["gan"], "did you mean gans train gan?"),
    (["train", "gna"], "no model is called 'gna'; did you mean 'gan'?"),
    (["train", "xyzzy"], "there are "),
    (["train"], "which model?"),
    (["train", "gan", "--data", "digit"], "--data digit: not a data set, a file or a folder; did "
                                          "you mean 'digits'?"),
    (["train", "gan", "--data", "rin8"], "did you mean 'ring8'?"),
    (["train", "gan", "--data", "nothing/here.npz"], "not a file or folder that exists"),
    (["train", "gan", "--lr_H", "0.1"], "unknown option --lr_H; did you mean --lr-G?"),
    (["train", "gan", "--stpes", "3"], "unknown option --stpes; did you mean --steps?"),
    (["train", "gan", "extra"], "unknown argument extra"),
    (["train", "gan", "--lr-G", "fast"], "--lr-G: could not convert string to float: 'fast'"),
    (["train", "gan", "--steps", "4.5"], "--steps"),
    (["train", "gan", "--steps"], "Missing value for argument '--steps'"),
    (["train", "gan", "--objective", "MAXIMIN"], "invalid choice 'MAXIMIN'"),
    (["train", "gan", "--steps", "0"], "steps: wants a whole number of at least 1, got 0"),
    (["train", "gan", "--seed", "-1", "--steps", "5"], "seed: wants a whole number"),
    (["train", "gan", "--threads", "0", "--steps", "5"], "threads: wants a whole number"),
    (["train", "gan", "--steps", "5", "--budget", "3m"], "exclude each other"),
    (["train", "gan", "--budget", "soon"], "--budget soon: wants a time such as 90s, 3m or 1h"),
    (["train", "gan", "--budget", "0s"], "wants a time"),
    (["train", "gan", "--steps", "100", "--report-every", "7"], "must be a multiple of 10"),
    (["train", "gan", "--beta1", "1.5", "--steps", "5"], "beta1 must be a number in [0, 1)"),
    (["train", "gan", "--batch-size", "9999", "--steps", "5"], "fewer than one batch of 9999"),
    (["train", "gan", "--data-shape", "1", "8", "8", "--steps", "5"], "the data have shape"),
    (["train", "gan", "--size", "0", "--steps", "5"], "--size: wants at least 1 pixel"),
    (["train", "--resume", "nowhere"], "nowhere: no such run"),
    (["sample", "nowhere"], "no such run"),
    (["sample"], "run"),
    (["evaluate", "nowhere"], "no such run"),
    (["info", "nowhere", "--jsn"], "unknown option --jsn"),
    (["list", "everything"], "unknown argument everything"),
])
def test_refusals(capsys, words, message):
    assert gans(*words) == 2
    assert message in only_error(capsys)
    assert list(Path.cwd().iterdir()) == []  # nothing was begun


def test_debug_shows_the_traceback(capsys):
    assert gans("train", "gan", "--data", "digit", "--debug") == 2
    error = capsys.readouterr().err
    assert "Traceback" in error and "DataError" in error
    assert error.splitlines()[-1].startswith("gans: error: --data digit")


def test_a_folder_that_is_no_run(capsys):
    Path("empty").mkdir()
    assert gans("info", "empty") == 2
    assert "has no config.json, so it is no run" in only_error(capsys)


def test_similar_runs_are_suggested(runs, capsys):
    Path("runs").mkdir()
    os.symlink(runs["ring8"], "runs/tiny-ring8-seed0")
    assert gans("info", "tiny-ring-seed0") == 2
    assert "did you mean runs/tiny-ring8-seed0?" in only_error(capsys)
    assert gans("info", "tiny-ring8-seed0") == 0  # by its name alone


def test_damaged_data(capsys):
    Path("bad.npz").write_bytes(b"PK\x03\x04 cut short")
    assert gans("train", "tiny", "--data", "bad.npz", "--steps", "3") == 2
    assert "bad.npz" in only_error(capsys)
    np.savez("floats.npz", images=np.zeros((9, 8, 8)))
    assert gans("train", "tiny", "--data", "floats.npz", "--steps", "3") == 2
    assert "wanted uint8 images" in only_error(capsys)


# -------------------------------------------------------------------------------------- help, list


def test_help_and_version(capsys):
    assert gans("--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in command_line.COMMANDS)
    assert gans() == 0
    assert gans("--version") == 0
    assert minigrad.__version__ in capsys.readouterr().out


def test_help_of_train_shows_both_kinds_of_options(capsys):
    with pytest.raises(SystemExit) as end:
        gans("train", "gan", "--data", "ring8", "--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    for part in ("--budget", "--resume", "--lr-G", "--latent-dim", "NON_SATURATING"):
        assert part in text
    laptop = model_class("gan").laptop(command_line.open_data("ring8"))
    assert f"default: {laptop.latent_dim})" in text  # of this data, not of the paper


def test_list(capsys, tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", images=np.zeros((3, 4, 4), np.uint8))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    assert gans("list") == 0
    text = capsys.readouterr().out
    for part in ("gan", "tiny", "digits", "ring8", "fashion-mnist", "mine", "Goodfellow"):
        assert part in text


def test_every_model_says_what_it_is():
    for cls in MODELS.values():
        assert summary(cls)
        assert cls.default_budget > 0
    with pytest.raises(ModelError):
        model_class("none")


# --------------------------------------------------------------------------------------- training


def test_a_run_is_a_folder(runs):
    for path in runs.values():
        names = {p.name for p in path.iterdir()}
        assert {"config.json", "log.csv", "samples", "curves.png", "checkpoint.npz"} <= names
        steps = sorted(p.name for p in (path / "samples").iterdir())
        assert steps[0] == "step_000000.png" and steps[-1] == "step_000020.png"
        for picture in [path / "curves.png", *(path / "samples").iterdir()]:
            with Image.open(picture) as image:
                image.verify()
    with Image.open(runs["digits"] / "samples" / "step_000020.png") as image:
        size = image.size
    assert size == (2 * (10 * 29 + 1),) * 2  # 10 x 10 digits of 28 pixels, twice as large
    header = (runs["digits"] / "log.csv").read_text().splitlines()[0]
    assert header == "step,d_loss,g_loss,d_real,d_fake,spread,score,seconds,ms_per_step"


def test_the_end_of_training(capsys):
    assert gans("train", "tiny", "--data", "digits", "--steps", "12", "--lr", "0.01",
                "--report-every", "12") == 0
    text = capsys.readouterr()
    run = "runs/tiny-digits-seed0"
    for part in ("classifier score", "real data", "floor", f"{run}/samples/step_000012.png",
                 f"{run}/curves.png", f"gans sample {run}", f"gans evaluate {run}",
                 "--data digits --steps 12 --report-every 12", "--lr 0.01"):
        assert part in text.out, part
    assert f"run: {run}" in text.err


def test_progress_shows_time_left_answers_and_metric():
    child = subprocess.run(
        command("train", "tiny", "--data", "ring8", "--steps", "30", "--threads", "1",
                "--report-every", "30"),
        env=ENVIRONMENT, capture_output=True, text=True, check=True)
    bar = child.stderr.splitlines()[-1]
    assert re.search(r"30/30 \[\d+:\d+<\d+:\d+", bar)
    assert re.search(r"D\(x\) 0\.\d\d, D\(G\(z\)\) 0\.\d\d, modes \d\.00 \(real 8\.00\)", bar)


def test_options_override_the_laptop_settings_and_paper_the_rest(capsys):
    words = ["train", "gan", "--data", "optdigits", "--steps", "1", "--hidden-G", "8", "16",
             "--hidden-D", "8", "--objective", "LEAST_SQUARES", "--batch-norm"]
    assert gans(*words, "--out", "laptop") == 0
    assert gans(*words, "--out", "paper", "--paper") == 0
    laptop, paper = (RunConfig.load(Path(name)).settings for name in ("laptop", "paper"))
    for found in (laptop, paper):
        assert found["hidden_G"] == [8, 16] and found["batch_norm"] is True
        assert found["objective"] == "LEAST_SQUARES" and found["data_shape"] == [1, 8, 8]
    cls = model_class("gan")
    assert paper["latent_dim"] == cls().latent_dim == 100
    assert laptop["latent_dim"] == cls.laptop(command_line.open_data("optdigits")).latent_dim
    # the printed command makes the same run
    repeat = RunConfig.load(Path("paper")).command.split()[1:]
    assert gans(*repeat) == 0
    assert RunConfig.load(Path("runs/gan-optdigits-seed0")).settings == paper
    assert settings_from_json(cls, paper)["hidden_G"] == (8, 16)


def test_no_flag_is_printed_for_what_was_switched_off():
    assert gans("train", "tiny", "--data", "optdigits", "--steps", "1", "--no-pooled") == 0
    config = RunConfig.load(Path("runs/tiny-optdigits-seed0"))
    assert config.settings["pooled"] is False and "--no-pooled" in config.command


def test_own_pictures(capsys):
    draw = np.random.default_rng(0)
    Path("My Pictures").mkdir()
    for i in range(40):
        pixels = draw.integers(0, 255, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"My Pictures/{i}.png")
    words = ["train", "tiny", "--data", "My Pictures", "--size", "12", "--grey", "--steps", "4",
             "--report-every", "4"]
    assert gans(*words) == 0
    text = capsys.readouterr()
    assert "note: only 40 pictures" in text.err
    assert "copying cannot be measured" in text.out
    run = Path("runs/tiny-My-Pictures-seed0")
    assert RunConfig.load(run).data["shape"] == [1, 12, 12]
    assert gans("sample", run, "--n", "3") == 0
    assert np.load("samples.npz")["images"].shape == (3, 12, 12)
    assert gans("train", "tiny", "--resume", run, "--size", "16") == 2
    assert "shape: the run has [1, 12, 12], given was [1, 16, 16]" in capsys.readouterr().err


def test_idx_files():
    images = load_set("optdigits").train_images[:64]
    write_idx("train-images-idx3-ubyte", np.ascontiguousarray(images))
    assert gans("train", "tiny", "--data", "train-images-idx3-ubyte", "--steps", "2") == 0
    assert Path("runs/tiny-train-images-idx3-ubyte-seed0").is_dir()


# -------------------------------------------------------------------- sample, evaluate and the rest


def test_samples(runs):
    wanted = {"digits": ("images", np.uint8, (70, 28, 28)),
              "emoji-a": ("images", np.uint8, (70, 32, 32, 3)),
              "ring8": ("samples", np.float32, (70, 2))}
    for name, (key, dtype, shape) in wanted.items():
        assert gans("sample", runs[name], "--n", 70, "--out", f"{name}.npz", "--seed", 1) == 0
        found = np.load(f"{name}.npz")
        assert found.files == [key]
        assert (found[key].dtype, found[key].shape) == (dtype, shape)
        assert len(np.unique(found[key].reshape(70, -1), axis=0)) > 35


def test_samples_depend_on_the_seed_alone(runs):
    for name, seed, n in (("a", 3, 40), ("b", 3, 40), ("c", 4, 40), ("d", 3, 500)):
        assert gans("sample", runs["digits"], "--n", n, "--seed", seed, "--out", f"{name}.npz") == 0
    a, b, c, d = (np.load(f"{name}.npz")["images"] for name in "abcd")
    assert (a == b).all() and (a != c).any()
    assert (a == d[:40]).all()  # more samples begin with the same ones


@pytest.mark.parametrize("words, message", [
    (["--n", "0"], "--n: wants at least 1"),
    (["--seed", "-2"], "--seed: wants"),
    (["--out", "samples.png"], "must end in .npz"),
    (["--out", "no/such/folder/samples.npz"], "cannot write"),
])
def test_samples_that_cannot_be(runs, capsys, words, message):
    assert gans("sample", runs["ring8"], *words) == 2
    assert message in only_error(capsys)


def test_evaluate(runs, capsys):
    assert gans("evaluate", runs["ring8"], "--n", "500") == 0
    text = capsys.readouterr().out
    assert "500 samples against ring8" in text and "perfect: 98.9" in text
    assert gans("evaluate", runs["ring8"], "--n", "500", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {score["name"] for score in found["scores"]} == {
        "modes", "modes_1pct", "quality", "reverse_kl"}
    assert json.loads((runs["ring8"] / "evaluation.json").read_text())["evaluation"] == found


def test_info(runs, capsys):
    assert gans("info", runs["digits"]) == 0
    text = capsys.readouterr().out
    for part in ("tiny on digits (1, 28, 28), 8,000 items", "step      20 of 20 (finished)",
                 "mood=CALM", "numpy", "d_loss", "loss.D", "classifier score", "gans train tiny"):
        assert part in text, part


# ---------------------------------------------------------------------------------------- results

JOBS = {"tiny-toy": Job("tiny-toy", "Tiny on a toy", "tiny", "optdigits", "0.5s", (0, 1),
                        ("--threads", "1"), "nothing much")}


@pytest.fixture
def checkout(monkeypatch):
    Path("docs").mkdir()
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])


def test_results(checkout, capfd):
    results.run(jobs=JOBS, sweeps={}, gans=command())
    page = Path("docs/results.md").read_text()
    assert "## Tiny on a toy" in page and "To reach: nothing much." in page
    assert "gans train tiny --data optdigits --budget 0.5s --seed 0 --threads 1" in page
    assert re.search(r"\| sharpness \| [\d.]+ ± [\d.e-]+ \| [\d.]+ \|  \|", page), page
    assert "Seeds 0, 1:" in page and "(results/tiny-toy-seed0.png)" in page
    assert Path("docs/results/tiny-toy-seed0.png").stat().st_size > 100
    rows = Path("docs/results/tiny-toy.csv").read_text().splitlines()
    assert rows[0].startswith("seed,command,date,steps,seconds,threads,cores,versions,"
                              "sharpness,")
    assert [row.split(",")[0] for row in rows[1:]] == ["0", "1"]
    # finished rows are not run again; a command that fails proves it
    results.run(jobs=JOBS, sweeps={}, gans=[sys.executable, "-c", "raise SystemExit(3)"])
    assert Path("docs/results.md").read_text() == page
    # a row that is missing is: here from its finished run, without training
    Path("docs/results/tiny-toy.csv").write_text("\n".join(rows[:2]) + "\n")
    results.run("tiny-toy", jobs=JOBS, sweeps={}, gans=command())
    assert Path("docs/results/tiny-toy.csv").read_text().splitlines() == rows


def test_results_keep_the_highest_of_a_live_metric_and_jobs_may_count_steps(checkout, capfd):
    job = Job("tiny-toy", "Tiny on a toy", "tiny", "optdigits", "3 steps", (0,),
              ("--threads", "1", "--report-every", "1"), watch="sharpness")
    results.run(jobs={job.name: job}, sweeps={}, gans=command())
    with open("docs/results/tiny-toy.csv", newline="") as file:
        row, = csv.DictReader(file)
    assert row["steps"] == "3" and row["date"] == datetime.date.today().isoformat()
    seen = [line["sharpness"] for line in read_log(Path("runs/results/tiny-toy-seed0"))]
    assert float(row["highest sharpness"]) == max(seen) and len(seen) == 3
    assert "--steps 3 --seed 0" in Path("docs/results.md").read_text()


def test_sweeps(checkout, capfd):
    calls = []

    def arm(name, factor):
        def experiment(seed):
            calls.append((name, seed))
            assert get_threads() == 1
            return {"gain": factor * seed, **({"loss": 1.5} if name == "with" else {})}
        return experiment

    arms = {"with": arm("with", 2.0), "without": arm("without", -1.0)}
    sweep = Sweep("tips", "Tips that help", lambda: arms, (1, 2), "What the tips do.")
    results.run("tips", jobs={}, sweeps={"tips": sweep})
    assert sorted(calls) == [("with", 1), ("with", 2), ("without", 1), ("without", 2)]
    path = Path("docs/results/tips.csv")
    rows = path.read_text().splitlines()
    assert rows[0] == "arm,seed,command,date,seconds,threads,cores,versions,gain,loss"
    assert [row.split(",")[:2] for row in rows[1:]] == [
        ["with", "1"], ["with", "2"], ["without", "1"], ["without", "2"]]
    page = Path("docs/results.md").read_text()
    assert "| with | 2 | 3 ± 1.4 | 1.5 |" in page and "| without | 2 | -1.5 ± 0.71 |  |" in page
    assert "## Tips that help" in page and "What the tips do." in page
    path.write_text("\n".join([rows[0], *rows[2:]]) + "\n")
    calls.clear()
    results.run("tips", jobs={}, sweeps={"tips": sweep})
    assert calls == [("with", 1)]  # only what is missing, put in its place
    assert [r.split(",")[:2] for r in path.read_text().splitlines()] == [
        r.split(",")[:2] for r in rows]


def test_a_model_may_name_the_data_that_it_is_for(tmp_path, capsys):
    run = tmp_path / "run"
    assert gans("train", "unrolled", "--steps", "1", "--batch-size", "8", "--out", run) == 0
    assert "trained unrolled on ring8" in capsys.readouterr().out
    assert gans("train", "unrolled", "--data", "digits", "--steps", "1") == 2
    assert "points in the plane" in capsys.readouterr().err


def test_figures_by_name(tmp_path, capsys):
    assert gans("figure") == 0
    names = capsys.readouterr().out.split()
    assert names == [*FIGURES] and names
    out = tmp_path / "figure.png"
    assert gans("figure", names[0], "--out", str(out)) == 0
    with Image.open(out) as picture:
        assert picture.size[0] > 1000
    assert gans("figure", names[0][:-1] + "q") == 2
    assert f"did you mean {names[0]}?" in capsys.readouterr().err
    assert gans("figure", names[0], "--out", "figure.pdf") == 2


def test_results_that_fail(checkout, capfd):
    with pytest.raises(ResultsError, match="seed 0: gans ended with code 3"):
        results.run(jobs=JOBS, sweeps={}, gans=[sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(ResultsError, match="did you mean 'tiny-toy'"):
        results.run("tiny-tou", jobs=JOBS, sweeps={})
    assert gans("results", "gan-digts") == 1
    assert "did you mean 'gan-digits'?" in capfd.readouterr().err
    Path("docs/results").mkdir()
    Path("docs/results/tiny-toy.csv").write_text("seed,steps\nx,1\n")
    with pytest.raises(ResultsError, match="damaged"):
        results.write_page(JOBS, {})


def test_results_want_a_checkout(capsys):
    assert gans("results") == 1
    assert "call it in a checkout" in capsys.readouterr().err


def test_jobs_can_be_run():
    for job in results.JOBS.values():
        cls = MODELS[job.model]
        if job.data == "emoji-pairs":  # wants a file that is not in the package
            assert job.data in PAIRS and cls.open_data is open_pairs
        else:
            getattr(cls, "open_data", command_line.open_data)(job.data)
        if job.budget.endswith(" steps"):  # how long they take depends on the machine
            assert int(job.budget.removesuffix(" steps")) > 0
            assert len(job.seeds) >= 3 or job.aim.startswith("one seed")
        else:
            assert len(job.seeds) == (3 if command_line._seconds(job.budget) >= 120 else 5)


# -------------------------------------------------------------------------- python -m minigrad


def test_minigrad_kernels(capsys):
    quick = ["kernels", "--batch", "2", "--repeats", "1"]
    assert engine.main(quick) == 0
    text = capsys.readouterr().out
    assert "in use: fast" in text and "softmax_loss_gradient" in text
    with minigrad.reference_kernels():
        engine.main(quick)
    assert "in use: reference" in capsys.readouterr().out


def test_minigrad_kernels_says_which_way_each_layer_takes(capsys):
    engine.main(["kernels", "--batch", "16", "--repeats", "1"])
    rows = {line[2:24].strip(): line[25:] for line in capsys.readouterr().out.splitlines()}
    for layer, way in {"DCGAN-28, images, 32": "planar", "DCGAN-28, 32 - 64": "direct",
                       "DCGAN-64, 64 - 128": "winograd 4x4/2",
                       "ResNet, 3x3, 128": "winograd 3x3"}.items():
        assert rows[layer].startswith(way)
        milliseconds, speed, share = re.search(r"([\d.]+) ms +([\d.]+) +(\d+)%",
                                               rows[layer]).groups()
        assert float(milliseconds) > 0 and float(speed) > 0 and int(share) >= 0


def test_minigrad_selfcheck_is_reached(capsys):
    with pytest.raises(SystemExit) as end:
        engine.main(["selfcheck", "--help"])
    assert end.value.code == 0
    assert "--device" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["kernel"], ["kernels", "all"],
                                   ["kernels", "--batch", "0"]])
def test_minigrad_refuses(capsys, words):
    with pytest.raises(SystemExit) as end:
        engine.main(words)
    assert end.value.code == 2
    assert "usage: minigrad" in capsys.readouterr().err
