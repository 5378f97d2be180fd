"""Neural network modules: parameters, layers, normalisation and losses.

Leaves out: recurrent and attention layers.
"""

from .conv import Conv, Conv2d, ConvTranspose2d
from .image_norm import GroupNorm, InstanceNorm2d, LayerNorm
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
    UpsampleMode,
)
from .losses import BCELoss, BCEWithLogitsLoss, L1Loss, MSELoss, SoftmaxLoss
from .module import Buffer, Module, Parameter, functional_call
from .norm import BatchNorm1d, BatchNorm2d, LayerNorm1d
from .pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .reference_norm import (
    ReferenceBatchNorm2d,
    VirtualBatchNorm2d,
    WithReference,
    replace_batch_norm,
)
from .spectral import SpectralNorm

__all__ = [
    "ELU",
    "GELU",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool2d",
    "GroupNorm",
    "Identity",
    "InstanceNorm2d",
    "L1Loss",
    "LayerNorm",
    "LayerNorm1d",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "Parameter",
    "PixelShuffle",
    "ReLU",
    "ReferenceBatchNorm2d",
    "ReflectionPad2d",
    "Reshape",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SoftmaxLoss",
    "Softplus",
    "SpectralNorm",
    "Tanh",
    "Upsample",
    "UpsampleMode",
    "VirtualBatchNorm2d",
    "WithReference",
    "functional_call",
    "replace_batch_norm",
]
