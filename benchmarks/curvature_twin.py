"""Gauss-Newton products of peers, on the same weights and sequences, as their users would write
them. None of them has structural damping."""

from collections.abc import Callable, Sequence

import numpy as np

Product = Callable[[], np.ndarray]


def torch_products(
    weights: Sequence[np.ndarray], inputs: np.ndarray, vector: Sequence[np.ndarray]
) -> dict[str, Product]:
    """Products of PyTorch, where it is installed with what it needs.

    Args:
        weights: input kernel (I, H), recurrent kernel (H, H), bias (H,), initial state (H,),
            readout (H, O) and its bias (O,).
        inputs: (T, B, I).
        vector: tangents of the weights.

    Returns:
        By name, functions that multiply once.
    """
    import torch
    from backpack.hessianfree.ggnvp import ggn_vector_product_from_plist

    steps = [torch.tensor(step) for step in inputs]
    num_rows = inputs.shape[1]
    parameters = [torch.tensor(weight, requires_grad=True) for weight in weights]
    tangents = tuple(torch.tensor(each) for each in vector)

    def run(*parameters: torch.Tensor) -> torch.Tensor:
        kernel, recurrent, bias, state, readout, readout_bias = parameters
        for step in steps:
            state = torch.tanh(step @ kernel + state @ recurrent + bias)
        return state @ readout + readout_bias

    def backpack() -> np.ndarray:
        # The squared error that it is told of has a factor of 1 / rows, and a curvature of 1.
        outputs = run(*parameters)
        loss = 0.5 * (outputs ** 2).sum() / num_rows
        products = ggn_vector_product_from_plist(loss, outputs, parameters, tangents)
        return products[1].detach().numpy()

    primals = tuple(parameter.detach() for parameter in parameters)
    _, push = torch.func.linearize(run, *primals)
    _, pull = torch.func.vjp(run, *primals)

    def functional() -> np.ndarray:
        return pull(push(*tangents) / num_rows, retain_graph=True)[1].numpy()

    return {"BackPACK, as PyTorchHessianFree calls it": backpack,
            "torch.func, linearized once": functional}


def jax_products(
    weights: Sequence[np.ndarray], inputs: np.ndarray, vector: Sequence[np.ndarray]
) -> dict[str, Product]:
    """Products of JAX, where it is installed.

    Args:
        weights: as `torch_products`.
        inputs: (T, B, I).
        vector: tangents of the weights.

    Returns:
        By name, functions that multiply once.
    """
    import jax

    steps, num_rows = jax.numpy.asarray(inputs), inputs.shape[1]

    def run(parameters: Sequence) -> jax.Array:
        kernel, recurrent, bias, state, readout, readout_bias = parameters

        def advance(state: jax.Array, step: jax.Array) -> tuple:
            return jax.numpy.tanh(step @ kernel + state @ recurrent + bias), None

        state = jax.numpy.broadcast_to(state, (num_rows, len(state)))
        state, _ = jax.lax.scan(advance, state, steps, unroll=10)
        return state @ readout + readout_bias

    parameters = [jax.numpy.asarray(weight) for weight in weights]
    _, push = jax.linearize(run, parameters)
    pull = jax.linear_transpose(push, parameters)
    multiply = jax.jit(lambda tangents: pull(push(tangents) / num_rows)[0])
    tangents = [jax.numpy.asarray(each) for each in vector]
    return {"JAX, linearized once": lambda: np.asarray(multiply(tangents)[1])}
