"""`SequenceModel`: a cell that remembers and a head that says how likely the next frame is."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt import numerics
from rnnpt.cells import Cell, swap_time, unroll
from rnnpt.heads import AISSchedule, Head
from rnnpt.models._batch import Batch, add_padding, check_frames, unpack_batch
from rnnpt.models._cell_and_head import CellAndHead
from rnnpt.models._generation import check_request, draw_frames
from rnnpt.models._training import SequenceTraining


@keras.saving.register_keras_serializable(package="rnnpt")
class SequenceModel(CellAndHead, SequenceTraining):
    """A predictor of the next frame of a sequence.

    Use it with any cell and head; the named models are choices of the two.

    Equation: P(v_1 .. v_T) = prod over t of P(v_t | h_(t-1)), with h_0 learned, so that the first
    frame is predicted too. The head's parameters are `readout(cell.output(h_(t-1)))`.

    A batch is a dict and no target: "frames" (B, T, V) float32; "mask" (B, T) bool, True on real
    frames, padding at the end only, all True where left out; "starts" (B,) bool, False where a row
    goes on from the same row of the batch before (training only), all True where left out.

    Args:
        cell: what remembers, of `rnnpt.cells` or of Keras (`keras.layers.LSTMCell(100)`).
        head: what the remembered is turned into.
        seed: of everything random in training and evaluation.
        readout_initializer: how the matrix from the cell's output (H, P) starts.
        **kwargs: of `keras.Model`, and those of `SequenceTraining`: `dropout` of the outputs, and
            `num_backward_steps` of truncated back-propagation.

    Raises:
        TypeError: if `cell` is no cell or `head` no Head.

    Example:
        >>> from rnnpt import cells, heads
        >>> model = SequenceModel(cells.SimpleCell(8), heads.BernoulliHead())
        >>> model.build_for(num_visible=4)
        >>> model.generate(np.zeros([1, 3, 4]), num_steps=2, seed=1).shape
        TensorShape([1, 2, 4])
    """

    def __init__(
        self,
        cell: Cell | keras.Layer,
        head: Head,
        seed: int = 0,
        readout_initializer: object = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, head, readout_initializer, **kwargs)
        self.seed = seed
        self.num_visible: int | None = None
        self._generate = tf.function(self._generate_from_prime, reduce_retracing=True)
        self._estimate = tf.function(self._estimate_log_prob, reduce_retracing=True)

    def build_for(self, num_visible: int) -> None:
        """Create the variables; calling it again changes nothing.

        Args:
            num_visible: V, the width of a frame.

        Raises:
            ValueError: if the model was built for another width.
        """
        if self.num_visible is not None:
            if num_visible != self.num_visible:
                raise ValueError(
                    f"frames must be {self.num_visible} wide, as the model was built, got "
                    f"{num_visible}; give frames of that width or make a new model")
            return
        self._build_parts(num_visible)
        self.num_visible = num_visible
        self._make_carried_state()
        self.built = True

    def build(self, batch_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Create the variables for batches of a shape, as Keras asks for it.

        Args:
            batch_shape: shapes of the batch's tensors.

        Raises:
            ValueError: if the frames' width is unknown.
        """
        num_visible = batch_shape["frames"][-1]
        if num_visible is None:
            raise ValueError("frames must have a known width, got None; fix their last axis")
        self.build_for(num_visible)

    def call(self, batch: Batch, training: bool | None = None) -> tf.Tensor:
        """Parameters of the conditional of each frame given those before it.

        Args:
            batch: see the class.
            training: ignored, nothing differs.

        Returns:
            Head parameters (B, T, P); row t belongs to frame t.
        """
        frames, mask, _ = unpack_batch(batch)
        self.build_for(frames.shape[-1])
        frames, mask = add_padding(frames, mask)
        outputs, _ = unroll(
            self.cell, frames, self.initial_state(tf.shape(frames)[0]), mask, time_major=True)
        return swap_time(self.readout(outputs))[:, :-1]

    @property
    def state_sizes(self) -> list[int]:
        """Sizes S_i of the cell's state tensors."""
        return self.cell.state_size

    def parameters(self, state: list[tf.Tensor]) -> tf.Tensor:
        """Head parameters of the frame that follows a state.

        Args:
            state: state tensors (B, S_i).

        Returns:
            (B, P).
        """
        return self.readout(self.cell.output(state))

    def step(
        self, frame: tf.Tensor, state: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Take one frame in.

        Args:
            frame: (B, V).
            state: state tensors (B, S_i).

        Returns:
            Parameters (B, P) of the frame after it, and the new state.
        """
        _, state = self.cell.step(self.cell.project_inputs(frame), state)
        return self.parameters(state), state

    def advance(
        self, frames: tf.Tensor, mask: tf.Tensor | None, state: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Take whole sequences in.

        Args:
            frames: (B, T, V), T may be 0.
            mask: True on real frames (B, T), or None.
            state: state tensors (B, S_i).

        Returns:
            The state after each row's last real frame.
        """
        frames, mask = add_padding(frames, mask)
        return unroll(self.cell, frames, state, mask)[1]

    def log_prob(self, frames: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Log-likelihood of whole sequences, the first frame included.

        Args:
            frames: (B, T, V).
            mask: True on real frames (B, T); all of them where None.

        Returns:
            Nats in total (B,); an estimate where the head is not exact.
        """
        return self.estimate_log_prob(frames, mask)[0]

    def estimate_log_prob(
        self,
        frames: tf.Tensor,
        mask: tf.Tensor | None = None,
        seed: int = 0,
        schedule: AISSchedule | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Log-likelihood of whole sequences with its standard error.

        Args:
            frames: (B, T, V).
            mask: True on real frames (B, T); all of them where None.
            seed: of the estimate.
            schedule: work for each frame, where the head is not exact.

        Returns:
            Nats in total (B,), and their standard errors (B,), 0 where exact.
        """
        frames, mask = check_frames("frames", frames, mask, head=self.head)
        self.build_for(frames.shape[-1])
        return self._estimate(frames, mask, numerics.as_seed(seed), schedule)

    def generate(
        self,
        prime: tf.Tensor | None,
        num_steps: int,
        seed: int | tf.Tensor,
        temperature: float = 1.0,
        length: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Continue sequences.

        Args:
            prime: frames to go on from (B, T, V), T may be 0; None for one sequence from nothing.
            num_steps: how many frames to draw.
            seed: an integer; or int32 (2,) for one stream, (B, 2) for one a row.
            temperature: positive; below 1 more cautious.
            length: how many frames of each row are real (B,); all of them where None.

        Returns:
            The drawn frames (B, num_steps, V), without the prime.

        Raises:
            ValueError: if `num_steps` is negative, `temperature` is not positive, `length` is
                not within the prime, a frame is none that the head knows, or there is neither a
                prime nor a built model to tell the width.
        """
        check_request(prime, num_steps, temperature, self.num_visible)
        if prime is None:
            prime = np.zeros([1, 0, self.num_visible], np.float32)
        prime, mask = check_frames("prime", prime, length=length, head=self.head)
        self.build_for(prime.shape[-1])
        batch_size = prime.shape[0]
        return self._generate(
            prime, mask, tf.fill([batch_size], num_steps), numerics.as_seed(seed),
            tf.fill([batch_size], float(temperature)))

    def generate_from(
        self, state: list[tf.Tensor], num_steps: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Draw frames from a state on; usable inside a graph.

        Args:
            state: state tensors (B, S_i).
            num_steps: how many frames each row draws, int32 (B,).
            seed: int32 (2,), or (B, 2) for one a row.
            temperature: (B,).

        Returns:
            Frames (B, max num_steps, V), zero from a row's own end on; and each row's state after
            its last frame.
        """
        return draw_frames(self, state, num_steps, seed, temperature)

    def draw_from(
        self, state: list[tf.Tensor], seed: tf.Tensor, temperature: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Draw the one frame that `generate_from` begins with, for less; usable inside a graph.

        Args:
            state: state tensors (B, S_i).
            seed: int32 (2,), or (B, 2) for one a row.
            temperature: (B,).

        Returns:
            The frame (B, V); and the state after it.
        """
        frame = self.head.sample(self.parameters(state), numerics.fold_later(seed, 0), temperature)
        return frame, self.step(frame, state)[1]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "seed": self.seed}

    def get_build_config(self) -> dict[str, object]:
        """What a loaded model needs to create its variables.

        Returns:
            A JSON-ready dictionary.
        """
        return {"num_visible": self.num_visible}

    def build_from_config(self, config: dict[str, int | None]) -> None:
        """Create the variables of a loaded model.

        Args:
            config: what `get_build_config` gave.
        """
        num_visible = config["num_visible"]
        if num_visible is not None:
            self.build_for(num_visible)

    def _build_parts(self, num_visible: int) -> None:
        self._build_chain(num_visible, num_visible)

    def _estimate_log_prob(
        self, frames: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, schedule: AISSchedule | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        parameters = self.call({"frames": frames, "mask": mask})
        places = tf.where(mask)
        log_prob, error = self.head.estimate_log_prob(
            tf.gather_nd(parameters, places), tf.gather_nd(frames, places), seed, schedule)
        rows, num_rows = places[:, 0], tf.shape(frames)[0]
        return (tf.math.unsorted_segment_sum(log_prob, rows, num_rows),
                tf.sqrt(tf.math.unsorted_segment_sum(error ** 2, rows, num_rows)))

    def _generate_from_prime(
        self,
        prime: tf.Tensor,
        mask: tf.Tensor,
        num_steps: tf.Tensor,
        seed: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tf.Tensor:
        state = self.advance(prime, mask, self.initial_state(tf.shape(prime)[0]))
        return self.generate_from(state, num_steps, seed, temperature)[0]
