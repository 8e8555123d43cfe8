"""Variables that training keeps to itself, and what it carries from one batch to the next."""

import tensorflow as tf


class HiddenVariable:
    """A variable out of sight of Keras, of checkpoints and of exports.

    Args:
        variable: of TensorFlow.
    """

    def __init__(self, variable: tf.Variable) -> None:
        self._variable = variable

    def assign(self, value: int | tf.Tensor) -> None:
        """Change the value.

        Args:
            value: of the variable's shape.
        """
        self._variable.assign(value)

    @property
    def value(self) -> tf.Tensor:
        """The present value."""
        return self._variable.read_value()


class Carried(HiddenVariable):
    """One value a row that a batch leaves to the next; each replica of a strategy has its own.

    Args:
        *shape: of one row's value.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__(tf.Variable(
            tf.zeros([0, *shape]), trainable=False, shape=[None, *shape],
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA))
        self._shape = shape

    def read(self, starts: tf.Tensor) -> tf.Tensor:
        """What the batch before has left.

        Args:
            starts: True where a row does not go on from it (B,).

        Returns:
            (B, ...), zero where no row goes on.
        """
        value = self.value
        check = tf.debugging.Assert(
            tf.logical_or(tf.shape(value)[0] == tf.shape(starts)[0], tf.reduce_all(starts)),
            ["starts must be True in the first batch and where the batch size changes: there is no "
             "state to go on from; got starts of", starts])
        # Else the sizes that do not match may be told of first, in TensorFlow's words.
        with tf.control_dependencies([check]):
            nothing = tf.zeros(tf.concat([tf.shape(starts), tf.shape(value)[1:]], axis=0))
            value = tf.cond(tf.reduce_all(starts), lambda: nothing, lambda: value)
        return tf.ensure_shape(value, [None, *self._shape])
