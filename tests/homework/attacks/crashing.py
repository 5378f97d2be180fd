"""Crashes the interpreter, or leaves it in a state in which nothing works.

Stopped by: the process is its own; how it ends is told by its end.
"""

MODES = ("uid", "namespaces")
ANY = {"DIED", "RAISED", "TIMEOUT", "WRONG", "MEMORY"}
HANDED_IN = {
    "an address that is none": {"body": "import ctypes\nctypes.string_at(0)", "outcomes": {"DIED"},
                                "seen": "SIGSEGV"},
    "when imported": {"module": "import ctypes\nctypes.string_at(0)", "outcomes": {"DIED"},
                      "seen": "SIGSEGV"},
    "abort": {"body": "import os\nos.abort()", "outcomes": {"DIED"}},
    "recursion": {"body": "return self.compute(*arguments)", "outcomes": {"RAISED"},
                  "seen": "RecursionError"},
    "recursion without a limit": {"body": """
        import sys
        sys.setrecursionlimit(10**9)
        class Deep:
            def __repr__(self):
                return repr(self)
        repr(Deep())""", "outcomes": {"DIED", "MEMORY", "RAISED"}, "timeout_s": 5.0},
    "the stack of C": {"body": """
        import functools, sys
        sys.setrecursionlimit(10**9)
        one = None
        for _ in range(10**6):
            one = (one,)
        hash(one)""", "outcomes": {"DIED", "MEMORY", "RAISED"}, "timeout_s": 5.0},
    "exceptions whose text loops": {"body": """
        class Endless(Exception):
            def __str__(self):
                while True:
                    pass
        raise Endless""", "outcomes": {"TIMEOUT"}, "timeout_s": 1.0},
    "exceptions whose text raises": {"body": """
        class Evil(Exception):
            def __str__(self):
                raise Evil
            __repr__ = __str__
        raise Evil""", "outcomes": {"RAISED", "DIED"}},
    "exceptions whose text ends all": {"body": """
        import os
        class Evil(Exception):
            def __str__(self):
                raise SystemExit(0)
        raise Evil""", "outcomes": {"DIED"}},
    "exceptions in a ring": {"body": """
        one, other = ValueError("one"), KeyError("other")
        one.__cause__, other.__cause__ = other, one
        one.__context__, other.__context__ = other, one
        raise one""", "outcomes": {"RAISED"}},
    "an exception that is no exception's class": {"body": """
        class Meta(type(Exception)):
            __name__ = property(lambda cls: 1 / 0)
        class Evil(Exception, metaclass=Meta):
            pass
        raise Evil""", "outcomes": {"RAISED", "DIED"}},
    "a text of ten million letters": {"body": "raise ValueError('x' * 10**7)",
                                      "outcomes": {"RAISED"}, "seen": "xxxxxxxx"},
    "threads that answer later": {"body": """
        import threading, time
        from minigrad.tries import worker_frame
        held = worker_frame().f_locals
        def later():
            while True:
                time.sleep(0.01)
                try:
                    held["wire"].write_frame(held["answers"], {"outcome": "done", "outputs": [],
                        "mutated": [], "serial": held["request"][0]["serial"] + 1}, [])
                except Exception:
                    pass
        threading.Thread(target=later, daemon=True).start()
        raise ValueError("one is on its way")""", "outcomes": ANY},
    "threads that end nobody waits for": {"body": """
        import atexit, threading, time
        threading.Thread(target=time.sleep, args=(1000,)).start()
        atexit.register(time.sleep, 1000)
        raise SystemExit(0)""", "outcomes": {"RAISED"}},
    "a slower life": {"body": """
        import os, sys, time
        os.nice(19)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        sys.settrace(lambda *a: time.sleep(0.001))
        raise ValueError("nice")""", "outcomes": {"RAISED", "TIMEOUT"}},
    "signals by the thousand": {"body": """
        import signal
        def handler(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        raise ValueError("alarmed")""", "outcomes": ANY},
    "objects that will not die": {"body": """
        class Undead:
            def __del__(self):
                global undead
                undead = self
                raise SystemExit(0)
        Undead()
        raise ValueError("alive")""", "outcomes": {"RAISED"}},
    "files of the interpreter freed": {"body": """
        import ctypes
        for _ in range(50):
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(None))
        ctypes.pythonapi.Py_Finalize()""", "outcomes": ANY},
}
