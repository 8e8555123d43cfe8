"""The command line `rnnpt`: parse, call, exit code.

A command imports what it needs when it runs, so that `--help` and a wrong flag answer at once.
"""

import argparse
import dataclasses
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from rnnpt.experiments.config import CONFIGS
from rnnpt.experiments.published import TABLES
from rnnpt.serving._option import ServerOptions


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"rnnpt: {message}: see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: Words after `rnnpt`; those of the process by default.

    Returns:
        The exit code: 0 done, 2 a mistake that the user can mend, 130 interrupted.

    Raises:
        Exception: If rnnpt itself is wrong.
    """
    flags = vars(_parser().parse_args(argv))
    try:
        from rnnpt.experiments import command

        getattr(command, flags.pop("function"))(**flags)
    except KeyboardInterrupt as stop:
        return _tell(stop if str(stop) else "interrupted: the same command starts it again", 130)
    except Exception as error:
        if not _is_for_user(error):
            raise
        return _tell(error, 2)
    return 0


def _tell(message: object, code: int) -> int:
    """Says why it ends, in one line, and returns the exit code."""
    print("rnnpt:", " ".join(str(message).split()), file=sys.stderr)
    return code


def _folder(text: str) -> Path:
    """A folder, that is there or can be made."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, got {text!r}, a file; name another")
    return path


def _boolean(text: str) -> bool:
    """What TensorFlow Serving takes for a flag that is on or off."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {text!r}; write one of them")
    return text.lower() in ("true", "1")


#: Type of a setting of the server -> how its flag is read.
_FLAG_TYPES: dict[type, dict[str, Any]] = {
    bool: {"type": _boolean, "nargs": "?", "const": True, "metavar": "true|false"},
    int: {"type": int, "metavar": "N"},
    float: {"type": float, "metavar": "X"},
    str: {"metavar": "TEXT"},
}


def _is_for_user(error: Exception) -> bool:
    """Whether an error tells the user what to do: the system's, or one that rnnpt raised itself."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    raised_by = frame.f_globals.get("__name__", "") if isinstance(error, ValueError) else ""
    names = (type(error).__module__, raised_by)
    return isinstance(error, OSError) or any(name.startswith("rnnpt.") for name in names)


def _parser() -> argparse.ArgumentParser:
    """Returns the parser; `function` names the function of `experiments.command` to call."""
    parser = _Parser(prog="rnnpt", description="Recurrent models of polyphonic music.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_data(commands.add_parser("data", help="list, get or build data sets"))
    _add_train(commands.add_parser("train", help="train in a run folder, or go on there"))
    _add_evaluate(commands.add_parser("evaluate", help="measure a trained run on the test set"))
    _add_reproduce(commands.add_parser("reproduce", help="run the rows of a published table"))
    _add_generate(commands.add_parser("generate", help="make music from nothing"))
    _add_continue(commands.add_parser("continue", help="continue a MIDI file"))
    _add_plot(commands.add_parser("plot", help="draw learning curves or a piano roll"))
    _add_export(commands.add_parser("export", help="write a SavedModel for serving"))
    _add_serve(commands.add_parser("serve", help="serve an exported model, as TF Serving does"))
    _add_demo(commands.add_parser("demo", help="go the whole way once, on Bach's chorales"))
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    words = parser.add_subparsers(title="words", metavar="WORD", required=True)
    for word, function, text in (
        ("list", "list_data", "say which data sets there are, and which files are here"),
        ("get", "get_data", "download the file of a published set"),
        ("build", "build_data", "make the piano rolls of a set and count what is in them"),
    ):
        one = words.add_parser(word, help=text)
        if word != "list":
            one.add_argument("name", help="a name that rnnpt data list shows")
        _add_data_dir(one)
        one.set_defaults(function=function)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="NAME", help=", ".join(CONFIGS))
    _add_run_dir(parser)
    _add_set(parser, "change a setting, such as fit.epochs=40; may be given again")
    parser.add_argument("--overwrite", action="store_true", help="start anew in an old run folder")
    parser.add_argument("--seed", type=int, help="of weights, batches and every draw")
    _add_data_dir(parser)
    parser.set_defaults(function="train")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_run_dir(parser)
    _add_set(parser, "such as evaluation.num_samples=50; may be given again")
    parser.add_argument("--seed", type=int, default=0, help="of every draw; 0 by default")
    _add_data_dir(parser)
    parser.set_defaults(function="evaluate")


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", help=", ".join(TABLES))
    parser.add_argument("--data", metavar="SET", nargs="+", help="its data sets; all by default")
    parser.add_argument("--rows", metavar="ROW", nargs="+", help="its rows; all by default")
    parser.add_argument("--seeds", type=int, default=1, help="of each row; 1 by default")
    parser.add_argument("--budget", type=float, default=1.0, help="share of the epochs; 1")
    parser.add_argument("--output_dir", type=_folder, default=Path("results"), help="of the tables")
    parser.add_argument("--runs_dir", type=_folder, default=Path("runs"), help="of the runs")
    _add_data_dir(parser)
    parser.set_defaults(function="reproduce")


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_run_dir(parser)
    parser.add_argument("--num_outputs", type=int, default=1, help="pieces to make; 1 by default")
    parser.add_argument("--qpm", type=float, default=120.0, help="quarter notes a minute")
    _add_drawing(parser)
    parser.set_defaults(function="generate")


def _add_continue(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run_dir", type=_folder, help="run folder of the model")
    source.add_argument("--saved_model", type=Path, metavar="DIR", help="folder of an export")
    source.add_argument("--server", metavar="HOST:PORT", help="gRPC, or http://HOST:PORT for REST")
    parser.add_argument("--model_name", default="chorales", help="its name on the server")
    parser.add_argument("--primer_midi", type=Path, required=True, help="the file to go on from")
    parser.add_argument("--qpm", type=float, help="quarter notes a minute; the file's by default")
    parser.add_argument(
        "--steps_per_quarter", type=int,
        help="frames a quarter note; the model's by default, but 1 with --server, which tells none")
    _add_drawing(parser)
    parser.set_defaults(function="continue_music")


def _add_plot(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run_dir", type=_folder, help="draw the learning curve of a run")
    what.add_argument("--midi", type=Path, help="draw the piano roll of a MIDI file")
    what.add_argument(
        "--curves", type=Path, metavar="CSV",
        help="draw the validation over time that rnnpt reproduce wrote")
    parser.add_argument("--steps_per_quarter", type=int, default=1, help="steps a quarter note")
    parser.add_argument("--output_dir", type=_folder, help="folder of the picture")
    parser.set_defaults(function="plot")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run_dir", type=_folder, help="the run folder; may be left out to verify")
    parser.add_argument("--export_dir", type=_folder, required=True, help="folder of the versions")
    parser.add_argument(
        "--verify", action="store_true",
        help="ask the stored requests again through TensorFlow's C API; without --run_dir, those "
        "of the newest version that is there")
    parser.set_defaults(function="export")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_base_path", type=Path, help="folder of versions")
    parser.add_argument("--model_name", help="name in requests; the folder's by default")
    parser.add_argument("--port", type=int, default=8500, help="of gRPC; 8500 by default")
    parser.add_argument("--rest_api_port", type=int, default=8501, help="8501 by default")
    for field in dataclasses.fields(ServerOptions):
        parser.add_argument(
            f"--{field.name}", default=field.default, help=field.metadata["help"],
            **_FLAG_TYPES[(*get_args(field.type), field.type)[0]])
    parser.set_defaults(function="serve")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output_dir", type=_folder, default=Path("demo"), help="demo by default")
    parser.add_argument("--smoke", action="store_true", help="in a toy size")
    parser.set_defaults(function="demo")


def _add_run_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run_dir", type=_folder, required=True, help="the run folder")


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data_dir", type=Path, help="folder of the published sets")


def _add_set(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--set", dest="assignments", metavar="KEY=VALUE", action="append", default=[], help=text
    )


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num_steps", type=int, default=64, help="steps to make; 64 by default")
    parser.add_argument("--temperature", type=float, default=1.0, help="below 1 is safer")
    parser.add_argument("--seed", type=int, default=0, help="of the draws; 0 by default")
    parser.add_argument("--output_dir", type=_folder, required=True, help="of the MIDI files")
