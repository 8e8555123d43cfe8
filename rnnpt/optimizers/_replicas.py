"""An objective whose rows lie on several devices."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from rnnpt.optimizers.objective import CurvedObjective, Linearized, Objective, Tensors

Select = Callable[[CurvedObjective], Any]


class Replicas:
    """Losses, gradients and products of all replicas of a strategy, as means over their rows.

    Each is one compiled run on all replicas and one sum over them. The loop of conjugate gradients
    stays outside, since there is no sum over replicas inside a loop of `MirroredStrategy`.

    Args:
        strategy: of the variables.
        variables: what is trained.
        objective_of: gives, on a replica, the objective of its rows.

    Source: Sutskever 2013, section 5.4.2.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        variables: Sequence[keras.Variable],
        objective_of: Callable[[Any], CurvedObjective],
    ) -> None:
        self._strategy, self._variables = strategy, list(variables)
        self._objective_of = objective_of
        self._functions: dict[str, Callable[..., Any]] = {}

    def objective(self, data: Any) -> CurvedObjective:
        """The objective of a batch.

        Args:
            data: the rows of each replica, as a distributed data set gives them.

        Returns:
            For the context across replicas.
        """
        def part(name: str, select: Select) -> _Part:
            return _Part(self, self._variables, data, name, select)

        def held_out(count: int) -> _Part:
            def select(objective: CurvedObjective) -> Objective:
                assert objective.held_out is not None
                return objective.held_out(count)

            return part(f"held out, {count}", select)

        curved = part("curved", lambda objective: objective.curved)
        return CurvedObjective(
            part("whole", lambda objective: objective), curved,
            lambda _: self._linearize(curved, data),
            held_out=held_out,
            rows=part("rows", lambda objective: objective.rows))

    def mean(
        self, name: str, compute: Callable[..., Tensors], select: Select, *arguments: Any
    ) -> Tensors:
        """Means over all rows.

        Args:
            name: of what is computed, which is compiled once.
            compute: gives, on a replica, means over its rows, of its objective and arguments.
            select: which of the losses tells the number of the rows.
            *arguments: the data and more, those of a replica or those of all.

        Returns:
            The means, alike on all replicas.
        """
        def on_replica(data: Any, *arguments: Any) -> Tensors:
            objective = self._objective_of(data)
            found = compute(objective, *arguments)
            weight = tf.cast(select(objective).num_rows, found[0].dtype)
            # A replica without rows has no mean.
            *sums, weight = tf.distribute.get_replica_context().all_reduce(
                "SUM", [*(tf.math.multiply_no_nan(each, weight) for each in found), weight])
            return [each / weight for each in sums]

        return [self._strategy.experimental_local_results(each)[0]
                for each in self._run(name, on_replica, arguments)]

    def _run(
        self, name: str, on_replica: Callable[..., Tensors], arguments: Sequence[Any]
    ) -> Tensors:
        if name not in self._functions:
            self._functions[name] = tf.function(
                lambda *arguments: self._strategy.run(on_replica, args=arguments),
                reduce_retracing=True, autograph=False)
        return self._functions[name](*arguments)

    def _linearize(self, curved: Objective, data: Any) -> Linearized:
        start = curved.values()
        kept = self._run("kept", lambda data: self._objective_of(data).linearize().kept, [data])

        def product(tangents: Tensors, strength: tf.Tensor) -> Tensors:
            # The loss of an iterate may have been looked at since.
            curved.move_to(start)
            return self.mean(
                "product", lambda objective, kept, *vector: objective.linearize(kept).product(
                    *vector), lambda objective: objective.curved, data, kept, tangents, strength)

        return Linearized(product, [])


class _Part(Objective):
    """One of the losses of an objective, on all replicas."""

    def __init__(
        self,
        replicas: Replicas,
        variables: Sequence[keras.Variable],
        data: Any,
        name: str,
        select: Select,
    ) -> None:
        super().__init__(variables, self._value)
        self._replicas, self._data, self._name, self._select = replicas, data, name, select

    def _value(self) -> tf.Tensor:
        return self._mean("value", lambda loss: [loss.value()])[0]

    def value_and_gradient(self) -> tuple[tf.Tensor, Tensors]:
        """The loss and its gradient where the variables are.

        Returns:
            A scalar, and a tensor a variable.
        """
        def compute(part: Objective) -> Tensors:
            loss, gradient = part.value_and_gradient()
            return [loss, *gradient]

        loss, *gradient = self._mean("gradient", compute)
        return loss, gradient

    def mean_squared_gradient(self) -> Tensors:
        """The square of a row's gradient, its mean over rows, where the variables are.

        Returns:
            A tensor a variable.
        """
        return self._mean("squared gradient", lambda loss: loss.mean_squared_gradient())

    def _mean(self, name: str, compute: Callable[[Any], Tensors]) -> Tensors:
        select = self._select
        return self._replicas.mean(
            f"{self._name}: {name}", lambda objective: compute(select(objective)), select,
            self._data)
