"""Data: datasets and loaders, transforms, readers, the embedded image sets, cached downloads.

Leaves out: everything that is not images or plain arrays.
"""

from .cifar import CIFAR10Dataset
from .dataset import ArrayDataset, DataLoader, Dataset, NDArrayDataset, Stream
from .download import IDXFiles, fetch
from .embedded import EMBEDDED, LabelledImages, UnpairedImages, load
from .errors import DataError, UnknownDataError, UnsafePickleError
from .idx import read_idx, write_idx
from .images import ImageFolder, contact_sheet, read_image
from .mnist import MNISTDataset
from .npz import read_npz
from .sources import ImageArrays, open_dataset
from .transforms import RandomCrop, RandomFlipHorizontal, Transform, to_tanh_range, to_uint8

__all__ = [
    "EMBEDDED",
    "ArrayDataset",
    "CIFAR10Dataset",
    "DataError",
    "DataLoader",
    "Dataset",
    "IDXFiles",
    "ImageArrays",
    "ImageFolder",
    "LabelledImages",
    "MNISTDataset",
    "NDArrayDataset",
    "RandomCrop",
    "RandomFlipHorizontal",
    "Stream",
    "Transform",
    "UnknownDataError",
    "UnpairedImages",
    "UnsafePickleError",
    "contact_sheet",
    "fetch",
    "load",
    "open_dataset",
    "read_idx",
    "read_image",
    "read_npz",
    "to_tanh_range",
    "to_uint8",
    "write_idx",
]
