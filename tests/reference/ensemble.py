"""Loss and gradient of one tanh network on one problem, step by step (Sutskever 2013, ch. 2, 7)."""

import numpy as np


def loss_and_gradients(weights, inputs, targets, counted, output):
    """Returns the loss and the gradients of one member.

    Args:
        weights: U (I, H), W (H, H), V (H, O), b (1, H), h_0 (1, H), c (1, O).
        inputs: (B, T, I).
        targets: (B, T, O).
        counted: (B, T).
        output: "real", "binary" or "categorical".
    """
    kernel, recurrent, readout, bias, initial, readout_bias = weights
    size, num_steps, _ = inputs.shape
    states = [np.repeat(initial, size, axis=0)]
    for step in range(num_steps):
        states.append(np.tanh(states[-1] @ recurrent + inputs[:, step] @ kernel + bias))
    loss, errors = 0.0, []
    for step in range(num_steps):
        logits = states[step + 1] @ readout + readout_bias
        error, each = _answer(logits, targets[:, step], output)
        loss += np.sum(each * counted[:, step]) / size
        errors.append(error * counted[:, step, None] / size)
    gradients = [np.zeros_like(weight) for weight in weights]
    later = np.zeros_like(states[0])
    for step in reversed(range(num_steps)):
        state, error = states[step + 1], errors[step]
        delta = (error @ readout.T + later) * (1 - state ** 2)
        for gradient, part in zip(gradients, (
                inputs[:, step].T @ delta, states[step].T @ delta, state.T @ error,
                delta.sum(0, keepdims=True), 0.0, error.sum(0, keepdims=True))):
            gradient += part
        later = delta @ recurrent.T
    gradients[4] += later.sum(0, keepdims=True)
    return loss, gradients


def _answer(logits, target, output):
    """Returns prediction less target (B, O), and the loss (B,)."""
    if output == "real":
        error = logits - target
        return error, 0.5 * np.sum(error ** 2, axis=1)
    if output == "binary":
        chance = 1 / (1 + np.exp(-logits))
        right = target * np.log(chance) + (1 - target) * np.log(1 - chance)
        return chance - target, -np.sum(right, axis=1)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return chances - target, -np.sum(target * np.log(chances), axis=1)
