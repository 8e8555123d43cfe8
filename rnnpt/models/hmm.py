"""The hidden Markov model of frames as a predictor."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from rnnpt.cells import HMMCell
from rnnpt.heads import BernoulliMixtureHead
from rnnpt.models import _batch, _em
from rnnpt.models._named import NamedModel
from rnnpt.models._piece import whole_pieces

#: Name of an initialization -> what puts each frame (N, V) into one of so many groups.
_CLUSTERINGS: dict[str, Callable[[int, int], Any]] = {
    "k_means": lambda num_states, seed: KMeans(num_states, n_init=1, random_state=seed),
    "gaussian_mixture": lambda num_states, seed: GaussianMixture(
        num_states, covariance_type="diag", reg_covar=1e-3, random_state=seed),
}


@keras.saving.register_keras_serializable(package="rnnpt")
class HMM(NamedModel):
    """A hidden Markov model whose states each have their own probability of every unit.

    Use it as the classical row of a table: its likelihood is exact, it is fitted in minutes and
    is exported, served and sampled as any other model.

    Equation: P(frame_t | frames before t) = sum over s of P(z_t = s | frames before t)
    P(frame_t | z_t = s), the first factor the state of a `cells.HMMCell`, the second a component
    of a `heads.BernoulliMixtureHead`; both have one table of log-odds (S, V).

    `fit` is no gradient descent but expectation maximisation, carried out by hmmlearn: one epoch is
    one pass over all sequences, the same on each run; `compile` is not needed, and an optimizer
    only counts the passes. A model that was never fitted starts from counts in a clustering of the
    frames (`count_from`).

    The GMM + HMM row of the 2012 table takes the components of a Gaussian mixture as the states.
    On binary frames a density is no probability, so here the mixture only says which frame belongs
    to which state, and each state's units are Bernoulli: `HMM(initialization="gaussian_mixture")`
    after `count_from` alone is the nearest model with a likelihood; `fit` improves on it.

    Args:
        num_states: S, the number of hidden states.
        initialization: the clustering, "k_means" or "gaussian_mixture" (diagonal covariance).
        smoothing: pseudo-count of every outcome: of each first state, of each transition, and of
            a unit being on and off in each state. Without it what training lacks is impossible.
        seed: of the clustering, and of everything random in evaluation.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if `initialization` is unknown, or `smoothing` is not positive.

    Example:
        >>> model = HMM(num_states=2)
        >>> pieces = np.array([[[1, 0], [0, 1], [1, 0], [0, 1]]], np.float32)
        >>> history = model.fit({"frames": pieces}, epochs=3, verbose=0)
        >>> len(history.history["log_likelihood"])
        3

    Source: Boulanger-Lewandowski et al. 2012, Table 1, GMM + HMM; Rabiner 1989, A tutorial on
    hidden Markov models, section III C.
    """

    def __init__(
        self,
        num_states: int = 50,
        initialization: str = "k_means",
        smoothing: float = 0.1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if initialization not in _CLUSTERINGS:
            raise ValueError(
                f"HMM: initialization must be one of {sorted(_CLUSTERINGS)}, got "
                f"{initialization!r}; 'k_means' serves well")
        if not 0 < smoothing < float("inf"):
            raise ValueError(
                f"HMM: smoothing must be a positive number, got {smoothing}; a unit that never "
                "sounds in training would be impossible")
        initializer = keras.initializers.RandomNormal(stddev=0.1, seed=seed)
        super().__init__(
            HMMCell(num_states), BernoulliMixtureHead(num_states, initializer), seed=seed, **kwargs)
        self.initialization = initialization
        self.smoothing = smoothing
        self._config = {"num_states": num_states, "initialization": initialization,
                        "smoothing": smoothing, "seed": seed}

    def fit(
        self,
        x: object = None,
        *,
        epochs: int = 1,
        initial_epoch: int = 0,
        validation_data: object = None,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        verbose: str | int = "auto",
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Improve the parameters by expectation maximisation, one pass over all frames an epoch.

        Args:
            x: a `tf.data.Dataset` of batch dicts, or one dict of arrays; read whole into memory.
                A row that goes on with the batch before (`starts` is False) is put together again.
            epochs: the epoch at which to stop, counted as Keras does.
            initial_epoch: the epoch at which to begin.
            validation_data: batches to evaluate after each epoch, or None.
            callbacks: Keras callbacks.
            verbose: 0 for silence, as in Keras.
            **kwargs: `batch_size` and `shuffle`, which change nothing here.

        Returns:
            Keras' history; "log_likelihood" in nats a frame and "loss", its negative, before each
            pass; the same of the validation after it, with "val_" before.

        Raises:
            TypeError: if there is another argument of Keras' `fit`, which would count for nothing.
        """
        unknown = sorted(kwargs.keys() - {"batch_size", "shuffle"})
        if unknown:
            raise TypeError(
                f"HMM.fit must be given what concerns whole passes over the data, got {unknown}; "
                "leave it out")
        pieces = self._read(x)
        if not self.is_started.numpy():
            self._count_from(pieces)
        if not self.compiled:
            self.compile()  # Keras evaluates no other model.
        self.optimizer.build(self.trainable_variables)
        calls = keras.callbacks.CallbackList(
            callbacks, add_history=True, add_progbar=verbose != 0, model=self,
            verbose=1 if verbose == "auto" else verbose, epochs=epochs, steps=1)
        self.stop_training = False
        logs: dict[str, float] = {}
        calls.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            calls.on_epoch_begin(epoch)
            calls.on_train_batch_begin(0)
            logs = self._improve(pieces)
            calls.on_train_batch_end(0, logs)
            if validation_data is not None:
                validation: Any = self.evaluate(
                    validation_data, verbose=0, return_dict=True)
                logs |= {f"val_{name}": value for name, value in validation.items()}
            calls.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        calls.on_train_end(logs)
        return self.history

    def count_from(self, x: object) -> None:
        """Set the parameters by counting in a clustering of the frames, without any pass of `fit`.

        Args:
            x: a `tf.data.Dataset` of batch dicts, or one dict of arrays.
        """
        self._count_from(self._read(x))

    def _build_parts(self, num_visible: int) -> None:
        """Build the head, and the cell on the same log-odds; beliefs are weights as they are."""
        self.head.build((None, num_visible))
        self.cell.emission_logits = self.head.component_logits
        self.cell.build((None, num_visible))
        self.readout = keras.layers.Identity(name="readout")
        self.is_started = self.add_weight(
            name="is_started", shape=(), initializer="zeros", trainable=False)

    def _read(self, x: object) -> list[np.ndarray]:
        """The pieces (T_i, V) of batches, which may build the model."""
        with self.distribute_strategy.scope():
            self.build_for(_batch.width(x))
        return whole_pieces(x, self.head)

    def _count_from(self, pieces: list[np.ndarray]) -> None:
        frames = np.concatenate(pieces)
        if len(frames) < self.head.num_components:
            raise ValueError(
                f"HMM: num_states must be at most the number of frames, {len(frames)}, got "
                f"{self.head.num_components}; take fewer states or more frames")
        clustering = _CLUSTERINGS[self.initialization](self.head.num_components, self.seed)
        # Sorted, so that the start does not depend on the order in which pieces come.
        order, states = np.lexsort(frames.T), np.empty(len(frames), int)
        with warnings.catch_warnings():
            # Fewer kinds of frame than states, or an end before the best clustering: still a start.
            warnings.simplefilter("ignore", ConvergenceWarning)
            states[order] = clustering.fit_predict(frames[order])
        self._assign(_em.count(pieces, states, self.head.num_components, self.smoothing))

    def _improve(self, pieces: list[np.ndarray]) -> dict[str, float]:
        """One pass; the figures from before it."""
        logits, log_prob = _em.improve(
            pieces, _em.Logits(*(np.array(variable) for variable in self._logits)), self.smoothing)
        self._assign(logits)
        self.optimizer.iterations.assign_add(1)
        log_likelihood = log_prob / sum(len(piece) for piece in pieces)
        return {"loss": -log_likelihood, "log_likelihood": log_likelihood}

    def _assign(self, logits: _em.Logits) -> None:
        for variable, value in zip(self._logits, dataclasses.astuple(logits)):
            variable.assign(value)
        self.is_started.assign(1.0)

    @property
    def _logits(self) -> tuple[keras.Variable, keras.Variable, keras.Variable]:
        """The variables that `_em.Logits` names, in its order."""
        return (self.cell.initial_state[0], self.cell.transition_logits, self.head.component_logits)
