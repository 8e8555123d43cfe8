"""One small example of every public cell, head and model; whatever is added enters here.

Generic tests run over it (tests/test_catalogue.py), and a test there fails where it has a gap.
Cells and heads take the arguments of their layer, such as dtype.
"""

from collections.abc import Callable

import keras
import numpy as np

from rnnpt import cells, heads, models

NUM_VISIBLE = 5

CELLS: dict[str, Callable[..., cells.Cell]] = {
    "HMMCell": lambda **kwargs: cells.HMMCell(
        4, emission_initializer=keras.initializers.RandomNormal(seed=1), **kwargs),
    "KerasCell": lambda dtype="float32", **kwargs: cells.KerasCell(keras.layers.LSTMCell(
        4, kernel_initializer=keras.initializers.RandomNormal(seed=1),
        recurrent_initializer=keras.initializers.Orthogonal(seed=2), dtype=dtype), **kwargs),
    "LSTMCell": lambda **kwargs: cells.LSTMCell(
        4, 2, kernel_initializer=keras.initializers.RandomNormal(seed=1),
        recurrent_kernel_initializer=keras.initializers.Orthogonal(seed=2),
        gate_kernel_initializer=keras.initializers.Orthogonal(seed=3), **kwargs),
    "LeakyCell": lambda **kwargs: cells.LeakyCell(
        4, (0.1, 0.9), kernel_initializer=keras.initializers.RandomNormal(seed=1),
        recurrent_kernel_initializer=keras.initializers.Orthogonal(seed=2), **kwargs),
    "MRNNCell": lambda **kwargs: cells.MRNNCell(
        4, 3, keras.initializers.RandomNormal(seed=1), keras.initializers.RandomNormal(seed=2),
        keras.initializers.Orthogonal(seed=3), keras.initializers.Orthogonal(seed=4), **kwargs),
    "RTRBMCell": lambda **kwargs: cells.RTRBMCell(
        4, kernel_initializer=keras.initializers.RandomNormal(seed=1),
        recurrent_kernel_initializer=keras.initializers.RandomNormal(seed=2), **kwargs),
    "ReservoirCell": lambda **kwargs: cells.ReservoirCell(
        4, num_connections=2, integration=0.5, integrating_share=0.5, seed=11, **kwargs),
    "SimpleCell": lambda **kwargs: cells.SimpleCell(
        4, "relu", kernel_initializer=keras.initializers.RandomNormal(seed=1),
        recurrent_kernel_initializer="identity", **kwargs),
    "SkipCell": lambda **kwargs: cells.SkipCell(
        4, 3, keras.initializers.Orthogonal(seed=3),
        kernel_initializer=keras.initializers.RandomNormal(seed=1),
        recurrent_kernel_initializer=keras.initializers.Orthogonal(seed=2), **kwargs),
    "TensorCell": lambda **kwargs: cells.TensorCell(
        4, keras.initializers.RandomNormal(seed=1), keras.initializers.RandomNormal(seed=2),
        **kwargs),
    "WindowCell": lambda **kwargs: cells.WindowCell(
        4, order=2, kernel_initializer=keras.initializers.RandomNormal(seed=1),
        window_initializer=keras.initializers.RandomNormal(seed=2),
        recurrent_initializer=keras.initializers.RandomNormal(seed=3), **kwargs),
}

HEADS: dict[str, Callable[..., heads.Head]] = {
    "BernoulliHead": heads.BernoulliHead,
    "BernoulliMixtureHead": lambda **kwargs: heads.BernoulliMixtureHead(
        3, component_initializer=keras.initializers.RandomNormal(seed=1), **kwargs),
    "GaussianRBMHead": lambda **kwargs: heads.GaussianRBMHead(
        3, 0.8, num_gibbs_steps=2, num_sampling_steps=4,
        kernel_initializer=keras.initializers.RandomNormal(seed=2), **kwargs),
    "CategoricalHead": heads.CategoricalHead,
    "FactoredCategoricalHead": lambda **kwargs: heads.FactoredCategoricalHead(
        [0, 1, 1, 0, 1], 3, kernel_initializer=keras.initializers.RandomNormal(seed=1), **kwargs),
    "GaussianHead": lambda **kwargs: heads.GaussianHead(
        learn_variance=True, minimum_std=0.1, **kwargs),
    "NADEHead": lambda **kwargs: heads.NADEHead(
        3, num_mean_samples=4, kernel_initializer=keras.initializers.RandomNormal(seed=7),
        decoder_initializer=keras.initializers.RandomNormal(seed=8), **kwargs),
    "RBMHead": lambda **kwargs: heads.RBMHead(
        3, num_gibbs_steps=2, num_sampling_steps=4,
        kernel_initializer=keras.initializers.RandomNormal(seed=2), **kwargs),
}

MODELS: dict[str, Callable[[], models.SequenceModel]] = {
    "EchoStateNetwork": lambda: models.EchoStateNetwork(4, integration=0.2, seed=3),
    "HMM": lambda: models.HMM(3, seed=7),
    "LanguageModel": lambda: models.LanguageModel(4, class_of=[0, 1, 1, 0, 1], seed=3),
    "RNN": lambda: models.RNN(4, activation="sigmoid", seed=3),
    "RNNNADE": lambda: models.RNNNADE(3, num_recurrent=4, activation="sigmoid", seed=7),
    "RNNRBM": lambda: models.RNNRBM(
        3, num_recurrent=4, num_gibbs_steps=2, activation="relu", seed=4),
    "RTRBM": lambda: models.RTRBM(3, num_gibbs_steps=2, seed=4),
    "SequenceModel": lambda: models.SequenceModel(
        CELLS["SimpleCell"](), HEADS["BernoulliHead"](), seed=5,
        readout_initializer=keras.initializers.RandomNormal(seed=6)),
    "TRBM": lambda: models.TRBM(3, order=2, num_gibbs_steps=2, seed=4),
}


def make_batch(
    batch_size: int = 3, num_steps: int = 6, garbage: float = 0.0, seed: int = 0,
    support: str = "binary",
) -> dict[str, np.ndarray]:
    """Returns a batch whose rows get shorter by one step each, `garbage` in the padding.

    Its frames are binary, which every head knows, but for `support="one_hot"`.
    """
    random = np.random.default_rng(seed)
    frames = random.random([batch_size, num_steps, NUM_VISIBLE]) < 0.4
    if support == "one_hot":
        frames = np.eye(NUM_VISIBLE)[random.integers(NUM_VISIBLE, size=[batch_size, num_steps])]
    lengths = np.maximum(num_steps - np.arange(batch_size), 1)
    mask = np.arange(num_steps) < lengths[:, None]
    return {
        "frames": np.where(mask[..., None], frames, garbage).astype(np.float32),
        "mask": mask,
        "starts": np.ones([batch_size], bool),
    }


def with_random_weights(model: models.SequenceModel, seed: int = 9) -> models.SequenceModel:
    """Returns the model, built, its initial state and biases no longer at zero."""
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    return model
