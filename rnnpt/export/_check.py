"""Assertions inside the exported graph: a bad request ends as INVALID_ARGUMENT with its reason.

The runtime checks the type of what it is fed and not its shape, and a wrong shape can broadcast
unnoticed, so every signature checks all its inputs before it computes anything.
"""

from collections.abc import Mapping

import tensorflow as tf

#: Inputs that may hold any number that is one.
_FINITE = ("frames", "frame", "state")


def check_inputs(
    inputs: Mapping[str, tf.Tensor], specs: Mapping[str, tf.TensorSpec], maxima: Mapping[str, int]
) -> dict[str, tf.Tensor]:
    """The inputs of a signature, to be computed with only once they were found right.

    Args:
        inputs: Name -> tensor; B is the first one's.
        specs: Name -> what the signature declares.
        maxima: Largest T of "frames" and largest value of "num_steps".

    Returns:
        Name -> tensor of the declared shape.
    """
    # Hides the declared shape, so that nothing takes it for the shape that came.
    inputs = {name: tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=None)
              for name, tensor in inputs.items()}
    num_rows = tf.concat([tf.shape(next(iter(inputs.values()))), [-1]], axis=0)[0]
    shapes_fit = [_require_shape(name, tensor, specs[name].shape, num_rows)
                  for name, tensor in inputs.items()]
    with tf.control_dependencies(shapes_fit):
        inputs = {name: tf.ensure_shape(tensor, specs[name].shape)
                  for name, tensor in inputs.items()}
        values_fit = _require_values(inputs, maxima)
    with tf.control_dependencies(values_fit):
        return {name: tf.identity(tensor) for name, tensor in inputs.items()}


def _require_shape(
    name: str, tensor: tf.Tensor, declared: tf.TensorShape, num_rows: tf.Tensor
) -> tf.Operation:
    wanted = tf.stack([num_rows, *(-1 if size is None else size for size in declared[1:])])
    shape = tf.shape(tensor)
    # As many sizes as are wanted, so that the two compare whatever came.
    sizes = tf.concat([shape, tf.zeros_like(wanted)], axis=0)[:declared.rank]
    fits = tf.reduce_all((sizes == wanted) | (wanted == -1)) & (tf.size(shape) == declared.rank)
    names = ["B", *("T" if size is None else str(size) for size in declared[1:])]
    text = ", ".join(names) if len(names) > 1 else "B,"
    return _require(
        ~fits, f"{name} must have the shape ({text})", shape, "B is the same for all inputs")


def _require_values(
    inputs: Mapping[str, tf.Tensor], maxima: Mapping[str, int]
) -> list[tf.Operation]:
    required = [
        _require(~tf.math.is_finite(inputs[name]), f"{name} must be finite", inputs[name],
                 "mend it before it is sent")
        for name in _FINITE if name in inputs]
    if "frames" in inputs:
        num_given, length = tf.shape(inputs["frames"])[1], inputs["length"]
        required.append(_require(
            num_given > maxima["frames"], f"frames must have at most {maxima['frames']} steps",
            num_given, "send the last ones"))
        required.append(_require(
            (length < 0) | (length > num_given),
            "length must be from 0 to the number of steps of frames", length,
            "count the real ones of each row"))
    if "num_steps" in inputs:
        num_steps = inputs["num_steps"]
        required.append(_require(
            (num_steps < 0) | (num_steps > maxima["num_steps"]),
            f"num_steps must be from 0 to {maxima['num_steps']}", num_steps,
            "go on from the returned state for more"))
    if "temperature" in inputs:
        temperature = inputs["temperature"]
        required.append(_require(
            ~((temperature > 0) & tf.math.is_finite(temperature)),
            "temperature must be positive and finite", temperature,
            "1 samples the model as it was trained"))
    return required


def _require(wrong: tf.Tensor, rule: str, value: tf.Tensor, advice: str) -> tf.Operation:
    """Stops the call with the rule, what came (its wrong part where it has parts), and advice."""
    came = tf.boolean_mask(value, wrong) if wrong.shape.rank else value
    return tf.debugging.Assert(~tf.reduce_any(wrong), [f"{rule}, got", came, advice])
