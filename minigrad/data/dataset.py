"""Datasets and the two ways to go through one: ``DataLoader`` (the course's) and ``Stream``.

A dataset gives items as NumPy arrays on the host; the loaders make Tensors of whole batches and
bring them to the device. Batches carry no gradient: ask for one with ``x.requires_grad = True``.

``DataLoader`` is one pass per ``for``, shuffled by ``minigrad.random``. ``Stream`` never ends, has
an order of its own that nothing else can disturb, and can be stopped and resumed at any batch.

Leaves out: worker processes and prefetching (batches of images that fit into memory take less time
than one operation of a network), weighted sampling, and items of different shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tensor
from ..backend import Device
from .errors import DataError

__all__ = ["ArrayDataset", "DataLoader", "Dataset", "NDArrayDataset", "Stream"]


class Dataset:
    """Items by number: subclasses define ``__getitem__`` and ``__len__``.

    Parameters
    ----------
    transforms : sequence of callables, optional
        What ``apply_transforms`` does, in this order.
    """

    transforms: Sequence[Callable[[Any], Any]] | None = None

    def __init__(self, transforms: Sequence[Callable[[Any], Any]] | None = None) -> None:
        self.transforms = transforms

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.__getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}.__len__")

    def apply_transforms(self, x: Any) -> Any:
        """``x`` after every transform."""
        for transform in self.transforms or ():
            x = transform(x)
        return x


class ArrayDataset(Dataset):
    """A dataset whose items are the rows of arrays in memory, the first of which is transformed.

    An index may be a number, a slice or an array of numbers; the latter two give arrays of many
    items at once, which is how the loaders read.

    Parameters
    ----------
    arrays : sequence of arrays of equal length (N, ...)
    transforms : sequence of callables, optional
        Applied to single items of the first array.

    Raises
    ------
    DataError
        If there is no array or their lengths differ.
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        transforms: Sequence[Callable[[Any], Any]] | None = None,
    ) -> None:
        super().__init__(transforms)
        self.arrays = tuple(np.asarray(array) for array in arrays)
        lengths = [len(array) if array.ndim else 0 for array in self.arrays]
        if len(set(lengths)) != 1:
            raise DataError(f"{type(self).__name__}: wants arrays of one length, got lengths "
                            f"{lengths}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        first, *rest = (array[index] for array in self.arrays)
        if self.transforms:
            if isinstance(index, (int, np.integer)):
                first = self.transformed(first)
            elif len(first):
                first = np.stack([self.transformed(x) for x in first])
        return (first, *rest)

    def transformed(self, x: np.ndarray) -> np.ndarray:
        """One item of the first array after the transforms; subclasses set its layout here."""
        return self.apply_transforms(x)


class NDArrayDataset(ArrayDataset):
    """Arrays of equal length (N, ...): item ``i`` is the tuple of their rows ``i``."""

    def __init__(self, *arrays: np.ndarray) -> None:
        super().__init__(arrays)


def _gather(dataset: Dataset, index: np.ndarray) -> tuple[np.ndarray, ...]:
    """The items at ``index`` as one array per part, (len(index), ...)."""
    if getattr(type(dataset), "__getitem__", None) is ArrayDataset.__getitem__:
        return dataset[index]
    items = [dataset[int(i)] for i in index]
    parts = [item if isinstance(item, (tuple, list)) else (item,) for item in items]
    try:
        return tuple(np.stack([_host(x) for x in column]) for column in zip(*parts, strict=True))
    except ValueError as error:
        shapes = [[np.shape(_host(x)) for x in part] for part in parts]
        odd = next((k for k, shape in enumerate(shapes) if shape != shapes[0]), None)
        if odd is None:
            raise
        raise DataError(f"{type(dataset).__name__}: items of one batch must have one shape; item "
                        f"{index[0]} has {shapes[0]}, item {index[odd]} has "
                        f"{shapes[odd]}") from error


def _host(x: Any) -> Any:
    return x.numpy() if isinstance(x, Tensor) else x


def _tensors(
    arrays: Sequence[np.ndarray], device: Device | None, dtype: Any
) -> tuple[Tensor, ...]:
    """``dtype`` is for the floating parts only: labels stay integers."""
    return tuple(
        Tensor(x, device=device, dtype=dtype if x.dtype.kind == "f" else None, requires_grad=False)
        for x in arrays
    )


def _checked_batch_size(who: str, batch_size: Any) -> int:
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
        raise DataError(f"{who}: batch_size must be an integer, got {batch_size!r}")
    if batch_size < 1:
        raise DataError(f"{who}: batch_size must be at least 1, got {batch_size}")
    return int(batch_size)


class DataLoader:
    """One pass over a dataset in batches, each a tuple of Tensors (course API).

    The last batch may be short. With ``shuffle`` every ``iter(loader)`` draws a new order from
    ``minigrad.random``, at that moment. Passes over one loader may be nested; ``next(loader)``
    continues the latest.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int
    shuffle : bool
    device : Device, optional
        Where the Tensors shall live; the default is the default device.
    dtype : optional
        Element type of floating parts; integer parts (labels) keep theirs.
    drop_last : bool
        Whether a short last batch is left out.

    Attributes
    ----------
    ordering : list of integer arrays
        The item numbers of each batch of the latest pass.

    Raises
    ------
    DataError
        If ``batch_size`` is not a positive integer.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        device: Device | None = None,
        dtype: Any = None,
        *,
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = _checked_batch_size("DataLoader", batch_size)
        self.shuffle = shuffle
        self.device = device
        self.dtype = dtype
        self.drop_last = drop_last
        self.ordering = self._split(np.arange(len(dataset)))
        self._pass: Iterator[tuple[Tensor, ...]] | None = None

    def _split(self, order: np.ndarray) -> list[np.ndarray]:
        batches = np.array_split(order, range(self.batch_size, len(order), self.batch_size))
        shortest = self.batch_size if self.drop_last else 1
        return [batch for batch in batches if len(batch) >= shortest]

    def __len__(self) -> int:
        """The number of batches of one pass."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        n = len(self.dataset)
        self.ordering = self._split(
            random.generator().permutation(n) if self.shuffle else np.arange(n))
        self._pass = (
            _tensors(_gather(self.dataset, index), self.device, self.dtype)
            for index in self.ordering
        )
        return self._pass

    def __next__(self) -> tuple[Tensor, ...]:
        return next(self._pass if self._pass is not None else iter(self))


class Stream:
    """An endless sequence of full batches that can be resumed exactly: what GAN training reads.

    ``next(stream)`` is one Tensor if items have one part, else a tuple of Tensors. Every epoch goes
    through the dataset once, in an order drawn from the stream's own generator; items of a short
    last batch sit out this epoch. Random transforms draw from ``minigrad.random``, whose state is
    to be saved and restored beside the stream's.

    Give two streams different seeds: with equal seeds and lengths they run in the same order,
    which pairs two sets that were meant to be unpaired.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int
    seed : int or numpy.random.SeedSequence
    device : Device, optional
        Where the Tensors shall live; the default is the default device.
    dtype : optional
        Element type of floating parts; integer parts (labels) keep theirs.

    Raises
    ------
    DataError
        If ``batch_size`` is not a positive integer or larger than the dataset, or if the data hold
        NaN or infinity: at construction where the dataset holds arrays, else in ``next``.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        seed: int | np.random.SeedSequence,
        device: Device | None = None,
        dtype: Any = None,
    ) -> None:
        if seed is None:
            raise DataError("Stream: wants a seed, got None; without one no run can be repeated")
        self.dataset = dataset
        self.batch_size = _checked_batch_size("Stream", batch_size)
        self.device = device
        self.dtype = dtype
        self._items = len(dataset)
        self.batches_per_epoch = self._items // self.batch_size
        if not self.batches_per_epoch:
            raise DataError(f"Stream: the dataset has {self._items} items, fewer than one batch of "
                            f"{self.batch_size}; use batch_size={max(self._items, 1)} or less, or "
                            "more data")
        if isinstance(dataset, ArrayDataset):
            for array in dataset.arrays:
                _refuse_nonfinite(dataset, array)
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._begin_epoch(0)

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._position = 0  # batches of this epoch that were handed out
        self._start = self._generator.bit_generator.state  # before the order is drawn
        self._order = self._generator.permutation(self._items)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Tensor | tuple[Tensor, ...]:
        if self._position == self.batches_per_epoch:
            self._begin_epoch(self._epoch + 1)
        first = self._position * self.batch_size
        index = self._order[first : first + self.batch_size]
        arrays = _gather(self.dataset, index)
        if not isinstance(self.dataset, ArrayDataset):
            for array in arrays:
                _refuse_nonfinite(self.dataset, array, index)
        batch = _tensors(arrays, self.device, self.dtype)
        self._position += 1  # last: a batch that failed was not handed out
        return batch if len(batch) > 1 else batch[0]

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as a dictionary that JSON can hold.

        ``epoch`` and ``position`` count from 0: epochs finished, and batches of this epoch handed
        out; ``permutation_state`` is the generator's state before it drew this epoch's order.
        """
        return {
            "epoch": self._epoch,
            "position": self._position,
            "permutation_state": self._start,
            "items": self._items,
            "batch_size": self.batch_size,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go where ``state`` was taken: the batches that follow are the same, bit for bit.

        Raises
        ------
        DataError
            If the state is incomplete or damaged, or belongs to a dataset of another length or
            another batch size; the stream then stays where it was.
        """
        missing = [key for key in self.state() if key not in state]
        if missing:
            raise DataError(f"Stream.set_state: the state lacks {', '.join(missing)}")
        for key, here in (("items", self._items), ("batch_size", self.batch_size)):
            if state[key] != here:
                raise DataError(f"Stream.set_state: the state was taken with {key}={state[key]}, "
                                f"this stream has {key}={here}")
        if not 0 <= state["position"] <= self.batches_per_epoch:
            raise DataError(f"Stream.set_state: position {state['position']} is outside "
                            f"0..{self.batches_per_epoch}")
        try:  # NumPy sets all of a state or nothing
            self._generator.bit_generator.state = state["permutation_state"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"Stream.set_state: permutation_state is no state of a PCG64 generator "
                            f"({error})") from error
        self._begin_epoch(state["epoch"])
        self._position = state["position"]


def _refuse_nonfinite(
    dataset: Dataset, array: np.ndarray, numbers: np.ndarray | None = None
) -> None:
    """Raise DataError at the first item that holds NaN or infinity, in chunks to save memory."""
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), 1024):
        chunk = array[start : start + 1024]
        bad = ~np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
        if bad.any():
            first = int(bad.argmax())
            number = start + first if numbers is None else numbers[start + first]
            values = np.asarray(chunk[first])
            found = "NaN" if np.isnan(values).any() else "infinity"
            raise DataError(f"{type(dataset).__name__}: item {number} holds {found} in "
                            f"{np.count_nonzero(~np.isfinite(values))} of {values.size} values "
                            "(the first such item); remove or repair it")
