"""Images: minibatches that a seed tells, MNIST and faces from files and from their loaders."""

import itertools
import re
import types

import keras
import numpy as np
import pytest
import sklearn.datasets

from rnnpt.datasets import Images, faces, mnist


def draw(number: int, side: int, seed: int = 0) -> np.ndarray:
    """Returns random images of bytes (number, side, side)."""
    return np.random.default_rng(seed).integers(
        256, size=[number, side, side]).astype(np.uint8)


def save(path, **arrays):
    """Returns the path, the arrays in it."""
    np.savez(path, **arrays)
    return path


def test_minibatches_go_on_at_any_step_as_they_would_have():
    images = Images(draw(50, 3).reshape(50, 9), np.ones([1, 9]), "toy")
    whole = [batch.numpy() for batch in itertools.islice(images.minibatches(4, seed=3), 6)]
    rest = [batch.numpy() for batch in itertools.islice(images.minibatches(4, 3, start=4), 2)]
    np.testing.assert_array_equal(whole[4:], rest)
    assert len({batch.tobytes() for batch in whole}) == 6
    other = next(iter(images.minibatches(4, seed=4))).numpy()
    assert (whole[0] != other).any()
    # The end of a fit would wait for a tuner.
    assert images.minibatches(4, seed=3).options().autotune.enabled is False


def test_minibatches_draw_every_image_equally_often():
    images = Images(np.arange(10.0)[:, None], np.ones([1, 1]), "toy")
    batches = itertools.islice(images.minibatches(100, seed=0), 100)
    counts = np.bincount(np.concatenate([batch.numpy().ravel() for batch in batches]).astype(int))
    # 10,000 draws, 1,000 of each image expected: five standard deviations.
    assert len(counts) == 10 and np.abs(counts - 1_000).max() < 5 * (10_000 * 0.1 * 0.9) ** 0.5


def test_mnist_of_one_array_is_split_at_its_end(tmp_path):
    digits = draw(20, 28)
    images = mnist(save(tmp_path / "digits.npz", data=digits), num_test=3)
    np.testing.assert_array_equal(images.train, digits[:17].reshape(17, 784) / np.float32(255))
    np.testing.assert_array_equal(images.test, digits[17:].reshape(3, 784) / np.float32(255))
    assert images.train.dtype == np.float32


def test_mnist_of_keras_keeps_its_parts(tmp_path, monkeypatch):
    train, test = draw(5, 28), draw(2, 28, seed=1)
    path = save(tmp_path / "mnist.npz", x_train=train, x_test=test, y_train=[1] * 5, y_test=[2] * 2)
    monkeypatch.setattr(
        keras.datasets.mnist, "load_data", lambda: ((train, [1] * 5), (test, [2] * 2)))
    for images in (mnist(path), mnist()):
        np.testing.assert_array_equal(images.train * 255, train.reshape(5, 784))
        np.testing.assert_array_equal(images.test * 255, test.reshape(2, 784))


def test_the_digits_of_the_shared_data_read(shared_data):
    path = shared_data / "mnist_10k.npz"
    if not path.is_file():
        pytest.skip("no mnist_10k.npz in ../shared/data")
    images = mnist(path)
    assert len(images.train) == 9_000 and len(images.test) == 1_000
    # The mean pixel of MNIST is 0.13.
    assert images.train.max() == 1 and 0.12 < images.train.mean() < 0.14


def test_faces_are_averaged_by_area_and_then_shifted_and_scaled(tmp_path):
    photographs = draw(9, 64) / 255
    images = faces(save(tmp_path / "faces.npz", data=photographs), num_test=3)
    # Each pixel cut into 25 x 25 equal parts, the parts averaged 64 x 64 at a time.
    fine = np.repeat(np.repeat(photographs, 25, axis=1), 25, axis=2)
    small = fine.reshape(9, 25, 64, 25, 64).mean(axis=(2, 4)).reshape(9, 625)
    shifted = small - small[:6].mean(axis=0)
    expected = shifted / np.sqrt((shifted[:6] ** 2).mean())
    np.testing.assert_allclose(images.train, expected[:6], rtol=0, atol=1e-5)
    np.testing.assert_allclose(images.test, expected[6:], rtol=0, atol=1e-5)


def test_faces_of_the_right_size_stay_as_they_are(tmp_path):
    photographs = draw(12, 25)
    np.save(tmp_path / "faces.npy", photographs.reshape(12, 625))
    square = faces(save(tmp_path / "faces.npz", data=photographs), num_test=2)
    rows = faces(tmp_path / "faces.npy", num_test=2)
    np.testing.assert_array_equal(square.train, rows.train)
    # One shift a pixel and one scale: differences of images keep their ratios.
    change = (photographs[1].astype(float) - photographs[0]).ravel()
    scale = np.linalg.norm(square.train[1] - square.train[0]) / np.linalg.norm(change)
    np.testing.assert_allclose(
        square.train[1] - square.train[0], scale * change, rtol=0, atol=1e-5)


def test_faces_without_a_file_are_those_of_scikit_learn(tmp_path, monkeypatch):
    photographs = draw(400, 64) / np.float32(255)
    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces",
                        lambda: types.SimpleNamespace(images=photographs))
    fetched, own = faces(), faces(save(tmp_path / "faces.npz", data=photographs))
    assert len(fetched.train) == 300 and len(fetched.test) == 100
    np.testing.assert_array_equal(fetched.train, own.train)


@pytest.mark.parametrize("load, loader", [
    (mnist, (keras.datasets.mnist, "load_data")),
    (faces, (sklearn.datasets, "fetch_olivetti_faces"))])
def test_without_a_network_one_line_says_what_to_do(load, loader, monkeypatch):
    def fail() -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(*loader, fail)
    rule = rf"^`{load.__name__}` could not be downloaded .*\(no route to host\).*`path`\.$"
    with pytest.raises(FileNotFoundError, match=rule):
        load()


@pytest.mark.parametrize("load, arrays, message", [
    (mnist, {"data": draw(9, 27)}, "(N, 28, 28) of type uint8. Received: an array of shape (8, 27"),
    (mnist, {"data": draw(9, 28) / 255}, "and type float64"),
    (mnist, {"images": draw(9, 28)}, "under the key `data`. Received: the keys ['images']"),
    (mnist, {"data": draw(1, 28)}, "less than the 1 images there are. Received: num_test=1"),
    (mnist, {"data": np.array(["a"])}, "does not read as one (data is of type <U1)"),
    (faces, {"data": draw(9, 24)}, "at least 25 x 25 pixels. Received: an array of shape (9, 24"),
    (faces, {"data": draw(9, 30)[:, 2:]}, "Received: an array of shape (9, 28, 30)"),
    (faces, {"data": np.ones([9, 625])}, "images that differ. Received: 8 training images of"),
    (faces, {"data": np.full([9, 625], np.nan)}, "of standard deviation nan")])
def test_a_file_of_something_else_is_refused(load, arrays, message, tmp_path):
    path = save(tmp_path / "images.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(message)):
        load(path, num_test=1)


@pytest.mark.parametrize("load", [mnist, faces])
def test_a_damaged_file_and_one_that_is_missing_are_told_by_name(load, tmp_path):
    whole = save(tmp_path / "whole.npz", data=draw(9, 28)).read_bytes()
    for content in (b"", b"no archive", whole[:-100]):
        path = tmp_path / "damaged.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"damaged\.npz .*a file of {len(content)} bytes"):
            load(path)
    with pytest.raises(FileNotFoundError, match="`path` must be an existing file.*missing.npz"):
        load(tmp_path / "missing.npz")


@pytest.mark.parametrize("train, test, message", [
    (np.ones([2, 3, 4]), np.ones([2, 3]), r"`train` must hold .* of shape \(2, 3, 4\)"),
    (np.ones([2, 3]), np.ones([0, 3]), r"`test` must hold .* of shape \(0, 3\)"),
    (np.full([2, 3], np.nan), np.ones([2, 3]), "`train` must be finite. Received: NaN"),
    (np.ones([2, 3]), np.ones([2, 4]), "the same number of pixels. Received: 3 and 4")])
def test_images_of_a_bad_shape_or_value_are_refused(train, test, message):
    with pytest.raises(ValueError, match=message):
        Images(train, test, "toy")


@pytest.mark.parametrize("arguments, message", [
    ({"batch_size": 0}, "`batch_size` must be a positive integer. Received: batch_size=0"),
    ({"batch_size": 2, "start": -1}, "`start` must be 0 or more. Received: start=-1")])
def test_minibatches_refuse_numbers_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        Images(np.eye(3), np.eye(3), "toy").minibatches(seed=0, **arguments)
