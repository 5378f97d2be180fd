"""The exceptions that minigrad raises: each names the operation, what came and what was wanted.

Leaves out: errors of reading data (``minigrad.data.errors``) and of checkpoints
(``minigrad.serialize``), which live beside the code that raises them.
"""

__all__ = [
    "AnomalyError",
    "DTypeError",
    "DeviceError",
    "GradientError",
    "ShapeError",
    "VersionError",
]


class ShapeError(ValueError):
    """An operation was given shapes, axes or sizes that it cannot take."""


class DTypeError(TypeError):
    """An operation was given an element type that it cannot take."""


class DeviceError(RuntimeError):
    """A device is missing or broken, or arrays of two devices met in one operation."""


class VersionError(RuntimeError):
    """An array that a graph still needs was changed in place before its backward pass."""


class AnomalyError(ArithmeticError):
    """Inside ``detect_anomaly()`` an operation or a gradient produced NaN or infinity."""


class GradientError(AssertionError):
    """``gradcheck`` found an analytic gradient that disagrees with the numeric one."""
