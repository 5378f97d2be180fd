"""The exceptions of reading data: each names the file, what was found and what was wanted.

Leaves out: missing files, which are Python's own ``FileNotFoundError``.
"""

__all__ = ["DataError", "UnknownDataError", "UnsafePickleError"]


class DataError(ValueError):
    """Data is corrupt, incomplete or of another kind than was asked for."""


class UnknownDataError(DataError):
    """Nothing has the name or path that was asked for."""


class UnsafePickleError(DataError):
    """A pickle asks for something that plain data never needs; nothing of it was executed."""
