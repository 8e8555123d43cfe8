"""What the optimizers of second order share: figures of each update, and an end to failing ones."""

import numbers
from collections.abc import Mapping

import keras
import tensorflow as tf

from rnnpt.optimizers.graph_error import NO_PROGRESS
from rnnpt.optimizers.objective_optimizer import ObjectiveOptimizer


class ReportingOptimizer(ObjectiveOptimizer):
    """An optimizer that tells what its updates did, and stops after too many that moved nothing.

    The models put its `figures` into the log of `fit`.

    Args:
        max_failures: updates in a row that move nothing before it stops.
        name: of the optimizer.

    Raises:
        ValueError: if `max_failures` is no positive integer.
    """

    #: The names of the figures.
    FIGURES: tuple[str, ...] = ()

    def __init__(self, max_failures: int = 20, name: str | None = None) -> None:
        self.check_counts(max_failures=max_failures)
        super().__init__(1.0, name=name)
        self.max_failures = max_failures

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the figures.

        Args:
            variables: that will be trained.

        Raises:
            ValueError: if they are of several dtypes.
        """
        if not self.built:
            dtypes = sorted({keras.backend.standardize_dtype(each.dtype) for each in variables})
            if len(dtypes) > 1:
                raise ValueError(
                    f"{type(self).__name__}: variables must be of one dtype, got "
                    f"{', '.join(dtypes)}; give all layers the same one")
            super().build(variables)
            # As one vector they meet what the optimizer keeps.
            self._dtype = dtypes[0]
            first = self.first_figures()
            # Set by initializers: what is assigned while a graph is made is lost.
            self._figures = {
                name: self.add_variable(
                    (), keras.initializers.Constant(first.get(name, 0.0)), dtype=self._dtype,
                    name=name)
                for name in self.FIGURES}
            self._failures = self.add_variable((), name="failures")

    @property
    def figures(self) -> dict[str, tf.Tensor]:
        """What the last update did, by name."""
        return {name: tf.convert_to_tensor(variable) for name, variable in self._figures.items()}

    def first_figures(self) -> dict[str, float]:
        """Figures that an update begins with, and that are not 0 at first.

        Returns:
            Numbers by name.
        """
        return {}

    def report(
        self,
        has_moved: tf.Tensor,
        figures: Mapping[str, tf.Tensor],
        advice: str,
        told: Mapping[str, tf.Tensor],
    ) -> None:
        """Keep the figures of an update, and stop if it was one failure too many.

        `fit` of the models then raises a `NoProgressError`.

        Args:
            has_moved: whether it moved the parameters ().
            figures: of the update, all of them, scalars by name.
            advice: against updates that move nothing.
            told: further scalars that the error tells, by what they are.
        """
        failures = tf.where(has_moved, 0.0, tf.cast(self._failures, tf.float32) + 1)
        self._failures.assign(tf.cast(failures, self._failures.dtype))
        for name in self.FIGURES:
            self._figures[name].assign(tf.cast(figures[name], self._figures[name].dtype))
        values = [part for name, value in told.items() for part in (f"{name} =", value)]
        tf.debugging.Assert(failures < self.max_failures, [
            f"{type(self).__name__}: {NO_PROGRESS}, got {self.max_failures} in a row that did not "
            f"({advice});", *values, "in step", self._iterations + 1])

    def check_counts(self, **counts: int | None) -> None:
        """Refuse what is neither a positive integer nor left out.

        Args:
            **counts: by the names of arguments.

        Raises:
            ValueError: if one is something else.
        """
        for word, count in counts.items():
            if count is not None and (not isinstance(count, numbers.Integral) or count < 1):
                raise ValueError(
                    f"{type(self).__name__}: {word} must be a positive integer, got {count!r}; "
                    "leave it out for its default")

    def check_ranges(self, **ranges: tuple[float, float]) -> None:
        """Refuse numbers below 0, or too high, or none.

        Args:
            **ranges: a number and the highest that it may be, by the names of arguments.

        Raises:
            ValueError: if one is out of its range.
        """
        for word, (number, high) in ranges.items():
            if not 0 <= number <= high:
                raise ValueError(
                    f"{type(self).__name__}: {word} must be from 0 to {high:.3g}, got {number}; "
                    "the default is a good start")
