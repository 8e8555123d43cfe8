"""What the client checks before it sends anything, and how it fills in what callers leave out."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from rnnpt.serving._transport import Signature, TensorSpec
from rnnpt.serving.error import InvalidArgument


def check_inputs(inputs: Mapping[str, ArrayLike], signature: Signature) -> dict[str, np.ndarray]:
    """Fits inputs to a signature.

    Args:
        inputs: Input name -> value.
        signature: The signature.

    Returns:
        Input name -> value of the signature's type.

    Raises:
        InvalidArgument: If a name, a shape or a type does not fit, or a number is not finite.
    """
    if set(inputs) != set(signature.inputs):
        raise InvalidArgument(f"inputs must be {sorted(signature.inputs)}, got {sorted(inputs)}: "
                              "name each once")
    arrays = {name: _check_input(name, inputs[name], spec)
              for name, spec in signature.inputs.items()}
    batched = [name for name, spec in signature.inputs.items() if spec.shape and not spec.shape[0]]
    sizes = {name: len(arrays[name]) for name in batched}
    if len(batched) == len(arrays) and len(set(sizes.values())) > 1:
        raise InvalidArgument(f"inputs must have one number of rows, got {sizes}: make them equal")
    return arrays


def _check_input(name: str, value: ArrayLike, spec: TensorSpec) -> np.ndarray:
    # NumPy's own strings are of one kind and one length.
    array = as_array(value, name, np.dtype(object) if spec.dtype == object else None)
    if spec.shape is not None and not _fits(array.shape, spec.shape):
        wanted = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise InvalidArgument(f"{name} must have the shape ({wanted}), got {array.shape}: the "
                              "model takes no other")
    if spec.dtype == object:
        return _as_strings(name, array)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(spec.dtype)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"{name} must be {spec.dtype}, got {array.dtype}: pass numbers") from None
    if spec.dtype.kind != "f":
        if not np.array_equal(cast, array):
            raise InvalidArgument(f"{name} must be {spec.dtype}, got {_first(array, cast != array)}"
                                  ": round or shrink it")
    elif not np.isfinite(cast).all():
        raise InvalidArgument(f"{name} must be finite in {spec.dtype}, got "
                              f"{_first(array, ~np.isfinite(cast))}: mend it before it is sent")
    return cast


def _as_strings(name: str, array: np.ndarray) -> np.ndarray:
    """Strings travel as bytes."""
    strings = np.empty(array.shape, object)
    for index, value in np.ndenumerate(array):
        if not isinstance(value, str | bytes):
            raise InvalidArgument(f"{name} must hold strings, got {value!r}: write it as one")
        strings[index] = value.encode() if isinstance(value, str) else value
    return strings


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, found) for size, found in zip(wanted, shape, strict=True))


def _first(array: np.ndarray, wrong: np.ndarray) -> str:
    index = tuple(np.argwhere(wrong)[0].tolist())
    return f"{array[index]} at {list(index)}" if index else str(array)


def as_array(value: ArrayLike, name: str, dtype: np.dtype | None = None) -> np.ndarray:
    """Makes an array of what came.

    Args:
        value: Numbers in lists, or an array.
        name: The argument's name.
        dtype: Its type, None for its own.

    Returns:
        The array.

    Raises:
        InvalidArgument: If lists beside one another have different lengths.
    """
    try:
        return np.asarray(value, dtype)
    except ValueError as error:
        raise InvalidArgument(f"{name} must be an array, got lists that make none ({error}): pad "
                              "the short ones") from None


def as_frames(frames: ArrayLike) -> np.ndarray:
    """Checks that frames come in rows.

    Args:
        frames: The frames (B, T, V).

    Returns:
        The same as an array.

    Raises:
        InvalidArgument: If there are not three dimensions.
    """
    array = as_array(frames, "frames")
    if array.ndim != 3:
        raise InvalidArgument(f"frames must have the shape (B, T, V), got {array.shape}: put rows "
                              "first, a single one too")
    return array


def as_rows(value: ArrayLike, num_rows: int, name: str) -> np.ndarray:
    """Gives each row a number.

    Args:
        value: A number, or one a row (B,).
        num_rows: How many rows there are, B.
        name: The argument's name.

    Returns:
        One a row (B,).

    Raises:
        InvalidArgument: If there are as many numbers as neither.
    """
    array = as_array(value, name)
    if array.shape not in ((), (num_rows,)):
        raise InvalidArgument(f"{name} must be a number or have the shape ({num_rows},), got "
                              f"{array.shape}: pass one a row")
    return np.broadcast_to(array, (num_rows,))


def as_lengths(length: ArrayLike | None, frames: np.ndarray) -> np.ndarray:
    """Gives each row a length.

    Args:
        length: A number, or one a row (B,); None for all steps.
        frames: The frames (B, T, V).

    Returns:
        One a row (B,).

    Raises:
        InvalidArgument: If a length is negative or beyond T.
    """
    num_rows, num_steps = frames.shape[:2]
    lengths = as_rows(num_steps if length is None else length, num_rows, "length")
    if ((lengths < 0) | (lengths > num_steps)).any():
        raise InvalidArgument(f"length must be from 0 to {num_steps}, the steps of frames, got "
                              f"{lengths.tolist()}: shorten it")
    return lengths


def as_seeds(seed: ArrayLike, num_rows: int) -> np.ndarray:
    """Gives each row a seed.

    Args:
        seed: A number, or a pair a row (B, 2).
        num_rows: How many rows there are, B.

    Returns:
        A pair a row (B, 2): from a number, the number and the row's index.

    Raises:
        InvalidArgument: If the shape is neither.
    """
    array = as_array(seed, "seed")
    if array.shape == ():
        return np.stack([np.full(num_rows, array), np.arange(num_rows)], axis=1)
    if array.shape != (num_rows, 2):
        raise InvalidArgument(f"seed must be a number or have the shape ({num_rows}, 2), got "
                              f"{array.shape}: pass a pair a row")
    return array
