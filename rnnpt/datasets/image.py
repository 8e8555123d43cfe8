"""Images without order in memory: MNIST, small faces, and minibatches drawn from them."""

import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt import numerics
from rnnpt.datasets._pipeline import untuned

#: Pixels along a side of a face (Sutskever 2013, table 7.1: 625 of them).
FACE_SIDE = 25


@dataclass(frozen=True)
class Images:
    """Images as rows of pixels, those to train on and those to test on.

    Args:
        train: (N, V) float32.
        test: (M, V) float32.
        name: of the set.

    Raises:
        ValueError: If a part is not a matrix, has no image, holds NaN or infinity, or if their
            widths differ.

    Example:
        >>> images = Images(np.eye(4), np.ones((2, 4)), "toy")
        >>> next(iter(images.minibatches(batch_size=3, seed=0))).shape
        TensorShape([3, 4])
    """

    train: np.ndarray
    test: np.ndarray
    name: str

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images = np.asarray(getattr(self, part), np.float32)
            if images.ndim != 2 or 0 in images.shape:
                raise ValueError(
                    f"`{part}` must hold images as rows of pixels. Received: an array of shape "
                    f"{images.shape}. Reshape it to (images, pixels).")
            if not np.isfinite(images).all():
                raise ValueError(
                    f"`{part}` must be finite. Received: NaN or infinity in a pixel. Clean the "
                    "images first.")
            object.__setattr__(self, part, images)
        if self.train.shape[1] != self.test.shape[1]:
            raise ValueError(
                "`train` and `test` must have the same number of pixels. Received: "
                f"{self.train.shape[1]} and {self.test.shape[1]}. Pass images of one size.")

    def minibatches(self, batch_size: int, seed: int, start: int = 0) -> tf.data.Dataset:
        """Training images drawn at random, without end.

        Each batch is a function of the seed and its number alone, so that training goes on after
        a stop as it would have.

        Args:
            batch_size: Images a batch; one may come twice, as the draws are independent.
            seed: Of the draws.
            start: Number of the first batch.

        Returns:
            Batches (B, V) float32.

        Raises:
            ValueError: If `batch_size` is not positive or `start` is negative.
        """
        if batch_size < 1:
            raise ValueError(
                f"`batch_size` must be a positive integer. Received: batch_size={batch_size}. "
                "200 is the thesis' choice.")
        if start < 0:
            raise ValueError(
                f"`start` must be 0 or more. Received: start={start}. Pass the number of batches "
                "that were drawn already.")
        images, key = tf.constant(self.train), numerics.as_seed(seed)

        def draw(step: tf.Tensor) -> tf.Tensor:
            chosen = tf.random.stateless_uniform(
                [batch_size], numerics.fold_in(key, step), 0, len(self.train), tf.int32,
                alg=numerics.RANDOM_ALGORITHM)
            return tf.gather(images, chosen)

        return tf.data.Dataset.range(start, tf.int64.max).map(draw).with_options(untuned())


def mnist(path: str | os.PathLike[str] | None = None, num_test: int = 1_000) -> Images:
    """Read the handwritten digits, 28 x 28 pixels from 0 to 1.

    Args:
        path: A `.npz` file: Keras' own with `x_train` and `x_test`, or one with all images under
            `data`; each array (N, 28, 28) uint8. Without it Keras downloads the 60,000 and 10,000
            images to its cache and checks them.
        num_test: How many of the last images of `data` are the test part; not used otherwise.

    Returns:
        Training and test images (N, 784).

    Raises:
        ValueError: If the file is damaged or another one, or `num_test` leaves no image.
        FileNotFoundError: If there is no such file, or it cannot be downloaded.
    """
    if path is None:
        (train, _), (test, _) = _download("mnist", keras.datasets.mnist.load_data)
    else:
        content = _read(Path(path))
        if "x_train" in content and "x_test" in content:
            train, test = content["x_train"], content["x_test"]
        else:
            train, test = _split(_only_array(content, Path(path)), num_test)
    for part in (train, test):
        if part.shape[1:] != (28, 28) or part.dtype != np.uint8:
            raise ValueError(
                f"{path} must hold images (N, 28, 28) of type uint8. Received: an array of shape "
                f"{part.shape} and type {part.dtype}. Pass the MNIST digits, or leave the path out "
                "to download them.")
    train, test = (part.reshape(len(part), -1) / np.float32(255) for part in (train, test))
    return Images(train, test, "mnist")


def faces(path: str | os.PathLike[str] | None = None, num_test: int = 100) -> Images:
    """Read faces, 25 x 25 pixels, each pixel of mean 0 and all of them of mean variance 1.

    The thesis' 103,500 faces were cut, turned and scaled out of the 400 Olivetti photographs and
    are not published. Without a file this is a small stand-in for them: the 400 photographs
    themselves, 64 x 64 pixels that are averaged down to 25 x 25 by the share of each pixel's area.
    With `num_test` of 100 the last ten of the forty people are in the test part alone.

    Args:
        path: A `.npz` file with the images under `data`, or a `.npy` file: (N, S, S) with S at
            least 25, or (N, 625), of any number type. Without it scikit-learn downloads the
            photographs to its own cache and checks them.
        num_test: How many of the last images are the test part.

    Returns:
        Training and test images (N, 625), their mean and variance those of the training part.

    Raises:
        ValueError: If the file is damaged or another one, the images do not differ, or `num_test`
            leaves no image.
        FileNotFoundError: If there is no such file, or it cannot be downloaded.

    Source: Hinton and Salakhutdinov 2006, supporting material (the shift and the one scale);
    Sutskever 2013, table 7.1.
    """
    if path is None:
        images = _download("faces", _fetch_olivetti).images
    else:
        images = _only_array(_read(Path(path)), Path(path))
        if images.shape[1:] == (FACE_SIDE ** 2,):
            images = images.reshape(-1, FACE_SIDE, FACE_SIDE)
        if images.ndim != 3 or images.shape[1] != images.shape[2] or images.shape[1] < FACE_SIDE:
            raise ValueError(
                f"{path} must hold square images of at least {FACE_SIDE} x {FACE_SIDE} pixels. "
                f"Received: an array of shape {images.shape}. Crop them to (N, S, S).")
    train, test = _split(_shrink(images.astype(np.float64)), num_test)
    mean, scale = train.mean(axis=0), math.sqrt(train.var(axis=0).mean())
    if not scale > 0:
        raise ValueError(
            f"{path} must hold finite images that differ. Received: {len(train)} training images "
            f"of standard deviation {scale}. Pass other images.")
    return Images((train - mean) / scale, (test - mean) / scale, "faces")


def _shrink(images: np.ndarray) -> np.ndarray:
    """Average images (N, S, S) down to rows (N, 625) by the share of each pixel's area."""
    side = images.shape[1]
    edges = np.arange(side + 1) * (FACE_SIDE / side)
    rows = np.arange(FACE_SIDE)[:, np.newaxis]
    # How much of each old pixel lies in each new one, along one axis (25, S).
    share = np.clip(np.minimum(edges[1:], rows + 1) - np.maximum(edges[:-1], rows), 0, None)
    return (share @ images @ share.T).reshape(len(images), -1)


def _split(images: np.ndarray, num_test: int) -> tuple[np.ndarray, np.ndarray]:
    if not 0 < num_test < len(images):
        raise ValueError(
            f"`num_test` must be from 1 to less than the {len(images)} images there are. "
            f"Received: num_test={num_test}. A tenth of them is usual.")
    return images[:-num_test], images[-num_test:]


def _only_array(content: dict[str, np.ndarray], path: Path) -> np.ndarray:
    if "data" not in content:
        raise ValueError(
            f"{path} must hold images under the key `data`. Received: the keys "
            f"{sorted(content)}. Save them by np.savez(path, data=images).")
    return content["data"]


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` or `.npy` file by their keys."""
    if not path.is_file():
        raise FileNotFoundError(
            f"`path` must be an existing file. Received: path={str(path)!r}. Correct it, or leave "
            "it out to download the set.")
    try:
        # Of a damaged file np.load leaves the handle open; of bytes there is none.
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        content = {"data": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        for key, array in content.items():
            if array.dtype.kind not in "buif":
                raise ValueError(f"{key} is of type {array.dtype}")
        return content
    # A damaged archive raises errors of zipfile, zlib and NumPy.
    except Exception as error:
        raise ValueError(
            f"{path} must be a whole `.npz` or `.npy` file of numbers. Received: a file of "
            f"{path.stat().st_size} bytes that does not read as one ({error}). Put a good copy "
            "there.") from error


def _fetch_olivetti() -> Any:
    # Importing it takes seconds.
    from sklearn.datasets import fetch_olivetti_faces

    return fetch_olivetti_faces()


def _download(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    # The loaders raise plain Exception, OSError and what their readers raise on a damaged cache.
    except Exception as error:
        raise FileNotFoundError(
            f"`{name}` could not be downloaded or read from the cache ({error}). Connect once, or "
            "name a file of your own by `path`.") from error
