"""Asking an export its golden requests again, in a session like TensorFlow Serving's."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from rnnpt.export._folder import newest_version
from rnnpt.export._golden import ANSWERS_FILE, ORDER, REQUESTS_FILE, Arrays
from rnnpt.export._lint import lint
from rnnpt.export._option import ExportError, one_line

#: What the same float32 sums may differ by between builds of TensorFlow and CPUs.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-5
#: Outputs that are drawn.
_DRAWS = ("frames", "sample")
_SCRIPT = Path(__file__).with_name("_c_api.py")


def verify(directory: str | os.PathLike) -> Path:
    """Makes sure that an export is whole, can be served, and answers as the model did.

    It asks the requests that were stored beside the model, through TensorFlow's C API in a process
    without TensorFlow's Python layers and without a GPU. Whole numbers and draws of zeros and ones
    must come out equal; other numbers may differ by 1e-5 and 1e-4 of their size.

    Args:
        directory: A version's folder, or the folder of versions, of which the newest is taken.

    Returns:
        The version's folder.

    Raises:
        FileNotFoundError: If there is no version.
        ExportError: If it is damaged, must not be served, or answers otherwise.
    """
    path = newest_version(Path(directory))
    lint(path)
    if not (path / REQUESTS_FILE).is_file():
        raise ExportError(
            f"directory must hold golden requests, got {str(path)!r} without; an older rnnpt wrote "
            "it, so export it again")
    golden = _read(path / ANSWERS_FILE)
    _read(path / REQUESTS_FILE)
    answers = replay(path, path / REQUESTS_FILE)
    for number, name in enumerate(ORDER):
        if f"{number}/error" in answers:
            raise ExportError(
                f"signature {name} must answer its golden request, got "
                f"{one_line(answers[f'{number}/error'][1])!r}; export it again with the server's "
                "TensorFlow")
    for key, expected in golden.items():
        _compare(key, answers.get(key), expected)
    return path


def replay(directory: Path, requests: Path, timeout_s: float = 600) -> Arrays:
    """Answers requests in a process that holds TensorFlow's C API and no Python layers.

    Args:
        directory: The version's folder.
        requests: A file of arrays "NUMBER/SIGNATURE/INPUT".
        timeout_s: Seconds that it may take.

    Returns:
        "NUMBER/OUTPUT" -> array, or "NUMBER/error" -> status code and message.

    Raises:
        ExportError: If the SavedModel does not load or the process does not end well.
    """
    # The stock server runs on a CPU.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.npz"
        words: list[str | Path] = [sys.executable, "-P", _SCRIPT, directory, requests, answers]
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, env=environment, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ExportError(
                f"directory must answer within timeout_s={timeout_s:g}, got no answer from "
                f"{str(directory)!r}; try it on a machine with less to do") from None
        if done.returncode:
            reason = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()][-1]
            raise ExportError(
                f"directory must hold a SavedModel that TensorFlow's C API runs, got "
                f"{str(directory)!r}: {one_line(reason)}; export it again")
        return _read(answers)


def _read(file: Path) -> Arrays:
    try:
        # Opened here, because NumPy forgets to close what it cannot read.
        with file.open("rb") as stream, np.load(stream) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ExportError(
            f"directory must hold {file.name} whole, got {str(file)!r}: {error}; export it again"
        ) from None


def _compare(key: str, found: np.ndarray | None, expected: np.ndarray) -> None:
    number, output = key.split("/")
    rule = f"signature {ORDER[int(number)]}: {output} must be what the exported model answered"
    advice = "export it again with the server's TensorFlow"
    if found is None or (found.dtype, found.shape) != (expected.dtype, expected.shape):
        came = "nothing" if found is None else f"{found.dtype} of {list(found.shape)}"
        raise ExportError(
            f"{rule}, {expected.dtype} of {list(expected.shape)}, got {came}; {advice}")
    is_exact = expected.dtype == np.int32 or (
        output in _DRAWS and bool(np.isin(expected, (0, 1)).all()))
    relative, absolute = (0, 0) if is_exact else (RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE)
    differs = ~np.isclose(found, expected, relative, absolute, equal_nan=True)
    if differs.any():
        place = tuple(int(index) for index in np.argwhere(differs)[0])
        raise ExportError(
            f"{rule}, {expected[place]} at {list(place)}, got {found[place]}; {advice}")
