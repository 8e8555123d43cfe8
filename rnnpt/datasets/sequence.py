"""Sequences of frames in memory, and the two ways a model reads them: whole pieces and segments."""
import functools
import heapq
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from rnnpt.datasets._pipeline import PREFETCHED_BATCHES, computed, untuned

Batch = dict[str, np.ndarray]


class Sequences:
    """Pieces of one split: a list of piano rolls, or of any frames of one width.

    Both arguments are attributes too. Integer and boolean frames are kept as uint8, others as
    float32; batches are float32.
    A batch is a dict of

    - `frames` (B, T, V) float32, zero where there is padding;
    - `mask` (B, T) bool, True on real frames, padding at the end only;
    - `starts` (B,) bool, True where a row begins a piece, False where it goes on with the piece
      of the same row of the batch before.

    Args:
        sequences: Arrays (T_i, V), T_i at least 1, the same V in all.
        names: One name a piece; numbers by default.

    Raises:
        ValueError: If there is no piece, if a piece is not (T, V) with T and V at least 1, if
            widths differ, if a value is not finite or does not fit, or if there is not one name
            a piece.

    Example:
        >>> import numpy as np
        >>> from rnnpt.datasets import Sequences
        >>> pieces = Sequences([np.eye(3), np.ones((2, 3))])
        >>> for batch in pieces.pieces(batch_size=2):
        ...     print(batch["mask"].numpy())
        [[ True  True  True]
         [ True  True False]]
    """

    def __init__(self, sequences: Sequence[np.ndarray], names: Sequence[str] | None = None) -> None:
        self.sequences = [_as_frames(sequence, i) for i, sequence in enumerate(sequences)]
        if not self.sequences:
            raise ValueError(
                "`sequences` must hold at least one piece. Received: an empty list. "
                "Pass arrays (T, V).")
        self.names = [str(i) for i in range(len(self))] if names is None else list(names)
        if len(self.names) != len(self):
            raise ValueError(
                f"`names` must hold one name a piece. Received: {len(self.names)} names for "
                f"{len(self)} pieces. Pass as many names as sequences.")
        for i, sequence in enumerate(self.sequences):
            if sequence.shape[1] != self.num_visible:
                raise ValueError(
                    f"`sequences` must have frames of one width. Received: {self.num_visible} "
                    f"columns in piece 0 and {sequence.shape[1]} in piece {i}. "
                    "Make them equally wide.")

    def __len__(self) -> int:
        return len(self.sequences)

    def __repr__(self) -> str:
        return (f"Sequences({len(self)} pieces, {self.num_frames} frames, "
                f"{self.num_visible} columns)")

    @property
    def num_frames(self) -> int:
        """Number of frames of all pieces together."""
        return sum(len(sequence) for sequence in self.sequences)

    @property
    def num_visible(self) -> int:
        """Width V of a frame."""
        return self.sequences[0].shape[1]

    def frames(self) -> np.ndarray:
        """Stack the frames of all pieces, in order.

        Returns:
            Frames (N, V) float32.
        """
        return np.concatenate(self.sequences).astype(np.float32)

    def cut(self, length: int) -> "Sequences":
        """Cut long pieces into sequences of their own, each of which begins afresh.

        For an optimizer that trains whole sequences: where some pieces are ten times as long as
        others, a batch of all would be padding for the most part.

        Args:
            length: Most frames of a sequence.

        Returns:
            The pieces in order, those that are longer in as few parts as can be, which differ by a
            frame at most and are named after the piece: "name, part 1", "name, part 2".

        Raises:
            ValueError: If `length` is not a positive integer.
        """
        if not _is_integer(length, least=1):
            raise ValueError(
                f"`length` must be an integer of at least 1. Received: length={length!r}. "
                "Pass the most frames of a sequence.")
        parts, names = [], []
        for sequence, name in zip(self.sequences, self.names, strict=True):
            count = -(-len(sequence) // length)
            parts += np.array_split(sequence, count)
            names += [f"{name}, part {i}" for i in range(1, count + 1)] if count > 1 else [name]
        return Sequences(parts, names)

    def pieces(self, batch_size: int = 16) -> tf.data.Dataset:
        """Read whole pieces, in order, padded at the end to the longest of their batch.

        Args:
            batch_size: Pieces in a batch; the last batch may hold fewer.

        Returns:
            A dataset of batches with a known number of them, `starts` all True.

        Raises:
            ValueError: If `batch_size` is not a positive integer.
        """
        if not _is_integer(batch_size, least=1):
            raise ValueError(
                f"`batch_size` must be an integer of at least 1. Received: "
                f"batch_size={batch_size!r}. Pass the number of pieces in a batch.")
        num_batches = -(-len(self) // batch_size)

        def batch(i: int) -> Batch:
            rows = self.sequences[i * batch_size:(i + 1) * batch_size]
            return self._batch(rows, [True] * len(rows))

        return self._dataset(tf.data.Dataset.range(num_batches), batch, None, num_batches)

    def segments(self, length: int, batch_size: int = 16, seed: int = 0,
                 first_epoch: int = 0) -> tf.data.Dataset:
        """Read segments for truncated back-propagation through time.

        Each row of a batch walks through pieces one after another, `length` frames a batch, the
        rest of a piece in its last segment: row i goes on in row i of the next batch, where the
        model takes over its hidden state, and `starts` says where it must begin afresh. A row
        that has run out of pieces has an all-False mask and True in `starts`. T is the longest
        real row of the batch.

        One pass over the dataset is one epoch. Which piece comes where depends on (seed, epoch)
        only. The epoch moves on when the last batch of a pass is made, so a pass that is broken
        off, as when Keras takes a batch to build a model, does not count. Pieces go to the rows
        longest first, each to the row with the least to do (ties are drawn), and each row's order
        is then drawn: every epoch has the same, known number of batches, with few idle rows.

        Args:
            length: Most frames of a segment.
            batch_size: Rows of every batch, at most one piece each at a time.
            seed: Seed of the order of pieces.
            first_epoch: Epoch of the first pass, to go on where a run was stopped.

        Returns:
            A dataset of batches with a known number of them.

        Raises:
            ValueError: If `length` or `batch_size` is not a positive integer, or `seed` or
                `first_epoch` not a non-negative one.

        Source: Bengio, Boulanger-Lewandowski, Pascanu, Advances in optimizing recurrent
        networks (2013), section 4.1.1: segments of 100 steps.
        """
        for name, value, least in (("length", length, 1), ("batch_size", batch_size, 1),
                                   ("seed", seed, 0), ("first_epoch", first_epoch, 0)):
            if not _is_integer(value, least):
                raise ValueError(
                    f"`{name}` must be an integer of at least {least}. Received: "
                    f"{name}={value!r}. Pass such a number.")
        counts = np.array([-(-len(sequence) // length) for sequence in self.sequences])
        num_batches = max(sum(counts[row])
                          for row in _share_out(counts, batch_size, np.random.default_rng(seed)))
        epoch = first_epoch

        @functools.lru_cache(maxsize=2)
        def walks(epoch: int) -> list[list[tuple[np.ndarray, bool]]]:
            rows = _share_out(counts, batch_size, np.random.default_rng([seed, epoch]))
            return [self._walk(row, length) for row in rows]

        def batch(this_epoch: int, i: int) -> Batch:
            nonlocal epoch
            if i == num_batches - 1:
                epoch = this_epoch + 1
            idle = np.zeros((0, self.num_visible), np.uint8), True
            chunks, starts = zip(*(
                walk[i] if i < len(walk) else idle for walk in walks(this_epoch)))
            return self._batch(chunks, starts)

        # Which epoch it is, a pass asks when it begins.
        steps = computed(
            tf.data.Dataset.range(1), lambda _: np.int64(epoch), tf.TensorSpec((), tf.int64)
        ).flat_map(lambda epoch: tf.data.Dataset.range(num_batches).map(lambda i: (epoch, i)))
        # Made ahead, the last batch of a short pass is reached even if the pass is broken off.
        far_enough = num_batches > 4 * PREFETCHED_BATCHES
        return self._dataset(steps, batch, batch_size, num_batches, prefetch=far_enough)

    def _walk(self, row: np.ndarray, length: int) -> list[tuple[np.ndarray, bool]]:
        """The segments of a row's pieces, and whether each begins a piece."""
        return [(self.sequences[piece][begin:begin + length], begin == 0)
                for piece in row for begin in range(0, len(self.sequences[piece]), length)]

    def _batch(self, rows: Sequence[np.ndarray], starts: Sequence[bool]) -> Batch:
        lengths = np.array([len(row) for row in rows])
        frames = np.zeros((len(rows), lengths.max(), self.num_visible), np.float32)
        for i, row in enumerate(rows):
            frames[i, :len(row)] = row
        return {"frames": frames, "mask": np.arange(lengths.max()) < lengths[:, None],
                "starts": np.array(starts, bool)}

    def _dataset(self, steps: tf.data.Dataset, batch: Callable[..., Batch],
                 batch_size: int | None, num_batches: int, prefetch: bool = True
                 ) -> tf.data.Dataset:
        dataset = computed(steps, batch, {
            "frames": tf.TensorSpec((batch_size, None, self.num_visible), tf.float32),
            "mask": tf.TensorSpec((batch_size, None), tf.bool),
            "starts": tf.TensorSpec((batch_size,), tf.bool),
        }).apply(tf.data.experimental.assert_cardinality(num_batches))
        options = untuned()
        if prefetch:
            return dataset.prefetch(PREFETCHED_BATCHES).with_options(options)
        options.experimental_optimization.inject_prefetch = False
        return dataset.with_options(options)


def _as_frames(sequence: np.ndarray, index: int) -> np.ndarray:
    frames = np.asarray(sequence)
    if frames.ndim != 2 or 0 in frames.shape:
        raise ValueError(
            f"`sequences[{index}]` must be frames (T, V), T and V at least 1. Received: shape "
            f"{frames.shape}. Leave out empty pieces and give one row a time step.")
    if frames.dtype.kind in "biu":
        if frames.min() < 0 or frames.max() > 255:
            raise ValueError(
                f"`sequences[{index}]` must fit into uint8 if it holds integers. Received: values "
                f"from {frames.min()} to {frames.max()}. Pass zeros and ones, or floats.")
        return np.ascontiguousarray(frames, np.uint8)
    frames = np.ascontiguousarray(frames, np.float32)
    if not np.isfinite(frames).all():
        time, column = np.argwhere(~np.isfinite(frames))[0]
        raise ValueError(
            f"`sequences[{index}]` must be finite. Received: {frames[time, column]} in frame "
            f"{time}, column {column}. Repair or leave out this piece.")
    return frames


def _is_integer(value: object, least: int) -> bool:
    return (isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            and bool(value >= least))


def _share_out(counts: np.ndarray, num_rows: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Give pieces of `counts` segments to rows; the rows' totals do not depend on `rng`."""
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order], kind="stable")]
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    loads = [(0, i) for i in range(num_rows)]
    for piece in order:
        load, i = loads[0]
        rows[i].append(piece)
        heapq.heapreplace(loads, (load + counts[piece], i))
    return [rng.permutation(np.array(row, int)) for row in rows]
