"""The command line of translation: two folders, resuming, gans translate, and what is refused."""

from __future__ import annotations

import json
import os
import random as dice
import shutil
from pathlib import Path

import numpy as np
import pytest
from kill_and_resume import same_runs, train_and_kill
from PIL import Image

from gans import __main__ as command_line
from gans import models, translation, translation_judge
from gans.monitor import Sickness
from gans.trainer import RunConfig, read_log
from gans.translation_data import TranslationData
from minigrad.data import DataError
from minigrad.serialize import load

SMALL = ["--features-G", "1", "--features-D", "1", "--blocks", "1", "--batch-size", "2",
         "--pool-size", "5", "--threads", "1"]


@pytest.fixture(autouse=True)
def small_world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(translation_judge, "ROUNDS", 2)


def gans(*words: object) -> int:
    return command_line.main([str(word) for word in words])


def only_error(capsys) -> str:
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith("gans: error: ") and text.err.count("\n") == 1, text.err
    return text.err


def picture(seed=0, size=(16, 16)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def folder(path, n=10, seed=0, **options) -> Path:
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        picture(1000 * seed + k, **options).save(path / f"{k:03}.png")
    return path


def opened(path) -> np.ndarray:
    """The values of a picture file, which is closed again."""
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two folders and a run of six steps on them, and a run on points."""
    root = tmp_path_factory.mktemp("world")
    folder(root / "a"), folder(root / "b", seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation_judge, "ROUNDS", 2)
        patch.chdir(root)
        assert gans("train", "cyclegan", "--a", "a", "--b", "b", "--size", "16", "--steps", "6",
                    *SMALL, "--out", root / "run") == 0
        assert gans("train", "cyclegan", "--data", "rotation", "--steps", "4", "--threads", "1",
                    "--out", root / "points") == 0
    return root


def copy(world, name="run") -> Path:
    return Path(shutil.copytree(world / name, Path(f"copy-{name}")))


# ----------------------------------------------------------------------------------------- train


def test_training_on_two_folders_says_what_it_does(world, capsys):
    assert gans("train", "cyclegan", "--a", world / "a", "--b", world / "b", "--size", "16",
                "--steps", "2", *SMALL) == 0
    text = capsys.readouterr()
    run = Path("runs/cyclegan-a-b-seed0")
    assert run.is_dir() and f"what the network will see: {run / 'data.png'}" in text.err
    assert "note: A: only 10 pictures: with fewer than 500" in text.err
    assert f"gans translate {run} PICTURES --out FOLDER" in text.out
    assert "there are no held-back items of A and B" in text.out
    assert opened(run / "data.png").shape[1] > 100
    assert len(list((run / "samples").glob("*.png"))) >= 1
    config = RunConfig.load(run)
    assert config.data["spec"] == f"{world / 'a'}::{world / 'b'}"
    assert config.data["size"] == 16 and config.data["items"] == 20
    row = read_log(run)[-1]
    assert {"cycle", "identity", "cycle_error", "colour_corr"} <= set(row)


def test_the_command_that_is_printed_repeats_the_run(world, capsys):
    words = RunConfig.load(world / "run").command.split()
    assert words[0] == "gans"
    assert gans(*words[1:], "--out", "again") == 0
    assert same_runs(world / "run", Path("again")) == []


def test_a_run_goes_on_bit_for_bit_with_both_pools(world, monkeypatch):
    """Stopped in the middle: the pools are part of the checkpoint."""
    from gans.trainer import Trainer
    step = Trainer._advance

    def stop_at_three(self):
        step(self)
        if self.step == 3:
            self._signal = 2

    monkeypatch.setattr(Trainer, "_advance", stop_at_three)
    words = ["train", "cyclegan", "--a", world / "a", "--b", world / "b", "--size", "16",
             "--steps", "6", *SMALL, "--out", "part"]
    assert gans(*words) == 130
    monkeypatch.setattr(Trainer, "_advance", step)
    arrays, _ = load(Path("part/checkpoint.npz"))
    pools = [arrays[f"loss_{side}.pool.stored"] for side in "ab"]
    assert [x.shape for x in pools] == [(5, 3, 16, 16)] * 2
    assert not np.array_equal(*pools)
    assert gans("train", "cyclegan", "--resume", "part") == 0
    assert same_runs(world / "run", Path("part")) == []


def test_kill_minus_nine(tmp_path):
    """Killed once in the middle by the system, points for speed; the run ends as in peace."""
    words = ["train", "cyclegan", "--data", "rotation", "--steps", "60", "--pool-size", "300",
             "--threads", "1", "--checkpoint-seconds", "0.05"]
    assert gans(*words, "--out", "peace") == 0
    happened = train_and_kill(words, tmp_path / "war", 1, dice.Random(0))
    assert happened == 1
    assert same_runs(tmp_path / "peace", tmp_path / "war") == []


def test_a_run_on_folders_is_resumed_with_the_same_folders_only(world, capsys):
    run, a, b = copy(world), world / "a", world / "b"
    assert gans("train", "cyclegan", "--resume", run, "--a", b, "--b", a) == 2
    error = only_error(capsys)
    assert "cannot go on with other settings" in error and "'a-b'" in error and "'b-a'" in error
    assert gans("train", "cyclegan", "--resume", run, "--a", a, "--b", folder("c", seed=5)) == 2
    assert "cannot go on" in only_error(capsys)
    assert gans("train", "cyclegan", "--resume", run, "--size", "32") == 2
    assert "shape" in only_error(capsys)
    assert gans("train", "cyclegan", "--resume", run, "--a", a, "--b", b) == 0
    assert "is finished" in capsys.readouterr().err


def test_folders_of_one_name_that_are_swapped_are_noticed_by_their_pictures(capsys):
    for side, k in (("x", 0), ("y", 1)):
        folder(f"{side}/same", seed=k)
    words = ["train", "cyclegan", "--size", "16", *SMALL]
    assert gans(*words, "--a", "x/same", "--b", "y/same", "--steps", "1", "--out", "run") == 0
    capsys.readouterr()
    assert gans("train", "cyclegan", "--resume", "run", "--a", "y/same", "--b", "x/same") == 2
    assert "sha256" in only_error(capsys)
    picture(99).save("x/same/new.png")
    assert gans("train", "cyclegan", "--resume", "run") == 2
    assert "items: the run has 20, given was 21" in only_error(capsys)


def test_a_folder_with_marks_spaces_and_letters_of_all_kinds(capsys):
    folder("a::b"), folder("ein Bild 画像", seed=1)
    assert gans("train", "cyclegan", "--a", "a::b", "--b", "ein Bild 画像", "--size", "16",
                "--steps", "1", *SMALL, "--out", "run") == 0
    assert gans("train", "cyclegan", "--resume", "run") == 0
    assert "is finished" in capsys.readouterr().err
    assert gans("translate", "run", "ein Bild 画像/000.png", "--out", "画像") == 0
    assert opened("画像/000.png").shape == (16, 16, 3)


@pytest.mark.parametrize("words, message", [
    (["--a", "a"], "--a and --b go together"),
    (["--a", "a", "--b", "b", "--data", "emoji"], "without --data"),
    (["--a", "a", "--b", "a"], "the same folder"),
    (["--a", "a", "--b", "copy"], "10 of the 10 items of B are in A, too"),
    (["--a", "a", "--b", "one"], "collection B has 1 item"),
    (["--a", "a", "--b", "empty"], "no pictures here"),
    (["--a", "a", "--b", "a/000.png"], "not a folder"),
    (["--a", "a", "--b", "nowhere"], "no such folder"),
    (["--a", "a", "--b", "bad"], "bad.png: cannot be read as a picture"),
    (["--a", "a", "--b", "moving"], "moving.png: an animation of 2 frames"),
    (["--a", "a", "--b", "b", "--size", "18"], "multiples of 4"),
    (["--a", "a", "--b", "b", "--size", "12"], "at least 16"),
    (["--a", "a", "--b", "b", "--shift", "-1"], "shift must not be negative"),
    (["--a", "a", "--b", "b", "--cool-down", "2"], "cool_down is a part of the training"),
    (["--a", "a", "--b", "b", "--pool-size", "-3"], "capacity must be a whole number above 0"),
    (["--a", "a", "--b", "b", "--batch-size", "11"], "fewer than one batch of 11"),
    (["--data", "digits"], "digits is one collection"),
    (["--data", "digits-edges"], "from which pix2pix learns"),
    (["--data", "emojy"], "did you mean 'emoji'"),
    (["--data", "a"], "wanted the folders trainA and trainB in it"),
])
def test_refusals_before_training_starts(capsys, words, message):
    folder("a"), folder("b", seed=1), folder("one", 1, seed=2), folder("empty", 0)
    shutil.copytree("a", "copy")
    (folder("bad", seed=3) / "bad.png").write_bytes(b"\x89PNG\r\n")
    picture().save(folder("moving", seed=4) / "moving.png", save_all=True,
                   append_images=[picture(1)])
    before = sorted(os.listdir())
    assert gans("train", "cyclegan", "--size", "16", "--steps", "1", "--threads", "1", *words) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("gans: error: ") and message in error[-1]
    assert all(line.startswith("note: ") for line in error[:-1])
    assert sorted(os.listdir()) == before


def test_other_models_do_not_take_two_folders(capsys):
    folder("a"), folder("b", seed=1)
    assert gans("train", "gan", "--a", "a", "--b", "b", "--steps", "1") == 2
    assert "gan does not translate between two folders; cyclegan does" in only_error(capsys)


def test_horse2zebra_without_a_connection(capsys, monkeypatch):
    def fetch_pictures(name):
        raise DataError(f"{name}: could not download")

    monkeypatch.setattr(translation, "fetch_pictures", fetch_pictures)
    assert gans("train", "cyclegan", "--data", "horse2zebra", "--size", "64", "--steps", "1") == 2
    assert "horse2zebra: could not download" in only_error(capsys)


def test_the_list_shows_the_tasks(capsys):
    assert gans("list") == 0
    text = capsys.readouterr().out
    for name in (*translation.COLLECTIONS, *translation.PAIRS, "horse2zebra",
                 "summer2winter_yosemite"):
        assert name in text


# -------------------------------------------------------------------------------------- the alarm


def test_inverted_colours_are_an_alarm_during_training(capsys, monkeypatch):
    """From two reports in a row on; the other tasks say nothing."""
    cls = models.MODELS["cyclegan"]
    monkeypatch.setattr(cls, "translate", lambda self, x, direction: -x)
    folder("a"), folder("b", seed=1)
    words = ["train", "cyclegan", "--size", "16", "--steps", "6", "--report-every", "2", *SMALL]
    assert gans(*words, "--a", "a", "--b", "b", "--out", "run") == 0
    text = capsys.readouterr()
    found = [line for line in text.out.splitlines() if "inverted colours" in line]
    assert len(found) == 1 and found[0].startswith("monitor: step 4: inverted colours")
    assert "step 4: inverted colours (colour_corr = -1, limit 0)" in text.err
    assert "colours are inverted" in text.out  # and in the report at the end
    _, meta = load(Path("run/checkpoint.npz"))
    assert len(meta["diagnoses"]) == 1


def test_digits_inverted_are_no_alarm(capsys, monkeypatch):
    """There dark for light is what is asked for, and the number is not measured."""
    whole = translation.COLLECTIONS["digits-inverted"]

    def small(spec) -> TranslationData:
        data = whole(spec)
        return translation.between(spec, data.a[:10], data.b[:10], keeps_colours=False)

    monkeypatch.setitem(translation.COLLECTIONS, "digits-inverted", small)
    monkeypatch.setattr(models.MODELS["cyclegan"], "translate", lambda self, x, direction: -x)
    assert gans("train", "cyclegan", "--data", "digits-inverted", "--steps", "3",
                "--report-every", "1", *SMALL, "--out", "run") == 0
    assert str(Sickness.INVERTED_COLOURS) not in "".join(capsys.readouterr())
    assert "colour_corr" not in read_log(Path("run"))[-1]


# -------------------------------------------------------------------------------- gans translate


def test_files_and_folders_are_translated(world, capsys):
    picture(3, size=(40, 25)).convert("RGBA").save("see through.png")
    picture(4).convert("L").save("grey.jpg")
    assert gans("translate", world / "run", "see through.png", "grey.jpg", world / "b",
                "--out", "out") == 0
    assert "out: 12 pictures of 16 x 16, A to B, by step 6" in capsys.readouterr().out
    names = sorted(p.name for p in Path("out").iterdir())
    assert names == ["000.png", "001.png", "002.png", "003.png", "004.png", "005.png", "006.png",
                     "007.png", "008.png", "009.png", "grey.png", "see through.png"]
    images = [opened(Path("out") / name) for name in names]
    assert all(x.shape == (16, 16, 3) and x.dtype == np.uint8 for x in images)
    assert len({x.tobytes() for x in images}) == 12


def test_there_and_back_are_two_directions_and_sizes_are_free(world, capsys):
    for words, out in (([], "there"), (["--back"], "back"), (["--size", "32"], "large")):
        assert gans("translate", world / "run", world / "a" / "000.png", *words, "--out", out) == 0
    assert "B to A" in capsys.readouterr().out
    there, back, large = (opened(f"{out}/000.png")
                          for out in ("there", "back", "large"))
    assert there.shape == back.shape == (16, 16, 3) and large.shape == (32, 32, 3)
    assert not np.array_equal(there, back)


def test_translations_are_those_of_the_model(world):
    """Through the averaged generator in the checkpoint, rounded to bytes."""
    assert gans("translate", world / "run", world / "a" / "001.png", "--out", "out") == 0
    _, model, _, _ = command_line._trained(str(world / "run"))
    x = opened(world / "a" / "001.png")
    seen = command_line.translated(model, command_line.as_network(x[None]),
                                   command_line.Direction.A_TO_B)
    assert np.array_equal(opened("out/001.png"), command_line.to_uint8(seen)[0])


def test_grey_runs_translate_pictures_as_grey(world):
    assert gans("train", "cyclegan", "--a", world / "a", "--b", world / "b", "--size", "16",
                "--grey", "--steps", "1", *SMALL, "--out", "run") == 0
    assert gans("translate", "run", world / "a" / "000.png", "--out", "out") == 0
    assert opened("out/000.png").shape == (16, 16)
    assert gans("train", "cyclegan", "--resume", "run", "--a", world / "a", "--b", world / "b"
                ) == 0  # grey, as the run has it


def test_pictures_of_one_name_do_not_overwrite_each_other(world):
    picture(5).save("000.bmp")
    picture(6).save("000-2.png")
    assert gans("translate", world / "run", world / "a" / "000.png", "000.bmp", "000-2.png",
                "--out", "out") == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["000-2-2.png", "000-2.png", "000.png"]


@pytest.mark.parametrize("words, message", [
    (["nowhere.png"], "nowhere.png: no such file"),
    (["bad.png"], "bad.png: cannot be read as a picture"),
    (["good.png", "bad.png"], "bad.png: cannot be read"),
    (["moving.png"], "moving.png: an animation of 2 frames"),
    (["words.txt"], "words.txt: cannot be read as a picture"),
    (["empty"], "no pictures here"),
    ([], "which pictures?"),
    (["good.png", "--size", "18"], "--size: wants a multiple of 4, got 18"),
    (["good.png", "--size", "8"], "--size: wants at least 16, got 8"),
    (["good.png", "--size", "100000"], "--size: wants at most 4,096"),
    (["good.png", "--out", "full"], "good.png is there already"),
    (["good.png", "--out", "words.txt"], "words.txt: is a file, wanted a folder"),
])
def test_translations_that_are_refused(world, capsys, words, message):
    picture().save("good.png")
    Path("bad.png").write_bytes(b"\x89PNG\r\n")
    Path("words.txt").write_text("no picture")
    picture().save("moving.png", save_all=True, append_images=[picture(1)])
    Path("empty").mkdir()
    picture(9).save(folder("full", 0) / "good.png")
    before = sorted(str(p) for p in Path().rglob("*"))
    kept = Path("full/good.png").read_bytes()
    assert gans("translate", world / "run", *words) == 2
    assert message in only_error(capsys)
    assert sorted(str(p) for p in Path().rglob("*")) == before
    assert Path("full/good.png").read_bytes() == kept


def test_runs_that_translate_no_pictures(world, capsys):
    picture().save("good.png")
    assert gans("translate", world / "points", "good.png") == 2
    assert "translates points in the plane, not pictures" in only_error(capsys)
    assert gans("train", "gan", "--data", "optdigits", "--steps", "1", "--threads", "1",
                "--out", "gan") == 0
    capsys.readouterr()
    assert gans("translate", "gan", "good.png") == 2
    assert "gan makes images from noise and translates none: gans sample" in only_error(capsys)
    assert gans("translate", "nowhere", "good.png") == 2
    assert "no such run" in only_error(capsys)


# -------------------------------------------------------------------- what translators do not make


@pytest.mark.parametrize("words, message", [
    (["sample"], "cyclegan translates images and makes none from noise: gans translate"),
    (["interpolate"], "does not make images from latent vectors"),
    (["neighbours"], "does not make images from latent vectors"),
    (["arithmetic", "--a", "1", "--b", "2", "--c", "3"], "does not make images from latent"),
    (["export"], "has no single generator that decodes latent vectors"),
])
def test_commands_for_other_models_are_refused(world, capsys, words, message):
    assert gans(words[0], world / "run", *words[1:]) == 2
    assert message in only_error(capsys)
    assert list(Path().iterdir()) == []


def test_info_and_evaluate(world, capsys):
    run = copy(world)
    assert gans("info", run) == 0
    text = capsys.readouterr().out
    for part in ("cyclegan on a-b (3, 16, 16), 20 items", "G_ab", "loss_b", "cycle_error"):
        assert part in text
    assert gans("evaluate", run, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    names = {score["name"] for score in found["scores"]}
    assert {f"{name}_{way}" for name in ("cycle", "colour_corr", "style")
            for way in ("ab", "ba")} == names


def test_animate_shows_the_strips(world, capsys):
    run = copy(world)
    assert gans("animate", run) == 0
    assert (run / "animation.gif").exists()
