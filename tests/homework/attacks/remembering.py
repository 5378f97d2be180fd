"""Knows answers instead of computing them: those of the public cases, or those of earlier calls.

Stopped by: points need the hidden cases, whose inputs depend on the course key and on the code that
is handed in; every question has a process of its own, and nothing is left for the next submission.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "the public cases": {"body": """
        import hashlib
        from minigrad.tries import PUBLIC
        if all(hashlib.sha256(a.tobytes()).hexdigest()[:12] in PUBLIC for a in arguments):
            return solve()
        return arguments[0] * 0""", "outcomes": {"WRONG", "SHAPE"}, "seen": "--seed"},
    "the first answer of each kind": {"body": """
        import builtins
        kept = builtins.__dict__.setdefault("kept", {})
        if len(arguments) not in kept:
            kept[len(arguments)] = solve()
        return kept[len(arguments)].copy()""", "outcomes": {"WRONG", "SHAPE"}},
    "what earlier processes left": {"module": """
        import os
        for place in ("/tmp", "/var/tmp", "/dev/shm", "/tree", "/"):
            try:
                with open(place + "/minigrad-attack", "x") as file:
                    file.write("kept")
            except OSError:
                pass
            assert not os.path.exists(place + "/minigrad-attack"), "GOT " + "OUT"
        raise RuntimeError("there is no place to keep it")""", "outcomes": {"RAISED"},
                                    "seen": "no place to keep it"},
}
