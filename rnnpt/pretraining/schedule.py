"""What schedules of pre-training have in common: phases, the data of these, and a run of both."""
import abc
from collections.abc import Callable
from pathlib import Path

import keras

from rnnpt.datasets import Sequences
from rnnpt.pretraining.phase import Phase
from rnnpt.pretraining.plan import PlanResult, run_plan

Source = Callable[[], Sequences]


class Schedule(abc.ABC):
    """The first phases of a plan, which make a start for training on the data themselves.

    `run` carries them out alone; `phases` and `sources` go before what else a plan has.
    """

    seed: int

    @abc.abstractmethod
    def phases(self) -> list[Phase]:
        """Describe the pre-training.

        Returns:
            Phases of a plan, in order.
        """

    def sources(self, sequences: Sequences, directory: Path | None = None) -> dict[str, Source]:
        """Say how the data of the phases are made.

        Args:
            sequences: The training data.
            directory: The run folder, for what is dear to make twice; None keeps nothing.

        Returns:
            What makes the data of each name that a phase has; "train" is the training data.
        """
        return {"train": lambda: sequences}

    def run(self, model: keras.Model, sequences: Sequences, valid: Sequences | None = None,
            directory: Path | None = None, progress: bool | None = None) -> PlanResult:
        """Pre-train a model; compile and fit it on the data afterwards.

        Args:
            model: A `SequenceModel` that has what the schedule trains.
            sequences: The training data.
            valid: Data of the validation after every epoch, or None.
            directory: The run folder, or None to keep nothing.
            progress: See `run_plan`.

        Returns:
            The history of the pre-training; `model` holds its weights.
        """
        folder = None if directory is None else Path(directory)
        return run_plan(model, self.phases(), self.sources(sequences, folder), valid, self.seed,
                        folder, progress)
