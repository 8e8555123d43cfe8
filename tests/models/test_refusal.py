"""What a `SequenceModel` refuses, by the argument's name and value."""

import numpy as np
import pytest

from rnnpt import cells, heads, models
from tests.catalogue import NUM_VISIBLE, make_batch


@pytest.mark.parametrize("cell, head, message", [
    ("gru", heads.BernoulliHead(), "cell must be a rnnpt Cell or a Keras cell, got str"),
    (cells.SimpleCell(2), "bernoulli", "head must be a rnnpt Head, got str")])
def test_parts_of_another_kind_are_refused(cell, head, message):
    with pytest.raises(TypeError, match=message):
        models.SequenceModel(cell, head)


def with_a_value(value: float) -> np.ndarray:
    """Returns frames with one value that is none."""
    frames = make_batch()["frames"]
    frames[1, 2, 3] = value
    return frames


@pytest.mark.parametrize("call, message", [
    (lambda model: model.log_prob(with_a_value(np.nan)), "frames must be finite, got NaN"),
    (lambda model: model.generate(with_a_value(np.inf), 1, seed=0), "prime must be finite"),
    (lambda model: model.log_prob(np.zeros([4, 5])),
     r"frames must have the shape .*got \(4, 5\)"),
    (lambda model: model.generate(np.zeros([5]), 1, seed=0),
     r"prime must have the shape .*got \(5,\)"),
    (lambda model: model.log_prob(np.zeros([2, 3, 7])), "frames must be 5 wide.*got 7"),
    (lambda model: model.generate(np.zeros([2, 3, 7]), 1, seed=0), "frames must be 5 wide.*got 7"),
    (lambda model: model.fit({"frames": np.zeros([2, 3, 7])}), "frames must be 5 wide.*got 7"),
    (lambda model: model.evaluate({"frames": np.zeros([2, 3, 7])}), "frames must be 5 wide.*got 7"),
    (lambda model: model({"frames": np.zeros([2, 3, 7])}), "frames must be 5 wide.*got 7"),
    (lambda model: model.build_for(7), "frames must be 5 wide.*got 7"),
    (lambda model: model.log_prob(np.zeros([2, 3, 5]), np.ones([2, 4], bool)),
     r"mask must have the shape \(2, 3\) of the frames, got \(2, 4\)"),
    (lambda model: model.log_prob(np.zeros([2, 3, 5]), [[True, True, False], [False, True, True]]),
     "mask must be True up to the end .*got True at step 1 of row 1 after False"),
    (lambda model: model.generate(np.zeros([1, 3, 5]), -1, seed=0),
     "num_steps must not be negative, got -1"),
    (lambda model: model.generate(np.zeros([1, 3, 5]), 1, seed=0, temperature=0),
     "temperature must be a positive number, got 0"),
    (lambda model: model.generate(np.zeros([1, 3, 5]), 1, seed=0, temperature=float("nan")),
     "temperature must be a positive number, got nan"),
    (lambda model: model.generate(np.zeros([1, 3, 5]), 1, seed=[1, 2, 3]),
     r"seed must be .*got \(3,\)"),
    (lambda model: model.generate(np.zeros([2, 3, 5]), 1, seed=0, length=[4, 1]),
     r"length must be .*from 0 to 3.*got \[4, 1\]"),
    (lambda model: model.generate(np.zeros([2, 3, 5]), 1, seed=0, length=[-1, 1]),
     r"length must be .*got \[-1, 1\]"),
    (lambda model: model.generate(np.zeros([2, 3, 5]), 1, seed=0, length=[1]),
     r"length must be .*there are 2.*got \[1\]"),
    (lambda model: models.RNN(4).generate(None, 1, seed=0), "prime must be .*got None"),
    (lambda model: models.RNN(4).build({"frames": (None, None, None)}),
     "frames must have a known width, got None"),
    (lambda model: model.fit(np.zeros([2, 3, 5])), "a batch must be a dict .*got ndarray"),
    (lambda model: model.fit({"mask": np.zeros([2, 3])}), "key 'frames'.*got dict"),
    (lambda model: model({"mask": np.zeros([2, 3])}), "key 'frames'.*got dict"),
    (lambda model: model.evaluate([make_batch(), make_batch()]),
     "a batch must be a dict .*got list")])
def test_bad_input_is_refused_by_name_and_value(call, message):
    model = models.RNN(4)
    model.build_for(NUM_VISIBLE)
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        call(model)
