"""What a batch of sequences is, and how its parts are told."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from rnnpt.heads import Head
from rnnpt.heads.head import SUPPORTS

Batch = Mapping[str, tf.Tensor]

_KERAS_BATCH_SIZE = 32


def unpack_batch(batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The three tensors of a batch: those that were left out filled in, padding set to zero.

    Args:
        batch: a dict with "frames" (B, T, V), and "mask" (B, T) and "starts" (B,) if they matter.

    Returns:
        Frames, mask and starts.

    Raises:
        ValueError: if the batch is no dict with "frames".
    """
    batch = _check_batch(batch)
    frames = tf.cast(batch["frames"], keras.config.floatx())
    shape = tf.shape(frames)
    if "mask" in batch:
        mask = tf.cast(batch["mask"], tf.bool)
        frames = zero_padding(frames, mask)
    else:
        mask = tf.ones(shape[:2], tf.bool)
    starts = (tf.cast(batch["starts"], tf.bool) if "starts" in batch
              else tf.ones(shape[:1], tf.bool))
    return frames, mask, starts


def width(x: object) -> int:
    """The width of the frames that a trainer is given.

    Args:
        x: a `tf.data.Dataset` of batches, or one batch.

    Returns:
        V.
    """
    batch = x.element_spec if isinstance(x, tf.data.Dataset) else x
    return _check_batch(batch)["frames"].shape[-1]


def num_batches(x: object, batch_size: int | None) -> int:
    """How many batches a trainer is given.

    Args:
        x: a `tf.data.Dataset` of batches, or one dict of arrays that Keras cuts into batches.
        batch_size: rows of such a cut, None for Keras' own.

    Returns:
        Their number, at least 1; a dataset that does not know it is counted.
    """
    if not isinstance(x, tf.data.Dataset):
        return -(-len(_check_batch(x)["frames"]) // (batch_size or _KERAS_BATCH_SIZE))
    known = int(x.cardinality())
    return known if known >= 0 else int(x.reduce(0, lambda number, _: number + 1))


def zero_padding(frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Frames with nothing where there is no frame, whatever the padding held.

    Args:
        frames: (B, T, V).
        mask: True on real frames (B, T), or None.

    Returns:
        Frames (B, T, V).
    """
    if mask is None:
        return frames
    return tf.where(mask[..., tf.newaxis], frames, tf.zeros_like(frames))


def add_padding(frames: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Sequences with one step of padding more, so that there is a step where there was none.

    Args:
        frames: (B, T, V), T may be 0.
        mask: True on real frames (B, T), or None.

    Returns:
        Frames (B, T + 1, V), zero where padded, and their mask (B, T + 1).
    """
    if mask is None:
        mask = tf.ones(tf.shape(frames)[:2], tf.bool)
    return (tf.pad(zero_padding(frames, mask), [[0, 0], [0, 1], [0, 0]]),
            tf.pad(mask, [[0, 0], [0, 1]]))


def assert_support(
    frames: tf.Tensor, mask: tf.Tensor, head: Head, name: str = "frames"
) -> tf.Tensor:
    """Frames, asserted in the graph to be such as the head gives a likelihood to.

    Args:
        frames: (B, T, V), zero where padded.
        mask: True on real frames (B, T).
        head: of the model.
        name: of the argument, for the message.

    Returns:
        The frames.
    """
    wrong, values = _wrong_values(frames, mask, head)
    check = tf.cond(
        tf.reduce_any(wrong),
        lambda: tf.debugging.Assert(
            False, [f"{_rule(name, head)}, got", tf.boolean_mask(values, wrong)[0]]),
        tf.no_op)
    with tf.control_dependencies([check]):
        return tf.identity(frames)


def check_values(x: object, head: Head) -> None:
    """Refuse arrays with frames that a head does not know, before anything is trained on them.

    Args:
        x: one dict of arrays.
        head: of the model.
    """
    batch = _check_batch(x)
    check_frames("frames", batch["frames"], batch.get("mask"), head=head)


def check_frames(
    name: str, frames: object, mask: object = None, length: object = None, head: Head | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Frames from outside as tensors.

    Args:
        name: of the argument, for the message.
        frames: (B, T, V), anything that NumPy reads.
        mask: True on real frames (B, T); all of them where None.
        length: how many frames of each row are real (B,), in place of a mask.
        head: what must give them a likelihood; any finite frames will do where None.

    Returns:
        Frames, float32 (B, T, V), zero where padded, and their mask, bool (B, T).

    Raises:
        ValueError: if they have another rank, the mask another shape or padding before a frame, a
            length does not fit, or a real frame is not finite or none of the head's.
    """
    values = np.asarray(frames, np.float32)
    if values.ndim != 3:
        raise ValueError(
            f"{name} must have the shape (batch, steps, units), got {values.shape}; a single "
            "sequence is a batch of one")
    if length is not None:
        mask = _mask_of(np.asarray(length), *values.shape[:2])
    real = np.ones(values.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    if real.shape != values.shape[:2]:
        raise ValueError(
            f"mask must have the shape {values.shape[:2]} of the {name}, got {real.shape}")
    again = ~real[:, :-1] & real[:, 1:]
    if again.any():
        row, step = np.argwhere(again)[0]
        raise ValueError(
            f"mask must be True up to the end of a row and False from there on, got True at step "
            f"{step + 1} of row {row} after False; put the padding last")
    values = np.where(real[..., np.newaxis], values, np.float32(0))
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; clean the frames first")
    if head is not None:
        wrong, found = _wrong_values(values, real, head)
        if wrong.numpy().any():
            raise ValueError(f"{_rule(name, head)}, got {found.numpy()[wrong.numpy()][0]}")
    return tf.convert_to_tensor(values), tf.convert_to_tensor(real)


def _rule(name: str, head: Head) -> str:
    return (f"{name} must be {SUPPORTS[head.support]} for {type(head).__name__}: change them or "
            "take a head for such frames")


def _wrong_values(
    frames: tf.Tensor, mask: tf.Tensor, head: Head
) -> tuple[tf.Tensor, tf.Tensor]:
    """Which of some values break the head's rule, and the values; both (B, T, ...)."""
    values = tf.convert_to_tensor(frames)
    wrong = {
        "binary": lambda: (values != 0) & (values != 1),
        "unit": lambda: ~((values >= 0) & (values <= 1)),
        "real": lambda: ~tf.math.is_finite(values),
        "one_hot": lambda: (values != 0) & (values != 1),
    }[head.support]()
    if head.support == "one_hot":
        total = tf.reduce_sum(values, axis=-1, keepdims=True)
        values = tf.concat([values, total], axis=-1)
        wrong = tf.concat([wrong, total != 1], axis=-1)
    return wrong & tf.convert_to_tensor(mask)[..., tf.newaxis], values


def _mask_of(length: np.ndarray, batch_size: int, num_steps: int) -> np.ndarray:
    if length.shape != (batch_size,) or (length < 0).any() or (length > num_steps).any():
        raise ValueError(
            f"length must be one number a row (there are {batch_size}) from 0 to {num_steps}, the "
            f"steps that were given, got {length.tolist()}")
    return np.arange(num_steps) < length[:, np.newaxis]


def _check_batch(batch: object) -> Batch:
    if isinstance(batch, (tuple, list)) and len(batch) == 1:
        batch = batch[0]
    if not isinstance(batch, Mapping) or "frames" not in batch:
        raise ValueError(
            f"a batch must be a dict with the key 'frames' and no target, got "
            f"{type(batch).__name__}; use Sequences.pieces() or Sequences.segments()")
    return batch
