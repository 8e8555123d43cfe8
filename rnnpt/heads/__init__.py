"""Conditional distributions of one frame: what says how likely it is. One head a file."""

from rnnpt.heads._ais import AISSchedule
from rnnpt.heads.bernoulli import BernoulliHead
from rnnpt.heads.bernoulli_mixture import BernoulliMixtureHead
from rnnpt.heads.head import Head
from rnnpt.heads.nade import NADEHead
from rnnpt.heads.rbm import RBMHead

__all__ = ["AISSchedule", "BernoulliHead", "BernoulliMixtureHead", "Head", "NADEHead", "RBMHead"]
