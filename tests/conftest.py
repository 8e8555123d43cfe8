"""Fixtures of the whole suite."""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the published piano rolls, which stays outside the repository."""
    repository = Path(__file__).resolve().parents[1]
    folder = repository.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the repository: the published piano rolls")
    return folder
