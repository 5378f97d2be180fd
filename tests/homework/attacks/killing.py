"""Kills, stops or traces the grader, or the process around its own.

Stopped by: the filter refuses signals to others, tracing and handles of processes. Behind it stand
another user (``uid``) and own process numbers, in which the grader has none (``namespaces``).
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "signals": {"body": """
        import os, signal
        from minigrad import tries
        from minigrad.tries import attempt, system
        number = tries.GRADER
        attempt({
            "ask": lambda: os.kill(number, 0), "end": lambda: os.kill(number, signal.SIGKILL),
            "stop": lambda: os.kill(number, signal.SIGSTOP), "all": lambda: os.kill(-1, 9),
            "group": lambda: os.kill(0, 9), "its group": lambda: os.killpg(os.getpgid(0), 9),
            "parent": lambda: os.kill(os.getppid(), 9), "first": lambda: os.kill(1, 9),
            "thread": lambda: system(234, number, number, 9),
            "thread alone": lambda: system(200, number, 9),
            "with a value": lambda: system(129, number, 9, bytes(128)),
            "to a thread, with a value": lambda: system(297, number, number, 9, bytes(128)),
            "handle": lambda: os.pidfd_open(number),
            "handle of the parent": lambda: os.pidfd_open(os.getppid()),
        })""", "outcomes": {"RAISED"}, "seen": "all 14 refused"},
    "tracing": {"body": """
        import ctypes, os, resource
        from minigrad import tries
        from minigrad.tries import attempt, called, system
        number = tries.GRADER
        room = ctypes.create_string_buffer(64)
        attempt({
            "attach": lambda: called("ptrace", 16, number, 0, 0),
            "seize": lambda: called("ptrace", 0x4206, number, 0, 0),
            "traced": lambda: called("ptrace", 0, 0, 0, 0),
            "attach to the parent": lambda: called("ptrace", 16, os.getppid(), 0, 0),
            "read": lambda: system(310, number, room, 1, room, 1, 0),
            "write": lambda: system(311, number, room, 1, room, 1, 0),
            "compare": lambda: system(312, number, number, 0, 0, 0),
            "limits": lambda: resource.prlimit(number, resource.RLIMIT_CPU, (1, 1)),
            "processors": lambda: os.sched_setaffinity(number, {0}),
            "priority": lambda: os.setpriority(os.PRIO_PROCESS, number, 19),
            "scheduler": lambda: os.sched_setscheduler(number, 0, os.sched_param(0)),
            "its files": lambda: system(438, 3, 0, 0),
            "outlive the parent": lambda: called("prctl", 1, 0, 0, 0, 0),
        })""", "outcomes": {"RAISED"}, "seen": "all 13 refused"},
    "signals that files send": {"body": """
        import fcntl, os, signal, struct
        from minigrad import tries
        from minigrad.tries import attempt, worker_frame
        pipe = worker_frame().f_locals["answers"].fileno()
        def owned(number):
            fcntl.fcntl(pipe, fcntl.F_SETOWN, number)
            if fcntl.fcntl(pipe, fcntl.F_GETOWN) in (0, os.getpid()):
                raise OSError(3, "nobody")
            fcntl.fcntl(pipe, 10, signal.SIGKILL)
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)
        for number in (tries.GRADER, -tries.GRADER, os.getppid() or tries.GRADER):
            try:
                owned(number)
            except OSError:
                pass
        raise ValueError("an answer on a pipe that would send signals")""", "outcomes": {"RAISED"},
                               "seen": "would send signals"},
    "itself": {"body": "import signal\nsignal.raise_signal(signal.SIGKILL)",
               "outcomes": {"DIED", "TIMEOUT", "RAISED"}, "timeout_s": 1.0},
    "itself, stopped": {"body": """
        import signal
        signal.raise_signal(signal.SIGSTOP)
        while True:
            pass""", "outcomes": {"TIMEOUT"}, "timeout_s": 0.3},
    "itself, by every signal": {"body": """
        import signal
        for number in (6, 11, 4, 7, 8, 31, 15, 2, 1):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        raise ValueError("alive")""", "outcomes": {"DIED", "RAISED"}, "timeout_s": 5.0},
}
