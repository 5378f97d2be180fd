"""Files that are hard to read: the grader reads them too, to say where a function stands.

Stopped by: their size is limited, and only their syntax is looked at.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "nested as deeply as can be written": {"module": "x = " + "[" * 190 + "]" * 190,
                                           "outcomes": {"UNSOLVED", "RAISED", "MEMORY"}},
    "nested more deeply": {"module": "x = " + "(" * 5000 + ")" * 5000,
                           "outcomes": {"RAISED"}},
    "a long row of signs": {"module": "x = " + "-" * 90_000 + "1", "outcomes": {
        "RAISED", "MEMORY", "DIED"}},
    "a long sum": {"module": "x = " + "+".join(["1"] * 60_000), "outcomes": {
        "RAISED", "MEMORY", "DIED", "UNSOLVED"}},
    "a long chain": {"module": "x = a" + ".a" * 60_000, "outcomes": {"RAISED", "MEMORY", "DIED"}},
    "a megabyte of lists": {"module": "def never():\n    return [" + "[]," * 240_000 + "]",
                            "outcomes": {"UNSOLVED", "MEMORY", "TIMEOUT"}, "seconds": 60.0},
    "a megabyte, and an exception in it": {"module": "def never():\n" + "    x = 1\n" * 60_000,
        "body": "return self.compute(*arguments)", "outcomes": {"RAISED"}, "seconds": 60.0},
    "many functions of the same name": {"module": "class EWiseDiv:\n" + (
        "    def compute(self, a, b): return 1\n" * 15_000),
        "outcomes": {"UNSOLVED", "RAISED", "WRONG"}, "seconds": 60.0},
    "an encoding that runs code": {"files": {"minigrad/ops/elementwise.py":
        "# coding: unicode_escape\n# \\nimport os; os._exit(0)\n"},
        "outcomes": {"DIED", "RAISED", "UNSOLVED"}},
    "an encoding that there is none of": {"files": {"minigrad/ops/elementwise.py":
        b"# coding: rot13\nvzcbeg bf; bf._rkvg(0)\n"}, "outcomes": {"DIED", "RAISED"}},
    "bytes of all kinds": {"files": {"minigrad/ops/elementwise.py": bytes(range(256)) * 99},
                           "outcomes": {"RAISED"}},
    "nothing": {"files": {"minigrad/ops/elementwise.py": b""}, "outcomes": {"RAISED"}},
}
