"""`Autoencoder` by optimizers that take the loss itself and its curvature."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import optimizers
from rnnpt.models import Autoencoder

IMAGES = np.random.default_rng(0).integers(2, size=[12, 6]).astype("float32")


def fit(optimizer: object) -> dict[str, list[float]]:
    model = Autoencoder((5, 2), "tanh", initialization="variance_preserving")
    model.compile(optimizer)
    return model.fit(IMAGES, epochs=10, batch_size=12, shuffle=False, verbose=0).history


def test_hessian_free_steps_lower_the_loss_further_than_adam():
    history = fit(optimizers.HessianFree(damping=1.0))
    assert history["loss"][-1] < 0.8 * fit("adam")["loss"][-1]
    assert (np.diff(history["loss"]) < 1e-5).all()
    assert history["reconstruction_error"][-1] < history["reconstruction_error"][0]
    assert {"damping", "reduction_ratio", "cg_steps"} <= set(history)


@pytest.mark.parametrize("objective", ["cross_entropy", "squared_error"])
def test_loss_and_curvature_are_those_of_the_objective(double_precision, objective):
    model = Autoencoder((3, 2), "sigmoid", objective, "variance_preserving")
    model.build((None, 6))
    images = tf.constant(IMAGES, "float64")
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        outputs = model(images)
    parts = tape.jacobian(outputs, variables)
    slopes = np.concatenate([np.reshape(part, [12, 6, -1]) for part in parts], axis=-1)
    pixels = 1 / (1 + np.exp(-np.array(outputs)))
    curvature = pixels * (1 - pixels) if objective == "cross_entropy" else np.full([12, 6], 2.0)
    expected = np.einsum("bvi,bv,bvj->ij", slopes, curvature, slopes) / 12

    class Probe(optimizers.HessianFree):
        def update(self, objective):
            values = objective.values()
            self.loss, _ = objective.value_and_gradient_at(values)
            found = objective.linearize().product(
                [tf.ones_like(value) for value in values], tf.constant(0.0))
            self.product = np.concatenate([np.ravel(each) for each in found])

    model.compile(Probe(rows_at_once=5), run_eagerly=True)
    model.fit(IMAGES, batch_size=12, verbose=0)
    np.testing.assert_allclose(
        model.optimizer.loss, model.compute_loss(images, y_pred=outputs), rtol=1e-10)
    np.testing.assert_allclose(model.optimizer.product, expected.sum(axis=1), atol=1e-10)


def test_structural_damping_is_refused():
    with pytest.raises(ValueError, match="structural_damping must be 0 .* layers, got 0.1; leave"):
        fit(optimizers.HessianFree(structural_damping=0.1))
