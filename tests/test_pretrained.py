"""Generators in small files: what is written comes back, and what is no such file is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from kill_and_resume import ROOT, Tiny

from gans import __main__ as command_line
from gans import pretrained
from gans.dcgan import DCGAN
from gans.evaluation import open_data
from gans.models import MODELS, ModelError, build, settings, settings_to_json
from gans.pretrained import export_generator, load_generator
from gans.trainer import RunConfig, draw_samples, state_arrays
from minigrad import Tensor, random
from minigrad.data import to_uint8
from minigrad.serialize import CheckpointError, load, save

NAME = "dcgan-tiny"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def tiny(ema_decay: float = 0.9) -> DCGAN:
    """After a few steps, so that no two parts of its state are equal."""
    model = DCGAN((3, 32, 32), latent_dim=6, features_G=4, features_D=4, batch_size=8, lr_G=1e-3,
                  ema_decay=ema_decay)
    g = np.random.default_rng(0)
    for _ in range(5):
        x = np.tanh(g.standard_normal((8, 3, 32, 32), dtype="float32"))
        model.train_step(iter([Tensor(x, requires_grad=False)]))
    return model


def configuration(model: DCGAN, spec: str = "emoji", name: str = "emoji") -> RunConfig:
    data = {**open_data("emoji").describe(), "spec": spec, "name": name}
    return RunConfig("dcgan", settings_to_json(settings(model)), data, 4, 9, 1, 1, 1,
                     command=f"gans train dcgan --data {spec} --steps 9 --seed 4")


@pytest.fixture
def exported(tmp_path) -> tuple[DCGAN, Path]:
    model = tiny()
    path = tmp_path / f"{NAME}.npz"
    export_generator(path, model, configuration(model), 5)
    return model, path


@pytest.fixture
def shipped(exported, monkeypatch) -> str:
    """The name of a generator in the folder that names are looked up in."""
    monkeypatch.setattr(pretrained, "FOLDER", exported[1].parent)
    monkeypatch.chdir(ROOT)  # not by its path
    return NAME


def gans(*words: object) -> int:
    return command_line.main([str(word) for word in words])


# -------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("decay", [0.9, 0.0])
def test_a_generator_comes_back_but_for_rounding(tmp_path, decay):
    model = tiny(decay)
    export_generator(tmp_path / "x.npz", model, configuration(model), 5)
    found = load_generator(tmp_path / "x.npz")
    assert (found.name, found.data_name, found.step) == ("x", "emoji", 5)
    assert found.config == configuration(model) and type(found.model) is DCGAN
    z = model.noise(64, np.random.default_rng(1))
    mine, theirs = model.decode(z).numpy(), found.model.decode(z).numpy()
    assert 0 < abs(mine - theirs).max() < 5e-3  # less than half a grey level, 1/255, on average
    assert abs(to_uint8(mine).astype(int) - to_uint8(theirs)).max() <= 1
    assert np.array_equal(found.model.sample(5, np.random.default_rng(1)).numpy(),
                          found.model.decode(model.noise(5, np.random.default_rng(1))).numpy())


def test_it_is_the_average_that_is_exported(exported):
    model, path = exported
    weights = dict(model.ema.module.named_parameters())
    arrays, _ = load(path)
    for key, p in weights.items():
        np.testing.assert_allclose(arrays[key], p.numpy(), rtol=1e-3, atol=1e-7)
    key = "layers.1.weight"
    assert abs(model.G.state_dict()[key] - arrays[key]).max() > 1e-4


def test_what_is_in_the_file(exported):
    model, path = exported
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {*model.G.state_dict(), "__meta__"}
        kinds = {key: str(file[key].dtype) for key in file.files if key != "__meta__"}
        meta = json.loads(str(file["__meta__"]))
    for key, kind in kinds.items():
        assert kind == ("float32" if "running" in key else "float16")
    assert meta["step"] == 5 and meta["config"]["model"] == "dcgan"
    for key, value in (("seed", 4), ("steps", 9), ("data", open_data("emoji").describe()),
                       ("command", "gans train dcgan --data emoji --steps 9 --seed 4")):
        assert meta["config"][key] == value
    assert meta["config"]["settings"]["prior"] == "UNIFORM"


def test_loading_leaves_the_random_numbers_as_they_were(exported):
    g, state = random.generator(), random.get_state()
    load_generator(exported[1])
    assert random.generator() is g and random.get_state() == state


@pytest.mark.parametrize("spec", ["/pictures/of me/cats", "folder:/pictures/of me/cats"])
def test_paths_of_a_machine_do_not_travel(tmp_path, spec):
    model = tiny()
    config = configuration(model, spec, "cats")
    config = dataclasses.replace(config, command=f"gans train dcgan --data '{spec}' --steps 9")
    export_generator(tmp_path / "x.npz", model, config, 5)
    found = load_generator(tmp_path / "x.npz").config
    assert found.data["spec"] == found.data["name"] == "cats"
    assert found.command == "gans train dcgan --data cats --steps 9"
    assert "pictures" not in str(load(tmp_path / "x.npz")[1])


# ------------------------------------------------------------------------------- what is shipped


def test_shipped_generators():
    """They load, they draw, they are small."""
    assert (pretrained.FOLDER / "README.md").is_file()
    for name in pretrained.names():
        file = pretrained.FOLDER / f"{name}.npz"
        assert file.stat().st_size < 1_000_000, name
        found = load_generator(name)
        assert found.name == name == f"{found.config.model}-{found.data_name}"
        assert found.step == found.config.steps
        assert f"--data {found.data_name} --steps {found.config.steps} " in found.config.command
        assert found.config.data["sha256"] == open_data(found.config.data["spec"]).sha256
        samples = draw_samples(found.model, 16, np.random.default_rng(0))
        assert samples.shape == (16, *found.config.data["shape"])
        assert samples.std(axis=0).max() > 0.1  # not all the same


def test_they_are_packed():
    assert '"pretrained/*"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    assert "recursive-include gans/pretrained *" in manifest
    assert pretrained.FOLDER == ROOT / "gans" / "pretrained"


@pytest.mark.parametrize("data", ["digits", "emoji"])
def test_generators_of_the_laptop_settings_are_small_enough(tmp_path, data):
    model = DCGAN.laptop(open_data(data))
    export_generator(tmp_path / "x.npz", model, configuration(model), 0)
    assert (tmp_path / "x.npz").stat().st_size < 1_000_000


# ---------------------------------------------------------------------------------- command line


def test_export_and_use_of_a_run(tmp_path, capsys):
    words = ["train", "dcgan", "--data", "emoji:a", "--steps", "3", "--report-every", "3",
             "--features-G", "4", "--features-D", "4", "--latent-dim", "6", "--batch-size", "8"]
    assert gans(*words, "--out", "run") == 0
    assert gans("export", "run") == 0
    assert "dcgan-emoji-a.npz: the generator of step 3 of run, " in capsys.readouterr().out
    assert gans("export", "run", "--out", "mine.npz") == 0
    assert Path("mine.npz").read_bytes() == Path("dcgan-emoji-a.npz").read_bytes()
    assert gans("sample", "run", "--n", "20", "--out", "a.npz") == 0
    assert gans("sample", "mine.npz", "--n", "20", "--out", "b.npz") == 0
    a, b = (np.load(name)["images"].astype(int) for name in ("a.npz", "b.npz"))
    assert a.shape == b.shape == (20, 32, 32, 3) and abs(a - b).max() <= 1
    capsys.readouterr()
    assert gans("info", "mine.npz") == 0
    text = capsys.readouterr().out
    assert "the generator of dcgan on emoji-a (3, 32, 32), 467 items" in text
    assert "repeat    gans train dcgan --data emoji:a --steps 3" in text
    assert gans("export", "run", "--out", "mine.txt") == 2
    assert "must end in .npz" in capsys.readouterr().err


def test_commands_take_a_name(shipped, tmp_path, capsys, monkeypatch):
    assert gans("list") == 0
    assert f"{NAME}      dcgan on emoji, step 5" in capsys.readouterr().out
    monkeypatch.setattr(command_line, "SAMPLES", 128)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for words in (["sample", NAME, "--n", "4"], ["evaluate", NAME, "--n", "128"],
                  ["interpolate", NAME, "--rows", "1"], ["neighbours", NAME, "--n", "1"],
                  ["arithmetic", NAME, "--a", "0", "--b", "1", "--c", "2"], ["info", NAME]):
        assert gans(*words) == 0, words
        text = capsys.readouterr().out
        assert "step 5" in text or "step      5" in text, words
    assert {p.name for p in elsewhere.iterdir()} == {
        "samples.npz", "interpolation.png", "neighbours.png", "arithmetic.png"}


def test_a_run_goes_before_a_name(shipped, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gans("train", "gan", "--data", "ring8", "--steps", "1", "--out", f"runs/{NAME}") == 0
    assert gans("sample", NAME, "--n", "3") == 0
    assert "samples float32 (3, 2)" in capsys.readouterr().out


def test_names_that_are_nearly_right(shipped, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gans("sample", "dcgan-tiney") == 2
    assert "no such run; did you mean dcgan-tiny?" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=r"x: no generator of this name; .*dcgan-tiny; or"):
        load_generator("x")


# --------------------------------------------------------------------------------------- refusals


def refused(path: Path, capsys, *words: str) -> None:
    """The command line says it in one line that names the file."""
    capsys.readouterr()
    assert gans("sample", path, "--n", "2") == 2
    text = capsys.readouterr()
    assert text.out == "" and text.err.count("\n") == 1
    assert text.err.startswith("gans: error: ")
    for word in words:
        assert word in text.err, text.err
    assert not Path("samples.npz").exists()


def test_a_file_that_was_cut_short(exported, capsys):
    content = exported[1].read_bytes()
    for length in (0, 3, 100, len(content) // 2, len(content) - 1):
        Path("cut.npz").write_bytes(content[:length])
        refused("cut.npz", capsys, "cut.npz: damaged, cut short or not an npz file")


def test_a_file_in_which_a_byte_is_wrong(exported, capsys):
    content = bytearray(exported[1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    Path("bad.npz").write_bytes(content)
    refused("bad.npz", capsys, "bad.npz: damaged")


def test_other_files(tmp_path, capsys):
    refused("nowhere.npz", capsys, "nowhere.npz: no such file")
    np.savez("other.npz", images=np.zeros((3, 4, 4), np.uint8))
    refused("other.npz", capsys, "other.npz: holds no generator; gans export RUN makes such files")
    np.savez("pickle.npz", x=np.array([None]))
    refused("pickle.npz", capsys, "pickle.npz: damaged")
    assert gans("train", "gan", "--data", "ring8", "--steps", "1", "--out", "run") == 0
    refused("run/checkpoint.npz", capsys, "checkpoint.npz: holds no generator")
    Path("text.npz").write_text("no npz at all")
    refused("text.npz", capsys, "text.npz: damaged, cut short or not an npz file")


def without(key):
    return lambda arrays, meta: arrays.pop(key)


def with_array(key, value):
    return lambda arrays, meta: arrays.update({key: value})


def with_setting(key, value):
    return lambda arrays, meta: meta["config"]["settings"].update({key: value})


@pytest.mark.parametrize("change, message", [
    (without("layers.1.weight"), "does not fit dcgan: \"load_state_dict: missing ['layers.1.we"),
    (with_array("more", np.zeros(2, "f2")), "unknown ['more']"),
    (with_array("layers.1.weight", np.zeros((2, 2), "f2")), "layers.1.weight has shape"),
    (with_array("layers.2.bias", np.full(16, np.nan, "f2")), "layers.2.bias holds something else"),
    (with_array("layers.2.bias", np.array(["x"] * 16)), "layers.2.bias holds something else"),
    (with_setting("features_G", 5), "does not fit dcgan"),
    (with_setting("features_G", "many"), "dcgan cannot be built with these settings"),
    (with_setting("prior", "CAUCHY"), "setting prior: wants one of ['UNIFORM', 'NORMAL']"),
    (with_setting("depth", 3), "missing [], unknown ['depth']"),
    (with_setting("data_shape", [3, 8, 8]), "too small for the network"),
    (lambda arrays, meta: meta["config"].update(model="biggan"), "no model is called 'biggan'"),
    (lambda arrays, meta: meta["config"].pop("seed"), "damaged: TypeError"),
    (lambda arrays, meta: meta["config"].update(seed="a"), "damaged: ConfigError: seed"),
    (lambda arrays, meta: meta["config"]["data"].pop("name"), "damaged: KeyError: 'name'"),
    (lambda arrays, meta: meta["config"]["data"].update(spec=3), "damaged: TypeError: the data"),
    (lambda arrays, meta: meta["config"]["data"].update(shape=[1, 16, 16]), "does not fit dcgan"),
    (lambda arrays, meta: meta.pop("config"), "damaged: KeyError: 'config'"),
    (lambda arrays, meta: meta.update(config=[1]), "damaged: TypeError"),
    (lambda arrays, meta: meta.update(step=None), "damaged: TypeError"),
    (lambda arrays, meta: meta.update(generator=2), "a generator in format 2, this version reads"),
    (lambda arrays, meta: meta.pop("generator"), "holds no generator"),
])
def test_files_that_do_not_fit(exported, capsys, change, message):
    arrays, meta = load(exported[1])
    change(arrays, meta)
    save("changed.npz", arrays, meta)
    refused("changed.npz", capsys, message)
    with pytest.raises((CheckpointError, ModelError)):
        load_generator(Path("changed.npz"))


@pytest.mark.parametrize("value, shown", [(1e6, "1e\\+06"), (np.nan, "nan")])
def test_weights_that_float16_cannot_hold(tmp_path, value, shown):
    model = tiny()
    weight = model.ema.module.layers[1].weight
    weight.copy_(weight.cached_data * 0 + np.float32(value))
    with pytest.raises(CheckpointError, match=f"layers.1.weight cannot .* is {shown}"):
        export_generator(tmp_path / "x.npz", model, configuration(model), 5)
    assert not (tmp_path / "x.npz").exists()


def test_models_without_a_generator_that_decodes(monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "tiny", Tiny)
    assert gans("train", "tiny", "--data", "ring8", "--steps", "1", "--out", "run") == 0
    capsys.readouterr()
    assert gans("export", "run") == 2
    assert "tiny: has no single generator" in capsys.readouterr().err


def test_the_discriminator_is_that_of_an_untrained_model(exported):
    """Nothing but the generator is in the file."""
    found = load_generator(exported[1])
    fresh = build(DCGAN, settings(found.model), found.config.seed)
    mine, theirs = state_arrays(found.model)[0], state_arrays(fresh)[0]
    same = {key for key in mine if np.array_equal(mine[key], theirs[key])}
    assert {key for key in mine if key.startswith("loss.")} <= same
    assert not same & {"G.layers.1.weight", "ema.module.layers.1.weight"}
