"""Whole pieces from batches, for models that are fitted in passes over everything."""

from typing import Any

import numpy as np
import tensorflow as tf

from rnnpt.heads import Head
from rnnpt.models import _batch


def whole_pieces(x: object, head: Head) -> list[np.ndarray]:
    """Read all batches, and put the pieces together that they cut into segments.

    Args:
        x: a `tf.data.Dataset` of batch dicts, or one dict of arrays.
        head: what must give the frames a likelihood.

    Returns:
        The pieces (T_i, V) in the order in which they begin, T_i at least 1.

    Raises:
        ValueError: if the dataset has no end or no frame, a frame is none of the head's, or a row
            goes on (`starts` is False) from nothing.
    """
    if isinstance(x, tf.data.Dataset) and x.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "x must end, got a dataset that repeats for ever; leave out repeat(), epochs do it")
    rows: dict[int, list[np.ndarray]] = {}
    pieces: list[list[np.ndarray]] = []
    batches: Any = x if isinstance(x, tf.data.Dataset) else [x]
    for batch in batches:
        tensors = _batch.unpack_batch(batch)
        frames, mask = _batch.check_frames("frames", *tensors[:2], head=head)
        for row, is_start in enumerate(tensors[2].numpy()):
            if is_start:
                rows[row] = []
                pieces.append(rows[row])
            elif row not in rows:
                raise ValueError(
                    f"starts must be True where a row begins, got False in row {row} of the first "
                    "batch that has it; there is nothing to go on from")
            rows[row].append(frames[row].numpy()[mask[row].numpy()])
    # Rows that have run out of pieces begin with nothing.
    whole = [piece for piece in map(np.concatenate, pieces) if len(piece)]
    if not whole:
        raise ValueError("x must hold at least one real frame, got none; look at its mask")
    return whole
