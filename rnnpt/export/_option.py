"""What an export is made with, and the error that says why it cannot be made."""

import dataclasses
import re

from rnnpt.heads import AISSchedule


class ExportError(ValueError):
    """An export that cannot be made, of which nothing is left behind, or that cannot be played."""


def one_line(error: object) -> str:
    """What an error says, without TensorFlow's places in the graph.

    Args:
        error: An error, or its text.

    Returns:
        One line.
    """
    text = re.sub(r"\[*\{\{.*\}\}\S*|\[Op:\w+\]", "", str(error))
    return " ".join(text.split())


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is fixed when a model is exported.

    Args:
        max_steps: The longest T that the server accepts.
        max_num_steps: The most frames that one call draws.
        schedule: Work of `score` for each frame, where the head is not exact.
        seed: Of `serving_default` and `score`, where the head is not exact.
    """

    max_steps: int
    max_num_steps: int
    schedule: AISSchedule
    seed: int

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_num_steps"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value < 2**31:
                raise ExportError(
                    f"{name} must be a positive integer of 32 bits, got {value!r}; the server "
                    "refuses longer requests, so choose the longest you want it to answer")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**62:
            raise ExportError(
                f"seed must be an integer from 0 to 2^62 - 1, got {self.seed!r}; 0 will do")
        if not isinstance(self.schedule, AISSchedule):
            raise TypeError(
                f"schedule must be an AISSchedule, got {type(self.schedule).__name__}; make one "
                "with rnnpt.heads.AISSchedule")
