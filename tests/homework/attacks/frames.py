"""Writes answers itself, on the pipe of the worker, which it finds by looking around.

Stopped by: an answer is arrays, which are compared; the number of the request only rejects strays.
What has not the form of an answer ends the process, and the check gives nothing. The grader takes
at most 64 MB at a time and waits no longer than it would for an honest answer.
"""

MODES = ("uid", "namespaces")
FOUND = """
    import json, os, struct, sys, time
    from minigrad.tries import worker_frame
    held = worker_frame().f_locals
    wire = held["wire"]
    serial = held["request"][0]["serial"] if held.get("request") else 0
    def send(header, arrays=()):
        wire.write_frame(held["answers"], header, list(arrays))
    def parts(*contents):
        for content in contents:
            held["answers"].write(struct.pack(">Q", len(content)) + content)
        held["answers"].flush()
    def done(**more):
        return {"outcome": "done", "outputs": [], "mutated": [], "serial": serial} | more
"""
QUIET = "\n    while True:\n        pass"
GOES_ON = "\n    raise ValueError('sent')"
ENDS = "\n    os._exit(0)"


def _check(code: str, end: str = GOES_ON, **more: object) -> dict[str, object]:
    """A variant that sends something from inside a check."""
    return {"body": FOUND + code + end, "timeout_s": 1.0, "outcomes": {
        "WRONG", "SHAPE", "DTYPE", "DIED", "TIMEOUT", "RAISED", "MEMORY"}} | more


HANDED_IN = {
    "that it passed": _check("""
    for word in ("PASS", "passed", "ok", True, 1, None, ["done"], {"outcome": "done"}):
        send({"outcome": word, "serial": serial, "score": 100, "points": 2, "passed": True,
              "outputs": [], "mutated": []})"""),
    "that it is done, and nothing else": _check("    send(done())"),
    "outputs without numbers": _check("""
    send(done(outputs=[["a / b: output", "Tensor", False]] * 9))"""),
    "arrays of zeros": _check("""
    import numpy
    names = [f"{x} / {y}: output{s}" for x, y in ("ab", "ca", "bc", "ad", "da")
             for s in ("", ", second call")]
    send(done(outputs=[[name, "Tensor", True] for name in names]),
         [numpy.zeros(1) for _ in names])"""),
    "more arrays than names, and fewer": _check("""
    import numpy
    send(done(outputs=[["x", "Tensor", True]] * 5), [numpy.zeros(1)] * 999)"""),
    "names that are no texts": _check("""
    import numpy
    send(done(outputs=[[{"a": 1}, "Tensor", True], [[1], 2, True], [None, None, None]],
              mutated=[1, None, {}, [[]]]), [numpy.zeros(1)])"""),
    "the number of every request, in advance": {"module": FOUND + """
    import numpy
    for serial in range(2000):
        send(done(outputs=[["a / b: output", "Tensor", True]]), [numpy.ones((3, 4))])
    """, "outcomes": {"WRONG", "SHAPE", "DIED", "TIMEOUT", "UNSOLVED"}, "timeout_s": 2.0},
    "thousands of frames for nobody": _check("""
    while True:
        send(done(serial=-1))""", ""),
    "that an exception was raised": _check("""
    send({"outcome": "raised", "serial": serial, "error": "x" * 10**6, "places": []})"""),
    "an error of marks that break lines badly": _check("""
    send({"outcome": "raised", "serial": serial, "error": "!-" * 250_000 + "!" * 500_000,
          "places": []})"""),
    "an error with commands in it": _check("""
    send({"outcome": "raised", "serial": serial,
          "places": [["=cmd()\\x1b[2J\\n\\n\\n", 1, "\\x07"]], "error":
          "SyntaxError: \\x1b]0;title\\x07 <script>alert(1)</script> \\u202e \\ud800"})"""),
    "a place with a name of a million lines": _check("""
    send({"outcome": "raised", "serial": serial, "error": "SyntaxError: x",
          "places": [["x\\n" * 200_000, 1, "y\\n" * 50_000]]})"""),
    "places in every line of a file": _check("""
    send({"outcome": "raised", "serial": serial, "error": "x", "places": [
          ["minigrad/ops/elementwise.py", 10**40 if i % 2 else i, "x"] for i in range(100)]})"""),
    "places without end": _check("""
    send({"outcome": "raised", "serial": serial, "error": "x",
          "places": [["minigrad/ops/matmul.py", i, ""] for i in range(20_000)]})"""),
    "that another blank is open": _check("""
    send({"outcome": "open", "serial": serial, "blank": "hw6.Q9.<b>.nothing"})"""),
    "that memory did not suffice, forever": _check("""
    while True:
        send({"outcome": "memory", "serial": serial, "places": []})""", ""),
    "a header nested a thousand times": _check("""
    def nested(depth):
        return b"[" * depth + b"]" * depth
    head = json.dumps(done(arrays=0))[:-1].encode()
    for depth in (100, 300, 900):
        parts(head + b', "mutated": [' + nested(depth) + b"]}")
        parts(head + b', "outputs": [[' + nested(depth) + b', "x", false]]}')
        parts(head + b', "outputs": [["x", ' + nested(depth) + b', false]]}')
        parts(head + b', "serial": ' + nested(depth) + b"}")
        parts(head + b', "outcome": ' + nested(depth) + b"}")"""),
    "names nested a thousand times": _check("""
    deep = b"[" * 985 + b"]" * 985
    head = json.dumps(done(arrays=0))[:-1].encode()
    parts(head + b', "mutated": [' + deep + b"]}")"""),
    "kinds nested a thousand times": _check("""
    deep = b"[" * 985 + b"]" * 985
    head = json.dumps(done(arrays=0))[:-1].encode()
    parts(head + b', "outputs": [["x", ' + deep + b', false]]}')"""),
    "an outcome nested a thousand times": _check("""
    deep = b"[" * 985 + b"]" * 985
    head = json.dumps(done(arrays=0))[:-1].encode()
    parts(head + b', "outcome": ' + deep + b"}")"""),
    "a header nested without end": _check("    parts(b'[' * 10**6)"),
    "a header that is no JSON": _check("    parts(b'\\xff' * 1000)"),
    "a header with numbers of a million digits": _check("""
    parts(b'{"arrays": 1' + b'0' * 999_000 + b'}')"""),
    "no frame at all": _check("    os.write(held['answers'].fileno(), b'\\0' * 10**6)"),
    "half a frame, then silence": _check("""
    os.write(held["answers"].fileno(), struct.pack(">Q", 1000) + b'{"arr')""", QUIET),
    "half a frame, then the end": _check("""
    os.write(held["answers"].fileno(), struct.pack(">Q", 1000) + b'{"arr')""", ENDS),
    "a length of all bytes that there are": _check("""
    os.write(held["answers"].fileno(), b"\\xff" * 8)"""),
    "64 MB in one array": _check("""
    import numpy
    names = [f"{x} / {y}: output{s}" for x, y in ("ab", "ca", "bc", "ad", "da")
             for s in ("", ", second call")]
    big = numpy.ones(8 * 10**6)
    send(done(outputs=[[name, "Tensor", i == 0] for i, name in enumerate(names)]), [big])"""),
    "64 MB, again and again": _check("""
    import numpy
    big = numpy.ones(8 * 10**6)
    while True:
        send(done(serial=-1, outputs=[["x", "Tensor", True]]), [big])""", ""),
    "a shape that is larger than its bytes": _check("""
    import io, numpy
    for shape in ("(9999999999999,)", "(4611686018427387904, 0)", "(9" + "9" * 99 + ", 0)", "(-1,)",
                  "(1,) * 99", "(" + "1," * 64 + ")", "(" + "1," * 999 + ")", "(0.5,)", "()",
                  "True", "(1,(1,))"):
        text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
        head = b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(text)) + text.encode()
        parts(json.dumps(done(arrays=1, outputs=[["a / b: output", "Tensor", True]])).encode(),
              head)"""),
    "empty axes without end": _check("""
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 0), }"
    head = b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(text)) + text.encode()
    parts(json.dumps(done(arrays=1, outputs=[["a / b: output", "Tensor", True]])).encode(),
          head)"""),
    "objects that would be unpickled": _check("""
    import io, numpy
    class Evil:
        def __reduce__(self):
            return os.mkdir, ("/tmp/minigrad-attack",)
    file = io.BytesIO()
    numpy.save(file, numpy.array([Evil()], dtype=object), allow_pickle=True)
    parts(json.dumps(done(arrays=1, outputs=[["x", "Tensor", True]])).encode(), file.getvalue())
    """),
    "a pickle in place of an array": _check("""
    import pickle
    class Evil:
        def __reduce__(self):
            return os.mkdir, ("/tmp/minigrad-attack",)
    parts(json.dumps(done(arrays=1, outputs=[["x", "Tensor", True]])).encode(),
          pickle.dumps(Evil()))"""),
    "an archive in place of an array": _check("""
    import io, numpy
    file = io.BytesIO()
    numpy.savez_compressed(file, a=numpy.zeros(10**7))
    parts(json.dumps(done(arrays=1, outputs=[["x", "Tensor", True]])).encode(), file.getvalue())
    """),
    "dtypes that mean something else": _check("""
    for kind in ("|O", "<U9", "|V8", "<M8[s]", "<m8[s]", "[('a', '<f8')]", "|S8", "<f3", "<f99",
                 "(2,3)<f8", "<c16", "O", "x" * 5000, "[('a', 'O')]"):
        text = repr({"descr": eval(kind) if kind[0] == "[" else kind, "fortran_order": False,
                     "shape": (1,)})
        head = b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(text)) + text.encode()
        parts(json.dumps(done(arrays=1, outputs=[["x", "Tensor", True]])).encode(),
              head + b"\\x01" * 16)"""),
    "code in the head of an array": _check("""
    text = "__import__('os').mkdir('/tmp/minigrad-attack')"
    head = b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(text)) + text.encode()
    parts(json.dumps(done(arrays=1, outputs=[["x", "Tensor", True]])).encode(), head)"""),
    "nothing is read from the start": {"module": FOUND + """
    send({"outcome": "ready", "serial": 0})
    while True:
        pass
    """, "outcomes": {"TIMEOUT"}, "timeout_s": 1.0, "checks": ("hw1.Q3.chain",)},
    "nothing is read any more": {"module": FOUND + """
    import fcntl
    fcntl.fcntl(held["requests"].fileno(), 1031, 4096)
    send({"outcome": "ready", "serial": 0})
    for serial in range(1, 10**6):
        send(done())
        time.sleep(0.1)
    """, "timeout_s": 1.0, "limit_s": 20.0, "checks": tuple(f"hw1.Q1.{name}" for name in (
        "div", "power", "matmul", "matmul.batched", "summation", "logsumexp", "broadcast_to",
        "transpose", "float32"))},
    "the pipes closed": _check("""
    for number in range(3, 64):
        try:
            os.close(number)
        except OSError:
            pass"""),
    "all is closed": _check("    os.closerange(0, 64)"),
    "the pipes put in place of each other": _check("""
    os.dup2(held["requests"].fileno(), 2)
    os.dup2(held["answers"].fileno(), 1)
    print("{}" * 1000)
    sys.stdout.flush()
    raise ValueError("both are mixed up")""", ""),
    "one that is sent when all is over": {"module": FOUND + """
    import atexit
    atexit.register(send, done(serial=1))""", "outcomes": {"UNSOLVED"}},
}
