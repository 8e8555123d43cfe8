"""The curvature of each exact head at its logits: the Hessian of its loss, or the Fisher matrix."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads

V, NUM_FRAMES = 5, 6
CLASS_OF = [0, 2, 1, 2, 0]


def make(name: str) -> heads.Head:
    """Returns a built head with random weights."""
    normal = {"kernel_initializer": "random_normal"}
    head = {
        "bernoulli": lambda: heads.BernoulliHead(),
        "categorical": lambda: heads.CategoricalHead(),
        "factored": lambda: heads.FactoredCategoricalHead(CLASS_OF, num_features=3, **normal),
        "gaussian": lambda: heads.GaussianHead(),
        "learned": lambda: heads.GaussianHead(learn_variance=True, minimum_std=0.3),
        "mixture": lambda: heads.BernoulliMixtureHead(4),
        "nade": lambda: heads.NADEHead(3, decoder_initializer="random_normal", **normal),
    }[name]()
    head.build((None, V))
    rng = np.random.default_rng(1)
    for variable in head.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape))
    return head


def draw(head: heads.Head) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns parameters and frames that the head knows."""
    rng = np.random.default_rng(2)
    parameters = rng.standard_normal((2, NUM_FRAMES // 2, head.num_parameters(V)))
    frames = {
        "binary": rng.integers(0, 2, (NUM_FRAMES, V)),
        "one_hot": np.eye(V)[rng.integers(0, V, NUM_FRAMES)],
        "real": rng.standard_normal((NUM_FRAMES, V)),
    }[head.support].astype(float)
    return tf.constant(parameters), tf.constant(frames.reshape(2, NUM_FRAMES // 2, V))


def matrix_of(head: heads.Head, logits: tf.Tensor, frames: tf.Tensor) -> np.ndarray:
    """Returns the curvature of each frame, column by column (..., A, A)."""
    size = logits.shape[-1]
    columns = [
        head.curvature(logits, tf.broadcast_to(column, logits.shape), frames)
        for column in tf.eye(size, dtype=logits.dtype)]
    return np.stack(columns, axis=-1)


def loss_of_logits(name: str, logits: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Returns the loss of each frame, by its definition."""
    if name in ("bernoulli", "nade"):
        return tf.reduce_sum(tf.nn.softplus(logits) - frames * logits, axis=-1)
    if name == "categorical":
        return tf.reduce_logsumexp(logits, -1) - tf.reduce_sum(frames * logits, -1)
    if name == "gaussian":
        return 0.5 * tf.reduce_sum((frames - logits) ** 2 + np.log(2 * np.pi), axis=-1)
    # Classes 0, 1 and 2 first, then the symbols of each.
    losses, order = [], np.argsort(CLASS_OF, kind="stable")
    for row, frame in zip(tf.reshape(logits, [-1, 3 + V]), tf.reshape(frames, [-1, V])):
        symbol = int(tf.argmax(frame))
        own = [3 + place for place, each in enumerate(order)
               if CLASS_OF[each] == CLASS_OF[symbol]]
        losses.append(
            tf.reduce_logsumexp(row[:3]) - row[CLASS_OF[symbol]]
            + tf.reduce_logsumexp(tf.gather(row, own)) - row[3 + list(order).index(symbol)])
    return tf.reshape(tf.stack(losses), frames.shape[:-1])


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "factored", "gaussian", "nade"])
def test_it_is_the_hessian_of_the_loss_at_the_logits(double_precision, name):
    head = make(name)
    parameters, frames = draw(head)
    logits = tf.convert_to_tensor(head.logits(parameters, frames))
    with tf.GradientTape() as outer:
        outer.watch(logits)
        with tf.GradientTape() as inner:
            inner.watch(logits)
            losses = loss_of_logits(name, logits, frames)
        slopes = inner.gradient(losses, logits)
        total = tf.reduce_sum(slopes, axis=[0, 1])
    # The loss of a frame hangs on its own logits alone, so that the sum over frames is no mixture.
    hessians = tf.transpose(outer.jacobian(total, logits), [1, 2, 0, 3])
    np.testing.assert_allclose(losses, -head.log_prob(parameters, frames), rtol=1e-12)
    np.testing.assert_allclose(matrix_of(head, logits, frames), hessians, atol=1e-12)


def test_of_learned_variances_it_is_the_fisher_information(double_precision):
    head = make("learned")
    parameters, frames = draw(head)
    # The mean of the outer products of the gradients over frames of the model, by quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    deviations = np.sqrt(0.3 ** 2 + np.exp(parameters[..., V:]))
    expected = 0
    for node, weight in zip(nodes, weights / weights.sum()):
        drawn = parameters[..., :V] + node * deviations
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = head.log_prob(parameters, drawn)
        slopes = tape.gradient(log_prob, parameters)
        expected += weight * slopes[..., tf.newaxis, :] * slopes[..., tf.newaxis]
    # Units are independent: only a unit's own mean and variance may go together.
    of_unit = np.arange(2 * V) % V
    expected = np.where(of_unit[:, np.newaxis] == of_unit, expected, 0)
    np.testing.assert_allclose(matrix_of(head, parameters, frames), expected, atol=1e-10)


def test_of_a_mixture_the_loss_itself_is_linearised(double_precision):
    # So that the matrix is the outer product of the gradient of each frame with itself.
    head = make("mixture")
    parameters, frames = draw(head)
    logits = head.logits(parameters, frames)
    np.testing.assert_array_equal(logits[..., 0], head.log_prob(parameters, frames))
    np.testing.assert_array_equal(matrix_of(head, logits, frames), np.ones([2, 3, 1, 1]))


@pytest.mark.parametrize("name", [
    "bernoulli", "categorical", "factored", "gaussian", "learned", "mixture", "nade"])
def test_it_is_symmetric_and_positive(double_precision, name):
    head = make(name)
    parameters, frames = draw(head)
    matrices = matrix_of(head, head.logits(3 * parameters, frames), frames)
    np.testing.assert_allclose(matrices, np.swapaxes(matrices, -1, -2), atol=1e-12)
    assert np.linalg.eigvalsh(matrices).min() > -1e-12


def test_a_head_without_an_exact_likelihood_has_none():
    with pytest.raises(NotImplementedError, match="RBMHead has no curvature"):
        heads.RBMHead(3).curvature(tf.zeros([1, 4]), tf.zeros([1, 4]), tf.zeros([1, 4]))
