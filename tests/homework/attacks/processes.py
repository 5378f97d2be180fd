"""Starts processes: a fork bomb, a daemon that goes on when the grading is over, a shell.

Stopped by: the filter refuses fork, vfork, clone without the flag of a thread, and exec. Behind
it stand the limit of processes and, in ``uid``, the killing of all that the user has, in
``namespaces`` the end of all that live in the own process numbers.
"""

MODES = ("uid", "namespaces")
WAYS = """
    import multiprocessing, os, pty, socket, subprocess, sys
    from minigrad.tries import attempt, called, system
    def forked(make):
        number = make()
        if number == 0:
            os._exit(0)
        return number
    attempt({
        "fork": lambda: forked(os.fork), "vfork": lambda: forked(lambda: system(58)),
        "forkpty": lambda: forked(lambda: pty.fork()[0]),
        "clone": lambda: forked(lambda: system(56, 17, 0, 0, 0, 0)),
        "clone with a new user": lambda: forked(lambda: system(56, 0x10000011, 0, 0, 0, 0)),
        "clone3": lambda: forked(lambda: system(435, bytes(64), 64)),
        "subprocess": lambda: subprocess.run([sys.executable, "-c", ""]),
        "shell": lambda: subprocess.run("true", shell=True, check=True),
        "spawn": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
        "exec": lambda: os.execv("/bin/sh", ["/bin/sh"]),
        "exec of what is open": lambda: system(322, 2, b"", None, None, 0x1000),
        "multiprocessing": lambda: multiprocessing.Process(target=print).start(),
        "session": os.setsid, "group": lambda: os.setpgid(0, 0),
    })"""
DAEMON = """
    import os, time
    def left_behind():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True:
                    time.sleep(0.1)
            os._exit(0)
    left_behind()"""
HANDED_IN = {
    "every way": {"body": WAYS, "outcomes": {"RAISED"}, "seen": "all 14 refused"},
    "a fork bomb": {"body": "import os\nwhile True:\n    os.fork()", "outcomes": {"RAISED"},
                    "seen": "PermissionError", "dangerous": True},
    "a fork bomb that does not give up": {"body": """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass""", "outcomes": {"TIMEOUT"}, "timeout_s": 1.0, "dangerous": True},
    "a daemon": {"body": DAEMON, "outcomes": {"RAISED"}, "seen": "PermissionError"},
    "a daemon, when imported": {"module": DAEMON, "outcomes": {"RAISED"},
                                "seen": "PermissionError"},
    "as many threads as there can be": {"body": """
        import threading
        wait = threading.Event()
        threads = []
        try:
            while len(threads) < 2000:
                threads.append(threading.Thread(target=wait.wait, daemon=True))
                threads[-1].start()
        finally:
            print(f"{len(threads)} threads")
        raise ValueError("there is no limit")""", "outcomes": {"RAISED", "MEMORY"},
                                        "seen": "can't start new thread", "dangerous": True},
}
