"""What runs on NumPy and breaks, or waits for the device, on CuPy: checked on the source.

The rules are those for everything in minigrad/kernels and minigrad/ops. Only what the syntax shows
without false alarms is here; dtypes and synchronisations are tested by running (tests/gpu).
"""

import ast
from pathlib import Path

import pytest
from syntax import ROOT, Rule, Source, dotted, plant, sources

CREATION = {"zeros": 2, "ones": 2, "empty": 2, "full": 3, "arange": 4, "eye": 4, "linspace": 6}
ORDERED = {"array", "asarray", "copy", "reshape", "ravel", "empty_like", "zeros_like", "ones_like"}
REDUCTIONS = {"sum", "mean", "max", "min", "prod", "var", "std", "any", "all", "argmax", "argmin"}
DATA_DEPENDENT = {"nonzero", "flatnonzero", "argwhere", "unique", "bincount"}
MISSING = {"errstate", "insert", "einsum_path", "sliding_window_view"}


def array_code(root: Path) -> list[Source]:
    return sources(root, "minigrad/kernels", "minigrad/ops")


def library_names(source: Source) -> set[str]:
    """Names that stand for the array library: `xp`, and what `array_module(...)` is assigned to."""
    names = {"xp", "np", "numpy", "cp", "cupy"}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign) and is_array_module(node.value):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def is_array_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "array_module"


def library_calls(source: Source) -> list[tuple[ast.Call, str]]:
    """Calls of the array library: the node, and the name after `xp.` ("add.at", "sum")."""
    names = library_names(source)
    found = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        path, owner = [node.func.attr], node.func.value
        while isinstance(owner, ast.Attribute):
            path.insert(0, owner.attr)
            owner = owner.value
        if is_array_module(owner) or (isinstance(owner, ast.Name) and owner.id in names):
            found.append((node, ".".join(path)))
    return found


def numpy_imports(root: Path) -> list[str]:
    """Rule 1: array_module(x) tells the library."""
    found = []
    for source in array_code(root):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                tops = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops = {(node.module or "").split(".")[0]}
            else:
                continue
            found += [source.at(node, f"import of {top}") for top in tops & {"numpy", "cupy"}]
    return found


def constants_of_the_library(root: Path) -> list[str]:
    """Rule 3: `xp.sqrt(2.0)` and `xp.float64(x)` are float64 scalars and promote what they meet."""
    found = []
    for source in array_code(root):
        for node, name in library_calls(source):
            numbers = node.args and all(is_number(argument) for argument in node.args)
            if name in ("float64", "double") or (
                numbers and name not in CREATION and "." not in name
            ):
                found.append(
                    source.at(node, f"{name}() of a constant: use math or a Python number")
                )
    return found


def is_number(node: ast.AST) -> bool:
    parts = [n for n in ast.walk(node) if not isinstance(n, ast.operator | ast.unaryop)]
    return all(
        isinstance(part, ast.BinOp | ast.UnaryOp)
        or (isinstance(part, ast.Constant) and type(part.value) in (int, float))
        for part in parts
    )


def creation_without_dtype(root: Path) -> list[str]:
    """Rule 3: every creation passes dtype; the library's default is float64."""
    return [
        source.at(node, f"{name}() without a dtype")
        for source in array_code(root)
        for node, name in library_calls(source)
        if name in CREATION
        and len(node.args) < CREATION[name]
        and not any(keyword.arg in ("dtype", None) for keyword in node.keywords)
    ]


def device_values_read(root: Path) -> list[str]:
    """Rules 2 and 5: reading a value in Python waits for the device."""
    found = []
    for source in array_code(root):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ("item", "tolist", "numpy") and not node.args:
                    found.append(source.at(node, f".{node.func.attr}() waits for the device"))
            if isinstance(node, ast.FunctionDef) and node.name in ("compute", "gradient"):
                values = {a.arg for a in [*node.args.posonlyargs, *node.args.args]} - {"self"}
                found += [source.at(n, text) for n, text in decisions_on(values, node)]
    return found


def decisions_on(values: set[str], function: ast.FunctionDef) -> list[tuple[ast.AST, str]]:
    """Where the body takes one of `values` itself (not its shape) for a Python number or truth."""

    def is_value(node: ast.AST | None) -> bool:
        while isinstance(node, ast.UnaryOp):
            node = node.operand
        return isinstance(node, ast.Name) and node.id in values

    found: list[tuple[ast.AST, str]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and dotted(node.func) in ("float", "int", "bool"):
            if any(is_value(argument) for argument in node.args):
                found.append((node, f"{dotted(node.func)}() of an array waits for the device"))
        elif isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert) and is_value(node.test):
            found.append((node, "a decision on an array waits for the device"))
        elif isinstance(node, ast.FormattedValue) and is_value(node.value):
            found.append((node, "an array in an f-string waits for the device"))
    return found


def data_dependent_shapes(root: Path) -> list[str]:
    """Rule 6: no boolean-mask indexing, nonzero, unique, sort, bincount; select with `where`."""
    found = []
    for source in array_code(root):
        calls = {id(node): name for node, name in library_calls(source)}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                name = calls.get(id(node), "")
                method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if method in DATA_DEPENDENT or name in ("sort", "argsort"):
                    found.append(source.at(node, f"{method}() on the hot path"))
                elif name == "where" and len(node.args) == 1:
                    found.append(source.at(node, "where(mask) with one argument is nonzero()"))
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Compare):
                found.append(source.at(node, "indexing by a boolean mask"))
    return found


def missing_in_cupy(root: Path) -> list[str]:
    """Rules 8, 9 and 11: what CuPy has not, or has with another meaning."""
    found = []
    for source in array_code(root):
        for node, name in library_calls(source):
            last = name.split(".")[-1]
            keywords = {keyword.arg for keyword in node.keywords}
            if last in MISSING:
                found.append(source.at(node, f"{last}() is not for CuPy"))
            elif last == "at" and name != "add.at":
                found.append(source.at(node, f"{name}(): only add.at exists"))
            elif last == "einsum" and "out" in keywords:
                found.append(source.at(node, "einsum(out=) is missing in CuPy"))
            elif last == "as_strided" and "writeable" in keywords:
                found.append(source.at(node, "as_strided(writeable=) is missing in CuPy"))
    return found


def ufunc_keywords(root: Path) -> list[str]:
    """Rule 11: ufuncs and reductions take axis, keepdims, dtype and out, nothing else."""
    refused = {"where", "initial", "casting", "order", "mode", "subok"}
    found = []
    for source in array_code(root):
        calls = {id(node): name for node, name in library_calls(source)}
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            name = calls.get(id(node))
            if name is None:  # a method: only reductions are told from other objects' methods
                method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                name = method if method in REDUCTIONS else None
            if name is None:
                continue
            for keyword in node.keywords:
                array_order = keyword.arg == "order" and name in ORDERED.union(CREATION)
                if keyword.arg in refused and not array_order and name != "pad":
                    found.append(source.at(node, f"{name}({keyword.arg}=)"))
    return found


def windows_in_more_than_one_place(root: Path) -> list[str]:
    """Rule 9: windows are made by one audited function, so only one file names stride_tricks."""
    places = {
        source.path.as_posix()
        for source in sources(root, "minigrad")
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.Attribute) and node.attr == "stride_tricks")
        or (isinstance(node, ast.ImportFrom) and "stride_tricks" in (node.module or ""))
    }
    return [f"as_strided in {', '.join(sorted(places))}"] if len(places) > 1 else []


PLANTED: list[tuple[Rule, str, str]] = [
    (numpy_imports, "import numpy as np", "import of numpy"),
    (numpy_imports, "from numpy.lib import stride_tricks", "import of numpy"),
    (constants_of_the_library, "s = xp.sqrt(2.0 / 3)", "sqrt() of a constant"),
    (
        constants_of_the_library,
        "def f(x):\n    m = array_module(x)\n    return m.float64(x)",
        "float64()",
    ),
    (
        creation_without_dtype,
        "def f(x):\n    return array_module(x).zeros(3)",
        "zeros() without a dtype",
    ),
    (creation_without_dtype, "def f(xp):\n    return xp.arange(3)", "arange() without a dtype"),
    (device_values_read, "def f(x):\n    return x.sum().item()", ".item() waits"),
    (
        device_values_read,
        "class A:\n    def compute(self, a):\n        return float(a)",
        "float() of an",
    ),
    (
        device_values_read,
        "class A:\n    def gradient(self, out_grad, node):\n        return 1 if not node else 2",
        "a decision",
    ),
    (
        device_values_read,
        "class A:\n    def compute(self, a):\n        raise E(f'{a}')",
        "an f-string",
    ),
    (data_dependent_shapes, "def f(x):\n    return x[x > 0]", "boolean mask"),
    (data_dependent_shapes, "def f(x):\n    x[x != 0] = 1", "boolean mask"),
    (data_dependent_shapes, "def f(xp, x):\n    return xp.where(x)", "with one argument"),
    (data_dependent_shapes, "def f(x):\n    return x.nonzero()", "nonzero() on the hot path"),
    (data_dependent_shapes, "def f(xp, x):\n    return xp.unique(x)", "unique() on the hot path"),
    (data_dependent_shapes, "def f(xp, x):\n    return xp.sort(x)", "sort() on the hot path"),
    (
        data_dependent_shapes,
        "def f(xp, x):\n    return xp.bincount(x)",
        "bincount() on the hot path",
    ),
    (missing_in_cupy, "def f(xp, x):\n    xp.multiply.at(x, 0, 1)", "multiply.at()"),
    (missing_in_cupy, "def f(xp, x):\n    return xp.einsum('ii', x, out=x)", "einsum(out=)"),
    (
        missing_in_cupy,
        "def f(xp, x):\n    return xp.lib.stride_tricks.sliding_window_view(x, 2)",
        "sliding_window_view()",
    ),
    (
        missing_in_cupy,
        "def f(xp, x):\n    return xp.lib.stride_tricks.as_strided(x, writeable=False)",
        "as_strided(writeable=)",
    ),
    (ufunc_keywords, "def f(xp, x):\n    return xp.add(x, 1, where=x)", "add(where=)"),
    (ufunc_keywords, "def f(x):\n    return x.max(initial=0)", "max(initial=)"),
    (ufunc_keywords, "def f(xp, x):\n    return xp.exp(x, casting='unsafe')", "exp(casting=)"),
    (ufunc_keywords, "def f(xp, x):\n    return xp.exp(x, order='C')", "exp(order=)"),
    (ufunc_keywords, "def f(xp, x):\n    return xp.take(x, 0, mode='clip')", "take(mode=)"),
    (
        windows_in_more_than_one_place,
        "as_strided = xp.lib.stride_tricks.as_strided",
        "as_strided in",
    ),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in PLANTED))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_library_obeys(rule: Rule):
    assert rule(ROOT) == []


@pytest.mark.parametrize(
    "rule, code, message", PLANTED, ids=lambda value: getattr(value, "__name__", "")
)
def test_rule_finds_what_is_planted(rule: Rule, code: str, message: str, tmp_path: Path):
    other = (
        "view = xp.lib.stride_tricks.as_strided\n" if rule is windows_in_more_than_one_place else ""
    )
    root = plant(
        tmp_path, {"minigrad/kernels/conv.py": code + "\n", "minigrad/ops/shape.py": other}
    )
    found = rule(root)
    assert len(found) == 1, found
    assert message in found[0]


def test_rules_let_the_allowed_pass(tmp_path: Path):
    code = """
import math

def f(x, mask, names):
    xp = array_module(x)
    out = xp.empty(x.shape, dtype=x.dtype, order="C")
    xp.add(x, 1 / math.sqrt(2.0), out=out)
    xp.add.at(out, mask, x)
    names.sort()
    names.insert(0, "a")
    total = xp.sum(x, axis=0, keepdims=True, dtype=xp.float64)
    return xp.where(x > 0, x, 0), xp.pad(x, 1, mode="reflect"), total, xp.zeros(3, "f4")

class A:
    def compute(self, a, b=None):
        if b is None or a.ndim > int(a.shape[0]):
            raise ValueError(f"{a.shape}")
        return array_module(a).where(a > 0, a, xp.arange(3, dtype=a.dtype))
"""
    root = plant(tmp_path, {"minigrad/kernels/conv.py": code, "minigrad/ops/shape.py": ""})
    assert [message for rule in RULES for message in rule(root)] == []
