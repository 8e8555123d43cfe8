"""Long short-term memory as in Sutskever's thesis: a recurrent layer beside gated memory units."""

import math
from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells.cell import Cell


@keras.saving.register_keras_serializable(package="rnnpt")
class LSTMCell(Cell):
    """The thesis' LSTM: hidden units with a recurrence of their own, and memory units they gate.

    Use it where the past matters for longer than a simple cell remembers. It is not Keras'
    LSTM, whose only hidden units are the memory units let out, and whose gates see the hidden
    units of the step before; here they see the new ones.

    Equation: with [a, b] one vector after the other, s the sigmoid, and the gates' products of
    one matrix,

        h_t = tanh(frames_t kernel_h + [h_(t-1), m~_(t-1)] recurrent_kernel + bias_h)
        g_t = frames_t kernel_g + [h_t, m~_(t-1)] gate_kernel + bias_g
        m_t = m_(t-1) s(forget_t) + tanh(input_t) s(input_gate_t)
        m~_t = m_t s(output_t)

    where g_t is [input_gate_t, output_t, forget_t, input_t]. The states are [h, m~] and m, all
    learned at the start; the output is [h, m~], H + N wide, both of which the thesis' readout sees.

    Args:
        units: H, the number of hidden units.
        num_memory: N, the number of memory units; as many as hidden ones where None.
        forget_bias: what the bias of the forget gates starts at; at 5 they forget 0.7 % a step.
            The other biases, which the thesis does not write, start at 0.
        kernel_initializer: how the kernel (V, H + 4 N) starts.
        recurrent_kernel_initializer: how the kernel of h (H + N, H) starts.
        gate_kernel_initializer: how the kernel of the gates (H + N, 4 N) starts.
        **kwargs: of `Cell`.

    Raises:
        ValueError: if a number of units is no positive integer, or the bias is not finite.

    Source: Sutskever 2013, eqs. 2.37 to 2.44.
    """

    # The memory grows by less than 1 a step, which no sequence can make overflow.
    bounded = True

    def __init__(
        self,
        units: int,
        num_memory: int | None = None,
        forget_bias: float = 5.0,
        kernel_initializer: object = "glorot_uniform",
        recurrent_kernel_initializer: object = "orthogonal",
        gate_kernel_initializer: object = "orthogonal",
        **kwargs: Any,
    ) -> None:
        num_memory = units if num_memory is None else num_memory
        super().__init__(state_sizes=[units, num_memory], **kwargs)
        if not math.isfinite(forget_bias):
            raise ValueError(
                f"LSTMCell: forget_bias must be a finite number, got {forget_bias}; 5 keeps the "
                "memory at first")
        self.units = units
        self.num_memory = num_memory
        self.forget_bias = forget_bias
        self.output_size = units + num_memory
        self.state_size = [self.output_size, num_memory]
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_kernel_initializer = keras.initializers.get(recurrent_kernel_initializer)
        self.gate_kernel_initializer = keras.initializers.get(gate_kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels and the biases.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units + 4 * self.num_memory),
            initializer=self.kernel_initializer)
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.output_size, self.units),
            initializer=self.recurrent_kernel_initializer)
        self.gate_kernel = self.add_weight(
            name="gate_kernel", shape=(self.output_size, 4 * self.num_memory),
            initializer=self.gate_kernel_initializer)
        self.bias = self.add_weight(
            name="bias", shape=(self.units + 4 * self.num_memory,), initializer=self._first_bias)
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """What the frames add to the hidden units and to the gates, for all steps in one product.

        Args:
            frames: (..., V).

        Returns:
            Projected frames (..., H + 4 N).
        """
        return tf.nn.bias_add(tf.tensordot(frames, self.kernel, axes=1), self.bias)

    def advance(self, projected: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The states after one more frame.

        Args:
            projected: one step of `project_inputs` (B, H + 4 N).
            states: [h, m~] (B, H + N) and m (B, N).

        Returns:
            The new states.
        """
        outputs, memory = states
        added, gates = tf.split(projected, [self.units, 4 * self.num_memory], axis=-1)
        hidden = tf.tanh(added + tf.matmul(outputs, self.recurrent_kernel))
        _, shown = tf.split(outputs, [self.units, self.num_memory], axis=-1)
        gates += tf.matmul(tf.concat([hidden, shown], axis=-1), self.gate_kernel)
        gates, new = tf.split(gates, [3 * self.num_memory, self.num_memory], axis=-1)
        input_gate, output_gate, forget_gate = tf.split(tf.sigmoid(gates), 3, axis=-1)
        memory = memory * forget_gate + tf.tanh(new) * input_gate
        return [tf.concat([hidden, memory * output_gate], axis=-1), memory]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "units": self.units,
            "num_memory": self.num_memory,
            "forget_bias": self.forget_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_kernel_initializer": keras.initializers.serialize(
                self.recurrent_kernel_initializer),
            "gate_kernel_initializer": keras.initializers.serialize(self.gate_kernel_initializer),
        }

    def _first_bias(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        start, end = self.units + 2 * self.num_memory, self.units + 3 * self.num_memory
        is_forget = (tf.range(shape[0]) >= start) & (tf.range(shape[0]) < end)
        return self.forget_bias * tf.cast(is_forget, dtype)
