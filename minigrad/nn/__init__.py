"""Neural network modules: parameters, layers, normalisation and losses.

Leaves out: convolutional layers, which come as a file of their own.
"""

from .layers import (
    ELU,
    GELU,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    PixelShuffle,
    ReflectionPad2d,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
    Upsample,
)
from .losses import BCELoss, BCEWithLogitsLoss, L1Loss, MSELoss, SoftmaxLoss
from .module import Buffer, Module, Parameter, functional_call
from .norm import BatchNorm1d, LayerNorm1d

__all__ = [
    "ELU",
    "GELU",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "Buffer",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "L1Loss",
    "LayerNorm1d",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "PixelShuffle",
    "ReLU",
    "ReflectionPad2d",
    "Reshape",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SoftmaxLoss",
    "Softplus",
    "Tanh",
    "Upsample",
    "functional_call",
]
