"""How long the package, the command line and the client take to start, beside a bare interpreter.

Each runs in processes of its own, in turns, and the best turn counts.

    python benchmarks/start_up.py [--rounds 5]
"""

import argparse
import subprocess
import sys
from collections.abc import Callable

from timing import take_turns

PROGRAMS = {
    "bare interpreter": "pass",
    "import rnnpt": "import rnnpt",
    "rnnpt --help": "from rnnpt.cli import main; main(['--help'])",
    "a wrong flag": "from rnnpt.cli import main; main(['train', '--nonsense'])",
    "a client": "from rnnpt.serving.client import Client; Client('127.0.0.1:8500')",
    "import tensorflow": "import tensorflow",
}


def start(program: str) -> Callable[[], object]:
    """A call that runs a program in a new interpreter.

    Args:
        program: Python.

    Returns:
        The call.
    """
    return lambda: subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    seconds = take_turns(
        {name: start(program) for name, program in PROGRAMS.items()}, parser.parse_args().rounds)
    print("| | seconds | times a bare interpreter |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} | {value / seconds['bare interpreter']:.1f} |")


if __name__ == "__main__":
    main()
