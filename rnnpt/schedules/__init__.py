"""Learning rates and momenta as functions of the step alone: a resumed run goes on alike."""

from rnnpt.schedules.piecewise import MOMENTUM_LADDER, Doubling, ExponentiallySpaced, Piecewise
from rnnpt.schedules.schedule import StepSchedule, bounds_of
from rnnpt.schedules.smooth import LinearDecay, NesterovMomentum
from rnnpt.schedules.wrapper import Capped, FinalPhase

__all__ = [
    "Capped",
    "Doubling",
    "ExponentiallySpaced",
    "FinalPhase",
    "LinearDecay",
    "MOMENTUM_LADDER",
    "NesterovMomentum",
    "Piecewise",
    "StepSchedule",
    "bounds_of",
]
