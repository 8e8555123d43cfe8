"""The language model: exact on all texts, a text learned, classes and frames that do not fit."""

import itertools

import keras
import numpy as np
import pytest

from rnnpt import cells, heads, models
from tests import reference
from tests.catalogue import with_random_weights
from tests.reference import categorical

CLASS_OF = [0, 1, 0, 2, 1]
CASES = [
    pytest.param(lambda: models.LanguageModel(4, seed=1), id="plain"),
    pytest.param(lambda: models.LanguageModel(4, class_of=CLASS_OF, seed=1), id="classes"),
    pytest.param(
        lambda: models.LanguageModel(3, cells.SimpleCell(4, "relu"), np.array(CLASS_OF), seed=1),
        id="given cell"),
]


def all_texts(num_steps: int) -> np.ndarray:
    """Returns every text of five symbols as frames (5^T, T, 5)."""
    return np.eye(5)[np.array(list(itertools.product(range(5), repeat=num_steps)))]


@pytest.mark.parametrize("make", CASES)
def test_probabilities_of_all_texts_sum_to_one(make):
    log_prob = with_random_weights(make()).log_prob(all_texts(3)).numpy().astype(np.float64)
    # 125 probabilities in float32.
    assert abs(np.exp(log_prob).sum() - 1) < 1e-5


@pytest.mark.parametrize("make", CASES[:2])
def test_log_prob_is_that_of_the_twin(make):
    model = with_random_weights(make())
    cell = [np.array(weight, np.float64) for weight in (
        model.cell.kernel, model.cell.recurrent_kernel, model.cell.bias)]
    frames = all_texts(3)[37]
    states = reference.simple_cell(
        *cell, "tanh", np.array(model.cell.initial_state[0], np.float64), frames)[:-1]
    readout = [np.array(weight, np.float64) for weight in model.readout.get_weights()]
    parameters = states @ readout[0] + readout[1]
    if isinstance(model.head, heads.CategoricalHead):
        every = [categorical.softmax(each) for each in parameters]
    else:
        kernel, bias = (np.array(weight, np.float64) for weight in model.head.get_weights())
        every = [categorical.factored_probabilities(kernel, bias, CLASS_OF, each)
                 for each in parameters]
    expected = np.log(np.sum(np.array(every) * frames, axis=1)).sum()
    np.testing.assert_allclose(model.log_prob(frames[None])[0], expected, rtol=1e-5)


@pytest.mark.parametrize("make", CASES[:2])
def test_fit_learns_a_text_that_repeats(make):
    frames = np.eye(5, dtype=np.float32)[np.tile([0, 1, 2, 3, 4, 2], [4, 5])]
    model = make()
    model.compile(keras.optimizers.Adam(0.1))
    history = model.fit({"frames": frames}, epochs=40, verbose=0).history["log_likelihood"]
    # Even guesses have -log 5 = -1.6; 2 is followed by 3 and by 0, which the state tells apart.
    assert history[0] < -1.4 and history[-1] > -0.3
    drawn = model.generate(frames[:1, :6], 6, seed=1, temperature=0.1).numpy()
    np.testing.assert_array_equal(np.argmax(drawn[0], axis=-1), [0, 1, 2, 3, 4, 2])


def test_a_model_with_a_given_cell_and_classes_comes_back_from_its_config():
    model = models.LanguageModel(3, cells.SimpleCell(4, "relu"), np.array(CLASS_OF), seed=5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert copy.get_config() == model.get_config()
    assert copy.cell.units == 4 and copy.head.class_of == tuple(CLASS_OF)
    assert copy.head.num_features == 3


def test_classes_of_other_symbols_are_refused_before_training():
    model = models.LanguageModel(4, class_of=[0, 1, 1])
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="class_of must have one class .* the 5 units .* got 3"):
        model.fit({"frames": all_texts(2).astype(np.float32)}, verbose=0)


@pytest.mark.parametrize("frame, found", [
    ([0.0, 1, 1, 0, 0], "2"), ([0.0, 0, 0, 0, 0], "0"), ([0.0, 0.5, 0.5, 0, 0], "0.5")])
def test_frames_that_are_not_one_hot_are_refused(frame, found):
    frames = np.array([[[1.0, 0, 0, 0, 0], frame]], np.float32)
    with pytest.raises(ValueError, match=f"frames must be 0 but for a single 1 .* got {found}"):
        models.LanguageModel(4).log_prob(frames)
