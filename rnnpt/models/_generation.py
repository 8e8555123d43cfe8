"""How a model goes on with sequences by itself, frame by frame."""

from typing import Protocol

import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads import Head


class Predictor(Protocol):
    """What drawing asks of a model."""

    head: Head
    num_visible: int | None

    def parameters(self, state: list[tf.Tensor]) -> tf.Tensor:
        """Head parameters (B, P) of the frame that follows a state."""

    def step(
        self, frame: tf.Tensor, state: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Parameters of the frame after a frame (B, V), and the state after it."""


def check_request(
    prime: object, num_steps: int, temperature: float, num_visible: int | None
) -> None:
    """Refuse what cannot be generated.

    Args:
        prime: frames to go on from, or None.
        num_steps: how many frames to draw.
        temperature: of the draws.
        num_visible: V, None where the model is not built.

    Raises:
        ValueError: if `num_steps` is negative, `temperature` is not positive, or nothing tells
            the width.
    """
    if num_steps < 0:
        raise ValueError(
            f"num_steps must not be negative, got {num_steps}; give the frames to draw")
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"temperature must be a positive number, got {temperature}; 1 samples the model "
            "as it was trained")
    if prime is None and num_visible is None:
        raise ValueError(
            "prime must be frames while the model is not built, got None; fit it first or "
            "call build_for(num_visible)")


def draw_frames(
    model: Predictor,
    state: list[tf.Tensor],
    num_steps: tf.Tensor,
    seed: tf.Tensor,
    temperature: tf.Tensor,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Draw each row's own number of frames.

    Args:
        model: what predicts.
        state: state tensors (B, S_i).
        num_steps: how many frames each row draws, int32 (B,).
        seed: int32 (2,), or (B, 2) for one a row.
        temperature: (B,).

    Returns:
        Frames (B, max num_steps, V), zero from a row's own end on; and each row's state after its
        last frame.
    """
    longest = tf.maximum(tf.reduce_max(num_steps), 0)
    nothing = tf.zeros([tf.shape(num_steps)[0], model.num_visible])
    frames = tf.TensorArray(
        tf.float32, tf.maximum(longest, 1), element_shape=[None, model.num_visible])
    # TensorFlow cannot stack an array of nothing, when no row draws.
    frames = frames.write(0, nothing)

    def body(
        t: tf.Tensor, state: list[tf.Tensor], frames: tf.TensorArray
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.TensorArray]:
        here = (t < num_steps)[:, tf.newaxis]
        frame = model.head.sample(
            model.parameters(state), numerics.fold_later(seed, t), temperature)
        # Before the step, without which TensorFlow may fuse a product with two sums, for which it
        # has no kernel ("Fusion is not implemented").
        frame = tf.where(here, frame, nothing)
        advanced = model.step(frame, state)[1]
        state = [tf.where(here, new, old) for new, old in zip(advanced, state)]
        return t + 1, state, frames.write(t, frame)

    _, state, frames = tf.while_loop(
        lambda t, *_: t < longest, body, (tf.constant(0), state, frames),
        maximum_iterations=longest, parallel_iterations=1)
    return tf.transpose(frames.stack()[:longest], [1, 0, 2]), state
