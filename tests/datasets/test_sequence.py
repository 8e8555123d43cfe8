"""Pieces and segments give every frame once, where the contract says."""
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpt.datasets import Sequences, Splits


def numbered(lengths: list[int]) -> Sequences:
    """Pieces whose frames are (piece + 1, time)."""
    return Sequences([np.array([[piece + 1, time] for time in range(length)], np.float32)
                      for piece, length in enumerate(lengths)])


def batches(dataset: tf.data.Dataset) -> list[dict[str, np.ndarray]]:
    return list(dataset.as_numpy_iterator())


def order(dataset: tf.data.Dataset) -> list[tuple[int, ...]]:
    """The piece in each row of each batch, 0 for none."""
    return [tuple(int(piece) for piece in batch["frames"][:, 0, 0]) for batch in batches(dataset)]


def follow_rows(dataset: tf.data.Dataset) -> list[np.ndarray]:
    """Join the segments of each row to pieces, as `starts` tells."""
    found: list[np.ndarray] = []
    current: dict[int, int] = {}
    for batch in batches(dataset):
        for row, (frames, mask, start) in enumerate(
                zip(batch["frames"], batch["mask"], batch["starts"])):
            assert not frames[~mask].any()
            if start and mask.any():
                current[row] = len(found)
                found.append(frames[mask])
            elif mask.any():
                found[current[row]] = np.concatenate([found[current[row]], frames[mask]])
    return found


@settings(derandomize=True, deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=9), length=st.integers(1, 13),
       batch_size=st.integers(1, 5), seed=st.integers(0, 3))
def test_segments_give_every_piece_once_in_order(lengths, length, batch_size, seed):
    pieces = numbered(lengths)
    dataset = pieces.segments(length, batch_size, seed)
    found = sorted(follow_rows(dataset), key=lambda piece: piece[0, 0])
    assert len(found) == len(pieces)
    for got, expected in zip(found, pieces.sequences):
        np.testing.assert_array_equal(got, expected)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=9), length=st.integers(1, 13),
       batch_size=st.integers(1, 5))
def test_every_epoch_has_the_known_number_of_batches_of_full_width(lengths, length, batch_size):
    dataset = numbered(lengths).segments(length, batch_size)
    for _ in range(3):
        epoch = batches(dataset)
        assert len(epoch) == dataset.cardinality().numpy()
        for batch in epoch:
            assert batch["mask"].shape[0] == batch_size
            assert batch["mask"].shape[1] <= length
            assert batch["mask"][:, -1].any()
            assert (np.diff(batch["mask"].astype(int), axis=1) <= 0).all()


def test_segments_follow_a_piece_along_its_row():
    first, second, third = batches(numbered([5]).segments(2, batch_size=1))
    np.testing.assert_array_equal(first["frames"], [[[1, 0], [1, 1]]])
    np.testing.assert_array_equal(second["frames"], [[[1, 2], [1, 3]]])
    np.testing.assert_array_equal(third["frames"], [[[1, 4]]])
    assert [bool(batch["starts"][0]) for batch in (first, second, third)] == [True, False, False]


def test_a_row_without_pieces_is_masked_and_starts():
    for batch in batches(numbered([6, 2]).segments(2, batch_size=3)):
        idle = ~batch["mask"].any(axis=1)
        assert idle.sum() >= 1
        assert batch["starts"][idle].all()
        assert not batch["frames"][idle].any()


def test_rows_share_the_work_evenly():
    epoch = batches(numbered([7] * 8).segments(7, batch_size=4))
    assert len(epoch) == 2
    assert all(batch["mask"].all() for batch in epoch)


def test_order_is_a_function_of_seed_and_epoch():
    pieces = numbered(list(range(3, 33)))
    dataset = pieces.segments(4, 3, seed=5)
    passes = [order(dataset) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2]
    for epoch in range(3):
        assert order(pieces.segments(4, 3, seed=5, first_epoch=epoch)) == passes[epoch]
    assert order(pieces.segments(4, 3, seed=6)) != passes[0]


@pytest.mark.parametrize("num_pieces", [4, 40])
def test_a_pass_that_is_broken_off_does_not_count(num_pieces):
    pieces = numbered([3] * num_pieces)
    dataset = pieces.segments(3, 2)
    for _ in range(2):
        next(iter(dataset))
    assert order(dataset) == order(pieces.segments(3, 2))
    assert order(dataset) == order(pieces.segments(3, 2, first_epoch=1))


class Recorder(keras.Model):
    """A model that only notes which pieces it is trained on."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.dense = keras.layers.Dense(1)

    def call(self, batch):
        return self.dense(batch["frames"])

    def train_step(self, data):
        self.seen.append(tuple(data["frames"][:, 0, 0].numpy().astype(int)))
        return {"loss": tf.zeros(())}


def test_fit_walks_through_the_epochs_one_by_one():
    pieces = numbered(list(range(3, 33)))
    model = Recorder()
    model.compile(run_eagerly=True)
    model.fit(pieces.segments(4, 3), epochs=3, shuffle=False, verbose=0)
    expected = [order(pieces.segments(4, 3, first_epoch=epoch)) for epoch in range(3)]
    assert model.seen == sum(expected, [])


def test_pieces_are_padded_at_the_end_and_in_order():
    dataset = numbered([2, 3, 1]).pieces(batch_size=2)
    assert dataset.cardinality().numpy() == 2
    first, second = batches(dataset)
    np.testing.assert_array_equal(
        first["frames"], [[[1, 0], [1, 1], [0, 0]], [[2, 0], [2, 1], [2, 2]]])
    np.testing.assert_array_equal(first["mask"], [[True, True, False], [True, True, True]])
    np.testing.assert_array_equal(second["frames"], [[[3, 0]]])
    assert first["starts"].tolist() == [True, True]
    assert second["starts"].tolist() == [True]
    assert first["frames"].dtype == np.float32


def test_long_pieces_are_cut_into_parts_of_nearly_one_length():
    pieces = numbered([3, 8, 1])
    cut = pieces.cut(3)
    assert [len(part) for part in cut.sequences] == [3, 3, 3, 2, 1]
    assert cut.names == ["0", "1, part 1", "1, part 2", "1, part 3", "2"]
    np.testing.assert_array_equal(cut.frames(), pieces.frames())
    assert pieces.cut(8).names == pieces.names


def test_a_bad_length_of_parts_is_refused():
    with pytest.raises(ValueError, match="`length` must be an integer.*length=0"):
        numbered([3]).cut(0)


@pytest.mark.parametrize("num_pieces", [2, 40])
def test_the_end_of_a_pass_does_not_wait_for_the_tuner_of_tf_data(num_pieces):
    sequences = Sequences([np.zeros((3, 2), np.uint8)] * num_pieces)
    for batches in (sequences.segments(2, 1), sequences.pieces(1)):
        assert batches.options().autotune.enabled is False


def test_frames_stack_all_pieces():
    pieces = numbered([2, 1])
    np.testing.assert_array_equal(pieces.frames(), [[1, 0], [1, 1], [2, 0]])
    assert pieces.frames().dtype == np.float32
    assert (len(pieces), pieces.num_frames, pieces.num_visible) == (2, 3, 2)
    assert pieces.names == ["0", "1"]


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64])
def test_whole_numbers_stay_small_in_memory(kind):
    assert Sequences([np.ones((2, 3), kind)]).sequences[0].dtype == np.uint8


@pytest.mark.parametrize("sequences, message", [
    ([], "`sequences` must hold at least one piece. Received: an empty list"),
    ([np.zeros(3)], "T and V at least 1. Received: shape (3,)"),
    ([np.zeros((1, 2)), np.zeros((0, 2))], "`sequences[1]` must be frames (T, V)"),
    ([np.zeros((1, 2)), np.zeros((1, 3))], "2 columns in piece 0 and 3 in piece 1"),
    ([np.array([[0.0, np.nan]])], "`sequences[0]` must be finite. Received: nan in frame 0"),
    ([np.array([[0, 300]])], "`sequences[0]` must fit into uint8 if it holds integers. Received: "
                             "values from 0 to 300"),
])
def test_bad_sequences_are_refused(sequences, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Sequences(sequences)


def test_each_piece_needs_a_name():
    with pytest.raises(ValueError, match="`names` must hold one name a piece. Received: 1 names"):
        Sequences([np.ones((1, 2)), np.ones((1, 2))], ["a"])


@pytest.mark.parametrize("name, value", [
    ("length", 0), ("length", 2.5), ("batch_size", 0), ("batch_size", True), ("seed", -1),
    ("first_epoch", -2)])
def test_bad_segment_arguments_are_refused(name, value):
    arguments = {"length": 4, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be an integer.*{name}={value}"):
        numbered([3]).segments(**arguments)


def test_bad_batch_size_of_pieces_is_refused():
    with pytest.raises(ValueError, match="`batch_size` must be an integer.*batch_size=-1"):
        numbered([3]).pieces(batch_size=-1)


def test_splits_have_one_width():
    with pytest.raises(ValueError, match=re.escape("`train`, `valid` and `test` must have frames "
                                                   "of one width. Received: widths [2, 2, 3]")):
        Splits(numbered([1]), numbered([1]), Sequences([np.ones((1, 3))]))
