"""The commands of `rnnpt`, a function each, whose arguments are the command line's flags.

They check what they can before they import TensorFlow, so a mistake is answered soon.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

from rnnpt.experiments import published, run_folder
from rnnpt.experiments._tensorflow import import_quietly
from rnnpt.experiments.setting import ConfigError, override


def list_data(data_dir: Path | None) -> None:
    """Prints the data sets.

    Args:
        data_dir: Folder of the published sets.
    """
    import_quietly()
    from rnnpt.experiments import data

    print(data.describe_all(data_dir))


def get_data(name: str, data_dir: Path | None) -> None:
    """Downloads the file of a published set.

    Args:
        name: The set.
        data_dir: Where it shall be.
    """
    import_quietly()
    from rnnpt.experiments import data

    print(data.fetch(name, data_dir))


def build_data(name: str, data_dir: Path | None) -> None:
    """Makes the piano rolls of a set and prints what is in them.

    Args:
        name: The set.
        data_dir: Folder of the published sets.
    """
    import_quietly()
    from rnnpt.experiments import data

    print(data.build(name, data_dir))


def train(
    run_dir: Path,
    config: str | None,
    assignments: list[str],
    overwrite: bool,
    seed: int | None,
    data_dir: Path | None,
) -> None:
    """Trains in a run folder, or goes on there.

    Args:
        run_dir: The run folder.
        config: Name of the experiment.
        assignments: Settings to change, `key=value`.
        overwrite: Whether to delete a run that is there.
        seed: The setting of this name.
        data_dir: Folder of the published sets.
    """
    assignments = assignments + ([] if seed is None else [f"seed={seed}"])
    _, experiment = run_folder.resolve(run_dir, config, assignments, overwrite)
    import_quietly()
    from rnnpt import datasets
    from rnnpt.experiments import model, training

    # The data and the model come first: where they are refused, no run is begun or overwritten.
    splits = datasets.get(experiment.data, data_dir)
    model.build_model(experiment.model, experiment.seed)
    run_folder.open_run(run_dir, config, assignments, overwrite)
    result = training.train(run_dir, experiment, splits)
    print(
        f"{run_dir}: best epoch {result.best['epoch']} of phase {result.best['phase']}, "
        f"validation log-likelihood {result.best['val_log_likelihood']:.4f} nats a frame"
    )


def evaluate(
    run_dir: Path, assignments: list[str], seed: int, data_dir: Path | None
) -> None:
    """Prints the table of a trained run and writes it into its folder.

    Args:
        run_dir: The run folder.
        assignments: Settings of the evaluation to change, `evaluation.key=value`.
        seed: Of every draw.
        data_dir: Folder of the published sets.

    Raises:
        ConfigError: If a setting is not one of the evaluation, or the seed is no seed.
    """
    if not 0 <= seed < 2**31:
        raise ConfigError(f"seed must be from 0 to {2**31 - 1}, got {seed}: choose one of these.")
    for assignment in assignments:
        if not assignment.startswith("evaluation."):
            raise ConfigError(
                f"set must name a setting of the evaluation, got {assignment!r}: the others were "
                "fixed by rnnpt train."
            )
    experiment = override(run_folder.read_config(run_dir), assignments)
    import_quietly()
    from rnnpt import datasets
    from rnnpt.experiments import evaluation, training

    splits = datasets.get(experiment.data, data_dir)
    model = training.load_model(run_dir, splits.num_visible)
    rows = evaluation.evaluate(model, splits, experiment.evaluation, seed, sys.stdout.isatty())
    print(evaluation.save_table(run_dir, rows), end="")


def reproduce(
    table: str,
    data: list[str] | None,
    rows: list[str] | None,
    seeds: int,
    budget: float,
    output_dir: Path,
    runs_dir: Path,
    data_dir: Path | None,
) -> None:
    """Runs rows of a published table, and writes the results beside what was published.

    Args:
        table: Its name.
        data: Its data sets to run; none for all.
        rows: Its rows to run; none for all.
        seeds: How many of each row.
        budget: The share of the epochs that is trained.
        output_dir: Folder of the results.
        runs_dir: Folder of the runs, which go on where they were stopped.
        data_dir: Folder of the published sets.

    Raises:
        ConfigError: If the table, a data set or a row is unknown, or a number is out of its range.
    """
    asked = published.named(table)
    known_rows = tuple(row.name for row in asked.rows)
    chosen_data = published.chosen("data", data, asked.data)
    chosen_rows = published.chosen("rows", rows, known_rows)
    if seeds < 1:
        raise ConfigError(f"seeds must be at least 1, got {seeds}: 3 give a spread.")
    if not 0 < budget <= 1:
        raise ConfigError(f"budget must be above 0 and at most 1, got {budget}: 1 is the whole.")
    import_quietly()
    from rnnpt.experiments import curve, picture, reproduction, result_page

    results = reproduction.open_table(output_dir / f"{table}.csv")
    curves = curve.path_beside(results.path)
    try:
        reproduction.reproduce(
            asked, results, chosen_data, chosen_rows, seeds, budget, runs_dir / table, data_dir)
    finally:
        if curves.exists():
            print(*picture.draw_curves(curves, output_dir), sep="\n")
        print(result_page.write_markdown(asked, results))


def generate(
    run_dir: Path,
    num_steps: int,
    num_outputs: int,
    temperature: float,
    qpm: float,
    seed: int,
    output_dir: Path,
) -> None:
    """Writes music made from nothing.

    Args:
        run_dir: The run folder of the model.
        num_steps: Frames of each piece.
        num_outputs: How many pieces.
        temperature: Below 1 safer, above 1 wilder.
        qpm: Tempo, quarter notes a minute.
        seed: Of the draws.
        output_dir: Folder of the MIDI files.
    """
    from rnnpt.experiments import generation

    steps_per_quarter = generation.steps_per_quarter_of(run_dir)
    paths = generation.generate_files(
        generation.from_run(run_dir), output_dir, num_outputs, num_steps, temperature, qpm, seed,
        steps_per_quarter,
    )
    print("\n".join(map(str, paths)))


def continue_music(
    run_dir: Path | None,
    saved_model: Path | None,
    server: str | None,
    model_name: str,
    primer_midi: Path,
    num_steps: int,
    temperature: float,
    qpm: float | None,
    seed: int,
    steps_per_quarter: int | None,
    output_dir: Path,
) -> None:
    """Writes a MIDI file and its continuation.

    Args:
        run_dir: The run folder of the model, or
        saved_model: the folder of its export, or
        server: the address where it is served, "host:port" for gRPC, "http://host:port" for REST.
        model_name: Its name there.
        primer_midi: The file to go on from.
        num_steps: Frames to add.
        temperature: Below 1 safer, above 1 wilder.
        qpm: Tempo, quarter notes a minute; that of the file by default.
        seed: Of the draws.
        steps_per_quarter: Frames a quarter note; by default those of the run folder or the export,
            and 1 with a server, which does not tell.
        output_dir: Folder of the result.
    """
    from rnnpt.experiments import generation
    from rnnpt.serving.client import Client

    if steps_per_quarter is None:
        if run_dir is not None:
            steps_per_quarter = generation.steps_per_quarter_of(run_dir)
        elif saved_model is not None:
            steps_per_quarter = generation.exported_steps_per_quarter(saved_model)
        else:
            steps_per_quarter = 1
    primer = generation.read_primer(primer_midi, steps_per_quarter, qpm)
    with contextlib.ExitStack() as stack:
        if run_dir is not None:
            generator = generation.from_run(run_dir)
        elif saved_model is not None:
            generator = generation.from_saved_model(saved_model)
        else:
            client = stack.enter_context(Client(str(server), model_name))
            generator = generation.from_client(client)
        print(generation.continue_file(generator, primer, output_dir, num_steps, temperature, seed))


def plot(
    run_dir: Path | None, midi: Path | None, curves: Path | None, steps_per_quarter: int,
    output_dir: Path | None,
) -> None:
    """Draws the learning curve of a run, the piano roll of a MIDI file, or validation over time.

    Args:
        run_dir: The run folder, or
        midi: the file, or
        curves: the file of several runs' curves.
        steps_per_quarter: Steps a quarter note of the MIDI file.
        output_dir: Folder of the picture; that of the run or of the file by default.
    """
    from rnnpt.experiments import picture

    if run_dir is not None:
        print(picture.draw_learning_curve(run_dir, output_dir or run_dir))
    elif curves is not None:
        print(*picture.draw_curves(curves, output_dir or curves.parent), sep="\n")
    elif midi is not None:
        print(picture.draw_midi(midi, output_dir or midi.parent, steps_per_quarter))


def export(run_dir: Path | None, export_dir: Path, verify: bool = False) -> None:
    """Exports the model of a run as the next version, or verifies the newest that is there.

    Args:
        run_dir: The run folder; none to export nothing.
        export_dir: Folder of the versions.
        verify: Whether TensorFlow's C API must answer as the model did; a version of which it does
            not is not written.

    Raises:
        ConfigError: If there is neither a run nor a wish to verify.
    """
    from rnnpt.experiments import generation

    if run_dir is None and not verify:
        raise ConfigError(
            "run_dir must name the run to export, got none: give it, or --verify for an export "
            "that is there.")
    steps_per_quarter = None if run_dir is None else generation.steps_per_quarter_of(run_dir)
    import_quietly()
    from rnnpt import export as exporting
    from rnnpt.experiments import training

    if run_dir is None:
        print(f"{exporting.verify(export_dir)}: answers as the exported model did")
        return
    version = exporting.next_version(export_dir)
    exporting.save(
        training.load_model(run_dir), version, steps_per_quarter=steps_per_quarter, verify=verify)
    print(version)


def serve(
    model_base_path: Path | None, model_name: str | None, port: int, rest_api_port: int,
    **options: Any,
) -> None:
    """Serves exported models until it is stopped.

    Args:
        model_base_path: Folder of the versions of one model.
        model_name: The name in requests; that of the folder by default.
        port: Port of gRPC.
        rest_api_port: Port of REST.
        **options: Settings of `ServerOptions`; with a `model_config_file` that file names the
            models, and the first two arguments are passed over.

    Raises:
        ValueError: If neither a folder nor a file names a model, or a setting is out of range.
    """
    if model_base_path is None and options["model_config_file"] is None:
        raise ValueError(
            "model_base_path or model_config_file must say what to serve, got neither; pass "
            "--model_base_path with the folder of an export")
    import_quietly()
    from rnnpt.serving import server

    base_path = Path(".") if model_base_path is None else model_base_path
    server.serve(model_name or base_path.resolve().name, base_path, port, rest_api_port,
                 options=server.ServerOptions(**options))


def demo(output_dir: Path, smoke: bool) -> None:
    """Goes the whole way once: train, measure, export, serve, continue a held-out chorale.

    Args:
        output_dir: Folder of everything that is made.
        smoke: Whether to do it in a toy size.
    """
    print("Loading TensorFlow")
    import_quietly()
    from rnnpt.experiments import demo as demonstration

    demonstration.run(output_dir, smoke)
