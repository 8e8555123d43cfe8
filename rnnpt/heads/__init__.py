"""Conditional distributions of one frame: what says how likely it is. One head a file."""

from rnnpt.heads._ais import CHEAP_SCHEDULE, AISSchedule
from rnnpt.heads.bernoulli import BernoulliHead
from rnnpt.heads.bernoulli_mixture import BernoulliMixtureHead
from rnnpt.heads.categorical import CategoricalHead
from rnnpt.heads.factored_categorical import FactoredCategoricalHead
from rnnpt.heads.gaussian import GaussianHead
from rnnpt.heads.gaussian_rbm import GaussianRBMHead
from rnnpt.heads.head import Head
from rnnpt.heads.nade import NADEHead
from rnnpt.heads.rbm import RBMHead
from rnnpt.heads.word_classes import frequency_classes

__all__ = [
    "AISSchedule",
    "BernoulliHead",
    "BernoulliMixtureHead",
    "CHEAP_SCHEDULE",
    "CategoricalHead",
    "FactoredCategoricalHead",
    "GaussianHead",
    "GaussianRBMHead",
    "Head",
    "NADEHead",
    "RBMHead",
    "frequency_classes",
]
