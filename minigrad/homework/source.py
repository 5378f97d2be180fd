"""Where a function's body stands in a file, and how it is taken out and put in.

A blank is found by its qualified name in the syntax tree, so that markers may be moved or lost.
Only in a file that does not parse are the markers looked for.

Leaves out: functions inside functions or conditions, and ``async def``.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import threading
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .spec import Blank

__all__ = ["BEGIN", "END", "Body", "SourceError", "body_of", "by_name", "decode", "end_of", "find",
           "functions", "indented", "is_open", "marked_body", "opened", "parse", "placeholder",
           "same", "with_body"]

BEGIN, END = "### BEGIN YOUR SOLUTION", "### END YOUR SOLUTION"
LARGEST = 100_000  # characters of a file that is parsed; the largest of the library has 52,000
PARSING = threading.Lock()
ENCODING_LINE = re.compile(r"([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+")
NOT_WRITTEN = re.compile(
    r"\b(hw\d+\.Q\d+\.[A-Za-z_][\w.]*?) (?:is not written yet|comes in hw\d+)")


class SourceError(ValueError):
    """A file does not parse, or a function is not in it."""


@dataclass(frozen=True)
class Body:
    """The body of a function in a text: all after the docstring.

    Attributes
    ----------
    text : str
        Its lines as they stand, without the markers' lines.
    indent : str
        What its lines begin with.
    start, stop : int
        The lines of the file that it takes, markers included, counted from 0; stop excluded.
    head : str
        What has to stand before it and shares a line with it; empty but for ``def f(): ...`` and
        for a statement on the line of the docstring.
    line : int
        The line of the ``def``, counted from 1.
    """

    text: str
    indent: str
    start: int
    stop: int
    head: str
    line: int


def decode(content: bytes) -> str:
    """A Python file's text: by its encoding line or byte order mark, line ends as newlines.

    Texts are written back as UTF-8, so an encoding line that names another says so in the text.

    Raises
    ------
    SourceError
        If it cannot be decoded.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError("the file is in UTF-16; save it as UTF-8")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise SourceError(f"the file is no UTF-8 text: {error}") from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if encoding in ("utf-8", "utf-8-sig"):
        return text
    lines = text.split("\n")
    return "\n".join([*(ENCODING_LINE.sub(r"\1utf-8", line, count=1) for line in lines[:2]),
                      *lines[2:]])


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods of a module with their qualified names.

    A name may come twice, as that of a property and its setter does.
    """

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                yield prefix + child.name, child
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")

    yield from walk(tree, "")


@functools.lru_cache(maxsize=64)  # a file has many blanks; nobody may change the tree
def parse(text: str) -> ast.Module:
    """The syntax tree of a text; SourceError with line and reason if there is none.

    A tree takes up to 900 times the memory of its text, so a text that is far larger than any of
    the library's has none either.
    """
    if len(text) > LARGEST:
        raise SourceError(f"the file has {len(text):,} characters; {LARGEST:,} are the most")
    try:
        # One at a time: Python 3.11 counts how deep it is for all threads together.
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escape sequences: it is the student's own business
            return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise SourceError(f"line {line}: {type(error).__name__}: {getattr(error, 'msg', error)}"
                          ) from error
    except (RecursionError, MemoryError) as error:
        raise SourceError("an expression is nested too deeply to be read") from error


def same(one: Sequence[ast.AST], other: Sequence[ast.AST]) -> bool:
    """Whether two rows of syntax trees say the same, wherever they stand."""
    try:
        return list(map(ast.dump, one)) == list(map(ast.dump, other))
    except RecursionError:
        return False  # nested as the library's own code never is


def by_name(tree: ast.Module) -> dict[str, list[ast.FunctionDef]]:
    """The functions and methods of a module: all of a name, in order."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for name, node in functions(tree):
        found.setdefault(name, []).append(node)
    return found


def find(text: str, name: str) -> ast.FunctionDef:
    """The last function of that qualified name: the one that counts when the file is imported.

    Raises
    ------
    SourceError
        If the file does not parse, or has none.
    """
    found = [node for qualified, node in functions(parse(text)) if qualified == name]
    if not found:
        raise SourceError(f"there is no function {name}")
    return found[-1]


def body_of(text: str, name: str) -> Body:
    """The body of the function of that qualified name.

    Raises
    ------
    SourceError
        If the file does not parse, or has no such function.
    """
    node = find(text, name)
    lines = text.split("\n")
    doc = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
    statements = node.body[1:] if doc else node.body
    first = statements[0] if statements else None
    row, column, is_inline = _colon(lines, node)
    head, start = "", doc.end_lineno if doc else row + 1
    if is_inline:
        indent = lines[node.lineno - 1][:node.col_offset] + "    "
        head, start = lines[row][:column], row
        if doc:
            head += f"\n{indent}{ast.get_source_segment(text, doc)}"
    elif doc and _cut(lines[doc.end_lineno - 1], doc.end_col_offset)[1].lstrip().startswith(";"):
        indent = lines[doc.lineno - 1][:doc.col_offset]
        head, start = _cut(lines[doc.end_lineno - 1], doc.end_col_offset)[0], doc.end_lineno - 1
    elif first or doc:
        owner = first or doc
        indent = lines[owner.lineno - 1][:owner.col_offset]
    stop = end_of(lines, node.end_lineno, indent)
    if head:
        kept = [] if first is None else [
            indent + _cut(lines[first.lineno - 1], first.col_offset)[1], *lines[first.lineno:stop]]
    else:
        kept = lines[start:stop]
    return Body(_trimmed(kept), indent, start, stop, head, node.lineno)


def end_of(lines: list[str], stop: int, indent: str) -> int:
    """How many lines are over when a block is whose last statement ends with line ``stop``.

    Comments after it with its indentation are the block's, and so is the mark of a last blank.
    """
    end = stop
    for i in range(stop, len(lines)):
        line = lines[i].strip()
        if line and not line.startswith("#"):
            break
        if line and (line.startswith(END) or lines[i].startswith(indent)):
            end = i + 1
    return end


def _trimmed(lines: list[str]) -> str:
    """Lines without marks, and without empty lines before and after."""
    kept = [line for line in lines if not _is_marker(line)]
    while kept and not kept[0].strip():
        kept.pop(0)
    while kept and not kept[-1].strip():
        kept.pop()
    return "\n".join(kept)


def _cut(line: str, byte: int) -> tuple[str, str]:
    """A line before and from a column of a syntax tree, which counts bytes of UTF-8."""
    raw = line.encode()
    return raw[:byte].decode(), raw[byte:].decode()


def _is_marker(line: str) -> bool:
    return line.strip().startswith((BEGIN, END))


def _colon(lines: list[str], node: ast.FunctionDef) -> tuple[int, int, bool]:
    """Where the ``def`` ends: the line, from 0, the column behind its colon, and whether a
    statement follows on that line."""
    source = (line + "\n" for line in lines[node.lineno - 1:node.end_lineno])
    tokens = tokenize.generate_tokens(lambda: next(source, ""))
    depth = lambdas = 0
    for token in tokens:
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        if depth == 0 and token.string == "lambda":
            lambdas += 1  # in the annotation of what is returned; it has a colon of its own
        elif depth == 0 and token.string == ":":
            if not lambdas:
                break
            lambdas -= 1
    row, column = node.lineno + token.end[0] - 2, token.end[1]
    return row, column, next(tokens).type not in (tokenize.NEWLINE, tokenize.COMMENT)


def with_body(text: str, name: str, body: str, blank_id: str = "") -> str:
    """The text with another body in that function, which is given with any indentation.

    With a ``blank_id`` the body is put between markers of that id.
    """
    old = body_of(text, name)
    lines = text.split("\n")
    indent = old.indent
    new = indented(body, indent).split("\n")
    if blank_id:
        new = [f"{indent}{BEGIN} {blank_id}", *new, f"{indent}{END}"]
    before = lines[:old.start] + ([old.head] if old.head else [])
    return "\n".join([*before, *new, *lines[old.stop:]])


def indented(body: str, indent: str) -> str:
    """``body`` moved to ``indent``; the inside of strings over several lines stays as it is."""
    lines = body.split("\n")
    firsts = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    current = firsts[0][:len(firsts[0]) - len(firsts[0].lstrip())] if firsts else ""
    if current == indent:
        return body
    inside = _inside_strings(body)
    moved = []
    for i, line in enumerate(lines):
        if i in inside or not line.strip():
            moved.append(line if i in inside else "")
        else:
            moved.append(indent + line.removeprefix(current))
    return "\n".join(moved)


def _inside_strings(text: str) -> set[int]:
    """The numbers, from 0, of lines that begin inside a string."""
    # From Python 3.12 on a formatted string is several tokens, the first and last of these names.
    opens = [getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")]
    closes = [getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")]
    inside: set[int] = set()
    begun: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in opens:
                begun.append(token.start[0])
            elif token.type == tokenize.STRING or token.type in closes:
                begin = token.start[0] if token.type == tokenize.STRING else begun.pop()
                inside |= set(range(begin, token.end[0]))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return set()  # no valid Python: whoever compiles it will say so
    return inside


# ----------------------------------------------------------------------------------- open blanks


def placeholder(blank: Blank, homework: int) -> str:
    """What stands in an open blank, in the tree of homework number ``homework``."""
    number = int(blank.homework.removeprefix("hw"))
    if number > homework:
        return f'raise NotImplementedError("{blank.id} comes in {blank.homework}")'
    return (f'raise NotImplementedError("{blank.id} is not written yet; '
            f'try: minigrad-hw hint {blank.id}")')


def opened(text: str, blanks: list[Blank], homework: int) -> str:
    """The text with these blanks open, each between its markers."""
    for blank in blanks:
        text = with_body(text, blank.name, placeholder(blank, homework), blank.id)
    return text


def is_open(body: str) -> bool:
    """Whether nothing is written in a body: what stands in an open blank, or nothing at all.

    A body that has something beside the placeholder is work, and not open.
    """
    return all(isinstance(node, ast.Pass) or _says_nothing(node) for node in _statements(body))


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        return bool(NOT_WRITTEN.search(ast.unparse(node)))
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _statements(body: str) -> list[ast.stmt]:
    """The statements of a body; one that is no placeholder if it does not parse."""
    for text in (f"if True:\n{body}", body):
        try:
            tree = parse(text)
        except SourceError:
            continue
        return tree.body[0].body if text != body else tree.body
    return [ast.Raise()]


def with_marked_body(text: str, blank_id: str, body: str) -> str | None:
    """The text with another body between the marks of an id; None where these are not whole."""
    if marked_body(text, blank_id) is None:
        return None
    lines = text.split("\n")
    begin = max(i for i, line in enumerate(lines) if line.strip() == f"{BEGIN} {blank_id}")
    end = min(i for i, line in enumerate(lines) if i > begin and _is_marker(line))
    indent = lines[begin][:len(lines[begin]) - len(lines[begin].lstrip())]
    return "\n".join([*lines[:begin + 1], indent + body, *lines[end:]])


def marked_body(text: str, blank_id: str) -> str | None:
    """What stands between the marks of an id, for files that do not parse; None without them."""
    lines = text.split("\n")
    begins = [i for i, line in enumerate(lines) if line.strip() == f"{BEGIN} {blank_id}"]
    if not begins:
        return None
    marks = [i for i, line in enumerate(lines) if i > begins[-1] and _is_marker(line)]
    if not marks or not lines[marks[0]].strip().startswith(END):
        return None  # its end is lost, and other functions may follow
    return _trimmed(lines[begins[-1] + 1:marks[0]])
