"""The child process: it imports a student's tree and runs what the parent asks for.

It is started as a program, copied into a folder of its own beside ``wire`` and ``runs``, without
the site module, so that no ``.pth`` file, no ``sitecustomize`` and no installed minigrad or gans is
found: those two names are looked for in the student's tree only, all others never there. Requests
come through standard input, answers go to what was standard output; whatever the student's code
prints goes to standard error.

When a submission is graded, the process first locks itself into a ``cell``, which is copied beside
this file too.

Leaves out: the verdict. What is right never comes here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import importlib.abc
import importlib.machinery
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy

try:
    import resource
except ImportError:  # not on Windows
    resource = None

NOT_WRITTEN = re.compile(
    r"\b(hw\d+\.Q\d+\.[A-Za-z_][\w.]*?) (?:is not written yet|comes in hw\d+)")
PACKAGES = ("minigrad", "gans")
OWN = {"runs", "wire", "cell"}
LARGEST_FILE = 32 * 2**20  # bytes; what is printed goes to a file too
DEEPEST = 50  # frames of a traceback that are told; a recursion has a thousand


# A check at home knows no more than the grader. What else the modules of gans load is loaded
# before, and nothing more of it afterwards.
LIBRARIES = {"numpy", "threadpoolctl"}
PLOTTING = ("matplotlib.figure", "matplotlib.axes", "PIL.Image", "PIL.ImageDraw", "PIL.ImageFont",
            "tqdm")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class StudentsTree(importlib.abc.MetaPathFinder):
    """Finds the two packages in the student's tree and nowhere else, and no library beyond theirs.
    """

    def __init__(self, tree: str) -> None:
        self.tree = tree

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        if name not in PACKAGES:
            first = name.partition(".")[0]
            known = sys.stdlib_module_names | LIBRARIES | OWN | set(PACKAGES)
            if not first.startswith("_") and first not in known:
                raise ModuleNotFoundError(f"there is no {name} where homework is checked and "
                                          "graded: NumPy and the standard library are", name=name)
            return None
        found = importlib.machinery.PathFinder.find_spec(name, [self.tree])
        if found is None:
            raise ModuleNotFoundError(f"there is no folder {name} in your tree", name=name)
        return found


def refuse_writing(event: str, arguments: tuple) -> None:
    """An audit hook: no file is written, neither here nor where homework is graded."""
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        name = str(arguments[0])
        if name != os.devnull and "__pycache__" not in name:  # where Python keeps what it compiled
            raise PermissionError(f"no file can be written where homework is checked and graded: "
                                  f"{name}")


def limit_memory(bytes_: int) -> None:
    """Refuse allocations beyond this size, where the system can."""
    if resource is not None:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def end_with_parent() -> None:
    """End this process within a second of the one that started it, however that ended."""
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def tell_stacks() -> None:
    """Print the stack of this process where it crashes, and when its parent gives it up."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        faulthandler.enable(all_threads=False)
        if hasattr(signal, "SIGUSR1"):  # not on Windows
            faulthandler.register(signal.SIGUSR1, all_threads=False)


def normalised(value: Any, tensor: type) -> tuple[str, Any]:
    """The name of a value's type, and its numbers as an array or None."""
    if isinstance(value, tensor):
        value, kind = value.cached_data, "Tensor"
    elif isinstance(value, numpy.ndarray):
        kind = "ndarray"
    elif isinstance(value, bool | int | float | numpy.generic):
        kind = "number"
    else:
        return type(value).__name__ if value is not None else "None", None
    array = numpy.array(value)
    return (kind, array) if array.dtype.kind in "fiub" else (f"{kind} of {array.dtype}", None)


def places_of(error: BaseException, tree: str) -> list[tuple[str, int, str]]:
    """File, line and text of the places of the student's tree that an error came through."""
    found = [(frame.filename, frame.lineno or 0, frame.line or "")
             for frame in traceback.extract_tb(error.__traceback__)[-DEEPEST:]]
    if isinstance(error, SyntaxError) and error.filename:
        found.append((error.filename, error.lineno or 0, (error.text or "").strip()))
    return [(os.path.relpath(file, tree).replace(os.sep, "/"), line, text[:200])
            for file, line, text in found if file.startswith(tree + os.sep)]


def open_blank(error: BaseException) -> str:
    """The id of the blank whose placeholder raised this error or one behind it; else empty."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, NotImplementedError):
            found = NOT_WRITTEN.match(str(error))
            if found:
                return found[1]
        error = error.__cause__ or error.__context__
    return ""


def failure(error: BaseException, tree: str) -> dict[str, Any]:
    """The header that tells the parent of an exception."""
    blank = open_blank(error)
    if blank:
        return {"outcome": "open", "blank": blank}
    where = {"places": places_of(error, tree)}
    if isinstance(error, MemoryError):
        return {"outcome": "memory", **where}
    try:
        message = str(error)
    except Exception as other:  # an exception's own text is student's code too
        message = f"(its text cannot be made: {type(other).__name__})"
    message = message.strip().replace(tree + os.sep, "").replace("\n", "; ")[:600]
    return {"outcome": "raised", "error": f"{type(error).__name__}: {message}", **where}


def answer(run: Callable, load: Callable, names: list[str], arrays: list) -> tuple[dict, list]:
    """One run of a student's code: the header and arrays to send back."""
    minigrad = load("minigrad")
    minigrad.set_default_dtype("float32")
    minigrad.course_mode(False)
    minigrad.manual_seed(0)
    tools = importlib.import_module("runs.tools")
    tools.changed()  # of a run that ended early
    given = dict(zip(names, [array.copy() for array in arrays], strict=True))
    with minigrad.reference_kernels():
        returned = run(load, given)
    kinds, sent = [], []
    for name, value in returned.items():
        kind, array = normalised(value, minigrad.Tensor)
        kinds.append([name, kind, array is not None])
        sent += [] if array is None else [array]
    changed = [name for name, before in zip(names, arrays, strict=True)
               if given[name].shape != before.shape or given[name].tobytes() != before.tobytes()]
    changed += tools.changed()
    return {"outcome": "done", "outputs": kinds, "mutated": changed}, sent


def main() -> None:
    """Answer requests until there are no more."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed belongs to the student
    sys.stdout.reconfigure(line_buffering=True)  # and is not lost where the process ends
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    wire = importlib.import_module("wire")  # copied beside this file
    config, _ = wire.read_frame(requests)
    tree = config["tree"]
    runs = importlib.import_module(f"runs.{config['homework']}")
    importlib.import_module("runs.tools")
    for name in PLOTTING if config["plots"] else ():
        with contextlib.suppress(ImportError):  # no module of the homework may need it
            importlib.import_module(name)
    if config["cell"] is not None:
        importlib.import_module("cell").enter(config["cell"])
        wire.write_frame(answers, {"outcome": "inside"}, [])  # what goes wrong now is not the cell
    else:
        end_with_parent()
        tell_stacks()
    sys.meta_path.insert(0, StudentsTree(tree))
    sys.addaudithook(refuse_writing)
    limit_memory(config["memory"])
    try:
        importlib.import_module("minigrad")
        ready = {"outcome": "ready"}
    except BaseException as error:  # every check will meet it again, and tell
        ready = failure(error, tree)
    wire.write_frame(answers, {**ready, "serial": 0}, [])
    while (request := wire.read_frame(requests)) is not None:
        header, arrays = request
        try:
            reply, sent = answer(getattr(runs, header["run"]), importlib.import_module,
                                 header["names"], arrays)
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: they end no check
            reply, sent = failure(error, tree), []
        for stream in (sys.stdout, sys.stderr):  # which a student may have closed or replaced
            with contextlib.suppress(AttributeError, ValueError, OSError):
                stream.flush()
        try:
            wire.write_frame(answers, {**reply, "serial": header["serial"]}, sent)
        except ValueError as error:  # nothing was sent yet: too large, or no numbers
            reply = failure(error, tree)
            wire.write_frame(answers, {**reply, "serial": header["serial"]}, [])


if __name__ == "__main__":
    main()
