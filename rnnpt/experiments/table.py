"""What a published table is: its rows, and what trains each of them. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping

#: Counting models that every evaluation measures, in its order; rows of these names need no run.
BASELINES = ("Frame N-gram", "Note N-gram", "Note 1-gram", "Copy the previous frame")


@dataclasses.dataclass(frozen=True)
class Run:
    """What trains a row on one data set.

    Args:
        config: One of `config.CONFIGS`.
        settings: What is changed of it, `key=value`.
    """

    config: str
    settings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        name: As the table has it.
        runs: By data set; a set without one cannot be run. None for a counting model.
        published: Test log-likelihood in nats a frame and accuracy by the 2012 rule in percent, by
            data set; a figure that was not published is None.
        against: The row whose time of the processor its curve is told over; None for its own.
    """

    name: str
    runs: Mapping[str, Run] | None
    published: Mapping[str, tuple[float | None, float | None]] = dataclasses.field(
        default_factory=dict)
    against: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A published table, or a comparison that a paper makes.

    Args:
        title: In words.
        rows: Of it, in order.
        note: What its reader must know besides, in Markdown.
        has_curves: Whether the log-likelihood of every epoch is kept over time; accuracies that
            are logged are in any case.
    """

    title: str
    rows: tuple[Row, ...]
    note: str = ""
    has_curves: bool = False

    @property
    def data(self) -> tuple[str, ...]:
        """The data sets that some row has a run or a published figure for, in order."""
        names = [name for row in self.rows for name in [*(row.runs or {}), *row.published]]
        return tuple(dict.fromkeys(names))

    @property
    def against(self) -> dict[str, str]:
        """By row, the one over whose time its curve is told; without rows told over their own."""
        return {row.name: row.against for row in self.rows if row.against is not None}
