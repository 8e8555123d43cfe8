"""Fixtures of the whole suite."""
import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow

from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import keras  # noqa: E402
import pytest  # noqa: E402

# A shell has what it starts in the background ignore Ctrl-C, whose effect some tests look at.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the published piano rolls, which stays outside the repository."""
    repository = Path(__file__).resolve().parents[1]
    folder = repository.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the repository: the published piano rolls")
    return folder


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Keras in float64: what is built meanwhile, and what an optimizer keeps."""
    keras.config.set_floatx("float64")
    # Keras keeps the policy that it once made of the floatx.
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
