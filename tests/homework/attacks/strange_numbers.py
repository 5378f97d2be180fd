"""Returns numbers for which comparisons are odd: NaN, infinities, one number for many.

Stopped by: shape and dtype are compared first; a number is right if it is near the right one, and
NaN is near nothing but NaN.
"""

MODES = ("uid", "namespaces")
WRONG = {"WRONG", "SHAPE", "DTYPE", "RAISED"}


def _returned(code: str) -> dict[str, object]:
    """A variant that returns something made from ``shape``, the right one."""
    return {"body": f"import numpy\nshape = solve().shape\nreturn {code}", "outcomes": WRONG}


HANDED_IN = {
    "NaN": _returned("numpy.full(shape, numpy.nan)"),
    "infinity": _returned("numpy.full(shape, numpy.inf)"),
    "minus infinity": _returned("numpy.full(shape, -numpy.inf)"),
    "the largest number": _returned("numpy.full(shape, 1.7e308)"),
    "one number for all": _returned("numpy.zeros((1,) * len(shape))"),
    "a number without axes": _returned("numpy.float64(0)"),
    "no number": _returned("numpy.zeros((0,) + shape)"),
    "an axis too many": _returned("solve()[None]"),
    "a view with negative strides": _returned("solve()[::-1] if shape else -solve()"),
    "a view that repeats one number": _returned("numpy.broadcast_to(numpy.zeros(()), shape)"),
    "complex numbers": _returned("solve() + 0j"),
    "half precision": _returned("solve().astype('float16')"),
    "extended precision": _returned("solve().astype('longdouble')"),
    "truth values": _returned("solve().astype(bool)"),
    "the other order of bytes": _returned("(solve() * 0).astype('>f8')"),
    "texts": _returned("solve().astype(str)"),
    "dates": _returned("solve().astype('timedelta64[s]')"),
    "integers of any size": _returned("10**400"),
}
