"""The walls around a student's code, put up by the child process around itself before it runs any.

``enter`` changes the root to a folder that holds Python's standard library, NumPy and the student's
tree, and nothing that may be written; gives up the user, all capabilities and the way back; and
asks the kernel for a filter that refuses the network, new processes and programs. Standard library
only: the file is copied beside the worker.

Two modes. ``uid`` needs root: another user, whose processes can be found and ended. ``namespaces``
needs no right (a user namespace) or root: the process also has its own network without a device,
its own process numbers, and a root that is mounted read-only.

Linux only. Leaves out: making the folder, and choosing the mode (``isolation``).
Sources: the manual pages namespaces(7), pivot_root(2), capabilities(7), seccomp(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import platform
import resource
import signal
import struct
import sys
from typing import Any

__all__ = ["CellError", "enter", "filter_program"]

# Loaded before the root changes: their shared libraries lie outside of the cell.
EARLY = ("_ctypes", "_hashlib", "_lzma", "_bz2", "zlib", "_decimal", "_json", "_pickle", "_struct",
         "_posixsubprocess", "_uuid", "_zoneinfo", "numpy.fft", "numpy.linalg", "numpy.random",
         "unicodedata", "encodings.idna", "encodings.latin_1", "encodings.utf_16")
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_THREAD = 0x00010000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522
PROCESSES = 32  # of the cell's user, threads included, where no filter forbids them
FILES = 64
PROCESSOR_S = 900


class CellError(OSError):
    """A wall could not be put up; nothing of the student's was run."""


def enter(settings: dict[str, Any]) -> None:
    """Put the walls up; afterwards this process can read its cell and answer, and nothing else.

    In the mode ``namespaces`` the caller goes on in a new process, the first one of its own
    process numbers; the old one waits for it outside and ends as it ends.

    Parameters
    ----------
    settings : dict
        ``mode``; ``root``, the folder that becomes /; ``user``, a number above 0 to change to, or
        0 to stay (where the caller is not root).

    Raises
    ------
    CellError
        Naming the step that the system refused.
    """
    for name in EARLY:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # not every Python is built with all of them
    system = _System()
    root, user = settings["root"], settings["user"]
    if settings["mode"] == "namespaces":
        _own_namespaces(system, root, user)
    else:
        system.call("chroot", root.encode())
        os.chdir("/")
    limits = ((resource.RLIMIT_NPROC, PROCESSES), (resource.RLIMIT_NOFILE, FILES),
              (resource.RLIMIT_CPU, PROCESSOR_S), (resource.RLIMIT_MEMLOCK, 0))
    for kind, limit in limits:
        resource.setrlimit(kind, (limit, limit))
    number = 0
    while system.tried("prctl", PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    system.call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    system.call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a new user clears it
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    system.call("capset", header, bytes(24))
    system.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = filter_program(platform.machine(), os.getpid())
    if program:
        buffer = ctypes.create_string_buffer(program)
        description = ctypes.create_string_buffer(
            struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
        system.call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                    ctypes.addressof(description), 0, 0)


class _System:
    """The C library's functions; a refusal is an exception that names the step."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)

    def tried(self, name: str, *arguments: int | bytes | None) -> int:
        """What the function returns; -1 for a refusal."""
        if name == "pivot_root":  # has no function of its own
            number = {"x86_64": 155}.get(platform.machine(), 41)
            return self._library.syscall(ctypes.c_long(number), *arguments)
        given = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
        return getattr(self._library, name)(*given)

    def call(self, name: str, *arguments: int | bytes | None) -> None:
        """The same; CellError for a refusal."""
        if self.tried(name, *arguments) != 0:
            number = ctypes.get_errno()
            raise CellError(number, f"{name} was refused: {os.strerror(number)}")


def _own_namespaces(system: _System, root: str, user: int) -> None:
    """Go on as the first process of new namespaces, with ``root`` mounted read-only as /."""
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    if not user:
        own, group = os.geteuid(), os.getegid()
        system.call("unshare", flags | CLONE_NEWUSER)
        for name, line in (("setgroups", "deny"), ("uid_map", f"{own} {own} 1"),
                           ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(line)
    else:
        system.call("unshare", flags)
    system.call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    path = os.fsencode(root)
    system.call("mount", path, path, None, MS_BIND, None)
    # What the folder's own mount forbids stays forbidden: in a user namespace it is locked.
    kept = os.statvfs(root).f_flag & MS_NOEXEC
    system.call("mount", None, path, None,
                MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | kept, None)
    os.chdir(root)
    system.call("pivot_root", b".", b".")
    system.call("umount2", b".", MNT_DETACH)
    os.chdir("/")
    system.call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    child = os.fork()
    if child:
        _wait_for(child)


def _wait_for(child: int) -> None:
    """End as the child ends; its pipes are closed here, so that their end is seen outside."""
    os.closerange(0, FILES)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL has no handler that could be in the way
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


# ---------------------------------------------------------------------------- the filter

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Refused with "operation not permitted": (x86_64, aarch64), None where there is none.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "kill": (62, 129), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setsid": (112, 157), "setpgid": (109, 154),
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41),
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "shmget": (29, 194), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "fallocate": (285, 47), "io_setup": (206, 0),
}
ABSENT: dict[str, tuple[int | None, int | None]] = {"clone3": (435, 435)}  # glibc then uses clone
CLONE, PRCTL, TGKILL = (56, 220), (157, 167), (234, 131)
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF instructions
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
X32 = 0x40000000


def filter_program(machine: str, process: int = 0) -> bytes:
    """The filter for a processor as BPF; empty where none was written for it.

    ``process`` is the one that may send signals to its own threads.
    """
    if machine not in ARCHITECTURES or sys.byteorder != "little":
        return b""
    which = 0 if machine == "x86_64" else 1

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    def refusal(number: int | None, error: int) -> bytes:
        return b"" if number is None else (
            line(EQUAL, number, 0, 1) + line(RETURN, ERROR | error))

    program = line(LOAD, ARCHITECTURE) + line(EQUAL, ARCHITECTURES[machine], 1, 0)
    program += line(RETURN, KILL) + line(LOAD, NUMBER)
    if machine == "x86_64":  # the same calls under other numbers
        program += line(AT_LEAST, X32, 0, 1) + line(RETURN, KILL)
    for numbers in REFUSED.values():
        program += refusal(numbers[which], EPERM)
    for numbers in ABSENT.values():
        program += refusal(numbers[which], ENOSYS)
    # A thread is allowed, a process is not.
    program += line(EQUAL, CLONE[which], 0, 4) + line(LOAD, FIRST_ARGUMENT)
    program += line(ANY_BIT, CLONE_THREAD, 0, 1) + line(RETURN, ALLOW)
    program += line(RETURN, ERROR | EPERM)
    # So is a signal to one's own threads, as abort() sends it.
    program += line(EQUAL, TGKILL[which], 0, 4) + line(LOAD, FIRST_ARGUMENT)
    program += line(EQUAL, process, 0, 1) + line(RETURN, ALLOW)
    program += line(RETURN, ERROR | EPERM)
    # The signal that ends this process with its parent stays set.
    program += line(EQUAL, PRCTL[which], 0, 4) + line(LOAD, FIRST_ARGUMENT)
    program += line(EQUAL, PR_SET_PDEATHSIG, 0, 1) + line(RETURN, ERROR | EPERM)
    program += line(RETURN, ALLOW)
    return program + line(RETURN, ALLOW)
