"""Pre-training: plans of phases, their runner, what makes the data of a first phase, and starts."""
from rnnpt.pretraining.error import DivergenceError, PlanError, RunFolderError, TrainingInterrupted
from rnnpt.pretraining.greedy_stack import GreedyStack
from rnnpt.pretraining.hmm import HMM, FittedHMM, fit_hmm, load_hmm
from rnnpt.pretraining.input_start import start_inputs
from rnnpt.pretraining.linear_autoencoder import FittedAutoencoder, fit_linear_autoencoder
from rnnpt.pretraining.linear_start import fit_readout, initialize_recurrence, start_linearly
from rnnpt.pretraining.part import part_of
from rnnpt.pretraining.phase import Phase
from rnnpt.pretraining.plan import PlanResult, run_plan
from rnnpt.pretraining.probe import Probe
from rnnpt.pretraining.schedule import Schedule
from rnnpt.pretraining.separate import SeparateParts
from rnnpt.pretraining.start import Start, input_start, linear_start

__all__ = ["HMM", "DivergenceError", "FittedAutoencoder", "FittedHMM", "GreedyStack", "Phase",
           "PlanError", "PlanResult", "Probe", "RunFolderError", "Schedule", "SeparateParts",
           "Start", "TrainingInterrupted", "fit_hmm", "fit_linear_autoencoder", "fit_readout",
           "initialize_recurrence", "input_start", "linear_start", "load_hmm", "part_of",
           "run_plan", "start_inputs", "start_linearly"]
