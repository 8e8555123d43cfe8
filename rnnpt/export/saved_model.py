"""Writing a model as a version that TensorFlow Serving loads."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

import rnnpt
from rnnpt.export._folder import written_beside
from rnnpt.export._golden import write_golden
from rnnpt.export._lint import lint
from rnnpt.export._option import ExportError, ExportOptions, one_line
from rnnpt.export._signature import Signatures
from rnnpt.export._warmup import write_warmup
from rnnpt.export.verification import verify as verify_export
from rnnpt.heads import AISSchedule
from rnnpt.models import SequenceModel

METADATA_FILE = Path("assets.extra") / "rnnpt.json"

#: A fraction of the full estimate's work, for an answer while somebody waits.
SCORE_SCHEDULE = AISSchedule(num_runs=20, num_temperatures=50, frames_at_once=40)


def save(
    model: SequenceModel,
    directory: str | os.PathLike,
    max_steps: int = 1024,
    max_num_steps: int = 1024,
    schedule: AISSchedule = SCORE_SCHEDULE,
    seed: int = 0,
    steps_per_quarter: int | None = None,
    verify: bool = False,
) -> None:
    """Writes a SavedModel with the signatures of a served model: see `export/README.md`.

    It holds the weights and nothing of the training, requests that warm the server up, others with
    their answers, and `assets.extra/rnnpt.json` with what is fixed. The version appears whole or
    not at all.

    Args:
        model: The model, built.
        directory: The version's folder, which must not be there, such as "models/chorales/1".
        max_steps: The longest T that the server accepts.
        max_num_steps: The most frames that one call of generate draws.
        schedule: Work of score for each frame, where the likelihood is an estimate.
        seed: Of serving_default and score, where they are estimates.
        steps_per_quarter: The grid of the music that the model was trained on, if it was music.
        verify: Whether to make sure first that TensorFlow's C API answers as the model does.

    Raises:
        TypeError: If `model` is no SequenceModel or `schedule` no AISSchedule.
        ExportError: If the model has no variables yet or cannot be served, a maximum is not
            positive, the folder is not named by a number, the version is there, nothing can be
            written, or the answers differ.
    """
    if not isinstance(model, SequenceModel):
        raise TypeError(
            f"model must be a SequenceModel, got {type(model).__name__}; build one from "
            "rnnpt.models")
    if model.num_visible is None:
        raise ExportError(
            "model must have its weights, got one that was never built; fit it, or load weights "
            "after model.build_for(num_visible)")
    if steps_per_quarter is not None and not (
            isinstance(steps_per_quarter, int) and steps_per_quarter >= 1):
        raise ExportError(
            f"steps_per_quarter must be a positive integer, got {steps_per_quarter!r}; leave it "
            "out where the model was not trained on music")
    options = ExportOptions(max_steps, max_num_steps, schedule, seed)
    signatures = Signatures(model, options)
    metadata = {**_metadata(model, options), "steps_per_quarter": steps_per_quarter}
    try:
        with written_beside(Path(directory)) as beside:
            _write(signatures, metadata, beside)
            if verify:
                verify_export(beside)
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        raise ExportError(
            f"directory must be a place with room to write, got {str(directory)!r}: "
            f"{one_line(error)}; make room, or name another") from error


def _write(signatures: Signatures, metadata: dict[str, object], directory: Path) -> None:
    """Everything of a version."""
    functions = signatures.functions()
    _write_graph(signatures.model, functions, directory)
    lint(directory)
    write_warmup(directory, signatures.specs)
    write_golden(directory, functions, signatures.specs, signatures.options)
    (directory / METADATA_FILE).write_text(json.dumps(metadata, indent=2) + "\n", "utf-8")


def _write_graph(
    model: SequenceModel, functions: dict[str, Callable], directory: Path
) -> None:
    module = tf.Module(name="rnnpt")
    module.weights = [weight.value for weight in model.weights]
    tf.saved_model.save(
        module, str(directory), signatures=functions,
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False))


def _metadata(model: SequenceModel, options: ExportOptions) -> dict[str, object]:
    return {
        "rnnpt_version": rnnpt.__version__,
        "tensorflow_version": tf.__version__,
        "model": keras.saving.serialize_keras_object(model),
        "num_visible": model.num_visible,
        "state_size": sum(model.state_sizes),
        "state_sizes": model.state_sizes,
        "exact": model.head.exact,
        **dataclasses.asdict(options),
    }
