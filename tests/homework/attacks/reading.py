"""Looks for what it must not know: the course key, hidden inputs of later checks, results, the
work of others, what its own submission is called.

Stopped by: the cell holds Python, NumPy and the tree. Key, points and expected values never come
into the process; inputs come one case after the other.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "files of the grader": {"body": """
        import os, sys
        from minigrad import tries
        from minigrad.tries import attempt
        def listed(path):
            # folders that only lead to the cell's own Python are there, and nothing else in them
            found = [name for name in os.listdir(path) if not any(
                (place + "/").startswith(os.path.join(path, name) + "/") for place in sys.path)]
            return found or os.stat(path + "/nothing but the way to Python")
        places = [tries.SECRET, tries.FOLDER, tries.FOLDER + "/results", tries.CHECKOUT,
                  tries.FOLDER + "/canary/neighbour.zip", tries.FOLDER + "/submissions/good.zip",
                  tries.FOLDER + "/submissions/attack.zip", tries.FOLDER + "/tmp",
                  tries.CHECKOUT + "/minigrad/homework/checks/hw1.py", tries.CELL + "/../template",
                  f"/proc/{tries.GRADER}/environ", f"/proc/{tries.GRADER}/cmdline",
                  f"/proc/{tries.GRADER}/mem", f"/proc/{tries.GRADER}/fd", "/proc/self/fd",
                  "/proc/self/mem", "/proc/1/root", "/proc/net/tcp", "/etc/passwd", "/etc/shadow",
                  "/dev/fd", "/sys", "/run", "/root/.bashrc", "/home", "/tmp/.X11-unix", "/var",
                  "/.dockerenv", "/tree/.minigrad-hw.json", "/tree/../../../etc/hostname"]
        attempt({path[-20:]: lambda path=path:
                 listed(path) if os.path.isdir(path) else open(path, "rb").read(9)
                 for path in places})""", "outcomes": {"RAISED"}, "seen": "all 30 refused"},
    "the course key in memory": {"body": """
        import gc, hashlib, os, sys
        from minigrad import tries
        from minigrad.tries import attempt
        def found():
            seen, waiting = set(), [os.environ, sys.modules, tries.worker_frame().f_locals,
                                    *gc.get_objects()]
            while waiting:
                one = waiting.pop()
                if id(one) in seen or one is waiting or one is seen:
                    continue
                seen.add(id(one))
                if isinstance(one, str | bytes) and 8 < len(one) < 100:
                    content = one.encode("utf-8", "replace") if isinstance(one, str) else one
                    if hashlib.sha256(content.strip()).hexdigest() == tries.KEY_HASH:
                        return one
                elif isinstance(one, dict | list | tuple | set):
                    waiting += gc.get_referents(one)
            raise KeyError(f"not among {len(seen)}")
        attempt({"key": found})""", "outcomes": {"RAISED"}, "seen": "key KeyError",
                                 "timeout_s": 20.0},
    "what is open": {"body": """
        import os, stat
        from minigrad.tries import attempt
        kinds = {}
        def other(number):
            mode = os.fstat(number).st_mode
            known = stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISCHR(mode)
            if stat.S_ISREG(mode) and os.pread(number, 1000, 0).strip():
                return os.pread(number, 1000, 0)
            if not known or number > 8:
                return mode
            raise OSError(9, "nothing new")
        attempt({str(number): lambda number=number: other(number) for number in range(64)})""",
                     "outcomes": {"RAISED"}, "seen": "all 64 refused"},
    "what the next check asks": {"body": """
        import os, select, time
        from minigrad import tries
        from minigrad.tries import attempt, worker_frame
        requests = worker_frame().f_locals["requests"]
        def more():
            if requests.peek(1) == b"" or not select.select([requests], [], [], 0.5)[0]:
                raise OSError(11, "nothing more")
            return requests.peek(100)
        def waiting():
            if not select.select([requests], [], [], 0.5)[0]:
                raise OSError(11, "nothing more")
            return requests.read1()
        attempt({"requests": waiting})""", "outcomes": {"RAISED"}, "seen": "all 1 refused"},
    "what the worker was told": {"body": """
        from minigrad.tries import attempt, worker_frame
        config = worker_frame().f_locals["config"]
        told = sorted(config) + sorted(config["cell"] or ())
        assert told == ["arrays", "cell", "homework", "memory", "plots", "tree",
                        "mode", "root", "user"], told
        request = worker_frame().f_locals["request"]
        assert sorted(request[0]) == ["arrays", "names", "run", "serial"], sorted(request[0])
        import os
        odd = set(os.environ) - {"PATH", "HOME", "TMPDIR", "TEMP", "LANG", "LC_ALL", "LC_CTYPE",
                                 "PYTHONPATH", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
                                 "PYTHONIOENCODING", "MPLBACKEND", "PYTHONHASHSEED",
                                 "KMP_DUPLICATE_LIB_OK"}
        assert not odd, odd
        raise RuntimeError("nothing but what is needed")""", "outcomes": {"RAISED"},
                                 "seen": "nothing but what is needed"},
}
