"""PyTorch twins of the models whose twin is short: the same update, written as its users would."""

from collections.abc import Callable

import numpy as np

#: Twins of the names in benchmarks/models.py.
TWINS = ("RNN", "keras LSTMCell", "RNNNADE")


def fit(name: str, frames: np.ndarray, num_updates: int) -> Callable[[], None]:
    """The twin of a model.

    Args:
        name: one of `TWINS`.
        frames: (B, T, V).
        num_updates: updates a call.

    Returns:
        A function that trains.
    """
    import torch

    num_visible = frames.shape[-1]
    targets = torch.from_numpy(frames)
    inputs = torch.cat([torch.zeros_like(targets[:, :1]), targets[:, :-1]], dim=1)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    num_hidden = 150 if name == "RNNNADE" else 0
    kind, units = {"RNN": (torch.nn.RNN, 200), "keras LSTMCell": (torch.nn.LSTM, 100),
                   "RNNNADE": (torch.nn.RNN, 100)}[name]
    recurrent = kind(num_visible, units, batch_first=True)
    readout = torch.nn.Linear(units, num_visible + num_hidden)
    matrices = [torch.nn.Parameter(0.1 * torch.randn(num_visible, num_hidden)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [*recurrent.parameters(), *readout.parameters(), *matrices], 0.001)

    def logits(outputs: torch.Tensor) -> torch.Tensor:
        if not num_hidden:
            return outputs
        (kernel, decoder), fields = matrices, outputs[..., num_visible:]
        found = []
        for i in range(num_visible):
            found.append(torch.sigmoid(fields) @ decoder[i])
            fields = fields + targets[..., i:i + 1] * kernel[i]
        return outputs[..., :num_visible] + torch.stack(found, dim=-1)

    def train() -> None:
        for _ in range(num_updates):
            optimizer.zero_grad()
            outputs = logits(readout(recurrent(inputs)[0]))
            (cross_entropy(outputs, targets, reduction="sum") / targets[..., 0].numel()).backward()
            optimizer.step()

    return train
