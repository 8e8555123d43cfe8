"""The six signatures of a served model, as functions of tensors alone.

The server keeps nothing between two calls: the state goes out and comes back packed, (B, S). Each
row draws from its own seed, so that its answer does not depend on its neighbours.
"""

from collections.abc import Callable

import tensorflow as tf

from rnnpt import numerics
from rnnpt.export._check import check_inputs
from rnnpt.export._option import ExportOptions
from rnnpt.models import SequenceModel

#: Inputs of each signature, in the order of the functions' arguments.
INPUTS = {
    "serving_default": ("frames", "length"),
    "start": ("session",),
    "step": ("frame", "state", "seed", "temperature"),
    "draw": ("state", "seed", "temperature"),
    "generate": ("state", "frames", "length", "num_steps", "seed", "temperature"),
    "score": ("frames", "length"),
}

Outputs = dict[str, tf.Tensor]


class Signatures:
    """The signatures of one model.

    It is no `tf.Module` on purpose: whatever a saved module holds is exported with it, and of a
    Keras model that would be the optimizer and the metrics too.

    Args:
        model: The model, built.
        options: What is fixed when it is exported.
    """

    def __init__(self, model: SequenceModel, options: ExportOptions) -> None:
        self.model = model
        self.options = options
        self.specs = _specs(model)

    def functions(self) -> dict[str, Callable]:
        """The signatures, ready to be saved.

        Returns:
            Name -> concrete function; a `tf.function` would be traced when it is saved and once
            more when it is called.
        """
        return {
            name: tf.function(getattr(self, name)).get_concrete_function(
                *(self.specs[key] for key in inputs))
            for name, inputs in INPUTS.items()}

    def serving_default(self, frames: tf.Tensor, length: tf.Tensor) -> Outputs:
        """What comes next.

        Args:
            frames: (B, T, V).
            length: How many frames of each row are real (B,).

        Returns:
            "probabilities" (B, V) of the frame after the last real one.
        """
        inputs = self._check(frames=frames, length=length)
        num_rows = tf.shape(inputs["frames"])[0]
        state = self._advance(inputs, self.model.initial_state(num_rows))
        # The same seed for each row: equal rows get equal answers.
        seed = tf.tile(numerics.as_seed(self.options.seed)[tf.newaxis], [num_rows, 1])
        mean = self.model.head.mean(self.model.parameters(state), seed)
        return {"probabilities": tf.ensure_shape(mean, self.specs["frame"].shape)}

    def start(self, session: tf.Tensor) -> Outputs:
        """The state before the first frame.

        Args:
            session: Any numbers (B,); their count is B.

        Returns:
            "state" (B, S).
        """
        session = self._check(session=session)["session"]
        return {"state": self._pack(self.model.initial_state(tf.shape(session)[0]))}

    def step(
        self, frame: tf.Tensor, state: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor
    ) -> Outputs:
        """Hear one frame and draw the next.

        Args:
            frame: (B, V).
            state: (B, S).
            seed: One a row (B, 2).
            temperature: Of the sample, one a row (B,).

        Returns:
            "probabilities" (B, V) of the next frame under the model itself, at temperature 1; one
            "sample" (B, V) of it; "state" (B, S) after the frame that was heard.
        """
        inputs = self._check(frame=frame, state=state, seed=seed, temperature=temperature)
        parameters, new_state = self.model.step(inputs["frame"], self._unpack(inputs["state"]))
        sample, mean = (
            tf.ensure_shape(frames, self.specs["frame"].shape)
            for frames in self.model.head.sample_and_mean(
                parameters, inputs["seed"], inputs["temperature"]))
        return {
            "probabilities": mean,
            "sample": sample,
            "state": self._pack(new_state),
        }

    def draw(self, state: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Outputs:
        """Draw one frame and hear it: what `generate` of one frame does, without what it can.

        Live players ask for nothing else, and each asks many times a second.

        Args:
            state: Where to go on from (B, S).
            seed: One a row (B, 2).
            temperature: One a row (B,).

        Returns:
            One "sample" (B, V) of the next frame, and "state" (B, S) after it.
        """
        inputs = self._check(state=state, seed=seed, temperature=temperature)
        sample, new_state = self.model.draw_from(
            self._unpack(inputs["state"]), inputs["seed"], inputs["temperature"])
        return {"sample": tf.ensure_shape(sample, self.specs["frame"].shape),
                "state": self._pack(new_state)}

    def generate(
        self,
        state: tf.Tensor,
        frames: tf.Tensor,
        length: tf.Tensor,
        num_steps: tf.Tensor,
        seed: tf.Tensor,
        temperature: tf.Tensor,
    ) -> Outputs:
        """Hear some frames and draw many.

        Args:
            state: Where to go on from (B, S).
            frames: Heard first (B, T, V).
            length: How many frames of each row are real (B,), 0 for none.
            num_steps: How many to draw for each row (B,).
            seed: One a row (B, 2).
            temperature: One a row (B,).

        Returns:
            "frames" (B, max num_steps, V), zero past a row's own "length" (B,); and each row's
            "state" (B, S) after its last frame.
        """
        inputs = self._check(
            state=state, frames=frames, length=length, num_steps=num_steps, seed=seed,
            temperature=temperature)
        heard = self._advance(inputs, self._unpack(inputs["state"]))
        drawn, last = self.model.generate_from(
            heard, inputs["num_steps"], inputs["seed"], inputs["temperature"])
        return {
            "frames": tf.ensure_shape(drawn, self.specs["frames"].shape),
            "length": inputs["num_steps"],
            "state": self._pack(last),
        }

    def score(self, frames: tf.Tensor, length: tf.Tensor) -> Outputs:
        """How likely whole sequences are.

        Args:
            frames: (B, T, V).
            length: How many frames of each row are real (B,).

        Returns:
            "log_likelihood" (B,) in nats, in total; its "standard_error" (B,), 0 where exact; and
            "frames_scored" (B,).
        """
        inputs = self._check(frames=frames, length=length)
        # One step of padding more: TensorFlow cannot stack the outputs of no steps at all.
        frames, length = tf.pad(inputs["frames"], [[0, 0], [0, 1], [0, 0]]), inputs["length"]
        num_rows, num_steps = tf.unstack(tf.shape(frames)[:2])
        mask = tf.sequence_mask(length, num_steps)
        parameters = self.model.call({"frames": frames, "mask": mask})
        places = tf.where(mask)
        # A seed for each step, the same in every row: errors of one row's steps are independent,
        # and a row's answer is its own.
        seed = numerics.as_seed(self.options.seed)
        seeds = tf.map_fn(lambda step: numerics.fold_in(seed, step), tf.range(num_steps))
        log_prob, error = self.model.head.estimate_log_prob(
            tf.gather_nd(parameters, places), tf.gather_nd(frames, places),
            tf.gather(seeds, places[:, 1]), self.options.schedule)
        rows = places[:, 0]
        return {
            "log_likelihood": tf.math.unsorted_segment_sum(log_prob, rows, num_rows),
            "standard_error": tf.sqrt(tf.math.unsorted_segment_sum(error ** 2, rows, num_rows)),
            "frames_scored": length,
        }

    def _check(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        maxima = {"frames": self.options.max_steps, "num_steps": self.options.max_num_steps}
        return check_inputs(inputs, self.specs, maxima)

    def _advance(self, inputs: dict[str, tf.Tensor], state: list[tf.Tensor]) -> list[tf.Tensor]:
        mask = tf.sequence_mask(inputs["length"], tf.shape(inputs["frames"])[1])
        return self.model.advance(inputs["frames"], mask, state)

    def _pack(self, state: list[tf.Tensor]) -> tf.Tensor:
        return tf.ensure_shape(numerics.pack(state), self.specs["state"].shape)

    def _unpack(self, state: tf.Tensor) -> list[tf.Tensor]:
        return numerics.unpack(state, self.model.state_sizes)


def _specs(model: SequenceModel) -> dict[str, tf.TensorSpec]:
    """Name -> what a signature declares of the input of that name."""
    num_visible, state_size = model.num_visible, sum(model.state_sizes)
    shapes = {
        "frames": ([None, None, num_visible], tf.float32),
        "frame": ([None, num_visible], tf.float32),
        "state": ([None, state_size], tf.float32),
        "temperature": ([None], tf.float32),
        "length": ([None], tf.int32),
        "num_steps": ([None], tf.int32),
        "seed": ([None, 2], tf.int32),
        "session": ([None], tf.int32),
    }
    return {name: tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in shapes.items()}
