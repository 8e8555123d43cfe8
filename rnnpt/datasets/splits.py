"""A data set in three: what to train on, what to choose by and what to report."""

from dataclasses import dataclass

from rnnpt.datasets.sequence import Sequences


@dataclass(frozen=True)
class Splits:
    """A data set: what to train on, what to stop and choose by, and what to report.

    Args:
        train: Pieces to train on.
        valid: Pieces to choose hyper-parameters and the stopping epoch by.
        test: Pieces to report.
        name: Name of the data set, for tables and run folders.
        steps_per_quarter: Frames in a quarter note, to read and write MIDI on the same grid.

    Raises:
        ValueError: If the widths of the three differ.
    """

    train: Sequences
    valid: Sequences
    test: Sequences
    name: str = "unnamed"
    steps_per_quarter: int = 1

    def __post_init__(self) -> None:
        widths = [split.num_visible for split in (self.train, self.valid, self.test)]
        if len(set(widths)) != 1:
            raise ValueError(
                "`train`, `valid` and `test` must have frames of one width. Received: widths "
                f"{widths}. Make them equally wide.")

    @property
    def num_visible(self) -> int:
        """Width V of a frame."""
        return self.train.num_visible
