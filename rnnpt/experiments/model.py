"""From a model's settings to the model."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import keras

from rnnpt import cells, heads, models
from rnnpt.experiments import model_config as configs

_MODELS: dict[type, Callable[..., models.SequenceModel]] = {
    configs.RNNConfig: models.RNN,
    configs.RNNRBMConfig: models.RNNRBM,
    configs.RNNNADEConfig: models.RNNNADE,
    configs.RTRBMConfig: models.RTRBM,
    configs.TRBMConfig: models.TRBM,
    configs.EchoStateConfig: models.EchoStateNetwork,
    configs.HMMModelConfig: models.HMM,
}
_CELLS: dict[type, Callable[..., cells.Cell]] = {
    configs.SimpleCellConfig: cells.SimpleCell,
    configs.LeakyCellConfig: cells.LeakyCell,
    configs.SkipCellConfig: cells.SkipCell,
    configs.MRNNCellConfig: cells.MRNNCell,
    configs.TensorCellConfig: cells.TensorCell,
    configs.LSTMCellConfig: cells.LSTMCell,
}
_HEADS: dict[type, Callable[..., heads.Head]] = {
    configs.BernoulliHeadConfig: heads.BernoulliHead,
    configs.NADEHeadConfig: heads.NADEHead,
    configs.RBMHeadConfig: heads.RBMHead,
}


def build_model(config: configs.ModelConfig, seed: int) -> models.SequenceModel:
    """Makes the model of an experiment, untrained.

    Args:
        config: Which model.
        seed: Of its weights and its draws.

    Returns:
        The model, not built yet.
    """
    if not isinstance(config, configs.SequenceConfig):
        return _MODELS[type(config)](**dataclasses.asdict(config), seed=seed)
    seeds = itertools.count(seed)
    # The dynamic biases of a head with weights of its own start near zero.
    is_plain = isinstance(config.head, configs.BernoulliHeadConfig)
    readout = (keras.initializers.GlorotUniform(seed=next(seeds)) if is_plain
               else keras.initializers.RandomNormal(stddev=0.01, seed=next(seeds)))
    return models.SequenceModel(
        _seeded(_make_cell(config.cell), seeds),
        _seeded(_HEADS[type(config.head)](**dataclasses.asdict(config.head)), seeds),
        seed=seed, readout_initializer=readout, dropout=config.dropout)


def _make_cell(config: configs.CellConfig) -> cells.Cell:
    if isinstance(config, configs.KerasCellConfig):
        kinds = {"simple": keras.layers.SimpleRNNCell, "lstm": keras.layers.LSTMCell,
                 "gru": keras.layers.GRUCell}
        layers = [kinds[config.kind](config.units) for _ in range(config.num_layers)]
        return cells.KerasCell(
            layers[0] if len(layers) == 1 else keras.layers.StackedRNNCells(layers))
    return _CELLS[type(config)](**dataclasses.asdict(config))


def _seeded(part: keras.Layer, seeds: Iterator[int]) -> keras.Layer:
    """The same part, each of its initializers with a seed."""
    def fill(value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: next(seeds) if name == "seed" else fill(inner)
                for name, inner in value.items()}

    return type(part).from_config(fill(part.get_config()))
