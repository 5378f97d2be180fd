"""The course key, which hidden cases are drawn from.

The inputs of hidden cases depend on the key, the homework and the code that is graded: the same
code always gets the same ones, changed code others. So a student may see on which inputs a check
failed, and has nothing from writing their answers into the code.

Leaves out: keeping the key; who loses it grades with a new one, and every submission gets other
inputs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

__all__ = ["SecretError", "fingerprint", "new_key", "read_key", "seed_of"]

BYTES = 32
SHORTEST = 16


class SecretError(ValueError):
    """There is no course key, or others could have read it."""


def new_key(path: Path) -> bytes:
    """Write a new key into a new file that only its owner can read.

    Raises
    ------
    SecretError
        If the file exists or cannot be written.
    """
    key = secrets.token_hex(BYTES).encode()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SecretError(f"{path.name} exists; a new key would give every submission other hidden "
                          "cases") from error
    except OSError as error:
        raise SecretError(f"{path.name} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(key + b"\n")
    return key


def read_key(path: Path) -> bytes:
    """The key in a file.

    Raises
    ------
    SecretError
        If there is none, it is too short, or others than its owner can read the file.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(4096).strip()
    except FileNotFoundError as error:
        raise SecretError(f"there is no course key {path.name}; make one with: python -m "
                          f"minigrad.homework.instructor key {path.name}") from error
    except OSError as error:
        raise SecretError(f"the course key {path.name} cannot be read: {error.strerror}") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise SecretError(f"others can read the course key: chmod 600 {path.name}")
    if len(key) < SHORTEST:
        raise SecretError(f"{path.name} holds {len(key)} bytes; a course key has {SHORTEST} or "
                          "more")
    return key


def seed_of(key: bytes, homework: str, digest: str) -> int:
    """The seed of a submission's hidden cases."""
    mac = hmac.new(key, f"{homework}:{digest}".encode(), hashlib.sha256)
    return int.from_bytes(mac.digest()[:6], "big")


def fingerprint(key: bytes) -> str:
    """What tells two keys apart and gives nothing of them away."""
    return hashlib.sha256(b"fingerprint of a course key:" + key).hexdigest()[:8]
