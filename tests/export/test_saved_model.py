"""What is written: signatures, weights and no more, warm-up requests, metadata; or nothing."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import rnnpt
from rnnpt import export, models
from rnnpt.cells import SimpleCell
from rnnpt.export import saved_model
from rnnpt.heads import AISSchedule, BernoulliHead
from tests.export.conftest import (
    INPUTS,
    MAX_NUM_STEPS,
    MAX_STEPS,
    NUM_VISIBLE,
    Exported,
    draw_frames,
    make_model,
)


def tensors(specs: dict[str, tf.TensorSpec]) -> dict[str, tuple]:
    return {name: (spec.dtype.name, *spec.shape) for name, spec in specs.items()}


def test_signatures_are_those_of_the_contract(exported: Exported) -> None:
    frames, frame = ("float32", None, None, NUM_VISIBLE), ("float32", None, NUM_VISIBLE)
    state, seed = ("float32", None, sum(exported.model.state_sizes)), ("int32", None, 2)
    number, integer = ("float32", None), ("int32", None)
    sequence = {"frames": frames, "length": integer}
    expected = {
        "serving_default": (sequence, {"probabilities": frame}),
        "start": ({"session": integer}, {"state": state}),
        "step": ({"frame": frame, "state": state, "seed": seed, "temperature": number},
                 {"probabilities": frame, "sample": frame, "state": state}),
        "draw": ({"state": state, "seed": seed, "temperature": number},
                 {"sample": frame, "state": state}),
        "generate": ({"state": state, **sequence, "num_steps": integer, "seed": seed,
                      "temperature": number}, {**sequence, "state": state}),
        "score": (sequence, {"log_likelihood": number, "standard_error": number,
                             "frames_scored": integer}),
    }
    signatures = tf.saved_model.load(str(exported.directory)).signatures
    assert expected == {
        name: (tensors(function.structured_input_signature[1]),
               tensors(function.structured_outputs))
        for name, function in signatures.items()}


def test_warm_up_requests_cover_each_signature_and_are_answered(exported: Exported) -> None:
    file = exported.directory / "assets.extra" / "tf_serving_warmup_requests"
    requests = []
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        requests.append((request.model_spec.signature_name, {
            name: tf.make_ndarray(value) for name, value in request.inputs.items()}))
    sizes = [(name, {len(value) for value in inputs.values()}) for name, inputs in requests]
    assert sizes == [(name, {num_rows}) for name in INPUTS for num_rows in (1, 2)]
    assert not [answer for answer in exported.answer(requests) if "error" in answer]


def test_metadata_tells_what_is_fixed(exported: Exported) -> None:
    text = (exported.directory / "assets.extra" / "rnnpt.json").read_text("utf-8")
    metadata = json.loads(text)
    model = keras.saving.deserialize_keras_object(metadata.pop("model"))
    assert type(model) is type(exported.model)
    assert model.get_config() == exported.model.get_config()
    state_sizes = exported.model.state_sizes
    assert metadata == {
        "rnnpt_version": rnnpt.__version__, "tensorflow_version": tf.__version__,
        "num_visible": NUM_VISIBLE, "state_size": sum(state_sizes), "state_sizes": state_sizes,
        "exact": exported.model.head.exact, "max_steps": MAX_STEPS,
        "max_num_steps": MAX_NUM_STEPS, "seed": 3, "steps_per_quarter": None,
        "schedule": {
            "num_runs": 50, "num_temperatures": 30, "frames_at_once": 4,
            "inverse_temperatures": None},
    }


def test_export_of_a_trained_model_holds_its_weights_alone(tmp_path: pathlib.Path) -> None:
    model = make_model("RNN")
    model.compile(optimizer=keras.optimizers.Adam(0.1))
    model.fit({"frames": draw_frames(2, 4)}, epochs=1, verbose=0)
    export.save(model, tmp_path / "1", steps_per_quarter=2)
    reader = tf.train.load_checkpoint(str(tmp_path / "1" / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name]
    found = sorted(reader.get_tensor(name).ravel().tolist() for name in names)
    assert found == sorted(weight.numpy().ravel().tolist() for weight in model.weights)
    metadata = json.loads((tmp_path / "1" / saved_model.METADATA_FILE).read_text("utf-8"))
    assert metadata["steps_per_quarter"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]


def test_another_width_is_exported_with_its_own(tmp_path: pathlib.Path) -> None:
    model = models.RNN(num_hidden=3)
    model.build_for(9)
    export.save(model, tmp_path / "1")
    client = export.load(tmp_path)
    assert client.generate(num_steps=2).frames.shape == (1, 2, 9)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"max_steps": 0}, "max_steps must be a positive integer of 32 bits, got 0"),
    ({"max_num_steps": 2.0}, "max_num_steps must be a positive integer of 32 bits, got 2.0"),
    ({"seed": -1}, r"seed must be an integer from 0 to 2\^62 - 1, got -1"),
    ({"steps_per_quarter": 0}, "steps_per_quarter must be a positive integer, got 0"),
    ({"directory": "chorales"}, r"directory must end in a version number, got '.*chorales'"),
])
def test_wrong_options_are_refused(
    tmp_path: pathlib.Path, arguments: dict, message: str
) -> None:
    directory = tmp_path / arguments.pop("directory", "1")
    with pytest.raises(export.ExportError, match=message):
        export.save(make_model("RNN"), directory, **arguments)
    assert not list(tmp_path.iterdir())


def test_schedule_of_another_type_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TypeError, match="schedule must be an AISSchedule, got int"):
        export.save(make_model("RNN"), tmp_path / "1", schedule=100)


def test_what_is_no_sequence_model_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TypeError, match="model must be a SequenceModel, got Sequential"):
        export.save(keras.Sequential(), tmp_path / "1")


def test_model_without_weights_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(export.ExportError, match="model must have its weights, got one that was"):
        export.save(models.RNN(), tmp_path / "1")


def test_version_that_is_there_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "00003").mkdir()
    with pytest.raises(
            export.ExportError,
            match="directory must be a version that is not there, got '.*00003'; the next is 4"):
        export.save(make_model("RNN"), tmp_path / "3")
    assert [path.name for path in tmp_path.iterdir()] == ["00003"]


def test_interrupted_export_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(directory: pathlib.Path, specs: object) -> None:
        assert directory.name.startswith(".") and (directory / "saved_model.pb").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(saved_model, "write_warmup", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export.save(make_model("RNN"), tmp_path / "1")
    assert not list(tmp_path.iterdir())


class PythonHead(BernoulliHead):
    """A head that samples in Python."""

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        drawn = tf.numpy_function(lambda logits: np.float32(logits > 0), [parameters], tf.float32)
        return tf.ensure_shape(drawn, parameters.shape)


def test_model_that_needs_python_is_refused(tmp_path: pathlib.Path) -> None:
    model = models.SequenceModel(SimpleCell(4), PythonHead())
    model.build_for(NUM_VISIBLE)
    with pytest.raises(export.ExportError, match="must use no operation that needs Python, got Py"):
        export.save(model, tmp_path / "1", schedule=AISSchedule())
    assert not list(tmp_path.iterdir())
