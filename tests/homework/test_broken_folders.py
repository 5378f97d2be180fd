"""Whatever is wrong with a folder, the tool says it in words: no command ends with a traceback."""

from pathlib import Path

import pytest
from tiny_homework import EIGHT, solved, tiny

from minigrad.homework import cli
from minigrad.homework.release import META, starter
from minigrad.homework.workplace import write_tree

__all__ = ["tiny"]
FILE = "minigrad/arith.py"
COMMANDS = (["status"], ["list"], ["hint", "hw8.Q1"], ["reset", "double"], ["pack"],
            ["status", "hw9"])


def damages() -> dict:
    def content(data: bytes):
        return lambda root: (root / FILE).write_bytes(data)

    def with_text(change):
        return lambda root: (root / FILE).write_text(change((root / FILE).read_text()))

    def folder_for_file(root: Path) -> None:
        (root / FILE).unlink()
        (root / FILE).mkdir()

    def link_loop(root: Path) -> None:
        (root / FILE).unlink()
        (root / FILE).symlink_to(root / FILE)

    def odd_names(root: Path) -> None:
        with open(bytes(root / "gans") + b"/\xff\x1b.py", "w"):
            pass

    def no_packages(root: Path) -> None:
        (root / "minigrad").rename(root / "elsewhere")

    def own_is_a_file(root: Path) -> None:
        (root / ".minigrad-hw").write_text("")

    return {
        "gone": lambda root: (root / FILE).unlink(), "empty": content(b""),
        "syntax": content(b"def f(:\n"), "utf-16": content("x = 1\n".encode("utf-16")),
        "latin": content(b"x = '\xe4'\n"), "null": content(b"\0"), "deep": content(b"(" * 9999),
        "long": with_text(lambda t: t + "\nx = " + "+".join("1" * 5000)),
        "folder": folder_for_file, "loop": link_loop, "names": odd_names, "packages": no_packages,
        "own": own_is_a_file, "renamed": with_text(lambda t: t.replace("def double", "def dbl")),
        "async": with_text(lambda t: t.replace("def double", "async def double")),
        "in a condition": with_text(lambda t: t.replace("def double", "if True:\n  def double")),
        "lambda": with_text(lambda t: t + "\ndouble = lambda x: 2 * x\n"),
        "CR only": with_text(lambda t: t.replace("\n", "\r")),
        "description": lambda root: (root / META).write_text("[1]"),
        "other description": lambda root: (root / META).write_text('{"homework": "hw9"}'),
        "whole": lambda root: None,
    }


@pytest.mark.parametrize("what", damages())
def test_every_command_on_every_damage(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture, what: str
) -> None:
    statuses = set()
    for i, words in enumerate(COMMANDS):
        root = tmp_path / f"tree{i}"
        write_tree(solved(starter(tiny, EIGHT), EIGHT), root)
        damages()[what](root)
        before = (root / FILE).read_bytes() if (root / FILE).is_file() else b""
        status = cli.main([*words, "--tree", str(root)])
        said = capsys.readouterr()
        assert status in (0, 1, 2) and (status < 2 or said.err.startswith("minigrad-hw: "))
        assert all(len(line) < 300 for line in said.err.split("\n"))
        if words[0] != "reset":
            assert ((root / FILE).read_bytes() if before else b"") == before
        elif status == 0:
            kept = list((root / ".minigrad-hw" / "backups").glob(f"*/{FILE}"))
            assert [one.read_bytes() for one in kept] == [before]
        statuses.add(status)
    assert what != "whole" or statuses == {0}
    assert what != "description" or statuses == {2}
