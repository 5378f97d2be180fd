"""Bodies are found, taken out and put in, whatever a file looks like."""

import ast
import sys
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.homework.release import checkout
from minigrad.homework.source import (
    BEGIN,
    END,
    SourceError,
    body_of,
    decode,
    find,
    functions,
    indented,
    is_open,
    marked_body,
    opened,
    parse,
    placeholder,
    with_body,
)
from minigrad.homework.spec import Blank, homeworks

HINTS = ("a", "b", "c")


def blank(name: str, homework: str = "hw1") -> Blank:
    return Blank(f"{homework}.Q1.{name}", "minigrad/x.py", name, HINTS)


def shape(text: str) -> str:
    return ast.dump(ast.parse(text))


def outside(text: str, name: str) -> str:
    """The syntax tree without what stands in the function, its docstring kept."""
    tree = ast.parse(text)
    node = [n for q, n in functions(tree) if q == name][-1]
    node.body = [n for n in node.body[:1] if ast.get_docstring(node, clean=False) is not None]
    return ast.dump(tree)


def survives(text: str, name: str) -> None:
    """All that has to hold of a function in a text."""
    body = body_of(text, name).text
    assert shape(with_body(text, name, body)) == shape(text)
    hole = opened(text, [blank(name)], 1)
    assert outside(hole, name) == outside(text, name)
    assert body_of(hole, name).text.strip() == placeholder(blank(name), 1)
    assert is_open(body_of(hole, name).text)
    assert hole.count(f"{BEGIN} hw1.Q1.{name}\n") == 1
    assert hole.count(END) == 1
    assert opened(hole, [blank(name)], 1) == hole  # nothing piles up
    assert body.strip() == "" or body.strip() not in hole
    assert shape(with_body(hole, name, body, f"hw1.Q1.{name}")) == shape(text)
    for indent in ("", "  ", "\t\t\t"):
        assert shape(with_body(hole, name, indented(body, indent))) == shape(text)


ODD = {
    "plain": ("def f(x):\n    y = x\n    return y\n", "f"),
    "decorators": ("import functools\n@functools.cache\n@(lambda g: g)\ndef f(x):\n    return 1\n",
                   "f"),
    "nested class": ("class A:\n    class B:\n        def f(self):\n            return 1\n"
                     "    def f(self):\n        return 2\n", "A.B.f"),
    "inner function": ("def f(x):\n    @property\n    def f(y):\n        return y\n    return f\n",
                       "f"),
    "signature over lines": ("def f(\n    a: dict[str, int],\n    b=lambda q: {1: q}[1],"
                             "  # why: so\n    *, c: int = 3,\n) -> dict[str, int]:\n"
                             "    return a\n", "f"),
    "lambda annotation": ("def f(x) -> lambda: 3: return x\n", "f"),
    "slices in defaults": ("def f(x=[1, 2][0:1], y={1: 2}): return x\n", "f"),
    "comment with colon": ("def f(  # here: a colon\n    x,\n):  # and: here\n    return x\n", "f"),
    "on the line": ("def f(x): return x\n", "f"),
    "two on the line": ("class A:\n    def f(x): y = 1; return y  # done\n    z = 1\n", "A.f"),
    "backslash": ("def f(x): \\\n    return x\n", "f"),
    "docstring on the line": ('def f(x): "doc"; return x\n', "f"),
    "long docstring on the line": ('def f(x): """doc\nmore\n"""; return x\n', "f"),
    "only docstring on the line": ('def f(x): "doc"\ny = 1\n', "f"),
    "docstring and statement": ('def f(x):\n  """doc"""; y = 1; return y\n', "f"),
    "long docstring and statement": ('def f(x):\n\t"""doc\n  more"""; y = 1\n\treturn y\n', "f"),
    "docstring only": ('class A:\n    def f(self):\n        """doc"""\n\n    x = 1\n', "A.f"),
    "docstring of two strings": ('def f():\n    "a" \\\n    "b"\n    return 1\n', "f"),
    "docstring in brackets": ('def f():\n    ("a"\n     "b")\n    return 1\n', "f"),
    "empty docstring": ('def f():\n    ""\n    return 1\n', "f"),
    "comment behind docstring": ('def f():\n    """a"""  # why; not\n    return 1\n', "f"),
    "comments around": ("def f():\n    # before\n\n    x = 1\n    return x\n\n    # after\n"
                        "# far\n", "f"),
    "low comment": ("def f():\n    x = 1\n# low\n    return x\n", "f"),
    "string over lines": ('def f():\n    x = """a\n  b\n\n### c\n"""\n    return x\n', "f"),
    "formatted string over lines": ('class A:\n    def f(y):\n        x = f"""a {y}\n  b\n"""\n'
                                    '        return x\n', "A.f"),
    "continued string": ('def f():\n    x = "a\\\n   b"\n    return x\n', "f"),
    "string low in a method": ('class A:\n    def f(self):\n        x = """\nlow\n"""\n'
                               '        return x\n', "A.f"),
    "tabs": ('class A:\n\tdef f(self):\n\t\t"""doc"""\n\t\tif self:\n\t\t\treturn 1\n'
             '\t\treturn 2\n', "A.f"),
    "tab and one line": ("class A:\n\tdef f(self): return 1\n", "A.f"),
    "form feed": ("x = 1\n\f\ndef f(a,\f\n      b):\n    return a\n\f\ny = 2\n", "f"),
    "form feed in the line": ('def f(\n    a="\x0c\x1c\u2028", b=2):\n    return a\n', "f"),
    "no end of line": ("def f():\n    return 1", "f"),
    "no end of line, docstring": ('def f():\n    """a"""', "f"),
    "letters of several bytes": ('class A:\n    def f(ü, é="ß"): return "→" + ü  # Ω\n', "A.f"),
    "bytes before a statement": ('def f():\n    """→ü"""; return 1\n', "f"),
    "twice": ("def f():\n    return 1\ndef f():\n    return 2\n", "f"),
    "open brackets low": ("def f():\n    x = [\n1,\n  2]\n    return x\n", "f"),
    "decorated first": ("def f():\n    @g\n    class A: pass\n    return A\n", "f"),
    "match": ("def f(x):\n    match x:\n        case {'a': 1}: return 1\n", "f"),
    "semicolon at the end": ("def f(): x = 1; return x;\n", "f"),
    "last in a class": ("class A:\n    def f(self):\n        return 1\n    # of the class\n\n"
                        "def g(): pass\n", "A.f"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_functions_survive(case: str) -> None:
    text, name = ODD[case]
    survives(text, name)


@pytest.mark.parametrize(("case", "want"), {
    "on the line": "    return x",
    "docstring and statement": "  y = 1; return y",
    "docstring on the line": "    return x",
    "docstring only": "",
    "comments around": "    # before\n\n    x = 1\n    return x\n\n    # after",
    "twice": "    return 2",
    "tab and one line": "\t    return 1",
    "last in a class": "        return 1",
    "decorated first": "    @g\n    class A: pass\n    return A",
}.items())
def test_body_is_this_text(case: str, want: str) -> None:
    assert body_of(*ODD[case]).text == want


def test_neighbours_stay_as_they_are() -> None:
    text = ("x = 1  # one\n\n\ndef f():\n    return 1\n\n\n# about g\ndef g():\n    return 2\n")
    assert with_body(text, "f", "return 3") == text.replace("return 1", "return 3")
    assert body_of(text, "f").line == 4


NAMES = st.sampled_from(["x", "ü", "_a1"])
HEADERS = st.sampled_from([
    "def f(self):", "def f(self, a: dict[str, int] = {1: 2}[1:2], *b) -> 'int':  # a: b",
    "def f(\n{i}        self,  # :\n{i}\ta=lambda q: q,\n{i}):",
    "@dec\n{i}@dec(1)\n{i}def f(self):",
    "def f(self) \\\n{i}  -> int:"])
DOCS = st.sampled_from(["", '"""doc"""', '"""doc\n\n low\n"""  # c', "'a' 'b'", '""', "r'''\\d'''",
                        "# only a comment", '"""→ü"""'])
STATEMENTS = st.sampled_from([
    "x = 1", "return x", "if x:\n{i}    y = 2\n{i}else:\n{i}    y = 3", "x = '''a\nb\n  c\n'''",
    "x = f'''a {1 + 1}\nb'''", "# a comment", "x = [\n1,\n{i}   2]", "# low: {x", "x = 'a\\\n   b'",
    "def g(q):\n{i}    \"\"\"inner\"\"\"\n{i}    return q", "with a: pass", "x = 1; y = 2",
    "ü = '→' + x  # Ω", "try:\n{i}\tx = 1\n{i}finally:\n{i}\tx = 2", "\n\n", "pass"])


@st.composite
def sources(draw: st.DrawFn) -> tuple[str, str]:
    """A module with the function ``f`` somewhere in it, and its qualified name."""
    unit = draw(st.sampled_from(["    ", "  ", "\t"]))
    depth = draw(st.integers(0, 2))
    i = unit * depth
    lines = ["import a", ""] + [f"{unit * d}class C{d}:" for d in range(depth)]
    header, doc = draw(HEADERS).replace("{i}", i), draw(DOCS)
    body = draw(st.lists(STATEMENTS, max_size=4))
    inner = i + unit
    if draw(st.booleans()) and not doc.startswith("#") and header.endswith(":"):
        simple = [s for s in [doc, *body] if s and "\n" not in s and not s.startswith(
            ("#", "with", "def", "if", "try")) and "#" not in s] or ["pass"]
        lines.append(i + header + draw(st.sampled_from([" ", ""])) + "; ".join(simple))
    else:
        lines += [i + header] + ([inner + doc] if doc else [])
        for statement in body:
            is_empty = not statement.strip()
            lines.append(statement if is_empty else inner + statement.replace("{i}", inner))
        if not any(s.strip() and not s.startswith("#") for s in body):
            lines.append(inner + "return None")
    lines += draw(st.sampled_from([[], [""], [inner + "# behind"], ["", inner + "# behind"],
                                   ["# far"], [i + "z = 1"], ["", "", i + "def g(): return 1"]]))
    text = "\n".join(lines) + draw(st.sampled_from(["\n", ""]))
    return text, ".".join([*(f"C{d}" for d in range(depth)), "f"])


@settings(max_examples=400)
@given(sources())
def test_any_function_survives(drawn: tuple[str, str]) -> None:
    text, name = drawn
    compile(text, "drawn", "exec", ast.PyCF_ONLY_AST)  # or the strategy is wrong
    survives(text, name)


def test_the_property_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.homework import source
    monkeypatch.setattr(source, "_inside_strings", lambda text: set())
    with pytest.raises(AssertionError):
        text = 'class A:\n    def f(self):\n        x = """a\n        b"""\n        return x\n'
        assert shape(with_body("class A:\n  def f(self):\n    pass\n", "A.f",
                               body_of(text, "A.f").text)) == shape(text)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="one token until 3.11")
def test_formatted_strings_of_new_pythons_stay() -> None:
    survives(*ODD["formatted string over lines"])


# ---------------------------------------------------------------------------------------- marks


MARKED = '''class A:
    def f(self):
        """doc"""
        ### BEGIN YOUR SOLUTION hw1.Q1.A.f
        return 1
        ### END YOUR SOLUTION

    def g(self):
        ### BEGIN YOUR SOLUTION hw1.Q1.A.g
        return 2
        ### END YOUR SOLUTION
'''


@pytest.mark.parametrize("damage", [
    lambda t: t,
    lambda t: t.replace("        ### BEGIN YOUR SOLUTION hw1.Q1.A.f\n", ""),
    lambda t: t.replace("        ### END YOUR SOLUTION\n", "", 1),
    lambda t: "\n".join(line for line in t.split("\n") if "###" not in line),
    lambda t: t.replace("        ### END YOUR SOLUTION\n", "        ### END YOUR SOLUTION\n" * 2,
                        1),
    lambda t: t.replace("return 1\n        ###", "return 1\n\n\n        ###"),
    lambda t: t.replace("return 1\n        ###", "return 1\n    ###"),
    lambda t: t.replace("return 1\n        ###", "return 1\n# note\n\n###"),
    lambda t: t.replace("        return 1\n        ### END YOUR SOLUTION\n",
                        "        ### END YOUR SOLUTION\n        return 1\n"),
    lambda t: t.replace("### BEGIN YOUR SOLUTION hw1.Q1.A.f", "###BEGIN"),
], ids=["whole", "no begin", "no end", "none", "end twice", "space before the end", "end too low",
        "end lower", "end before", "begin damaged"])
def test_marks_are_put_right(damage) -> None:
    text = damage(MARKED)
    assert [line.strip() for line in body_of(text, "A.f").text.split("\n")
            if not line.strip().startswith(("#", "###"))] == ["return 1"]
    assert body_of(text, "A.g").text == "        return 2"
    again = with_body(text, "A.f", "return 3", "hw1.Q1.A.f")
    assert again.count(f"{BEGIN} hw1.Q1.A.f\n") == 1
    assert again.split("def g")[0].count(END) == 1
    assert shape(again) == shape(MARKED.replace("return 1", "return 3"))


def test_marked_body_of_a_file_that_does_not_parse() -> None:
    broken = MARKED + "def h(:\n"
    assert marked_body(broken, "hw1.Q1.A.f") == "        return 1"
    assert marked_body(broken, "hw1.Q1.A.g") == "        return 2"
    assert marked_body(broken, "hw1.Q1.A") is None
    # without its end the body would take the next function with it
    lost = broken.replace("        ### END YOUR SOLUTION\n", "", 1)
    assert marked_body(lost, "hw1.Q1.A.f") is None
    assert marked_body(broken.replace("return 1", "\n\n        return 1\n\n"),
                       "hw1.Q1.A.f") == "        return 1"


# ------------------------------------------------------------------------------------------ open


PLACE = placeholder(blank("f"), 1)
LATER = placeholder(blank("f", "hw3"), 1)


@pytest.mark.parametrize(("body", "want"), [
    (PLACE, True), (f"        {LATER}", True), (f"\t# note\n\t{PLACE}\n", True), ("", True),
    ("    # only a comment", True), ("    pass", True), ("    ...", True), ("    'text'", True),
    (f"        {PLACE}\n        {PLACE}", True),
    (PLACE.replace('"', "'"), True),
    ("    return 1", False), ("return 1", False), ("    return 1 +", False), ("x = (", False),
    (f"    return 1\n    {PLACE}", False),  # the raise forgotten below the work
    (f"    y = 2\n    {PLACE}", False),
    (f"    if x:\n        {PLACE}\n    return 2", False),
    ("    raise NotImplementedError('later')", False),
    ("    raise NotImplementedError", False),
    ('    x = """\nlow\n"""\n    return x', False),
    ("    '''raise'''\n    return None", False),
    (f"    return '{LATER[27:60]}'", False),
])
def test_open_is_what_has_no_work_in_it(body: str, want: bool) -> None:
    assert is_open(body) is want


def test_placeholders_name_the_homework_that_they_come_in() -> None:
    assert LATER == 'raise NotImplementedError("hw3.Q1.f comes in hw3")'
    assert "minigrad-hw hint hw1.Q1" in PLACE


# ---------------------------------------------------------------------------------------- decode


@pytest.mark.parametrize(("content", "want"), [
    (b"x = 1\r\ny = 2\rz = 3", "x = 1\ny = 2\nz = 3"),
    (b"\xef\xbb\xbfx = '\xc3\xa4'\n", "x = 'ä'\n"),
    (b"# -*- coding: latin-1 -*-\nx = '\xe4'\n", "# -*- coding: utf-8 -*-\nx = 'ä'\n"),
    (b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '\x80'\n",
     "#!/usr/bin/python\n# vim: set fileencoding=utf-8 :\nx = '€'\n"),
    (b"", ""),
    (b"# coding: utf-8\nx = '\xc3\xa4'", "# coding: utf-8\nx = 'ä'"),
])
def test_text_of_bytes(content: bytes, want: str) -> None:
    assert decode(content) == want
    assert decode(want.encode()) == want  # what is written back says the same


@pytest.mark.parametrize(("content", "word"), [
    ("x = 1\n".encode("utf-16"), "UTF-16"), (b"\xfe\xff\0x", "UTF-16"),
    (b"x = '\xe4'\n", "UTF-8"), (b"# coding: no-such\n", "UTF-8"),
    (b"\xef\xbb\xbf# coding: latin-1\n", "UTF-8"), (b"# coding: undefined\n", "UTF-8"),
])
def test_bytes_that_are_no_text(content: bytes, word: str) -> None:
    with pytest.raises(SourceError, match=word):
        decode(content)


@pytest.mark.parametrize(("text", "word"), [
    ("def f(:\n", "line 1: SyntaxError"), ("  x = 1\n", "IndentationError"),
    ("if x:\n\ty = 1\n        z = 2\n", "line 3: TabError"), ("x = '\0'\n", "null"),
    ("-" * 90_000 + "1", "nested too deeply|too many|line"), ("(" * 5000, "line 1|nested"),
    ("x = 1\n" * 30_000, "180,000 characters"),
])
def test_what_does_not_parse_is_said(text: str, word: str) -> None:
    with pytest.raises(SourceError, match=word):
        parse(text)


def test_odd_escapes_of_a_student_are_no_warning_of_the_tool() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        parse("y = '\\d'\nx = 1 is 1\n")
        is_open("    return '\\d'")
    assert not seen


@pytest.mark.parametrize("name", ["g", "A", "A.g", "f.g", ""])
def test_functions_that_there_are_not(name: str) -> None:
    with pytest.raises(SourceError, match="no function"):
        find("class A:\n    def f(self):\n        def g(): pass\ndef f(): pass\n", name)


# ------------------------------------------------------------------------------------- real blanks


def test_every_blank_of_the_library_survives() -> None:
    root = checkout()
    seen = 0
    for hw in homeworks():
        for one in hw.blanks:
            text = (root / one.file).read_text(encoding="utf-8")
            hole = opened(text, [one], hw.number)
            back = with_body(hole, one.name, body_of(text, one.name).text, one.id)
            assert shape(back) == shape(text), one.id
            assert not is_open(body_of(text, one.name).text), one.id
            seen += 1
    assert seen >= 40
