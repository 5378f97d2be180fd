"""minigrad"""
from . import ops
__version__ = "0.1.0"
