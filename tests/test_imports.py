"""The order of the house: who may import whom, what an import may do, how errors are caught.

Every rule is a function from a source tree to a list of violations. It is run on the library, where
the list has to be empty, and on a small tree with a planted violation, which it has to find.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from syntax import ROOT, Rule, Source, dotted, plant, sources, walk_scopes

# From the bottom up: a file may import from its own line and from the lines above it, never from
# those below. A name stands for a module and all that is inside it; "minigrad" for its __init__.
ORDER = [
    ["minigrad.errors"],
    ["minigrad.backend", "minigrad.random"],
    ["minigrad.kernels"],
    ["minigrad.autograd"],
    ["minigrad.ops"],
    ["minigrad.init", "minigrad.gradcheck"],
    ["minigrad.nn"],
    ["minigrad.optim"],
    ["minigrad.data", "minigrad.serialize"],
    ["minigrad"],
    ["minigrad.selfcheck"],
    ["minigrad.__main__"],
    ["gans"],
    ["minigrad.homework"],
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}

# The three imports that wait for their first use.
LAZY = {
    ("minigrad.backend", "cupy"),
    ("minigrad.data.download", "pooch"),
    ("minigrad.data.images", "PIL"),
}
ENGINE_NEEDS = {"numpy", "threadpoolctl"}
GANS_NEED = ENGINE_NEEDS | {"PIL", "matplotlib", "tqdm", "tyro"}


def rank(module: str) -> int | None:
    """The line of ORDER on which `module` stands; None for a module that has no place in it."""
    if module in ("minigrad", "gans"):
        return RANK[module]
    parts = module.split(".")
    return RANK.get("gans" if parts[0] == "gans" else ".".join(parts[:2]))


def imported(source: Source, node: ast.Import | ast.ImportFrom, modules: set[str]) -> list[str]:
    """The modules that one import statement names, relative ones resolved.

    `from package import name` counts as the module `package.name` where there is such a file.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parts = source.module.split(".")
        parts = parts[: len(parts) - node.level + source.is_package]
        base = ".".join([*parts, base] if base else parts)
    full = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in modules else base for name in full]


def imports(root: Path) -> list[tuple[Source, ast.Import | ast.ImportFrom, str, ast.AST | None]]:
    """All imports: the file, the statement, the module it names, the function it stands in."""
    files = sources(root)
    modules = {source.module for source in files}
    return [
        (source, node, name, function)
        for source in files
        for node, function in walk_scopes(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(source, node, modules)
    ]


# ---- the rules --------------------------------------------------------------------------------


def backward_arrows(root: Path) -> list[str]:
    """An import that points up the order, or to or from a file that has no place in it."""
    found = [
        f"{source.path.as_posix()}: {source.module} has no place in ORDER"
        for source in sources(root)
        if rank(source.module) is None
    ]
    for source, node, name, _ in imports(root):
        if name.split(".")[0] not in ("minigrad", "gans"):
            continue
        here, there = rank(source.module), rank(name)
        if here is not None and (there is None or there > here):
            found.append(
                source.at(node, f"{source.module} imports {name}: the arrow points backwards")
            )
    return found


def import_cycles(root: Path) -> list[str]:
    """A ring of modules that need each other before any of them is complete."""
    graph: dict[str, list[str]] = {source.module: [] for source in sources(root)}
    for source, _, name, _ in imports(root):
        if name in graph and name != source.module:
            graph[source.module].append(name)
    alive = set(graph)
    while removable := {m for m in alive if not alive.intersection(graph[m])}:
        alive -= removable
    # What is left lies on a ring or leads to one; keep what can also be reached from a ring.
    while removable := {m for m in alive if not any(m in graph[other] for other in alive)}:
        alive -= removable
    return [f"these import each other: {', '.join(sorted(alive))}"] if alive else []


def star_imports(root: Path) -> list[str]:
    """`from module import *`: nobody can tell where a name comes from."""
    return [
        source.at(node, f"star-import of {name}")
        for source, node, name, _ in imports(root)
        if any(alias.name == "*" for alias in node.names)
    ]


def hidden_imports(root: Path) -> list[str]:
    """An import inside a function, or through a call, beyond the three of LAZY."""
    found = [
        source.at(node, f"import of {name} inside a function")
        for source, node, name, function in imports(root)
        if function is not None and (source.module, name.split(".")[0]) not in LAZY
    ]
    for source in sources(root):
        if source.module.startswith("minigrad.homework"):
            continue  # loads programs of its own by name
        for node, _ in walk_scopes(source.tree):
            if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in (
                "import_module",
                "__import__",
            ):
                found.append(source.at(node, f"import through {dotted(node.func)}()"))
    return found


def foreign_imports(root: Path) -> list[str]:
    """A package of others that this part of the library does not need."""
    found = []
    for source, node, name, function in imports(root):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top in ("minigrad", "gans", "__future__"):
            continue
        if function is not None and (source.module, top) in LAZY:
            continue
        if source.module.startswith("gans"):
            allowed = GANS_NEED
        elif source.module == "minigrad.__main__":
            allowed = ENGINE_NEEDS | {"tyro"}
        elif source.module.startswith("minigrad.homework"):
            allowed = ENGINE_NEEDS | {"pytest", "hypothesis", "nbformat", "nbclient"}
        else:
            allowed = ENGINE_NEEDS
        if top not in allowed:
            found.append(source.at(node, f"{source.module} may not import {top}"))
    return found


EFFECTS = {
    *("print", "open", "input", "exec", "eval", "breakpoint"),
    *("urlopen", "urlretrieve", "retrieve", "Popen", "system", "check_output", "check_call"),
    *("mkdir", "makedirs", "mkdtemp", "mkstemp", "unlink", "rmtree", "touch"),
    *(
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "savez",
        "savetxt",
        "loadtxt",
        "imread",
    ),
    *("basicConfig", "filterwarnings", "simplefilter", "seterr", "threadpool_limits"),
}
EFFECTS_IN_FULL = {
    "np.load",
    "numpy.load",
    "np.save",
    "numpy.save",
    "warnings.warn",
    "np.random.seed",
}


def import_effects(root: Path) -> list[str]:
    """A call that prints, reads, writes or changes settings while the module is imported."""
    found = []
    for source in sources(root):
        for node in at_import(source.tree):
            if isinstance(node, ast.Call):
                name = dotted(node.func)
                if name in EFFECTS_IN_FULL or name.split(".")[-1] in EFFECTS:
                    found.append(source.at(node, f"{name}() runs at import"))
    return found


def at_import(node: ast.AST) -> list[ast.AST]:
    """The nodes below `node` that Python evaluates while it imports the module."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "__name__ == '__main__'":
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            # Decorators and defaults run, the body waits.
            parts = [*getattr(child, "decorator_list", []), child.args]
            found += [inner for part in parts for inner in (part, *at_import(part))]
        else:
            found += [child, *at_import(child)]
    return found


def bare_excepts(root: Path) -> list[str]:
    """`except:` also catches Ctrl-C."""
    return [
        source.at(node, "bare except")
        for source in sources(root)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


# ---- the library obeys, and every rule finds what is planted ------------------------------------

PLANTED: list[tuple[Rule, dict[str, str], str]] = [
    (
        backward_arrows,
        {"minigrad/autograd.py": "from .ops import add\n", "minigrad/ops/__init__.py": ""},
        "minigrad.autograd imports minigrad.ops",
    ),
    (
        backward_arrows,
        {"minigrad/kernels/conv.py": "from .. import nn\n", "minigrad/nn/module.py": ""},
        "minigrad.kernels.conv imports minigrad.nn",
    ),
    (
        backward_arrows,
        {
            "minigrad/optim.py": "if True:\n    import minigrad.data.loader\n",
            "minigrad/data/loader.py": "",
        },
        "minigrad.optim imports minigrad.data.loader",
    ),
    (
        backward_arrows,
        {"minigrad/nn/layers.py": "from minigrad import Tensor\n"},
        "imports minigrad:",
    ),
    (backward_arrows, {"minigrad/selfcheck.py": "import gans.dcgan\n"}, "imports gans.dcgan"),
    (backward_arrows, {"gans/gan.py": "import minigrad.homework\n"}, "imports minigrad.homework"),
    (backward_arrows, {"minigrad/helpers.py": ""}, "minigrad.helpers has no place"),
    (
        import_cycles,
        {"minigrad/ops/a.py": "from .b import f\n", "minigrad/ops/b.py": "from . import a\n"},
        "minigrad.ops.a, minigrad.ops.b",
    ),
    (
        star_imports,
        {"minigrad/ops/a.py": "from ..autograd import *\n"},
        "star-import of minigrad.autograd",
    ),
    (
        hidden_imports,
        {"gans/plots.py": "def f():\n    import json\n"},
        "import of json inside a function",
    ),
    (hidden_imports, {"minigrad/ops/a.py": "def f():\n    import cupy\n"}, "import of cupy inside"),
    (
        hidden_imports,
        {"gans/a.py": "import importlib\nm = importlib.import_module('x')\n"},
        "import_module",
    ),
    (
        foreign_imports,
        {"minigrad/nn/a.py": "from scipy.special import erf\n"},
        "may not import scipy",
    ),
    (foreign_imports, {"minigrad/backend.py": "import cupy\n"}, "may not import cupy"),
    (foreign_imports, {"minigrad/data/images.py": "from PIL import Image\n"}, "may not import PIL"),
    (foreign_imports, {"gans/a.py": "import torch\n"}, "may not import torch"),
    (import_effects, {"minigrad/a.py": "print('hello')\n"}, "print() runs at import"),
    (
        import_effects,
        {"gans/a.py": "class A:\n    text = open('x').read()\n"},
        "open() runs at import",
    ),
    (import_effects, {"gans/a.py": "def f(x=open('x')):\n    pass\n"}, "open() runs at import"),
    (import_effects, {"gans/a.py": "import numpy as np\nW = np.load('w.npz')\n"}, "np.load() runs"),
    (bare_excepts, {"gans/a.py": "try:\n    pass\nexcept:\n    pass\n"}, "bare except"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in PLANTED))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_library_obeys(rule: Rule):
    assert rule(ROOT) == []


@pytest.mark.parametrize(
    "rule, files, message", PLANTED, ids=lambda value: getattr(value, "__name__", "")
)
def test_rule_finds_what_is_planted(
    rule: Rule, files: dict[str, str], message: str, tmp_path: Path
):
    found = rule(plant(tmp_path, files))
    assert len(found) == 1, found
    assert message in found[0]


def test_rules_let_the_allowed_pass(tmp_path: Path):
    root = plant(
        tmp_path,
        {
            "minigrad/errors.py": "class ShapeError(ValueError):\n    pass\n",
            "minigrad/backend.py": "import numpy\ndef cuda():\n    import cupy\n    return cupy\n",
            "minigrad/data/download.py": "def fetch():\n    import pooch\n    return pooch\n",
            "minigrad/data/images.py": "def read():\n    from PIL import Image\n    print(Image)\n",
            "minigrad/autograd.py": "from . import errors\nfrom .backend import cuda\n",
            "minigrad/ops/math.py": "if __name__ == '__main__':\n    print('hello')\n",
            "gans/gan.py": "import minigrad as ndl\nimport tyro\nimport minigrad.selfcheck\n",
            "gans/__main__.py": "from . import gan\nfrom .gan import ndl\n",
        },
    )
    assert [message for rule in RULES for message in rule(root)] == []


# ---- what really happens ------------------------------------------------------------------------

WATCH = """
import json, sys
events = []
def watch(event, args):
    if event == "open":
        path, mode = str(args[0]), args[1] or "r"
        if any(c in mode for c in "wax+") or not path.endswith((".py", ".pyc", ".so", ".pyd")):
            events.append(["open", path, mode])
    elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir"):
        events.append([event, str(args), ""])
{first}
sys.addaudithook(watch)
{then}
watched = events[:]
print(json.dumps([sorted(sys.modules), watched]))
"""


def import_in_a_child(first: str, then: str) -> tuple[set[str], list[list[str]]]:
    """The modules loaded and the files and sockets opened when `then` runs after `first`."""
    code = WATCH.replace("{first}", first).replace("{then}", then)
    child = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""
    modules, events = json.loads(child.stdout)  # fails where an import printed something
    return set(modules), events


def test_import_minigrad_loads_little():
    modules, events = import_in_a_child("import numpy, threadpoolctl", "import minigrad")
    assert not modules & {"matplotlib", "pooch", "PIL", "tyro", "cupy", "tqdm", "scipy", "gans"}
    assert events == []


def test_importing_every_module_does_nothing_else():
    names = [s.module for s in sources(ROOT) if "homework" not in s.module]
    others = "import numpy, threadpoolctl, tqdm, tyro, PIL.Image, matplotlib.pyplot"
    _, events = import_in_a_child(others, "\n".join(f"import {name}" for name in names))
    ours = [event for event in events if "site-packages" not in event[1]]
    assert ours == []


def test_the_watch_sees_a_file_that_is_read():
    _, events = import_in_a_child("", "open('setup.py').read(); open('LICENSE').read()")
    assert [event[1] for event in events] == ["LICENSE"]
