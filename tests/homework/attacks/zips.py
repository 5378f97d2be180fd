"""Zip files made by hand: names that lead elsewhere, links, bombs, twice the same name.

Stopped by: nothing is unpacked to the disk under a name of its own, links are not followed, sizes
are not believed. (``test_submission`` has more of them; here they go through the whole grader.)
"""

import io
import stat
import zipfile

MODES = ("uid", "namespaces")
EVIL = b"import os\nos._exit(0)\n"
OUT = ("../minigrad-attack.py", "../../../../../../tmp/minigrad-attack", "/tmp/minigrad-attack",
       "minigrad/../../minigrad-attack.py", "C:\\minigrad-attack.py", "..\\minigrad-attack.py",
       "minigrad/ops/../../../minigrad-attack.py", "\\\\host\\minigrad-attack", "//minigrad-attack")


def _packed(files, more=(), method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in [*files.items(), *more]:
            archive.writestr(name, content)
    return buffer.getvalue()


def _links(files):
    more = []
    for name, target in (("minigrad/key.py", "/etc/passwd"), ("gans/all", "/"),
                         ("minigrad/up.py", "../../../canary/course.key")):
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        more.append((info, target))
    for kind in (stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK):
        info = zipfile.ZipInfo(f"minigrad/kind{kind}.py")
        info.external_attr = (kind | 0o4777) << 16
        more.append((info, b""))
    return _packed(files, more)


def _replaced(files):
    """A link in place of the file that is graded."""
    info = zipfile.ZipInfo("minigrad/ops/elementwise.py")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _packed({name: content for name, content in files.items()
                    if name != info.filename}, [(info, "/etc/passwd")])


def _lying(files):
    """Sizes in the table that are not those of the contents."""
    content = _packed(files, [("minigrad/bomb.py", b"#" * 40_000_000)])
    return content.replace((40_000_000).to_bytes(4, "little"), (4).to_bytes(4, "little"))


def _odd_names(files):
    names = ["minigrad/=cmd|' /C calc'!A0.py", "minigrad/<script>alert(1)</script>.py",
             "minigrad/\x1b[2J.py", "minigrad/\u202eyp.py", "minigrad/con.py", "minigrad/a\nb.py",
             "minigrad/" + "x" * 250 + ".py", "minigrad/ .py", "minigrad/-rf.py",
             "minigrad/\x00hidden.py", "minigrad/Ops/Elementwise.py", "gans/\ud7ff\ufdd0.py"]
    return _packed(files, [(name, EVIL) for name in names])


HANDED_IN = {
    "names that lead out": {"zip": lambda files: _packed(files, [(n, EVIL) for n in OUT]),
                            "seen": "leads out"},
    "links and devices": {"zip": _links, "seen": "a link"},
    "a link in place of a file": {"zip": _replaced, "seen": "a link"},
    "a bomb": {"zip": lambda files: _packed(files, [("minigrad/bomb.py", b"#" * 60_000_000)]),
               "seen": "larger than"},
    "a bomb that says it is small": {"zip": _lying},
    "bombs in bombs": {"zip": lambda files: _packed(files, [(f"{i}.zip", _packed(
        {}, [(f"{j}.zip", b"\0" * 10**6) for j in range(9)])) for i in range(9)])},
    "half of itself": {"zip": lambda files: _packed(files)[:9000], "seen": "damaged"},
    "twice the same name": {"zip": lambda files: _packed(files, [
        ("minigrad/ops/elementwise.py", EVIL)]), "seen": "not clear"},
    "names for terminals and spreadsheets": {"zip": _odd_names},
    "thousands of files": {"zip": lambda files: _packed(files, [
        (f"minigrad/m{i}.py", b"") for i in range(4000)]), "seen": "more than 200 files"},
    "another student's zip inside": {"zip": lambda files: _packed(files, [
        ("neighbour/hw1-submission.zip", _packed(files))])},
    "an own name for spreadsheets": {"name": "=cmd|' C calc'!A0 <b>\x1b[2J\u202e.zip"},
    "no zip at all": {"zip": lambda files: EVIL, "name": "attack.py"},
    "a notebook that runs code": {"files": {
        "notebooks/hw1_autograd.ipynb": '{"cells": [{"cell_type": "code", "source": '
        '["import os; os.mkdir(\'/tmp/minigrad-attack\')"], "outputs": [], "metadata": {}, '
        '"execution_count": 1}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'},
        "outcomes": {"UNSOLVED"}},
    "another description of the homework": {"files": {".minigrad-hw.json":
        '{"homework": "hw1", "points": 1000, "score": 100, "questions": [], "student": "=1+1"}'},
        "outcomes": {"UNSOLVED"}},
}
