"""Put the CPU device behind CuPy's wrappers of the CUDA runtime, and bar what cannot run on it.

The runtime is linked into the wheel, so no library can stand in for it. But CuPy reaches it through
the wrappers in `cupy_backends.cuda.api.runtime` only: other extension modules take them from that
module's table of C functions when they are imported, Python code by name. Both are set to the
device's functions.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable

# Wrappers that runtime.cpp writes anew, as cupusim_NAME. What is not here stays as it is and raises
# cudaErrorInsufficientDriver: there is no driver.
IN_C = """
    malloc free hostAlloc freeHost pointerGetMemoryType
    memcpy memcpyAsync memset memsetAsync
    deviceSynchronize streamSynchronize eventSynchronize profilerStart profilerStop
    streamCreate streamCreateWithFlags streamCreateWithPriority streamDestroy streamQuery
    streamWaitEvent streamIsCapturing
    eventCreate eventCreateWithFlags eventDestroy eventQuery eventRecord eventElapsedTime
    _ensure_context setDevice _deviceEnsurePeerAccess deviceGetPCIBusId getDevice getDeviceCount
    deviceCanAccessPeer runtimeGetVersion driverGetVersion _getCUDAMajorVersion deviceGetAttribute
""".split()

TYPES = {
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "intptr_t": ctypes.c_ssize_t,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
    "PyObject *": ctypes.py_object,
}

DEVICE_BYTES = 8 << 30
MEMORY_TYPE_DEVICE = 2

_kept_alive: list[object] = []  # CuPy holds bare pointers to these


def repoint_runtime(device: ctypes.CDLL) -> None:
    """Set CuPy's runtime wrappers, both tables of them, to functions of `device`."""
    from cupy_backends.cuda.api import runtime

    table = runtime.__pyx_capi__
    in_python = _python_wrappers(runtime, device)
    for name in [*IN_C, *in_python]:
        if name not in table:
            raise RuntimeError(f"cupusim does not fit this CuPy: it has no runtime wrapper {name}")
        capsule = table[name]
        prototype, hidden = _prototype(_capsule_name(capsule).decode())
        if name in in_python:
            function = in_python[name]
            foreign = prototype(_without(function, len(hidden)))
        else:
            foreign = prototype(("cupusim_" + name, device))
            function = _with(foreign, hidden)
        pointer = ctypes.cast(foreign, ctypes.c_void_p).value
        _kept_alive.extend([foreign, capsule])
        table[name] = _new_capsule(pointer, capsule)
        setattr(runtime, name, function)


def block_precompiled() -> None:
    """Bar every door to CUDA code that was compiled into the wheel.

    It cannot run here and would fail silently, its output left as it was.
    """
    import cupy
    from cupy.cuda import cub, thrust

    for module in (cub, thrust):
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or name == "get_build_version" or isinstance(value, type):
                continue
            if callable(value):
                setattr(module, name, _refusal(f"{module.__name__}.{name}"))
    cupy._core.set_routine_accelerators([])
    cupy._core.set_reduction_accelerators([])
    refuse_accelerators = _refusal("a CUB or cuTENSOR accelerator")
    cupy._core.set_routine_accelerators = refuse_accelerators
    cupy._core.set_reduction_accelerators = refuse_accelerators
    cupy.random.default_rng = cupy.random.Generator = _refusal("cupy.random.Generator")


def _refusal(what: str) -> Callable:
    def refuse(*args, **keywords):
        raise NotImplementedError(f"cupusim: {what} is precompiled CUDA code, it needs a GPU")

    return refuse


def _python_wrappers(runtime, device: ctypes.CDLL) -> dict[str, Callable]:
    """The wrappers that build Python objects."""
    counters = (ctypes.c_long * 16).in_dll(device, "cpusim_counters")
    bytes_live = 6  # BYTES_LIVE in device.h

    def get_device_properties(device_id: int) -> dict:
        return {
            "name": b"CPU (cupusim)",
            "totalGlobalMem": DEVICE_BYTES,
            "major": 9,
            "minor": 0,
            "multiProcessorCount": 132,
            "warpSize": 32,
            "maxThreadsPerBlock": 1024,
            "sharedMemPerBlock": 49152,
            "maxThreadsPerMultiProcessor": 2048,
            "maxGridSize": (2**31 - 1, 65535, 65535),
        }

    def pointer_get_attributes(pointer: int):
        return runtime.PointerAttributes(0, pointer, pointer, MEMORY_TYPE_DEVICE)

    def mem_get_info() -> tuple[int, int]:
        return DEVICE_BYTES - counters[bytes_live], DEVICE_BYTES

    return {
        "getDeviceProperties": get_device_properties,
        "pointerGetAttributes": pointer_get_attributes,
        "memGetInfo": mem_get_info,
    }


def _prototype(signature: str) -> tuple[type, list]:
    """The ctypes prototype of a C signature, and values for the arguments that Cython adds last.

    >>> _prototype("intptr_t (size_t, int __pyx_skip_dispatch)")[1]
    [0]
    """
    returned, arguments = re.fullmatch(r"(.*?)\s*\((.*)\)", signature).groups()
    kinds, hidden = [], []
    for argument in arguments.split(", ") if arguments != "void" else []:
        if argument == "int __pyx_skip_dispatch":
            kinds.append(ctypes.c_int)
            hidden.append(0)
        elif argument.startswith("struct __pyx_opt_args"):  # NULL: all defaults
            kinds.append(ctypes.c_void_p)
            hidden.append(None)
        else:
            kinds.append(TYPES[argument])
    if returned.startswith("struct __pyx_obj"):  # a pointer to an instance of a Cython class
        returned = "PyObject *"
    return ctypes.PYFUNCTYPE(TYPES[returned], *kinds), hidden


def _with(foreign: Callable, hidden: list) -> Callable:
    def wrapper(*args):
        return foreign(*args, *hidden)

    return wrapper


def _without(function: Callable, hidden: int) -> Callable:
    def callback(*args):
        return function(*args[: len(args) - hidden])

    return callback


def _capsule_name(capsule: object) -> bytes:
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return get_name(capsule)


def _new_capsule(pointer: int, named_like: object) -> object:
    # A capsule does not copy its name, so the new one shares the old one's, which is kept alive.
    get_name = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
        ("PyCapsule_New", ctypes.pythonapi)
    )
    return new(pointer, get_name(named_like), None)
