"""What the notebooks share: a check that can fail, rows of results, the fast switch."""

import math

import numpy as np
import pytest

from gans.notebook import CheckFailed, check, fast, results, steps


@pytest.fixture
def full(monkeypatch):
    monkeypatch.delenv("MINIGRAD_NOTEBOOKS", raising=False)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setenv("MINIGRAD_NOTEBOOKS", "fast")


@pytest.mark.parametrize("given", [
    {"got": 1.0, "want": 1.0005, "within": 1e-3},
    {"got": 3, "at_least": 3}, {"got": 3, "at_most": 3}, {"got": 3, "at_least": 2, "at_most": 4},
    {"got": np.float32(0.5), "want": 0.5, "within": 0.0}, {"got": True}, {"got": np.True_},
    {"got": np.array(2.0), "at_least": 1.0},
])
def test_what_holds_is_printed(full, capsys, given):
    check("the claim", **given)
    assert capsys.readouterr().out.startswith("✓ the claim: ")


@pytest.mark.parametrize("given", [
    {"got": 1.0, "want": 1.002, "within": 1e-3}, {"got": 1.0, "want": 0.998, "within": 1e-3},
    {"got": 2.9, "at_least": 3}, {"got": 3.1, "at_most": 3},
    {"got": 5, "at_least": 2, "at_most": 4}, {"got": 1.0, "want": 1.0, "within": 0.1, "at_most": 0},
    {"got": math.nan, "want": 1.0, "within": 9.0}, {"got": math.nan, "at_most": 3},
    {"got": False}, {"got": np.False_}, {"got": math.inf, "want": 1.0, "within": 1.0},
])
def test_what_does_not_hold_is_raised(full, capsys, given):
    with pytest.raises(CheckFailed, match="the claim: "):
        check("the claim", **given)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("given", [
    {"got": 1.0}, {"got": 1.0, "want": 1.0}, {"got": 1.0, "within": 1.0},
    {"got": True, "want": 1.0, "within": 0.1}, {"got": np.True_, "at_least": 0.5},
])
def test_a_check_that_wants_nothing_is_refused(full, given):
    with pytest.raises(TypeError, match="check: the claim"):
        check("the claim", **given)


def test_the_fast_switch(short, capsys):
    assert fast() and steps(1000, 10) == 10
    check("learned", 0.1, at_least=0.9, trained=True)
    assert "a fast run does not check this" in capsys.readouterr().out
    with pytest.raises(CheckFailed):
        check("a formula", 0.1, at_least=0.9)


def test_without_the_switch(full):
    assert not fast() and steps(1000, 10) == 1000
    with pytest.raises(CheckFailed):
        check("learned", 0.1, at_least=0.9, trained=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "docs" / "results"
    folder.mkdir(parents=True)
    (folder / "tips.csv").write_text(
        "arm,seed,command,date,gain,loss\nwith,0,x,2026-01-02,1,0.5\nwith,1,x,2026-01-03,3,\n"
        "without,0,x,2026-01-02,-1,\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")


def test_rows_of_results(checkout):
    rows = results("tips", ["gain", "loss"], by="arm")
    assert rows.values("gain", "with") == [1.0, 3.0] and rows.mean("gain", "with") == 2.0
    assert rows.values("gain") == [1.0, 3.0, -1.0] and rows.values("loss", "without") == []
    text = rows._repr_markdown_().splitlines()
    assert text[0] == "| arm | gain | loss | seeds |"
    assert text[2] == "| with | 2 ± 1.4 | 0.5 | 2 |" and text[3] == "| without | -1 |  | 1 |"
    assert text[-1].startswith("`gans results tips`, 2026-01-02 to 2026-01-03")
    assert repr(rows) == "<rows of gans results tips>"  # no address: it is kept in notebooks
    whole = results("tips", ["gain"])
    assert whole.mean("gain") == 1.0 and "| tips | 1 ± 2 | 3 |" in whole._repr_markdown_()


def test_results_that_are_not_there(checkout):
    with pytest.raises(FileNotFoundError, match="gans results other makes it"):
        results("other", ["gain"])
    with pytest.raises(KeyError, match="no column 'pain'; it has arm, seed"):
        results("tips", ["pain"])
