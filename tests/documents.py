"""The fenced blocks of README.md and docs/, for the tests that run them."""

import re
from dataclasses import dataclass
from pathlib import Path

from syntax import ROOT

FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its file, the line of its fence, its language, its text."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT).as_posix()}:{self.line}"


def documents() -> list[Path]:
    """README.md, CONTRIBUTING.md and the hand-written pages of the site."""
    written_by_tools = {"_build", "_generated", "api", "notebooks", "jupyter_execute"}
    pages = [
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if not written_by_tools.intersection(page.relative_to(ROOT / "docs").parts)
    ]
    front = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [page for page in [*front, *pages] if page.exists()]


def blocks(path: Path, *languages: str) -> list[Block]:
    """The blocks of `path` in one of `languages`, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(path, text.count("\n", 0, fence.start()) + 1, fence[2].strip(), fence[3])
        for fence in FENCE.finditer(text)
        if fence[2].strip() in languages
    ]


def commands(block: Block) -> list[str]:
    """The command lines of a bash block: comments dropped, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    lines = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line]
