"""Music from a model, wherever it lives: a run folder, a SavedModel or a server.

Each of the three is a function of the same arguments, and the same weights and seed give the same
music. This file imports no TensorFlow until a run folder or a SavedModel asks for it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rnnpt.experiments._tensorflow import import_quietly
from rnnpt.experiments.run_folder import read_config
from rnnpt.experiments.setting import ConfigError
from rnnpt.music.piano_roll import MAX_STEPS, NUM_KEYS, PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import midi_to_pianoroll, pianoroll_to_midi
from rnnpt.serving._continuation import read_limits
from rnnpt.serving.client import Client
from rnnpt.whole_file import write_bytes

#: A function of the music so far (B, T, 88), the number of steps to add, the seeds (B, 2) and the
#: temperature; it returns the added frames (B, num_steps, 88).
Generator = Callable[[np.ndarray, int, np.ndarray, float], np.ndarray]


def from_run(run_dir: Path) -> Generator:
    """Takes the model of a run folder.

    Args:
        run_dir: The folder.

    Returns:
        The generator.
    """
    read_config(run_dir)  # says what is wrong before TensorFlow is imported
    import_quietly()
    from rnnpt.experiments.training import load_model

    model = load_model(run_dir)

    def generate(
        prime: np.ndarray, num_steps: int, seeds: np.ndarray, temperature: float
    ) -> np.ndarray:
        return model.generate(prime, num_steps, seeds, temperature).numpy()

    return generate


def steps_per_quarter_of(run_dir: Path) -> int:
    """Tells the grid that a run's model was trained on.

    Args:
        run_dir: The run folder.

    Returns:
        Frames a quarter note.
    """
    data = read_config(run_dir).data.lower()  # says what is wrong before TensorFlow is imported
    import_quietly()
    from rnnpt.datasets.chorale import STEPS
    from rnnpt.datasets.pianoroll import ALIASES, STEPS_PER_QUARTER

    if data == "chorales_eighth":
        return STEPS["eighth"]
    return STEPS_PER_QUARTER[ALIASES[data]] if data in ALIASES else 1


def exported_steps_per_quarter(directory: Path) -> int:
    """Tells the grid that an exported model was trained on.

    Args:
        directory: A version's folder, or the folder of versions, of which the newest is taken.

    Returns:
        Frames a quarter note; 1 if the export does not say.
    """
    import_quietly()
    from rnnpt import export
    from rnnpt.export.saved_model import METADATA_FILE

    return read_limits(export.newest_version(directory) / METADATA_FILE)["steps_per_quarter"]


def from_saved_model(directory: Path) -> Generator:
    """Takes an exported model.

    Args:
        directory: A version's folder, or the folder of versions, of which the newest is taken.

    Returns:
        The generator.
    """
    import_quietly()
    from rnnpt import export

    return from_client(export.load(directory))


def from_client(client: Client) -> Generator:
    """Takes a served model.

    Args:
        client: A connection to it, or `rnnpt.export.load`'s.

    Returns:
        The generator.
    """

    def generate(
        prime: np.ndarray, num_steps: int, seeds: np.ndarray, temperature: float
    ) -> np.ndarray:
        is_empty = not prime.shape[1]
        frames = np.zeros((len(prime), 1, NUM_KEYS), np.float32) if is_empty else prime
        answer = client.generate(
            frames, num_steps, seeds, temperature, length=0 if is_empty else None
        )
        return answer.frames[:, :num_steps]

    return generate


def generate_files(
    generator: Generator,
    output_dir: Path,
    num_outputs: int = 1,
    num_steps: int = 64,
    temperature: float = 1.0,
    qpm: float = 120.0,
    seed: int = 0,
    steps_per_quarter: int = 1,
) -> list[Path]:
    """Writes music made from nothing.

    Args:
        generator: The model.
        output_dir: Folder of the MIDI files; made if it is not there.
        num_outputs: How many pieces.
        num_steps: Frames of each.
        temperature: Below 1 safer, above 1 wilder.
        qpm: Tempo, quarter notes a minute.
        seed: Of the draws; each piece has its own stream.
        steps_per_quarter: Frames a quarter note.

    Returns:
        The files, `generated_1.mid` and so on.

    Raises:
        ConfigError: If there is nothing to generate.
    """
    for name, value in (("num_outputs", num_outputs), ("num_steps", num_steps)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}: nothing would be made.")
    prime = np.zeros((num_outputs, 0, NUM_KEYS), np.float32)
    if num_outputs * num_steps > MAX_STEPS:
        raise ConfigError(
            f"num_outputs times num_steps must be at most {MAX_STEPS}, got {num_outputs} times "
            f"{num_steps}: ask for less at a time."
        )
    rows = generator(prime, num_steps, _seeds(seed, num_outputs), temperature) > 0.5
    rolls = [PianoRoll(row, onsets_of(row), steps_per_quarter, qpm) for row in rows]
    paths = [output_dir / f"generated_{i}.mid" for i in range(1, num_outputs + 1)]
    for path, content in zip(paths, [pianoroll_to_midi(roll) for roll in rolls]):
        write_bytes(path, content)
    return paths


def read_primer(path: Path, steps_per_quarter: int = 1, qpm: float | None = None) -> PianoRoll:
    """Reads the opening of a piece.

    Args:
        path: A MIDI file.
        steps_per_quarter: Frames a quarter note.
        qpm: Tempo, quarter notes a minute; that of the file by default.

    Returns:
        The opening.
    """
    return midi_to_pianoroll(path, steps_per_quarter, qpm=qpm)


def continue_file(
    generator: Generator,
    primer: PianoRoll,
    output_dir: Path,
    num_steps: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
) -> Path:
    """Writes a piece and its continuation.

    Args:
        generator: The model.
        primer: The piece so far.
        output_dir: Folder of the result; made if it is not there.
        num_steps: Frames to add.
        temperature: Below 1 safer, above 1 wilder.
        seed: Of the draws.

    Returns:
        The file, `continuation.mid`.

    Raises:
        ConfigError: If there is nothing to add.
    """
    if num_steps < 1:
        raise ConfigError(f"num_steps must be at least 1, got {num_steps}: nothing would be added.")
    if len(primer.frames) + num_steps > MAX_STEPS:
        raise ConfigError(
            f"num_steps must be at most {MAX_STEPS} with the primer's {len(primer.frames)}, got "
            f"{num_steps}: add less."
        )
    prime = primer.frames[np.newaxis].astype(np.float32)
    added = generator(prime, num_steps, _seeds(seed, 1), temperature)[0]
    path = output_dir / "continuation.mid"
    write_bytes(path, pianoroll_to_midi(primer.continued(added > 0.5)))
    return path


def _seeds(seed: int, num_rows: int) -> np.ndarray:
    """Returns a seed a row (B, 2)."""
    if not 0 <= seed < 2**31:
        raise ConfigError(f"seed must be from 0 to {2**31 - 1}, got {seed}: choose one of these.")
    return np.stack([np.full(num_rows, seed), np.arange(num_rows)], axis=1).astype(np.int32)
