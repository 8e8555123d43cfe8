"""Pre-training: plans of phases, their runner, and what makes the data of a first phase."""
from rnnpt.pretraining.error import (
    DivergenceError,
    PlanError,
    RunFolderError,
    TrainingInterrupted,
)
from rnnpt.pretraining.plan import Phase, PlanResult, run_plan

__all__ = ["DivergenceError", "Phase", "PlanError", "PlanResult", "RunFolderError",
           "TrainingInterrupted", "run_plan"]
