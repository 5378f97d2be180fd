"""Never ends, or takes all the time that there is.

Stopped by: a limit of time for the import, for every check and for the whole submission, after
which the process is killed; SIGKILL needs no cooperation of Python.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "when imported": {"module": "while True:\n    pass", "outcomes": {"TIMEOUT"}, "start_s": 3.0},
    "in a check": {"body": """
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass""", "outcomes": {"TIMEOUT"}, "timeout_s": 1.0},
    "in C, the lock of the interpreter held": {"body": "return 7 ** (10 ** 9)",
                                               "outcomes": {"TIMEOUT"}, "timeout_s": 1.0},
    "signals blocked": {"body": """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            signal.pause()""", "outcomes": {"TIMEOUT"}, "timeout_s": 0.3},
    "threads that never end": {"body": """
        import threading
        def forever():
            while True:
                pass
        for _ in range(8):
            threading.Thread(target=forever).start()
        raise ValueError("threads run")""", "outcomes": {"RAISED", "TIMEOUT", "DIED"},
                               "timeout_s": 1.0},
    "just below every limit": {"body": """
        import time
        time.sleep(0.08)
        return solve()""", "timeout_s": 4.0, "limit_s": 3.0, "seconds": 12.0, "honest": 4,
                               "outcomes": {"PASS", "TIMEOUT"}, "seen": "used up before|no answer"},
}
