"""What must hold under faults, with a real export: `benchmarks/faults.py` in small."""

import pathlib
import subprocess
import sys

BENCHMARK = pathlib.Path(__file__).parents[2] / "benchmarks" / "faults.py"


def test_what_must_hold_holds():
    command = [sys.executable, BENCHMARK, "--scale", "0.02",
               "--only", "kill", "replace", "truncate", "disk"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
