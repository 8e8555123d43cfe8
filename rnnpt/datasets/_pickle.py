"""The classic pickles of the piano-roll sets, read without running anything that they name."""
import pickle
from pathlib import Path
from typing import Any

import numpy as np

# Some copies hold NumPy integers or arrays; these names rebuild them and do nothing else.
_multiarray = np.array(0).__reduce__()[0]
_scalar = np.int64(0).__reduce__()[0]
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    ALLOWED[_module, "_reconstruct"] = _multiarray
    ALLOWED[_module, "scalar"] = _scalar
for _module in ("builtins", "__builtin__"):
    ALLOWED.update({(_module, kind.__name__): kind for kind in (dict, list, tuple)})


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return ALLOWED[module, name]


def load_pitch_lists(path: Path) -> dict[str, list[list[list[int]]]]:
    """Read a pickled dict of splits, each a list of pieces, each a list of lists of pitches.

    Only dicts, lists, tuples, numbers and NumPy arrays are built; a pickle that names anything
    else is refused before it runs.

    Args:
        path: The `.pickle` file.

    Returns:
        The MIDI pitches of every frame of every piece of "train", "valid" and "test".

    Raises:
        ValueError: If the file is damaged, asks for anything else, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
        return {split: [[[int(pitch) for pitch in frame] for frame in piece]
                        for piece in content[split]] for split in ("train", "valid", "test")}
    # A damaged pickle raises nearly every kind of error.
    except Exception as error:
        raise ValueError(
            f"{path} must be a pickled dict of train, valid and test pieces, lists of tuples of "
            f"MIDI pitches. Received: a file that does not read as one ({type(error).__name__}: "
            f"{error}). Put a good copy there, or the `.mat` file of the same set.") from error
