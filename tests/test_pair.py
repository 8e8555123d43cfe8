"""What holds for every cell with every head: exact conditionals, likelihoods that add up, learning.

A head is paired with each cell through the parameters that the cell's history gives it.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from tests.catalogue import CELLS, HEADS, MODELS, NUM_VISIBLE, make_batch, with_random_weights
from tests.reference import all_frames

EXACT_HEADS = [name for name, make in HEADS.items() if make().exact]
#: Heads that are normalised over finitely many frames.
COUNTABLE_HEADS = [name for name, make in HEADS.items() if make().support != "real"]


def some_values(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Returns float64 weights that leave nothing even and nothing sure."""
    return np.random.default_rng(seed).normal(size=shape) * 0.5


def randomised(part: keras.Layer) -> keras.Layer:
    """Returns a part, built in float64, all of its trained weights at random."""
    part.build((None, NUM_VISIBLE))
    for index, variable in enumerate(part.trainable_variables):
        variable.assign(some_values(variable.shape, index))
    return part


def frames_of(support: str) -> np.ndarray:
    """Returns every frame that a head of that support gives a likelihood to."""
    if support == "one_hot":
        return np.eye(NUM_VISIBLE)
    return all_frames(NUM_VISIBLE)


def history(cell: cells.Cell, head: heads.Head) -> tf.Tensor:
    """Returns the head's parameters (1, P) after a random history of the cell."""
    frames = make_batch(1, 4, seed=3, support=head.support)["frames"].astype(np.float64)
    _, state = cells.unroll(cell, frames, cell.get_initial_state(1))
    output = cell.output(state)
    shape = (output.shape[-1], head.num_parameters(NUM_VISIBLE))
    return output @ some_values(shape, 40) + some_values((shape[1],), 41)


def log_weights(head: heads.Head, parameters: tf.Tensor) -> np.ndarray:
    """Returns log P of every frame, up to the same constant where the head is not exact."""
    frames = tf.cast(frames_of(head.support), parameters.dtype)
    parameters = tf.repeat(parameters, len(frames), axis=0)
    if head.exact:
        return np.array(head.log_prob(parameters, frames))
    return -np.array(head.free_energy(parameters, frames))


@pytest.mark.parametrize("head", [name for name in COUNTABLE_HEADS if name in EXACT_HEADS])
@pytest.mark.parametrize("cell", CELLS)
def test_the_probabilities_of_all_frames_sum_to_one(cell, head):
    cell, head = (randomised(make(dtype="float64")) for make in (CELLS[cell], HEADS[head]))
    parameters = history(cell, head)
    assert parameters.dtype == tf.float64
    assert np.exp(log_weights(head, parameters)).sum() == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("name", COUNTABLE_HEADS)
def test_samples_of_every_head_have_its_probabilities(name):
    # 200,000 draws of at most 32 frames: a share is within 5 standard errors of its probability,
    # which one draw in 50,000 sets of shares fails. The chains of an RBM are long enough here.
    num_draws, head = 200_000, HEADS[name]()
    if not head.exact:
        head.num_sampling_steps = 60
    randomised(head)
    parameters = tf.cast(some_values((1, head.num_parameters(NUM_VISIBLE)), 7), tf.float32)
    log_probs = log_weights(head, parameters).astype(np.float64)
    expected = np.exp(log_probs - np.logaddexp.reduce(log_probs))
    draws = tf.function(head.sample)(tf.repeat(parameters, num_draws, axis=0), (5, 6)).numpy()
    codes = 2 ** np.arange(NUM_VISIBLE)
    shares = np.bincount((draws @ codes).astype(int), minlength=64) / num_draws
    expected_shares = np.zeros(64)
    expected_shares[(frames_of(head.support) @ codes).astype(int)] = expected
    error = np.sqrt(expected_shares * (1 - expected_shares) / num_draws)
    assert (np.abs(shares - expected_shares) <= 5 * error).all()


@pytest.mark.parametrize("head", EXACT_HEADS)
@pytest.mark.parametrize("cell", CELLS)
def test_the_likelihood_of_a_piece_is_the_sum_of_its_steps(cell, head):
    model = with_random_weights(models.SequenceModel(CELLS[cell](), HEADS[head]()))
    frames = make_batch(1, 4, seed=4, support=model.head.support)["frames"]
    state, total = model.initial_state(1), 0.0
    parameters = model.parameters(state)
    for frame in frames[0]:
        total += model.head.log_prob(parameters, frame[None])[0].numpy()
        parameters, state = model.step(frame[None], state)
    assert model.log_prob(frames)[0].numpy() == pytest.approx(total, rel=1e-5, abs=1e-5)


def learners() -> dict[str, models.SequenceModel]:
    """Returns every model; and each cell and head in one, where no model has shown them yet."""
    pairs = {f"{name}, BernoulliHead": (CELLS[name], HEADS["BernoulliHead"]) for name in CELLS}
    pairs |= {f"SimpleCell, {name}": (CELLS["SimpleCell"], HEADS[name]) for name in HEADS}
    return MODELS | {
        name: lambda parts=parts: models.SequenceModel(*(make() for make in parts), seed=8)
        for name, parts in pairs.items()}


@pytest.mark.parametrize("make", learners().values(), ids=list(learners()))
def test_fit_makes_a_toy_sequence_more_likely(make):
    model = make()
    # Two frames in turns: whatever remembers one step can learn them.
    two = make_batch(1, 2, seed=5, support=model.head.support)["frames"]
    batch = {"frames": np.tile(two, [4, 6, 1])}
    model.build_for(NUM_VISIBLE)
    before = model.log_prob(batch["frames"][:1])[0].numpy()
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(batch, epochs=40, shuffle=False, verbose=0)
    assert model.log_prob(batch["frames"][:1])[0].numpy() > before + 1.0
