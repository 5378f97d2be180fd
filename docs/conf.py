"""How the site is built: sphinx-build -W -b html docs docs/_build/html."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import minigrad.autograd
import minigrad.ops
from minigrad.homework.spec import homeworks

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

project = "minigrad"
author = "minigrad contributors"
copyright = "2026, minigrad contributors"
release = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "minigrad" / "__init__.py").read_text(), re.MULTILINE
)[1]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_generated", "jupyter_execute", "**.ipynb_checkpoints"]
html_theme = "furo"
html_title = "minigrad"
html_copy_source = False

# Pages are Markdown; notebooks are committed with their outputs and are not run here.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"

# The reference is made of the docstrings: one page per module (below), in the order of the source.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# The name of a documented attribute is taken for a reference, and "D" or "mean" is one of many.
suppress_warnings = ["ref.python"]
default_role = "code"  # `x` in a docstring is code, as in Markdown
python_maximum_signature_line_length = 88


def ops_table() -> str:
    """One row per operation, found in the modules: its functions, its class, its formula."""
    rows = ["| function | class | family | what it computes |", "|---|---|---|---|"]
    for found in sorted(pkgutil.iter_modules(minigrad.ops.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"minigrad.ops.{found.name}")
        functions = {
            name: value
            for name, value in vars(module).items()
            if inspect.isfunction(value) and name in module.__all__
        }
        for op in dict.fromkeys(value for value in vars(module).values() if is_op(value, module)):
            names = ", ".join(
                f"{{py:func}}`{name} <{module.__name__}.{name}>`"
                for name, function in functions.items()
                if op in ops_named_in(function)
            )
            formula = inspect.getdoc(op).splitlines()[0].replace("|", "\\|").replace("``", "`")
            rows.append(f"| {names} | `{op.__name__}` | {found.name} | {formula} |")
    return "\n".join(rows)


def homework_tables() -> str:
    """For every homework a table of its questions: points, blanks and what each needs."""
    parts = []
    for hw in homeworks():
        parts += [f"### {hw.name}: {hw.title}", "",
                  "| question | points | you write | after |", "|---|---|---|---|"]
        for question in hw.questions:
            blanks = ", ".join(f"`{blank.name}`" for blank in question.blanks)
            parts.append(f"| {question.id} {question.title} | {question.points} | {blanks} | "
                         f"{', '.join(question.needs)} |")
        parts.append("")
    return "\n".join(parts)


def is_op(value: object, module: object) -> bool:
    """Whether `value` is a concrete operation that `module` defines."""
    return (
        inspect.isclass(value)
        and issubclass(value, minigrad.autograd.Op)
        and value.__module__ == module.__name__
        and "compute" in vars(value)
        and not value.__name__.startswith("_")
    )


def ops_named_in(function: object) -> set[type]:
    """The classes that a function's body names, by themselves or through one of their objects."""
    values = [function.__globals__.get(name) for name in function.__code__.co_names]
    return {value if inspect.isclass(value) else type(value) for value in values}


def reference_pages() -> dict[str, str]:
    """For every module of the two packages the text of its page, by the page's file name."""
    files = [*(ROOT / "minigrad").rglob("*.py"), *(ROOT / "gans").rglob("*.py")]
    names = sorted(".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files)
    modules = {name.removesuffix(".__init__"): name.endswith(".__init__") for name in names}
    pages = {}
    for name, is_package in modules.items():
        page = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
        page += "   :show-inheritance:\n"
        if is_package:  # what it gathers is on the pages of its modules
            inside = [other for other in modules if other.rpartition(".")[0] == name]
            page += "   :ignore-module-all:\n\n.. toctree::\n   :maxdepth: 1\n\n"
            page += "".join(f"   {other}\n" for other in inside)
        pages[f"{name}.rst"] = page
    return pages


def notebook_pages() -> dict[str, str]:
    """The notebooks by file name, as they are but for links out of their folder.

    In the repository these lead to files beside the notebooks. Here pages of the docs stand in one
    folder with them, and source files are named, not linked.
    """
    pages = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8").replace("](../docs/", "](../")
        outside = r"\[`?([^\]`]+)`?\]\(\.\./(?!guide|results)[^)]*\)"
        pages[path.name] = re.sub(outside, r"`\1`", text)
    return pages


def escape_markup(app, what, name, obj, options, lines):
    """In docstrings |x| is an absolute value and *args are arguments; `code` stays as it is."""
    for i, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        lines[i] = "".join(
            p if p.startswith("`") else re.sub(r"\||\*(?=\w)", r"\\\g<0>", p) for p in parts
        )


def write(folder: Path, pages: dict[str, str]) -> None:
    """Make `folder` hold exactly these pages; an unchanged one keeps its date."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def skip_field_aliases(app, what, name, obj, skip, options):
    """The fields of named tuples describe themselves as aliases of numbers, which says nothing."""
    text = getattr(obj, "__doc__", None) or ""
    # Matplotlib makes a method for every subclass of Figure, in a markup of its own.
    of_matplotlib = (getattr(obj, "__module__", None) or "").startswith("matplotlib.")
    return True if of_matplotlib or text.startswith("Alias for field") else None


def setup(app):
    """Write the generated pages before Sphinx looks for its sources."""
    app.connect("autodoc-process-docstring", escape_markup, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip_field_aliases)
    write(DOCS / "_generated", {"ops_table.md": ops_table() + "\n",
                                "homeworks.md": homework_tables()})
    write(DOCS / "api", reference_pages())
    write(DOCS / "notebooks", notebook_pages())
