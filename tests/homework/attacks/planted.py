"""Hands in files that Python, pytest or the worker might pick up by their name.

Stopped by: only files of the homework and modules added to the two packages are taken; the worker
runs without the site module, and finds the two packages in the tree and nothing else there.
"""

MODES = ("uid", "namespaces")
PLANTED = """
    import os, sys
    print("the planted file was run")
    os.write(2, b"the planted file was run")
    os._exit(0)"""
NAMES = ("conftest.py", "sitecustomize.py", "usercustomize.py", "numpy.py", "numpy/__init__.py",
         "runs/hw1.py", "runs/tools.py", "wire.py", "cell.py", "worker.py", "json.py", "os.py",
         "pytest.py", "threadpoolctl.py", "tests/hw1/conftest.py", "tests/conftest.py",
         "pyproject.toml", "setup.py", "minigrad/homework/runs/hw1.py",
         "minigrad/homework/worker.py", "minigrad/homework/checks/hw1.py")
INSIDE = ("minigrad/numpy.py", "minigrad/sitecustomize.py", "minigrad/conftest.py", "gans/numpy.py",
          "minigrad/__main__.py", "minigrad/ops/numpy.py", "minigrad/ops/__main__.py",
          "minigrad/wire.py", "minigrad/runs.py", "gans/threadpoolctl.py")
LIBRARY = ("minigrad/__init__.py", "minigrad/tensor.py", "minigrad/ops/__init__.py",
           "minigrad/kernels/__init__.py", "gans/__init__.py")
HANDED_IN = {
    "beside the packages": {"files": dict.fromkeys(NAMES, PLANTED), "outcomes": {"UNSOLVED"},
                            "unseen": "planted file was run"},
    "in the packages": {"files": dict.fromkeys(INSIDE, PLANTED), "outcomes": {"UNSOLVED"},
                        "unseen": "planted file was run"},
    "in place of the library": {"files": dict.fromkeys(LIBRARY, PLANTED), "seen": "changed, but",
                                "outcomes": {"UNSOLVED"}, "unseen": "planted file was run"},
    "paths of modules": {"files": {"minigrad.pth": "import os; os._exit(0)",
                                   "minigrad/x.pth": "import os; os._exit(0)",
                                   "pyvenv.cfg": "home = /tmp",
                                   "minigrad/__pycache__/autograd.cpython-311.pyc": b"\0" * 99},
                         "outcomes": {"UNSOLVED"}},
}
