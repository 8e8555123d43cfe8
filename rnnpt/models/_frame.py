"""What models of single frames share: how they are built, and the checks of their frames."""

import keras
import numpy as np
import tensorflow as tf

from rnnpt.heads import RBMHead
from rnnpt.models import _batch


class FrameModel(keras.Model):
    """A model of frames that have no order.

    A subclass gives `_build_parts`, which creates the variables, and `head`.

    Args:
        **kwargs: of `keras.Model`.
    """

    head: RBMHead
    num_visible: int | None = None

    def build_for(self, num_visible: int) -> None:
        """Create the variables; calling it again changes nothing.

        Args:
            num_visible: V, the width of a frame.

        Raises:
            ValueError: if the model was built for another width.
        """
        if self.num_visible is None:
            self._build_parts(num_visible)
            self.num_visible = num_visible
            self.built = True
        elif num_visible != self.num_visible:
            raise ValueError(
                f"frames must be {self.num_visible} wide, as the model was built, got "
                f"{num_visible}; give frames of that width or make a new model")

    def build(self, frames_shape: tuple[int, ...]) -> None:
        """Create the variables, as Keras asks for it.

        Args:
            frames_shape: (B, V).
        """
        self.build_for(frames_shape[-1])

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
        if config["num_visible"] is not None:
            self.build_for(config["num_visible"])

    def _build_parts(self, num_visible: int) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no _build_parts")

    def _check(self, frames: object) -> tf.Tensor:
        """Frames (N, V) from outside as a tensor, the model built for them."""
        values = np.asarray(frames)
        if values.ndim != 2:
            raise ValueError(
                f"frames must have the shape (frames, units), got {values.shape}; a single frame "
                "is a batch of one, and the frames of sequences are to be joined")
        self.build_for(values.shape[-1])
        tensor = _batch.check_frames("frames", values[np.newaxis], head=self.head)[0][0]
        return tf.cast(tensor, self.compute_dtype)

    def _check_data(self, x: object) -> object:
        """What a trainer is given, the model built for it; batches are asserted in the graph."""
        if not isinstance(x, tf.data.Dataset):
            return self._check(x)
        spec = x.element_spec
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank != 2 or spec.shape[-1] is None:
            raise ValueError(
                f"a dataset must be of batches of frames (B, V) and no targets, got {spec}; map "
                "its elements to such tensors")
        self.build_for(spec.shape[-1])
        return x

    def _check_draw(self, num_frames: int, num_steps: int) -> None:
        """Refuse a draw from a model without variables, and counts that are none."""
        if self.num_visible is None:
            raise ValueError(
                "a model must be built before it is sampled, got one of no width; call fit or "
                "build_for first")
        for name, value in (("num_frames", num_frames), ("num_steps", num_steps)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{name} must be a positive integer, got {value!r}; chains of 1,000 steps are "
                    "a fair start")
