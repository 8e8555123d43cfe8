"""What an optimizer keeps is of the dtype of the variables, whatever that of Keras."""

import keras
import numpy as np
import pytest

from rnnpt import optimizers

OPTIMIZERS = {
    "HessianFree": lambda: optimizers.HessianFree(
        curvature_rows=4, held_out_rows=2, preconditioner_exponent=0.75),
    "AugmentedHessianFree": lambda: optimizers.AugmentedHessianFree(max_steps=5),
    "KrylovDescent": lambda: optimizers.KrylovDescent(num_vectors=3),
    "LBFGS": lambda: optimizers.LBFGS(max_iterations=5),
}


def fit(optimizer: keras.optimizers.Optimizer, *dtypes: str) -> dict[str, list[float]]:
    """Returns the history of two layers."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=[6, 2])
    model = optimizers.SecondOrderModel(keras.Sequential([
        keras.Input([2], dtype=dtypes[0]), keras.layers.Dense(3, "tanh", dtype=dtypes[0]),
        keras.layers.Dense(1, dtype=dtypes[1])]))
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    model.compile(optimizer, loss="mse")
    return model.fit(
        inputs, inputs.sum(axis=1, keepdims=True), batch_size=6, epochs=3, verbose=0).history


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_layers_of_double_precision_train_under_a_single_floatx(name):
    assert keras.config.floatx() == "float32"
    optimizer = OPTIMIZERS[name]()
    found = fit(optimizer, "float64", "float64")
    assert found["loss"][-1] < 0.9 * found["loss"][0]
    assert keras.backend.standardize_dtype(optimizer.figures["gradient_norm"].dtype) == "float64"
    # The same network in single precision begins alike.
    expected = fit(OPTIMIZERS[name](), "float32", "float32")
    np.testing.assert_allclose(found["gradient_norm"][0], expected["gradient_norm"][0], rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_variables_of_several_dtypes_are_refused(name):
    with pytest.raises(ValueError, match=(
            f"{name}: variables must be of one dtype, got float32, float64; give all layers")):
        fit(OPTIMIZERS[name](), "float64", "float32")
