"""Probes: figures of the model under training that the log has beside Keras' own."""
import dataclasses
from collections.abc import Callable

from rnnpt.pretraining.error import check_count


@dataclasses.dataclass(frozen=True)
class Probe:
    """A figure that a plan measures every so many epochs.

    Its time is no part of an epoch's seconds. It must follow from the weights alone, so that a run
    that was stopped logs what an unbroken one does.

    Args:
        name: Of its column in the log; what it took stands in another, with "_seconds" behind.
        every: Epochs of a phase from one to the next; a phase's last possible one has it too.
        measure: Gives it, for the weights that the model has then.

    Raises:
        PlanError: If `every` is not an integer of at least 1.

    Example:
        >>> probe = Probe("val_accuracy", 10, lambda: 50.0)
        >>> [epoch for epoch in range(1, 26) if probe.is_due(epoch, 25)]
        [10, 20, 25]
    """

    name: str
    every: int
    measure: Callable[[], float]

    def __post_init__(self) -> None:
        check_count("every", self.every)

    def is_due(self, epoch: int, last: int) -> bool:
        """Whether an epoch is one that is measured after.

        Args:
            epoch: Of the phase, from 1.
            last: Most epochs of the phase.

        Returns:
            True if so.
        """
        return epoch % self.every == 0 or epoch == last
