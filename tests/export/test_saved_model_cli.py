"""What TensorFlow's own tool shows of an export, beside what it showed before."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.export.conftest import Exported

SNAPSHOT = pathlib.Path(__file__).with_name("signatures.txt")


@pytest.mark.parametrize("exported", ["RNN"], indirect=True)
def test_signatures_are_those_of_the_snapshot(exported: Exported) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "show", "--dir",
         exported.directory, "--all"], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    shown, _, operations = done.stdout.partition("The MetaGraph with tag set")
    assert "'Assert'" in operations
    # Tensors get other names with every export.
    shown = re.sub(r" +$", "", re.sub(r"name: \w+:\d+", "name: TENSOR", shown), flags=re.MULTILINE)
    assert shown.strip() == SNAPSHOT.read_text("utf-8").strip()
