"""What can go wrong between a plan and its end."""


class PlanError(ValueError):
    """A plan that cannot be carried out as it is written; the root of this room's errors."""


class RunFolderError(PlanError):
    """A run folder that holds something else than this plan's run."""


class DivergenceError(PlanError):
    """A training whose loss is no longer a finite number."""


class TrainingInterrupted(KeyboardInterrupt):
    """A training that was stopped from the keyboard; the message says where it stands."""
