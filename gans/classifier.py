"""The project's own digit classifiers: the judges of generated digits. Frozen once released.

``classifier_v1`` is an MLP 784-512-64-10, trained by minigrad on the 8,000 embedded training digits
(each moved by up to two pixels at every step, dropout 0.3), with weights rounded to float16. Its
last hidden layer is a leaky ReLU: a feature that dies would upset the whitening of a Frechet
distance. Its 64 hidden features are what Frechet distances compare. Scores by different classifiers
cannot be compared, so a later classifier stands beside this one and never replaces it.

The weights were made by

    python -m gans.classifier --out gans/weights/classifier_v1.npz

Leaves out: classifiers of other data.
"""

from __future__ import annotations

import argparse
import functools
import importlib.resources
from collections.abc import Callable

import numpy as np

from minigrad import Tensor, manual_seed, no_grad, serialize
from minigrad.data import load
from minigrad.nn import Dropout, LeakyReLU, Linear, ReLU, Sequential, SoftmaxLoss
from minigrad.optim import Adam, LinearDecay

__all__ = ["Classifier", "load_classifier", "train_classifier"]

LABELS = 10
FEATURES = 64


class Classifier:
    """Class probabilities and features of 28x28 grey images.

    Images are uint8 (n, 28, 28); chunks keep the memory small.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        self.body = Sequential(Linear(784, 512), ReLU(), Dropout(dropout),
                               Linear(512, FEATURES), LeakyReLU(0.2))
        self.head = Linear(FEATURES, LABELS)

    def features(self, images: np.ndarray) -> np.ndarray:
        """The 64 features of each image before the last layer, float64 (n, 64).

        Raises
        ------
        ValueError
            If the images are not uint8 (n, 28, 28).
        """
        return self._apply(images, lambda x: self.body(x).cached_data)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of each of the ten digits, float64 (n, 10); errors as ``features``."""
        logits = self._apply(images, lambda x: self.head(self.body(x)).cached_data)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The share of images whose most probable digit is the label."""
        return float((self.probabilities(images).argmax(axis=1) == labels).mean())

    def _apply(self, images: np.ndarray, f: Callable[[Tensor], np.ndarray]) -> np.ndarray:
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
            raise ValueError(f"Classifier: wants uint8 images (n, 28, 28), got {images.dtype} "
                             f"{images.shape}")
        self.body.eval()
        with no_grad():
            parts = [f(_to_network(images[i:i + 500])) for i in range(0, len(images), 500)]
        return np.concatenate(parts).astype(np.float64)


def _to_network(images: np.ndarray) -> Tensor:
    flat = images.reshape(len(images), -1).astype(np.float32) / 255
    return Tensor(flat, requires_grad=False)


@functools.cache
def load_classifier() -> Classifier:
    """``classifier_v1`` with its released weights."""
    classifier = Classifier()
    path = importlib.resources.files("gans") / "weights" / "classifier_v1.npz"
    with importlib.resources.as_file(path) as file:
        arrays, _ = serialize.load(file)
    for name in ("body", "head"):
        part = {key.removeprefix(f"{name}."): a.astype(np.float32)
                for key, a in arrays.items() if key.startswith(f"{name}.")}
        getattr(classifier, name).load_state_dict(part)
    return classifier


def _moved(images: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """Each image moved by -2 to 2 pixels along both axes, black moving in."""
    n = len(images)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    rows = g.integers(0, 5, n)[:, None, None] + np.arange(28)[None, :, None]
    columns = g.integers(0, 5, n)[:, None, None] + np.arange(28)[None, None, :]
    return padded[np.arange(n)[:, None, None], rows, columns]


def train_classifier(epochs: int = 60, seed: int = 0) -> Classifier:
    """Train ``classifier_v1`` from scratch; weights end up rounded to float16."""
    manual_seed(seed)
    g = np.random.default_rng(seed)
    digits = load("digits")
    classifier = Classifier(dropout=0.3)
    parameters = classifier.body.parameters() + classifier.head.parameters()
    opt = Adam(parameters, lr=1e-3)
    batch = 100
    steps = len(digits.train_images) // batch
    decay = LinearDecay(opt, start=epochs * steps // 2, total=epochs * steps)
    loss_function = SoftmaxLoss()
    for epoch in range(epochs):
        classifier.body.train()
        order = g.permutation(len(digits.train_images))
        for i in range(steps):
            rows = order[i * batch:(i + 1) * batch]
            x = _to_network(_moved(digits.train_images[rows], g))
            loss = loss_function(classifier.head(classifier.body(x)), digits.train_labels[rows])
            opt.minimize(loss)
            decay.step()
        if (epoch + 1) % 10 == 0:
            accuracy = classifier.accuracy(digits.train_images, digits.train_labels)
            print(f"epoch {epoch + 1}: loss {loss.item():.4f}, training accuracy {accuracy:.4f}")
    for p in parameters:
        p.copy_(p.cached_data.astype("float16").astype("float32"))
    return classifier


def main() -> None:
    """Train, report and write the weights."""
    parser = argparse.ArgumentParser(description="Train the digit classifier classifier_v1.")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    classifier = train_classifier()
    digits = load("digits")
    accuracy = classifier.accuracy(digits.test_images, digits.test_labels)
    print(f"accuracy on the 1,000 test digits: {accuracy:.3f}")
    arrays = {f"{name}.{key}": a.astype(np.float16) for name in ("body", "head")
              for key, a in getattr(classifier, name).state_dict().items()}
    serialize.save(options.out, arrays, {"name": "classifier_v1", "test accuracy": accuracy},
                   compress=True)


if __name__ == "__main__":
    main()
