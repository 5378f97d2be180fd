"""Replaces functions in its own process: those of NumPy, Python, pytest, the worker, the runs.

Stopped by: nothing that is in the process decides anything; the comparison is outside.
"""

MODES = ("uid", "namespaces")
WRONG = {"WRONG", "SHAPE", "DTYPE", "RAISED", "DIED", "UNSOLVED"}
HANDED_IN = {
    "comparisons of NumPy": {"body": """
        import numpy, numpy.testing
        for module in (numpy, numpy.testing, numpy.core.numeric):
            for name in ("allclose", "array_equal", "isclose", "assert_allclose", "array_equiv",
                         "assert_array_equal", "equal", "abs", "all", "any"):
                if hasattr(module, name):
                    setattr(module, name, lambda *a, **k: True)
        return numpy.zeros(arguments[0].shape)""", "outcomes": WRONG},
    "builtins": {"body": """
        import builtins
        builtins.isinstance = lambda *a: True
        builtins.all = builtins.any = builtins.bool = lambda *a: True
        builtins.abs = builtins.max = builtins.len = lambda *a, **k: 0
        return arguments[0]""", "outcomes": WRONG},
    "the run functions": {"body": """
        import sys
        import numpy
        runs = sys.modules["runs.hw1"]
        for name in ("div", "power"):
            setattr(runs, name, lambda lib, inputs: {"output": numpy.ones(1)})
        return arguments[0]""", "outcomes": WRONG},
    "the run functions, with one that passes": {"module": """
        import sys
        class Passed(dict):
            def items(self):
                return [("passed", True), ("score", 100)]
        runs = sys.modules["runs.hw1"]
        runs.div = runs.power = lambda lib, inputs: Passed()""", "outcomes": WRONG},
    "the worker": {"module": """
        import __main__, sys
        __main__.answer = lambda *a: ({"outcome": "done", "outputs": [], "mutated": [],
                                       "passed": True, "score": 100}, [])
        __main__.normalised = lambda *a: ("Tensor", None)
        __main__.failure = lambda *a: {"outcome": "PASS"}""", "outcomes": WRONG},
    "how frames are written": {"module": """
        import sys
        wire = sys.modules["wire"]
        before = wire.write_frame
        def write_frame(stream, header, arrays):
            before(stream, {**header, "outcome": "done", "outputs": [], "mutated": [],
                            "verdict": "PASS"}, [])
        wire.write_frame = write_frame""", "outcomes": WRONG},
    "pytest and the grader, as if they were here": {"body": """
        import sys, types
        for name in ("pytest", "minigrad.homework", "minigrad.homework.runner",
                     "minigrad.homework.check", "minigrad.homework.grading.grade"):
            fake = types.ModuleType(name)
            fake.compare = fake.run = fake.main = fake.grade_one = lambda *a, **k: None
            sys.modules[name] = fake
        return arguments[0] * 0""", "outcomes": WRONG},
    "the clock": {"body": """
        import time
        time.monotonic = time.time = time.perf_counter = lambda: 0.0
        before = time.sleep
        while True:
            before(0.1)""", "outcomes": {"TIMEOUT"}, "timeout_s": 0.3},
    "what Tensors are": {"module": """
        import sys
        import numpy
        class Anything:
            def __getattr__(self, name):
                return self
            def __call__(self, *a, **k):
                return self
            def __iter__(self):
                return iter(())
            def __array__(self, *a, **k):
                return numpy.zeros(1)
            __eq__ = __lt__ = __gt__ = lambda self, other: True
            __hash__ = object.__hash__
        import minigrad
        minigrad.Tensor = sys.modules["minigrad"].Tensor = Anything""", "outcomes": WRONG},
    "the import of modules": {"body": """
        import importlib, sys
        sys.meta_path.clear()
        sys.path_hooks.clear()
        sys.path.clear()
        importlib.import_module = lambda name: (lambda *a, **k: True)
        sys.modules.clear()
        return arguments[0]""", "outcomes": WRONG | {"TIMEOUT"}},
    "the interpreter's own hooks": {"body": """
        import gc, signal, sys, threading
        sys.excepthook = sys.unraisablehook = sys.displayhook = lambda *a: None
        sys.settrace(lambda *a: None)
        sys.setprofile(lambda *a: None)
        threading.settrace(lambda *a: None)
        sys.setswitchinterval(100)
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None
        gc.disable()
        gc.callbacks.append(lambda *a: 1 / 0)
        raise ValueError("nothing is as it was")""", "outcomes": WRONG},
    "the streams": {"body": """
        import sys
        class Evil:
            def __getattr__(self, name):
                raise SystemExit(0)
            def flush(self):
                raise ValueError("no")
        sys.stdout = sys.stderr = Evil()
        raise ValueError("the streams are mine")""", "outcomes": WRONG},
}
