"""What can go wrong between a plan and its end."""


class PlanError(ValueError):
    """A plan that cannot be carried out as it is written; the root of this room's errors."""


class RunFolderError(PlanError):
    """A run folder that holds something else than this plan's run."""


class DivergenceError(PlanError):
    """A training whose loss is no longer a finite number."""


class TrainingInterrupted(KeyboardInterrupt):
    """A training that was stopped from the keyboard; the message says where it stands."""


def check_count(name: str, value: object) -> None:
    """Refuse what is no count of at least one.

    Args:
        name: Of the argument.
        value: What came for it.

    Raises:
        PlanError: If `value` is not an integer of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PlanError(f"`{name}` must be an integer of at least 1. Received: {name}={value!r}. "
                        "Pass a positive number.")
