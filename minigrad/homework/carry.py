"""Carries a student's work from the folder of one homework into that of the next, by id.

A blank that is written in the old folder and open in the new one gets its body; what is written
in the new one is never touched. Functions, methods, constants, imports and files that the student
added go along, since bodies may need them; each is put before the same statement that it stands
before in the old file. Whatever else was changed is listed.

Leaves out: merging of changes to the library's own code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .release import Tree
from .source import (
    SourceError,
    by_name,
    decode,
    end_of,
    indented,
    is_open,
    parse,
    same,
    with_body,
)
from .source import body_of as body_in
from .spec import Blank, homeworks
from .workplace import Workplace, added_files

__all__ = ["Carried", "carry"]

DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
IMPORTS = ast.Import | ast.ImportFrom


@dataclass
class Carried:
    """What was carried over and what was not, in words for the student."""

    blanks: list[str] = field(default_factory=list)
    helpers: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # with the reason
    files: Tree = field(default_factory=dict)  # what has to be written


def carry(old: Workplace, new: Tree) -> Carried:
    """Put the work in ``old`` into the files of ``new``; the result holds the changed files.

    Files that are in ``new`` already are only added to, those that the student made not at all.
    """
    done = Carried()
    blanks: dict[str, list[Blank]] = {}
    for hw in homeworks():
        for blank in hw.blanks:
            blanks.setdefault(blank.file, []).append(blank)
    for name in added_files(old):
        _file(old, name, new, done)
    for name in new:
        if name.endswith(".py") and name.startswith(("minigrad/", "gans/")):
            _module(old, name, new, blanks.get(name, []), done)
    return done


def _file(old: Workplace, name: str, new: Tree, done: Carried) -> None:
    """A file that the student added."""
    if not name.isprintable():
        done.left.append(f"the file {name!a}: rename it, its name is odd")
        return
    try:
        content = (old.root / name).read_bytes()
    except OSError as error:
        done.left.append(f"the file {name} cannot be read: {error.strerror}")
        return
    if name not in new:
        done.files[name] = content
        done.helpers.append(f"the file {name}")
    elif new[name] != content:
        done.left.append(f"the file {name} is there already, and is another")


def _module(old: Workplace, name: str, new: Tree, blanks: list[Blank], done: Carried) -> None:
    """A file of the library."""
    try:
        content = (old.root / name).read_bytes()
    except OSError as error:
        if blanks or not isinstance(error, FileNotFoundError):
            done.left.append(f"{name} of {old.root.name} cannot be read: {error.strerror}")
        return
    if content == new[name]:
        return
    try:
        text = decode(new[name])
        parse(text)
    except SourceError as error:
        done.left.append(f"{name} cannot be read in the new folder, nothing was put into it: "
                         f"{error}")
        return
    try:
        source = decode(content)
        tree = parse(source)
    except SourceError as error:  # bodies are looked for between their marks
        done.left.append(f"{name} of {old.root.name} cannot be read: {error}")
        tree = None
    carried = text
    for blank in blanks:
        carried = _body(old, blank, carried, done)
    complete = all(blank.name in by_name(parse(text)) for blank in blanks)
    if tree is not None and complete:  # or the library's own functions would be taken for additions
        carried = _additions(source, tree, carried, name, carried != text, done)
    if tree is not None:
        done.left += _changed(tree, parse(text), blanks, name, old.root.name)
    if carried != text:
        done.files[name] = carried.encode()


def _body(old: Workplace, blank: Blank, text: str, done: Carried) -> str:
    """``text`` with the body of one blank, if it is to be carried."""
    state = old.state(blank)
    if not state.written:
        return text
    try:
        if not is_open(body_in(text, blank.name).text):
            return text
        changed = with_body(text, blank.name, state.body, blank.id)
        parse(changed)
    except SourceError as error:
        done.left.append(f"{blank.id} does not fit ({error})")
        return text
    done.blanks.append(blank.id)
    return changed


# ---------------------------------------------------------------------------- what was added


def _additions(source: str, old: ast.Module, text: str, name: str, needed: bool, done: Carried
               ) -> str:
    """``text`` with what the student added to the old file beside the blanks.

    Imports go along only where something else does (``needed``).
    """
    here = Carried()
    lines = text.split("\n")
    found = list(_added(source, old.body, parse(text).body, lines, "", name, here))
    done.left += here.left
    if not needed and all(is_import for _, _, is_import in found):
        return text
    result = lines[:]
    # from below, so that the places above stay; what has one place keeps its order
    for at, added, _ in reversed(sorted(found, key=lambda one: one[0])):
        result[at:at] = added
    changed = "\n".join(result)
    try:
        parse(changed)
    except SourceError as error:
        done.left.append(f"what you added to {name} does not fit: {error}")
        return text
    done.helpers += here.helpers
    return changed


def _added(source: str, old: Sequence[ast.stmt], new: Sequence[ast.stmt], lines: list[str],
           scope: str, name: str, done: Carried) -> Iterator[tuple[int, list[str], bool]]:
    """What a module or class has more: line to put it before, its lines, whether it is an import.
    """
    known = {one: node for node in reversed(new) for one in _names(node)}
    indent = lines[new[0].lineno - 1][:new[0].col_offset] if scope and new else ""
    end = end_of(lines, new[-1].end_lineno, indent) if scope else len("\n".join(lines).rstrip(
        "\n").split("\n"))
    for i, node in enumerate(old):
        names = _names(node)
        anchor = next((known[one] for later in old[i + 1:] for one in _names(later)
                       if one in known), None)
        at = end if anchor is None else _first_line(lines, anchor)
        if isinstance(node, IMPORTS):
            fresh = [alias for alias in node.names if _bound_by(node, alias) not in known]
            if fresh and getattr(node, "module", "") != "__future__":
                module = [node.module, node.level] if isinstance(node, ast.ImportFrom) else []
                line = ast.unparse(type(node)(*module[:1], fresh, *module[1:]))
                done.helpers.append(f"{line} in {name}")
                room = [] if isinstance(anchor, IMPORTS) else [""]
                yield at, [indent + line, *room], True
        elif names and not names & set(known):
            done.helpers += [f"{scope}{one} in {name}" for one in sorted(names)]
            added = indented(_lines(source, old, i), indent).split("\n")
            room = [""] if scope else ["", ""]
            yield at, [*room, *added] if anchor is None else [*added, *room], False
        elif isinstance(node, ast.ClassDef) and isinstance(known.get(node.name), ast.ClassDef):
            target = known[node.name]
            if target.body[0].lineno == target.lineno:
                if not same([node], [target]):
                    done.left.append(f"the class {node.name} of {name}, which has one line there")
            else:
                yield from _added(source, node.body, target.body, lines,
                                  f"{scope}{node.name}.", name, done)
        elif not isinstance(node, DEFINITIONS | IMPORTS | ast.Pass) and not _is_text(node) \
                and not any(type(one) is type(node) and same([node], [one]) for one in new):
            done.left.append(f"line {node.lineno} of {name}: "
                             f"{source.split(chr(10))[node.lineno - 1].strip()[:60]}")


def _names(node: ast.stmt) -> set[str]:
    """The names that a statement binds, also inside of conditions and loops."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, IMPORTS):
        return {one for alias in node.names
                for one in (_bound_by(node, alias), _bound_by(node, alias).split(".")[0])}
    targets = node.targets if isinstance(node, ast.Assign) else (
        [node.target] if isinstance(node, ast.AnnAssign | ast.For) else [])
    names = {n.id for target in targets for n in ast.walk(target)
             if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for part in ("body", "orelse", "handlers", "finalbody"):
        for child in getattr(node, part, []):
            names |= _names(child)
    return names


def _bound_by(node: ast.stmt, alias: ast.alias) -> str:
    """What an import binds; ``a.b`` for ``import a.b``, which does more than ``import a``."""
    if alias.name == "*":
        return f"* of {node.module}"
    return alias.asname or alias.name


def _first_line(lines: list[str], node: ast.stmt) -> int:
    """The line, from 0, of a statement with its decorators and the comments right above it."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return first


def _lines(source: str, body: Sequence[ast.stmt], i: int) -> str:
    """A statement as it stands in the source, with the comments above it."""
    node, lines = body[i], source.split("\n")
    before = body[i - 1].end_lineno if i else 0
    after = body[i + 1].lineno if i + 1 < len(body) else len(lines) + 1
    if before >= node.lineno or after <= node.end_lineno:  # it shares a line with another
        return ast.unparse(node)
    return "\n".join(lines[max(_first_line(lines, node), before):node.end_lineno])


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


# -------------------------------------------------------------------------- what was changed


def _changed(old: ast.Module, new: ast.Module, blanks: list[Blank], name: str, folder: str
             ) -> Iterator[str]:
    """Functions of the library that the student changed: these changes stay behind."""
    own = {blank.name for blank in blanks}
    theirs = by_name(old)
    for function, nodes in by_name(new).items():
        if function not in theirs:
            if function in own:
                yield f"{function} is not in {name} of {folder} under this name"
        elif function in own:
            if not same([theirs[function][-1].args], [nodes[-1].args]):
                yield (f"the parameters of {function} in {name} are others in {folder}; its body "
                       "may need them")
        elif not same(theirs[function], nodes):
            yield f"{function} in {name} is no blank; your change of it stays in {folder}"
    classes = {node.name: node for node in old.body if isinstance(node, ast.ClassDef)}
    for node in new.body:
        theirs_ = classes.get(node.name) if isinstance(node, ast.ClassDef) else None
        if theirs_ and not same([*theirs_.bases, *theirs_.decorator_list],
                                [*node.bases, *node.decorator_list]):
            yield f"the bases of {node.name} in {name}; your change of them stays in {folder}"
