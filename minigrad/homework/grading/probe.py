"""A program that goes into a cell and tries to get out; it prints what it could do, as JSON.

``isolation`` copies it beside ``cell`` and starts it as a worker is started. Standard library only.

Leaves out: judging what it found.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Enter the cell that standard input describes, then try everything."""
    asked = json.loads(sys.stdin.readline())
    tries: dict[str, Callable[[], Any]] = {
        "solution": lambda: open(asked["solution"], "rb").read(1),
        "secret": lambda: open(asked["secret"], "rb").read(1),
        "files": lambda: _write(asked["places"]),
        "network": lambda: socket.create_connection(("127.0.0.1", asked["port"]), 1.0).close(),
        "grader": lambda: os.kill(asked["grader"], 0),
        "processes": lambda: os.listdir(f"/proc/{asked['grader']}"),
        "root": lambda: os.setresuid(0, 0, 0),
        "programs": _fork,
    }
    if asked["settings"]:
        try:
            importlib.import_module("cell").enter(asked["settings"])
        except OSError as error:
            print(json.dumps({"refused": str(error)}))
            return
    found = {}
    for name, attempt in tries.items():
        try:
            attempt()
            found[name] = ""
        except OSError as error:
            found[name] = error.strerror or str(error)
    print(json.dumps(found))


def _write(places: list[str]) -> None:
    """Write a file in any of these folders."""
    refusal = OSError("there is no folder")
    for place in places:
        path = os.path.join(place, f"probe-{os.getpid()}")
        try:
            with open(path, "w", encoding="ascii"):
                pass
            os.unlink(path)
            return
        except OSError as error:
            refusal = error
    raise refusal


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
