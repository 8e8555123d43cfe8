"""Pre-training: plans of phases, their runner, and what makes the data of a first phase."""
from rnnpt.pretraining.error import DivergenceError, PlanError, RunFolderError, TrainingInterrupted
from rnnpt.pretraining.hmm import HMM, FittedHMM, fit_hmm
from rnnpt.pretraining.plan import Phase, PlanResult, run_plan

__all__ = ["HMM", "DivergenceError", "FittedHMM", "Phase", "PlanError", "PlanResult",
           "RunFolderError", "TrainingInterrupted", "fit_hmm", "run_plan"]
