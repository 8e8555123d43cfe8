"""What TensorFlow's assertions say when they fail, in one line."""

import pytest
import tensorflow as tf

from rnnpt.optimizers import NoProgressError
from rnnpt.optimizers.graph_error import NO_PROGRESS, plain_errors


@pytest.mark.parametrize("in_graph", [True, False])
@pytest.mark.parametrize("data, said", [
    (["T must be positive, got", tf.constant(-1)], "T must be positive, got -1"),
    (["it's a \"word\", got", tf.constant("two\nlines")], r"it's a \"word\", got two\\nlines"),
    (["names must differ, got", tf.constant(["a", "b"])], "names must differ, got .*a.*b.*")])
def test_an_assertion_that_fails_is_one_line(in_graph, data, said):
    def check() -> None:
        tf.debugging.Assert(False, data)

    with pytest.raises(ValueError, match=f"^{said}$") as caught:
        with plain_errors():
            (tf.function(check) if in_graph else check)()
    assert not isinstance(caught.value, NoProgressError)


def test_no_progress_has_an_error_of_its_own():
    with pytest.raises(NoProgressError, match=f"^Some: {NO_PROGRESS}, got 3$"):
        with plain_errors():
            tf.debugging.Assert(False, [f"Some: {NO_PROGRESS}, got", 3])


def test_another_error_stays_as_it_is():
    with pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes"):
        with plain_errors():
            tf.ones([2]) + tf.ones([3])
