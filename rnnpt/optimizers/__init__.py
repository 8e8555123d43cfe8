"""Keras optimizers, and the pure rules that they are made of."""

from rnnpt.optimizers._damping import LevenbergMarquardt
from rnnpt.optimizers.augmented_hessian_free import AugmentedHessianFree
from rnnpt.optimizers.callback import LogSchedules, SwapLookAhead
from rnnpt.optimizers.curvature_optimizer import CurvatureOptimizer
from rnnpt.optimizers.curvature_training import CurvatureTraining
from rnnpt.optimizers.divergence import NonFiniteLossError, StopAtNonFiniteLoss
from rnnpt.optimizers.graph_error import NoProgressError
from rnnpt.optimizers.hessian_free import HessianFree
from rnnpt.optimizers.krylov_descent import KrylovDescent
from rnnpt.optimizers.lbfgs import LBFGS
from rnnpt.optimizers.momentum import Momentum, momentum_update
from rnnpt.optimizers.nesterov import (
    Nesterov,
    SimplifiedNesterov,
    nesterov_update,
    simplified_nesterov_update,
)
from rnnpt.optimizers.nesterov_1983 import (
    Nesterov1983,
    Nesterov1983State,
    estimate_learning_rate,
    nesterov_1983_update,
    next_coefficient,
)
from rnnpt.optimizers.objective import CurvedObjective, Linearized, Objective, SummedObjective
from rnnpt.optimizers.objective_optimizer import ObjectiveOptimizer
from rnnpt.optimizers.output_objective import OutputObjective
from rnnpt.optimizers.reporting_optimizer import ReportingOptimizer
from rnnpt.optimizers.second_order import SecondOrderModel

__all__ = [
    "AugmentedHessianFree",
    "CurvatureOptimizer",
    "CurvatureTraining",
    "CurvedObjective",
    "HessianFree",
    "KrylovDescent",
    "LBFGS",
    "LevenbergMarquardt",
    "Linearized",
    "LogSchedules",
    "Momentum",
    "Nesterov",
    "Nesterov1983",
    "Nesterov1983State",
    "NoProgressError",
    "NonFiniteLossError",
    "Objective",
    "ObjectiveOptimizer",
    "OutputObjective",
    "ReportingOptimizer",
    "SecondOrderModel",
    "SimplifiedNesterov",
    "StopAtNonFiniteLoss",
    "SummedObjective",
    "SwapLookAhead",
    "estimate_learning_rate",
    "momentum_update",
    "nesterov_1983_update",
    "nesterov_update",
    "next_coefficient",
    "simplified_nesterov_update",
]
