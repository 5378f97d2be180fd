"""The checks of a homework as tests, one each: `pytest -m hw5` in its folder.

What is checked is not here: the tool runs it, and is called as anyone would call it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAME = Path(__file__).parent.name
TREE = Path(__file__).resolve().parents[2]
pytestmark = getattr(pytest.mark, NAME)


def tool(command: str) -> list:
    """What the installed tool answers about this folder; never the folder's own minigrad."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "minigrad.homework", command, NAME, "--json", "--tree", TREE],
        capture_output=True, text=True, check=False, env=environment)
    assert done.stdout, f"minigrad-hw {command} {NAME} failed:\n{done.stderr}"
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict]:
    """The verdicts on all checks, from one run of the tool."""
    return {verdict["id"]: verdict for verdict in tool("check")}


@pytest.mark.parametrize("check", tool("list"))
def test_check(check: str, verdicts: dict[str, dict]):
    verdict = verdicts[check]
    if verdict["outcome"] != "PASS":
        pytest.fail(verdict["message"], pytrace=False)
