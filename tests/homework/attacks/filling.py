"""Fills the disk, the memory that outlives a process, or the pipes of the grader.

Stopped by: there is no place to write to but what is printed, which is cut at 32 MB and emptied
before every check; kinds of memory that outlive a process are refused.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "every place": {"body": """
        import fcntl, mmap, os, tempfile
        from minigrad.tries import attempt, called, system
        def far():
            fcntl.fcntl(2, fcntl.F_SETFL, 0)
            os.pwrite(2, b"x", 2**36)
        def made():
            with tempfile.NamedTemporaryFile() as file:
                file.write(b"x")
        attempt({
            "temporary": made, "shared": lambda: os.open("/dev/shm/minigrad-attack", 65),
            "memfd": lambda: os.memfd_create("minigrad-attack"), "secret": lambda: system(447, 0),
            "shmget": lambda: called("shmget", 0x4711, 4096, 0o1666),
            "semget": lambda: called("semget", 0x4711, 1, 0o1666),
            "msgget": lambda: called("msgget", 0x4711, 0o1666),
            "mq": lambda: system(240, b"minigrad-attack", 66, 0o600, None),
            "preallocated": lambda: system(285, 2, 1, 0, 2**36),
            "preallocated, in sight": lambda: os.posix_fallocate(2, 0, 2**36),
            "one far byte": far,
            "longer": lambda: os.ftruncate(2, 2**36),
            "locked": lambda: called("mlockall", 3),
            "asynchronous": lambda: system(206, 60000, bytes(8)),
        })""", "outcomes": {"RAISED"}, "seen": "all 14 refused"},
    "standard output": {"body": """
        line = "x" * 10**6
        for _ in range(1000):
            print(line)
        raise ValueError("printed")""", "outcomes": {"RAISED"}, "timeout_s": 20.0},
    "standard error, without end": {"body": """
        import os
        while True:
            try:
                os.write(2, b"y" * 10**6)
            except OSError:
                pass""", "outcomes": {"TIMEOUT"}, "timeout_s": 1.0},
    "what was printed, moved": {"body": """
        import fcntl, os
        os.write(2, b"before\\n")
        fcntl.fcntl(2, fcntl.F_SETFL, os.O_NONBLOCK)
        os.lseek(2, 2**40, 0)
        try:
            os.ftruncate(2, 2**24)
        except OSError:
            pass
        fcntl.flock(2, fcntl.LOCK_EX)
        fcntl.lockf(2, fcntl.LOCK_EX)
        raise ValueError("moved")""", "outcomes": {"RAISED"}, "seen": "moved"},
    "pipes": {"body": """
        import fcntl, os
        pipes = []
        while True:
            pipes.append(os.pipe())
            fcntl.fcntl(pipes[-1][1], 1031, 2**20)
            os.write(pipes[-1][1], b"x" * 2**20)""", "outcomes": {"RAISED"},
              "seen": "Too many open files|not permitted"},
}
