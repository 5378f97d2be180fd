"""Compile the stand-ins of the CUDA libraries and load them where CuPy will look for CUDA's.

A library already loaded under its soname satisfies every later request for that soname, so CuPy's
extension modules find these instead of NVIDIA's; nothing in the wheel is changed.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

HOME = os.path.dirname(os.path.abspath(__file__))

# soname -> its sources. The device comes first: the others count in it, and so do all kernels.
LIBRARIES = {
    "libcuda.so.1": ("driver.cpp", "runtime.cpp"),
    "libcublasLt.so.13": ("cublaslt.cpp",),
    "libnvrtc.so.13": ("nvrtc.cpp",),
    "libcublas.so.13": ("cublas.cpp",),
    "libcurand.so.10": ("curand.cpp",),
}

# soname -> the extension module of the wheel that needs it, and the prefix of what it asks for.
USERS = {
    "libnvrtc.so.13": ("cupy/cuda/jitify", "nvrtc"),
    "libcublas.so.13": ("cupy_backends/cuda/libs/cublas", "cublas"),
    "libcurand.so.10": ("cupy_backends/cuda/libs/curand", "curand"),
}


def build_folder(cache: str | None, cupy_version: str) -> str:
    """The folder for what is compiled from these sources, with this compiler, for this CuPy."""
    cache = cache or os.environ.get("CPUSIM_CACHE")
    if not cache:
        cache = os.path.join(tempfile.gettempdir(), f"cupusim-{os.getuid()}")
    compiler = subprocess.run([*_compiler(), "--version"], capture_output=True, check=True).stdout
    parts = [cupy_version, _site_folder(), sys.version, os.environ.get("CPUSIM_CXXFLAGS", "")]
    digest = hashlib.sha256("\0".join(parts).encode() + compiler)
    for name in sorted(os.listdir(HOME)):
        if name.endswith((".cpp", ".h")) or name == os.path.basename(__file__):
            digest.update(name.encode() + Path(HOME, name).read_bytes())
    folder = os.path.join(os.path.abspath(cache), digest.hexdigest()[:16])
    os.makedirs(folder, exist_ok=True)
    return folder


def load(folder: str) -> ctypes.CDLL:
    """Load all stand-ins, building those that are not there; the device is returned."""
    paths = {soname: os.path.join(folder, soname) for soname in LIBRARIES}
    for soname, path in paths.items():
        if not os.path.exists(path):
            _build(soname, path)
    loaded = [ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in paths.values()]
    return loaded[0]


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX") or "g++")


def _site_folder() -> str:
    """The folder that the wheel is installed in; looking for it does not import CuPy."""
    return os.path.dirname(find_spec("cupy_backends").submodule_search_locations[0])


def _build(soname: str, path: str) -> None:
    sources = [os.path.join(HOME, name) for name in LIBRARIES[soname]]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as scratch:
        if soname in USERS:
            sources.append(_write(scratch, "stubs.cpp", _stubs(soname, sources)))
        # The wheel asks for symbols of a version named like the library, as NVIDIA's have it.
        versions = _write(scratch, "versions.map", f"{soname} {{ global: *; }};\n")
        built = os.path.join(scratch, soname)
        flags = ["-w", "-O2", "-ftree-vectorize", "-fPIC", "-shared", "-ffp-contract=off"]
        linker = f"-Wl,-soname,{soname},--version-script,{versions}"
        subprocess.run([*_compiler(), *flags, linker, "-o", built, *sources, "-ldl"], check=True)
        os.replace(built, path)  # whole or not at all, whoever else builds it


def _stubs(soname: str, sources: list[str]) -> str:
    """Functions that the wheel names and the stand-in lacks: each says so and returns an error."""
    module, prefix = USERS[soname]
    extension = os.path.join(_site_folder(), module + sysconfig.get_config_var("EXT_SUFFIX"))
    table = subprocess.run(
        ["nm", "-D", "--undefined-only", extension], capture_output=True, text=True, check=True
    ).stdout
    wanted = sorted(set(re.findall(rf" U ({prefix}\w+)", table)))
    text = "".join(Path(source).read_text() for source in sources)
    lines = ["#include <cstdio>"]
    for name in wanted:
        if not re.search(rf"\b{name}\(", text):
            message = f'fprintf(stderr, "cupusim: {name} is not emulated\\n")'
            lines.append(f'extern "C" int {name}(...) {{ {message}; return 15; }}')
    return "\n".join(lines) + "\n"


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    Path(path).write_text(text)
    return path
