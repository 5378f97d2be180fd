"""The house: what stands where, one version, no path of one machine, what a wheel holds."""

import ast
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from syntax import ROOT, dotted, sources

TOP_LEVEL = {
    *("minigrad", "gans", "notebooks", "tests", "docs", "setup.py", "README.md"),
    *("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "MANIFEST.in", "pyproject.toml"),
}
# A folder at the root of the file system, where people and machines keep their own files.
MACHINE_PATH = re.compile(
    r"(?<![\w./:~$>*-])/(?:home|Users|root|work|tmp)/[A-Za-z]"
    r"|(?<!\w)[A-Z]:\\+(?:Users|Documents)"
)
TEXT = {".py", ".md", ".rst", ".toml", ".yml", ".yaml", ".txt", ".ipynb", ".cfg", ".csv", ".json"}


def tracked() -> list[Path]:
    """The files under version control: what lies beside them in somebody's folder is their own."""
    try:
        git = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: nothing tells our files from others")
    return [Path(name) for name in git.stdout.split("\0") if name]


def machine_paths(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if MACHINE_PATH.search(line)]


def test_top_level_names():
    names = {name.parts[0] for name in tracked()}
    assert {name for name in names if not name.startswith(".")} - TOP_LEVEL == set()


@pytest.mark.parametrize("name", sorted(TOP_LEVEL - {"notebooks"}))
def test_house_is_complete(name: str):
    assert (ROOT / name).exists()


def test_licence():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License")
    assert "minigrad contributors" in text


def test_no_path_of_one_machine():
    found = {}
    for name in tracked():
        is_text = name.suffix in TEXT or name.parts[0].startswith(".")
        if "attacks" in name.parts or name.name == Path(__file__).name:
            continue  # attacks name the places that they try to write to
        if is_text and (ROOT / name).is_file():
            if lines := machine_paths((ROOT / name).read_text(encoding="utf-8")):
                found[str(name)] = lines
    assert found == {}


@pytest.mark.parametrize(
    "line, is_one",
    [
        ('DATA = "/home/ann/data.npz"', True),
        ("cd /Users/ann/minigrad", True),
        (r"C:\Users\ann", True),
        ("see /Users/ann/run.log", True),
        ("docs/home/page.md", False),
        ("https://example.org/home/page", False),
        ("`./data/files`, ../work/x, $HOME/work/y, ~/src/z", False),
    ],
)
def test_machine_paths_are_told_from_others(line: str, is_one: bool):
    assert bool(machine_paths(line)) == is_one


def installed() -> metadata.Distribution:
    try:
        return metadata.distribution("minigrad")
    except metadata.PackageNotFoundError:
        pytest.skip("minigrad is not installed here (pip install -e .)")


def test_version_stands_in_one_place():
    text = (ROOT / "minigrad" / "__init__.py").read_text(encoding="utf-8")
    versions = re.findall(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, re.MULTILINE)
    assert len(versions) == 1
    assert f"## [{versions[0]}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    elsewhere = [
        name.as_posix()
        for name in [Path("setup.py"), Path("pyproject.toml"), Path("docs/conf.py")]
        if versions[0] in (ROOT / name).read_text(encoding="utf-8")
    ]
    assert elsewhere == []
    assert installed().version == versions[0]


def test_pyproject_holds_tool_settings_only():
    tables = re.findall(
        r"^\[([\w-]+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(tables) == {"tool"}


def test_every_module_says_what_it_is():
    silent = [
        s.path.as_posix() for s in sources(ROOT) if s.tree.body and not ast.get_docstring(s.tree)
    ]
    assert silent == []


def test_every_public_name_has_a_docstring():
    silent = []
    for source in sources(ROOT):
        if any(part.startswith("_") for part in source.module.split(".")):
            continue
        public = exported(source.tree)
        for node in source.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in public:
                if not ast.get_docstring(node):
                    silent.append(f"{source.module}.{node.name}")
    assert silent == []


def exported(tree: ast.Module) -> set[str]:
    """The names in `__all__`; without it every top-level name that has no leading underscore."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and dotted(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return {n.name for n in tree.body if hasattr(n, "name") and not n.name.startswith("_")}


def test_console_scripts_exist():
    scripts = installed().entry_points.select(group="console_scripts")
    assert {script.name: script.value for script in scripts} == {
        "minigrad": "minigrad.__main__:main",
        "gans": "gans.__main__:main",
        "minigrad-hw": "minigrad.homework.cli:main",
    }
    assert all(callable(script.load()) for script in scripts)


@pytest.mark.slow
def test_wheel(tmp_path: Path):
    """Only the two packages, with their data, in less than 5 MB."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 5_000_000
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"minigrad", "gans"}
    data = [*ROOT.glob("minigrad/data/files/*"), *ROOT.glob("gans/weights/*")]
    assert data
    modules = [ROOT / source.path for source in sources(ROOT)]
    assert {file.relative_to(ROOT).as_posix() for file in [*data, *modules]} <= names
