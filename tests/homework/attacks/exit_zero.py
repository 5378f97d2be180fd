"""Ends the process with exit code 0, as if all had been well.

Stopped by: points are given for answers that were compared; an end without an answer is DIED.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "when imported": {"module": "import os\nos._exit(0)", "outcomes": {"DIED"},
                      "seen": "exit code 0"},
    "in a check": {"body": "import os\nos._exit(0)", "outcomes": {"DIED"}, "seen": "exit code 0"},
    "atexit": {"module": """
        import atexit, os
        atexit.register(os._exit, 0)
        raise SystemExit(0)""", "outcomes": {"RAISED"}, "seen": "SystemExit"},
    "in a thread": {"body": """
        import os, threading, time
        threading.Thread(target=os._exit, args=(0,)).start()
        time.sleep(3)""", "outcomes": {"DIED"}, "seen": "exit code 0"},
    "SystemExit in a check": {"body": "raise SystemExit(0)", "outcomes": {"RAISED"}},
    "a subclass of BaseException": {"body": """
        class Passed(BaseException):
            pass
        raise Passed("100 of 100")""", "outcomes": {"RAISED"}},
    "the C library's exit": {"body": "import ctypes\nctypes.CDLL(None).exit(0)",
                             "outcomes": {"DIED"}, "seen": "exit code 0"},
}
