"""A deep autoencoder in float64, its gradient by back-propagation written out.

Weights are the list that Keras gives: kernel (I, O) and bias (O,) of each layer from the pixels on;
the layer of the code, which is the middle one, and the last are linear.
"""

import numpy as np

from tests.reference import sigmoid

Weights = list[np.ndarray]


def activate(units: np.ndarray, activation: str) -> np.ndarray:
    """Returns the hidden units of their inputs."""
    return sigmoid(units) if activation == "sigmoid" else np.tanh(units)


def layers(weights: Weights, images: np.ndarray, activation: str) -> list[np.ndarray]:
    """Returns the images and what each layer makes of them; the last holds log-odds or pixels."""
    units, num_layers = [images], len(weights) // 2
    for index in range(num_layers):
        inputs = units[-1] @ weights[2 * index] + weights[2 * index + 1]
        linear = index in (num_layers // 2 - 1, num_layers - 1)
        units.append(inputs if linear else activate(inputs, activation))
    return units


def losses(outputs: np.ndarray, images: np.ndarray, objective: str) -> np.ndarray:
    """Returns the objective of each case, summed over pixels (N,)."""
    if objective == "squared_error":
        return ((outputs - images) ** 2).sum(axis=-1)
    # -x log s(a) - (1 - x) log s(-a), where log s(a) = -log(1 + exp(-a)).
    return (images * np.logaddexp(0, -outputs) + (1 - images) * np.logaddexp(0, outputs)).sum(-1)


def pixels(outputs: np.ndarray, objective: str) -> np.ndarray:
    """Returns the reconstruction."""
    return sigmoid(outputs) if objective == "cross_entropy" else outputs


def gradient(weights: Weights, images: np.ndarray, activation: str, objective: str) -> Weights:
    """Returns the gradient of the mean over cases, in the order of the weights."""
    units = layers(weights, images, activation)
    delta = (pixels(units[-1], objective) - images) / len(images)
    if objective == "squared_error":
        delta = 2 * delta
    slopes: Weights = []
    for index in reversed(range(len(weights) // 2)):
        below = units[index]
        slopes = [below.T @ delta, delta.sum(axis=0), *slopes]
        delta = delta @ weights[2 * index].T
        if index != len(weights) // 4:  # What is below is not the code.
            delta = delta * (below * (1 - below) if activation == "sigmoid" else 1 - below ** 2)
    return slopes
