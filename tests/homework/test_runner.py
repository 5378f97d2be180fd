"""The child process: every outcome on a tree made for it, walls around it, and what it tells."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from syntax import ROOT

from minigrad.homework import runner as runner_module
from minigrad.homework.acceptance import Bench
from minigrad.homework.check import Outcome
from minigrad.homework.report import LINES, WIDTH, message
from minigrad.homework.runner import Runner, Verdict
from minigrad.homework.source import decode, with_body
from minigrad.homework.spec import all_blanks, homework

HW1 = homework("hw1")
BLANKS = all_blanks()
DIV = BLANKS["hw1.Q1.EWiseDiv.compute"]
ABOUT_DIV = next(check for check in HW1.checks if check.blanks == (DIV.id,))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as found:
        yield found


def verdict(bench: Bench, body: str, check=ABOUT_DIV) -> Verdict:
    """On a tree in which a / b is computed so."""
    with bench.with_bodies({DIV: body}), Runner(bench.tree, HW1, caches=False) as runner:
        return runner.run(check)


RIGHT = "a, b = match(self, a, b)\nreturn a / b"


@pytest.mark.parametrize("body, outcome, said", [
    (RIGHT, Outcome.PASS, ""),
    ("return a * b", Outcome.WRONG, "elements differ"),
    ("return None", Outcome.RAISED, "a missing return"),
    ("return (a / b)[..., None]", Outcome.SHAPE, "shape got"),
    ("return (a / b).astype('float32')", Outcome.DTYPE, "float32"),
    ("y = a / b\na *= 2\nreturn y", Outcome.WRONG, "changed in place"),
    ("return a / b + b.nonsense", Outcome.RAISED, "AttributeError"),
    ("return a.cached_data", Outcome.RAISED, "elementwise.py"),
    ("raise KeyboardInterrupt", Outcome.RAISED, "KeyboardInterrupt"),
    ("raise SystemExit(0)", Outcome.RAISED, "SystemExit"),
    ("return self.compute(a, b)", Outcome.RAISED, "RecursionError"),
    ("import os\nos._exit(0)", Outcome.DIED, "exit code 0"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", Outcome.DIED, "SIGSEGV"),
    ("import numpy\nreturn numpy.zeros(10**11)", Outcome.MEMORY, "memory"),
])
def test_outcomes(bench, body, outcome, said):
    found = verdict(bench, body)
    text = message(found, bench.tree, BLANKS)
    assert found.outcome is outcome, text
    assert said in (text if outcome is not Outcome.PASS else "")


def test_a_loop_ends_and_the_next_check_goes_on(bench, monkeypatch):
    """The child is started again, on the same tree."""
    other = next(c for c in HW1.checks if DIV.id not in c.blanks and c.question == "hw1.Q1")
    short = ABOUT_DIV.__class__(**{**vars(ABOUT_DIV), "timeout_s": 0.5})
    with bench.with_bodies({DIV: "while True:\n    pass"}), \
            Runner(bench.tree, HW1, caches=False) as runner:
        began = time.perf_counter()
        assert runner.run(short).outcome is Outcome.TIMEOUT
        assert time.perf_counter() - began < 20
        assert runner.run(other).outcome is Outcome.PASS


@pytest.mark.parametrize("body, outcome, line", [
    ("x = 1\nwhile True:\n    x += 1", Outcome.TIMEOUT, ("while True:", "x += 1")),
    ("print('before')\nwhile True:\n    print('at', flush=False)", Outcome.TIMEOUT,
     ("while True:", "print('at'")),
    ("print('before')\nimport ctypes\nctypes.string_at(0)", Outcome.DIED, ("string_at(0)",)),
])
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this system")
def test_the_helper_that_loops_or_crashes_is_blamed_not_who_called_it(bench, body, outcome, line):
    """The check is about the gradient of a / b, which divides; the stack itself is not shown."""
    check = next(c for c in HW1.checks if c.id == "hw1.Q2.div")
    assert DIV.id not in check.blanks
    short = check.__class__(**{**vars(check), "timeout_s": 1.0})
    found = verdict(bench, body, short)
    text = message(found, bench.tree, BLANKS)
    assert found.outcome is outcome and found.blank == DIV.id, text
    assert found.file == DIV.file and any(part in found.source for part in line), text
    assert f"in {DIV.id}" in text and "most recent" not in text and "Fatal" not in text
    assert ("before" if outcome is Outcome.DIED else "at" if "at" in body else "") in found.printed
    assert "File" not in found.printed


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this system")
@pytest.mark.parametrize("handler", ["SIG_IGN", "SIG_DFL"])
def test_a_loop_that_does_not_tell_where_it_is(bench, handler):
    """Then the check's own blank is named."""
    body = f"import signal\nsignal.signal(signal.SIGUSR1, signal.{handler})\nwhile True:\n    pass"
    short = ABOUT_DIV.__class__(**{**vars(ABOUT_DIV), "timeout_s": 0.5})
    found = verdict(bench, body, short)
    assert (found.outcome, found.blank, found.file) == (Outcome.TIMEOUT, DIV.id, "")


def test_what_the_check_started_ends_with_it(bench, tmp_path):
    """A process that the code leaves behind does not outlive the check."""
    if os.name != "posix":
        pytest.skip("process groups are POSIX")
    body = (f"import os, subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', "
            f"'import time; time.sleep(60)'])\nos.mkdir({str(tmp_path)!r} + f'/{{child.pid}}')\n"
            "while True:\n    pass")
    short = ABOUT_DIV.__class__(**{**vars(ABOUT_DIV), "timeout_s": 2.0})
    with bench.with_bodies({DIV: body}), Runner(bench.tree, HW1, caches=False) as runner:
        assert runner.run(short).outcome is Outcome.TIMEOUT
    (note,) = tmp_path.iterdir()  # a file could not be written
    pid = int(note.name)
    for _ in range(50):
        if not is_alive(pid):
            return
        time.sleep(0.1)
    pytest.fail("the child's child is alive")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_the_message_points_into_the_blank(bench):
    found = verdict(bench, "x = a\nreturn x @ b @ 3")
    assert (found.file, found.source) == (DIV.file, "return x @ b @ 3")
    assert f"{DIV.file}:{found.line}" in message(found, bench.tree, BLANKS)


def test_an_error_in_another_blank_names_that_one(bench):
    """A check of the backward pass that fails in a forward body says so."""
    check = next(c for c in HW1.checks if "hw1.Q2.EWiseDiv.gradient" == c.blanks[0])
    found = verdict(bench, "return a.nonsense", check)
    assert found.outcome is Outcome.RAISED
    assert found.blank == DIV.id


def test_prints_are_shown_and_are_no_answer(bench):
    found = verdict(bench, "print('a has shape', a.shape)\nprint('\\x1b[31mred')\nreturn a * b")
    text = message(found, bench.tree, BLANKS)
    assert found.outcome is Outcome.WRONG
    assert "printed: a has shape" in text
    assert "\x1b" not in text


def test_an_answer_written_by_hand_is_no_answer(bench):
    """Whatever is written to any open file is not taken for the right numbers."""
    body = ("import os\nfor fd in range(3, 12):\n    try:\n        os.write(fd, b'0' * 64)\n"
            "    except OSError:\n        pass\nreturn a * b")
    assert verdict(bench, body).outcome in (Outcome.DIED, Outcome.WRONG)


@pytest.mark.parametrize("header", [
    {}, {"outcome": "done"}, {"outcome": "raised"}, {"outcome": "raised", "error": 5, "places": []},
    {"outcome": "raised", "error": "x", "places": [1]}, {"outcome": "open", "blank": ["x"]},
    {"outcome": "open", "blank": "hw1.Q9.nothing"}, {"outcome": ["done"]},
    {"outcome": "memory", "places": [["a", "b", "c"]]},
    {"outcome": "done", "outputs": [[1]], "mutated": []},
])
def test_a_forged_answer_does_not_stop_the_tool(bench, header):
    """Whoever guesses the number of the request can lie about it, and gets nothing by it."""
    body = (f"import json, os, struct\nfor serial in (1, 2):\n"
            f"    text = json.dumps({{**{header!r}, 'arrays': 0, 'serial': serial}}).encode()\n"
            "    for fd in range(3, 12):\n        try:\n"
            "            os.write(fd, struct.pack('>Q', len(text)) + text)\n"
            "        except OSError:\n            pass\nreturn a * b")
    assert verdict(bench, body).outcome in (Outcome.DIED, Outcome.WRONG)


def test_an_answer_to_another_request_is_dropped(bench):
    """A process that forks answers twice; the second answer is not taken for the next check's."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    other = next(c for c in HW1.checks if DIV.id not in c.blanks and c.question == "hw1.Q1")
    with bench.with_bodies({DIV: "import os\nos.fork()\nreturn a * b"}), \
            Runner(bench.tree, HW1, caches=False) as runner:
        assert runner.run(ABOUT_DIV).outcome is Outcome.WRONG
        assert [runner.run(other).outcome for _ in range(3)] == [Outcome.PASS] * 3


def test_a_process_that_holds_the_pipe_does_not_hold_the_tool(bench):
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    body = ("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(10)\n"
            "    os._exit(0)\nreturn a * b")
    began = time.perf_counter()
    assert verdict(bench, body).outcome is Outcome.WRONG
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize("body", [
    "import sys\nsys.stdout = None\nreturn a * b",
    "import sys\nsys.stdout.close()\nreturn a * b",
    "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd",
    "import numpy\nreturn numpy.full(a.shape, None)",
    "return (a / b).astype(complex)",
])
def test_odd_things_are_told_and_do_not_end_the_child(bench, body):
    assert verdict(bench, body).outcome in (Outcome.WRONG, Outcome.RAISED, Outcome.DTYPE)


def test_prints_without_end_do_not_fill_the_disk(bench):
    short = ABOUT_DIV.__class__(**{**vars(ABOUT_DIV), "timeout_s": 2.0})
    with bench.with_bodies({DIV: "while True:\n    print('x' * 100_000)"}), \
            Runner(bench.tree, HW1, caches=False) as runner:
        found = runner.run(short)
        assert found.outcome in (Outcome.RAISED, Outcome.TIMEOUT)
        size = (Path(runner._folder) / "printed").stat().st_size
        assert size <= 40 * 2**20
        other = next(c for c in HW1.checks if DIV.id not in c.blanks and c.question == "hw1.Q1")
        assert runner.run(other).outcome is Outcome.PASS


def test_the_child_ends_with_the_parent(bench, tmp_path):
    """Also if that was killed."""
    body = f"import os\nos.mkdir({str(tmp_path)!r} + f'/{{os.getpid()}}')\nwhile True:\n    pass"
    program = ("import sys; from pathlib import Path; from minigrad.homework.runner import Runner; "
               "from minigrad.homework.spec import homework; hw = homework('hw1'); "
               "r = Runner(Path(sys.argv[1]), hw, caches=False).__enter__(); "
               f"r.run(next(c for c in hw.checks if c.id == {ABOUT_DIV.id!r}))")
    with bench.with_bodies({DIV: body}):
        parent = subprocess.Popen([sys.executable, "-c", program, str(bench.tree)], cwd=ROOT,
                                  env={**os.environ, "PYTHONPATH": str(ROOT)})
        for _ in range(200):
            if any(tmp_path.iterdir()):
                break
            time.sleep(0.1)
        parent.kill()
        parent.wait()
    (note,) = tmp_path.iterdir()  # a file could not be written
    pid = int(note.name)
    for _ in range(100):
        if not is_alive(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the child goes on without its parent")


def test_a_file_that_does_not_parse(bench):
    text = decode(bench.reference[DIV.file])
    broken = with_body(text, DIV.name, "return (a / b")
    with bench.with_texts({DIV.file: broken}), Runner(bench.tree, HW1, caches=False) as runner:
        found = [runner.run(check) for check in HW1.checks[:3]]
    assert {v.outcome for v in found} == {Outcome.RAISED}
    assert all("SyntaxError" in v.text and v.file == DIV.file for v in found)


def test_a_loop_at_import(bench, monkeypatch):
    monkeypatch.setattr(runner_module, "START_S", 1.0)
    short = ABOUT_DIV.__class__(**{**vars(ABOUT_DIV), "timeout_s": 0.5})
    text = "while True:\n    pass\n"
    with bench.with_texts({"minigrad/errors.py": text}), \
            Runner(bench.tree, HW1, caches=False) as runner:
        found = runner.run(short)
    assert found.outcome is Outcome.TIMEOUT
    if hasattr(signal, "SIGUSR1"):
        assert found.file == "minigrad/errors.py" and found.line in (1, 2)


def test_the_installed_package_is_out_of_reach(tmp_path):
    """A tree without gans does not get somebody else's."""
    (tmp_path / "minigrad").mkdir()
    (tmp_path / "minigrad" / "__init__.py").write_text("import gans\n")
    with Runner(tmp_path, HW1) as runner:
        found = runner.run(ABOUT_DIV)
    assert found.outcome is Outcome.RAISED
    assert "there is no folder gans in your tree" in found.text


@pytest.mark.parametrize("planted", ["numpy.py", "sitecustomize.py", "json.py", "wire.py"])
def test_planted_files_are_not_imported(bench, planted):
    """Only minigrad and gans are looked for in the tree."""
    path = bench.tree / planted
    path.write_text("raise SystemExit('planted')\n")
    try:
        assert verdict(bench, RIGHT).outcome is Outcome.PASS
    finally:
        path.unlink()


def test_the_tree_stays_clean(bench):
    before = {p for p in bench.tree.rglob("*")}
    assert verdict(bench, RIGHT).outcome is Outcome.PASS
    assert {p for p in bench.tree.rglob("*")} == before


def test_cases_differ_and_repeat():
    check = runner_module.checks_of(HW1)[ABOUT_DIV.id]
    one, same, other = (runner_module.drawn(check, *at) for at in [(0, 0), (0, 0), (0, 1)])
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_messages_are_short_whatever_comes(bench):
    body = "raise ValueError('x' * 100_000 + chr(10) * 50)"
    found = verdict(bench, textwrap.dedent(body))
    lines = message(found, bench.tree, BLANKS).split("\n")
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH + 40  # the id of a check is never cut


def test_runs_import_nothing_of_the_library():
    """The child has no installed minigrad: what is copied needs NumPy and the standard library."""
    known = sys.stdlib_module_names | {"numpy"}
    for path in sorted((runner_module.HERE / "runs").glob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] == ["import"] or (words[:1] == ["from"] and "import" in words):
                top = words[1].split(".")[0]
                assert top in known or words[1].startswith("."), f"{path.name}: {line}"
