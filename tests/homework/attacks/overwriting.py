"""Changes files: the grader's, the results, the tests, or those of its own cell, which the next
submission would meet.

Stopped by: what is outside of the cell has no name in it; in it all belongs to root (``uid``) or
is mounted read-only (``namespaces``).
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "outside": {"body": """
        import os
        from minigrad import tries
        from minigrad.tries import attempt
        def append(path):
            with open(path, "ab") as file:
                file.write(b"")
        places = [tries.SECRET, tries.CHECKOUT + "/tests/minigrad-attack.py",
                  tries.CHECKOUT + "/minigrad/homework/hw1.toml",
                  tries.FOLDER + "/results/attack.json", tries.FOLDER + "/canary/grades.csv",
                  tries.FOLDER + "/submissions/good.zip", tries.CELL + "/minigrad-attack",
                  os.path.expanduser("~/minigrad-attack"), "/tmp/minigrad-attack",
                  "/var/tmp/minigrad-attack", "/dev/shm/minigrad-attack", "/etc/minigrad-attack",
                  "/proc/sys/kernel/core_pattern", "/proc/self/oom_score_adj",
                  "/sys/fs/cgroup/minigrad-attack", "/dev/null", "/dev/tty", "/dev/mem"]
        attempt({path[-30:]: lambda path=path: append(path) for path in places})""",
                "outcomes": {"RAISED"}, "seen": "all 18 refused"},
    "in the cell": {"body": """
        import json, os, sys, numpy
        from minigrad.tries import attempt
        inside = [json.__file__, numpy.__file__, os.__file__, "/tree/minigrad/ops/elementwise.py",
                  "/tree/minigrad/__init__.py"]
        folders = ["/", "/tree", "/tree/minigrad", os.path.dirname(os.__file__),
                   os.path.dirname(numpy.__file__)]
        tries = {}
        for path in inside:
            name = "/".join(path.split("/")[-2:])
            tries |= {
                f"write {name}": lambda path=path: open(path, "r+b").close(),
                f"cut {name}": lambda path=path: os.truncate(path, 0),
                f"remove {name}": lambda path=path: os.unlink(path),
                f"move {name}": lambda path=path: os.rename(path, path + "x"),
                f"rights {name}": lambda path=path: os.chmod(path, 0o777),
                f"owner {name}": lambda path=path: os.chown(path, os.getuid(), -1),
                f"times {name}": lambda path=path: os.utime(path),
                f"note {name}": lambda path=path: os.setxattr(path, b"user.a", b"b"),
            }
        for path in folders:
            name = path + "/minigrad-attack"
            tries |= {
                f"new in {path}": lambda name=name: open(name, "x").close(),
                f"folder in {path}": lambda name=name: os.mkdir(name),
                f"link in {path}": lambda name=name: os.symlink("/", name),
                f"second name in {path}": lambda name=name: os.link(json.__file__, name),
                f"pipe in {path}": lambda name=name: os.mkfifo(name),
                f"device in {path}": lambda name=name: os.mknod(name, 0o020666, 0x103),
                f"no name in {path}": lambda path=path: os.open(path, os.O_TMPFILE | os.O_RDWR),
                f"rights of {path}": lambda path=path: os.chmod(path, 0o777),
            }
        attempt(tries)""", "outcomes": {"RAISED"}, "seen": "all 80 refused"},
    "the grader's own modules": {"body": """
        import sys
        for name in list(sys.modules):
            if name.split(".")[0] in ("wire", "cell", "runs", "worker"):
                sys.modules[name] = None
        import __main__
        __main__.failure = __main__.answer = lambda *arguments: ({"outcome": "PASS"}, [])
        raise ValueError("replaced")""", "outcomes": {"RAISED", "DIED"}},
}
