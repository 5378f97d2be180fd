"""The library's files as syntax trees, for the tests that check rules on the source itself."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Source:
    """One Python file: dotted module name, path below the root, syntax tree."""

    module: str
    path: Path
    is_package: bool
    tree: ast.Module

    def at(self, node: ast.AST, message: str) -> str:
        return f"{self.path.as_posix()}:{node.lineno}: {message}"


def sources(root: Path, *folders: str) -> list[Source]:
    """Every .py file below `folders` of `root` (the two packages where none is named), sorted."""
    found = []
    for folder in folders or ("minigrad", "gans"):
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root)
            is_package = path.name == "__init__.py"
            parts = path.parent.parts if is_package else path.with_suffix("").parts
            tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
            found.append(Source(".".join(parts), path, is_package, tree))
    return found


def walk_scopes(
    tree: ast.AST, inside: ast.AST | None = None
) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """All nodes below `tree`, each with the innermost function around it (None at module level)."""
    for child in ast.iter_child_nodes(tree):
        yield child, inside
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from walk_scopes(child, child if is_function else inside)


def dotted(node: ast.AST) -> str:
    """`a.b.c` for such an expression, the empty string for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def plant(folder: Path, files: dict[str, str]) -> Path:
    """Write a small source tree with a known fault in it; missing __init__.py files are added."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for file in list(folder.rglob("*.py")):
        for parent in file.relative_to(folder).parents:
            if parent.parts:
                (folder / parent / "__init__.py").touch()
    return folder


Rule = Callable[[Path], list[str]]
