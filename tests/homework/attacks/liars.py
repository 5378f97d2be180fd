"""Returns objects that say they are equal to everything, or arrays that are something else.

Stopped by: what is sent are the numbers of a plain array, made by NumPy from what was returned;
objects stay behind. Lies on the way change which numbers are sent, and those are compared.
"""

MODES = ("uid", "namespaces")
WRONG = {"WRONG", "SHAPE", "DTYPE", "RAISED", "DIED"}
HANDED_IN = {
    "equal to everything": {"body": """
        class Equal:
            shape, dtype, ndim, size = arguments[0].shape, arguments[0].dtype, 2, 12
            __eq__ = __ne__ = __le__ = __ge__ = __lt__ = __gt__ = lambda self, other: True
            __sub__ = __rsub__ = __abs__ = __bool__ = lambda self, *other: True
            __hash__ = object.__hash__
            def __array__(self, *a, **k):
                return arguments[0] * 0
        return Equal()""", "outcomes": WRONG},
    "a subclass of arrays": {"body": """
        import numpy
        class Equal(numpy.ndarray):
            __eq__ = __le__ = lambda self, other: numpy.ones(self.shape, bool)
            __sub__ = lambda self, other: numpy.zeros(self.shape)
            def __array_ufunc__(self, ufunc, method, *inputs, **more):
                return numpy.zeros(self.shape) if ufunc.__name__ != "equal" else True
            def __array_function__(self, *a, **k):
                return True
            def tobytes(self, *a):
                return b""
            def __array_finalize__(self, other):
                pass
            def __reduce__(self):
                import os
                return os.mkdir, ("/tmp/minigrad-attack",)
        return numpy.ones(arguments[0].shape).view(Equal)""", "outcomes": WRONG},
    "a number that is none": {"body": """
        class Number(float):
            __eq__ = __le__ = lambda self, other: True
            __hash__ = float.__hash__
        return Number(0)""", "outcomes": WRONG},
    "an array of objects": {"body": """
        import numpy
        class Evil:
            __eq__ = __le__ = lambda self, other: True
            __hash__ = object.__hash__
            def __reduce__(self):
                import os
                return os.mkdir, ("/tmp/minigrad-attack",)
        found = numpy.empty(arguments[0].shape, object)
        found.fill(Evil())
        return found""", "outcomes": WRONG},
    "a Tensor whose numbers change": {"body": """
        import minigrad
        import numpy
        class Liar(minigrad.Tensor):
            seen = 0
            @property
            def cached_data(self):
                Liar.seen += 1
                return numpy.full(arguments[0].shape, float(Liar.seen))
            @cached_data.setter
            def cached_data(self, value):
                pass
        minigrad.Tensor.numpy = lambda self: Liar.__new__(Liar)
        return arguments[0]""", "outcomes": WRONG},
    "a class that it says it has": {"body": """
        import numpy
        class Disguised:
            __class__ = property(lambda self: numpy.ndarray)
            def __array__(self, *a, **k):
                raise SystemExit(0)
        return Disguised()""", "outcomes": WRONG},
    "a masked array": {"body": """
        import numpy
        return numpy.ma.masked_all(arguments[0].shape)""", "outcomes": WRONG},
    "a matrix, a record, a memory map": {"body": """
        import numpy
        kind = numpy.dtype([("a", "<f8")])
        return numpy.zeros(arguments[0].shape, kind).view(numpy.recarray)""", "outcomes": WRONG},
}
