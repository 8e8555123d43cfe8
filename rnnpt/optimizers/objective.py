"""The door for optimizers that need the loss itself, and not its gradient alone."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import keras
import tensorflow as tf

Tensors = list[tf.Tensor]


class Objective:
    """The loss of one batch, as a function of the variables.

    A model makes one in its `train_step` and hands it to `ObjectiveOptimizer.minimize`. It must be
    deterministic: the same values give the same loss, however often and in whatever order it is
    asked for.

    Args:
        variables: what is trained.
        loss: gives the loss, a scalar, at what the variables hold when it is called.
        num_rows: how many rows it is the mean of, by which those of several devices are weighted.

    Example:
        >>> weight = tf.Variable([3.0])
        >>> objective = Objective([weight], lambda: tf.reduce_sum(weight ** 2))
        >>> loss, [gradient] = objective.value_and_gradient_at([tf.constant([2.0])])
        >>> float(loss), float(gradient[0])
        (4.0, 4.0)
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        loss: Callable[[], tf.Tensor],
        num_rows: int | tf.Tensor = 1,
    ) -> None:
        self.variables, self.num_rows = list(variables), num_rows
        #: Those that the last gradient did not hang on.
        self.unconnected: list[keras.Variable] = []
        self._loss = loss

    def values(self) -> list[tf.Tensor]:
        """What the variables hold.

        Returns:
            A tensor a variable, which stays when the variable moves.
        """
        return [tf.identity(tf.convert_to_tensor(variable)) for variable in self.variables]

    def move_to(self, values: Sequence[tf.Tensor]) -> None:
        """Put values into the variables.

        Args:
            values: a tensor a variable.
        """
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def value_at(self, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """The loss at a point; the variables stay there.

        Args:
            values: a tensor a variable.

        Returns:
            A scalar.
        """
        self.move_to(values)
        return self.value()

    def value_and_gradient_at(
        self, values: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The loss and its gradient at a point; the variables stay there.

        Args:
            values: a tensor a variable.

        Returns:
            A scalar, and a tensor a variable, zero where the loss does not hang on it.
        """
        self.move_to(values)
        return self.value_and_gradient()

    def value(self) -> tf.Tensor:
        """The loss where the variables are.

        Returns:
            A scalar.
        """
        return self._loss()

    def value_and_gradient(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The loss and its gradient where the variables are.

        Returns:
            A scalar, and a tensor a variable, zero where the loss does not hang on it.
        """
        return self._value_and_gradient(self._loss)

    def _value_and_gradient(
        self, loss_of: Callable[[], tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        # Keras' variables hold those that the tape knows.
        variables = [getattr(variable, "value", variable) if isinstance(variable, keras.Variable)
                     else variable for variable in self.variables]
        with tf.GradientTape() as tape:
            loss = loss_of()
        gradients = tape.gradient(loss, variables)
        self.unconnected = [
            variable for variable, gradient in zip(self.variables, gradients) if gradient is None]
        # The gradient of an embedding has rows only.
        return loss, [
            tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
            for variable, gradient in zip(variables, gradients)]


class SummedObjective(Objective):
    """A loss that is a sum over parts of a batch, so that one part at a time needs memory.

    Args:
        variables: what is trained.
        loss_of_part: gives the loss of a part by its index, at what the variables hold.
        num_parts: how many there are, at least 1.
        num_rows: as of `Objective`.

    Example:
        >>> weight, rows = tf.Variable(3.0), tf.constant([1.0, 2.0])
        >>> objective = SummedObjective([weight], lambda part: rows[part] * weight ** 2, 2)
        >>> loss, [gradient] = objective.value_and_gradient_at([tf.constant(2.0)])
        >>> float(loss), float(gradient)
        (12.0, 12.0)
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        loss_of_part: Callable[[tf.Tensor], tf.Tensor],
        num_parts: int | tf.Tensor,
        num_rows: int | tf.Tensor = 1,
    ) -> None:
        super().__init__(variables, self._sum, num_rows)
        self._loss_of_part, self._num_parts = loss_of_part, num_parts

    def value_and_gradient(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The loss and its gradient where the variables are.

        Returns:
            A scalar, and a tensor a variable, zero where the loss does not hang on it.
        """
        def of_part(part: tf.Tensor) -> list[tf.Tensor]:
            loss, gradient = self._value_and_gradient(lambda: self._loss_of_part(part))
            return [loss, *gradient]

        loss, *gradient = self._over_parts(of_part, [self._no_loss(), *self._no_gradient()])
        return loss, gradient

    def mean_squared_gradient(self) -> list[tf.Tensor]:
        """The square of a part's gradient, its mean over parts, where the variables are.

        Returns:
            A tensor a variable.
        """
        squares = self._over_parts(lambda part: [
            slope ** 2 for slope in self._value_and_gradient(lambda: self._loss_of_part(part))[1]],
            self._no_gradient())
        return [square / tf.cast(self._num_parts, square.dtype) for square in squares]

    def _sum(self) -> tf.Tensor:
        return self._over_parts(lambda part: [self._loss_of_part(part)], [self._no_loss()])[0]

    def _over_parts(
        self, of_part: Callable[[tf.Tensor], list[tf.Tensor]], zeros: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        _, *sums = tf.while_loop(
            lambda part, *_: part < self._num_parts,
            lambda part, *sums: (
                part + 1, *(one + other for one, other in zip(sums, of_part(part)))),
            (tf.constant(0), *zeros), parallel_iterations=1)
        return sums

    def _no_gradient(self) -> list[tf.Tensor]:
        return [tf.zeros(variable.shape, variable.dtype) for variable in self.variables]

    def _no_loss(self) -> tf.Tensor:
        return tf.zeros([], self.variables[0].dtype)


class Linearized(NamedTuple):
    """A Gauss-Newton matrix where the variables were when it was made.

    Args:
        product: the matrix times a vector, a tensor a variable, its second argument the strength of
            structural damping.
        kept: what its forward pass has computed, as far as another can be made of it.
    """

    product: Callable[[Tensors, tf.Tensor], Tensors]
    kept: Tensors


class SquaredGradients(Protocol):
    """A loss of rows that can be told apart."""

    def mean_squared_gradient(self) -> Tensors:
        """The square of a row's gradient, its mean over rows, where the variables are.

        Returns:
            A tensor a variable.
        """


class CurvedObjective(Objective):
    """A loss with a Gauss-Newton matrix, which may be that of a smaller batch.

    Args:
        whole: the loss of the gradient batch.
        curved: that of the curvature batch, of the same variables.
        linearize: gives the Gauss-Newton matrix of the curvature batch where the variables are now;
            its argument is what another one kept that was made of the same there, or nothing.
        held_out: gives the loss of so many sequences that follow those of the curvature batch,
            where there can be any.
        rows: the loss of the curvature batch, each of its sequences a part, of which it is the
            mean; where the sequences can be told apart.

    Source: Sutskever 2013, algorithm 5.
    """

    def __init__(
        self,
        whole: Objective,
        curved: Objective,
        linearize: Callable[[Tensors], Linearized],
        held_out: Callable[[int], Objective] | None = None,
        rows: SquaredGradients | None = None,
    ) -> None:
        super().__init__(whole.variables, whole.value, whole.num_rows)
        self.whole, self.curved = whole, curved
        self.held_out, self.rows = held_out, rows
        self._linearize_from = linearize

    def linearize(self, kept: Sequence[tf.Tensor] = ()) -> Linearized:
        """The Gauss-Newton matrix of the curvature batch where the variables are now.

        Args:
            kept: of one that was made there before, for one without another forward pass.

        Returns:
            It, which stays as it is when the variables move.
        """
        return self._linearize_from(list(kept))

    def value_and_gradient(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The loss of the gradient batch and its gradient where the variables are.

        Returns:
            A scalar, and a tensor a variable.

        Raises:
            ValueError: if the loss does not hang on one of the variables.
        """
        loss, gradient = self.whole.value_and_gradient()
        if self.whole.unconnected:
            names = [
                getattr(variable, "path", variable.name) for variable in self.whole.unconnected]
            raise ValueError(
                "CurvedObjective: the loss must hang on every variable, got no gradient for "
                f"{', '.join(names)}; set trainable = False there, or leave them out")
        return loss, gradient
