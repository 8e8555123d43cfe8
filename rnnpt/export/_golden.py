"""One request a signature and its answer, stored beside a model to tell whether it still plays so.

Two files of arrays, in the formats of `_c_api.py`: "NUMBER/SIGNATURE/INPUT" and "NUMBER/OUTPUT".
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from rnnpt.export._option import ExportError, ExportOptions
from rnnpt.export._signature import INPUTS

REQUESTS_FILE = Path("assets.extra") / "golden_requests.npz"
ANSWERS_FILE = Path("assets.extra") / "golden_answers.npz"

#: Signatures in the order in which one's answer gives the next its state.
ORDER = ("start", "step", "generate", "serving_default", "score", "draw")
#: Rows, steps heard and steps drawn: enough that rows, lengths and draws differ.
_NUM_ROWS, _NUM_HEARD, _NUM_DRAWN = 2, 3, 4

Arrays = dict[str, np.ndarray]


def write_golden(
    directory: Path, functions: Mapping[str, Callable], specs: Mapping[str, tf.TensorSpec],
    options: ExportOptions,
) -> None:
    """Asks each signature once, and writes what was asked and what it answered.

    Args:
        directory: Folder of the SavedModel.
        functions: Signature name -> the function that was exported.
        specs: Name -> what a signature declares of the input of that name.
        options: What the export was made with.

    Raises:
        ExportError: If an answer has not a row for each of the request's.
    """
    inputs = _inputs(specs["frame"].shape[-1], options)
    requests: Arrays = {}
    answers: Arrays = {}
    for number, name in enumerate(ORDER):
        asked = {key: inputs[key] for key in INPUTS[name]}
        answer = functions[name](**{key: tf.constant(value) for key, value in asked.items()})
        answer = {key: value.numpy() for key, value in answer.items()}
        for key, value in answer.items():
            if value.shape[:1] != (_NUM_ROWS,):
                raise ExportError(
                    f"signature {name}: {key} must have a row for each of the request's "
                    f"{_NUM_ROWS}, got {list(value.shape)}; change the model's cell or head")
        requests.update({f"{number}/{name}/{key}": value for key, value in asked.items()})
        answers.update({f"{number}/{key}": value for key, value in answer.items()})
        if "state" in answer:
            inputs["state"] = answer["state"]
    for file, arrays in ((REQUESTS_FILE, requests), (ANSWERS_FILE, answers)):
        (directory / file).parent.mkdir(exist_ok=True)
        np.savez(directory / file, **arrays)  # type: ignore[arg-type]


def _inputs(num_visible: int, options: ExportOptions) -> Arrays:
    """The same for every model; one unit on at a time, which every head can hear."""
    num_heard = min(_NUM_HEARD, options.max_steps)
    num_drawn = min(_NUM_DRAWN, options.max_num_steps)
    steps, rows = np.arange(num_heard), np.arange(_NUM_ROWS)
    frames = np.eye(num_visible, dtype=np.float32)[
        (7 * rows[:, np.newaxis] + 3 * steps) % num_visible]
    return {
        "session": rows.astype(np.int32),
        "frame": frames[:, 0],
        "frames": frames,
        "length": np.array([num_heard, num_heard - 1], np.int32),
        "num_steps": np.array([num_drawn, num_drawn - 1], np.int32),
        "seed": np.array([[1, 2], [3, 4]], np.int32),
        "temperature": np.ones(_NUM_ROWS, np.float32),
    }
