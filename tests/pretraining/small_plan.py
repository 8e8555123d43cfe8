"""A small plan of two phases; as a program, `small_plan.py DIRECTORY`, what the tests kill."""
import sys
from pathlib import Path

import keras
import numpy as np

from rnnpt import models
from rnnpt.datasets import Sequences
from rnnpt.pretraining import HMM, Phase, PlanResult, run_plan

# Enough for a kill to fall well inside a phase.
NUM_EPOCHS = 25


def draw_pieces(seed: int, num_pieces: int = 12, num_visible: int = 6) -> Sequences:
    """Pieces in which most keys go on sounding."""
    rng = np.random.default_rng(seed)
    pieces = []
    for length in rng.integers(4, 20, num_pieces):
        changes = rng.random((length, num_visible)) < 0.2
        pieces.append((np.cumsum(changes, axis=0) % 2).astype(np.uint8))
    return Sequences(pieces)


def run_small_plan(directory: Path | None, model: keras.Model | None = None) -> PlanResult:
    """Pre-train and fine-tune a small RNN-RBM, which draws at random in every update."""
    train = draw_pieces(seed=0)
    hmm = HMM(num_states=3, num_sequences=10, epochs=NUM_EPOCHS, batch_size=4, segment_length=8)
    fine_tune = Phase("fine-tune", "train", NUM_EPOCHS, keras.optimizers.Adam(0.01), batch_size=4,
                      segment_length=8, patience=NUM_EPOCHS)
    cache = None if directory is None else directory / "hmm.npz"
    return run_plan(model or small_model(), [hmm.phase(), fine_tune],
                    {"hmm": hmm.source(train, cache), "train": lambda: train},
                    draw_pieces(seed=1, num_pieces=4), seed=0, directory=directory, progress=False)


def small_model() -> keras.Model:
    """The model of the small plan, with its first weights."""
    return models.RNNRBM(num_hidden=4, num_recurrent=5, num_gibbs_steps=2)


if __name__ == "__main__":
    run_small_plan(Path(sys.argv[1]))
