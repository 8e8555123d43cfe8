"""Every named experiment makes its model, from its seed alone."""

import keras
import numpy as np
import pytest

from rnnpt import datasets, models
from rnnpt.experiments.config import CONFIGS
from rnnpt.experiments.model import build_model


def weights_of(name: str, seed: int) -> list[np.ndarray]:
    """Returns the first weights of a named experiment's model."""
    model = build_model(CONFIGS[name].model, seed)
    model.build_for(20)
    return model.get_weights()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_named_model_is_a_function_of_its_seed(name):
    keras.utils.set_random_seed(1)
    first = weights_of(name, seed=3)
    keras.utils.set_random_seed(2)
    again, other = weights_of(name, seed=3), weights_of(name, seed=4)
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    # Biases start alike whatever the seed.
    same = [np.array_equal(*pair) for pair in zip(first, other, strict=True)]
    assert not all(same)
    for weight, is_same in zip(first, same):
        assert is_same == (np.unique(weight).size <= 2)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_named_experiment_has_data_of_a_known_name(name):
    assert CONFIGS[name].data in datasets.names()


def test_settings_reach_the_cell_and_the_head():
    model = build_model(CONFIGS["lstm_nade_nottingham"].model, seed=3)
    assert isinstance(model, models.SequenceModel) and model.seed == 3
    assert model.cell.get_config()["units"] == 200
    assert model.cell.get_config()["forget_bias"] == 5.0
    assert model.head.num_hidden == 150
    assert build_model(CONFIGS["lstm_jsb"].model, seed=3).dropout == 0.5
