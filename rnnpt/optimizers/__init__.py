"""Keras optimizers, and the pure rules that they are made of."""

from rnnpt.optimizers.callback import LogSchedules, SwapLookAhead
from rnnpt.optimizers.momentum import Momentum, momentum_update
from rnnpt.optimizers.nesterov import (
    Nesterov,
    SimplifiedNesterov,
    nesterov_update,
    simplified_nesterov_update,
)

__all__ = [
    "LogSchedules",
    "Momentum",
    "Nesterov",
    "SimplifiedNesterov",
    "SwapLookAhead",
    "momentum_update",
    "nesterov_update",
    "simplified_nesterov_update",
]
