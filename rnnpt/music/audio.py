"""Piano rolls to sound, through FluidSynth."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pretty_midi

from rnnpt.music.piano_roll import MusicError, PianoRoll
from rnnpt.music.pianoroll_midi import pianoroll_to_midi
from rnnpt.whole_file import written_beside

SAMPLE_RATE = 44100
MAX_SECONDS = 3600.0  # ten megabytes a minute
_GAIN = 1.0  # fluidsynth's own 0.2 leaves four voices at a twentieth of full scale
_SOUND_FONT = Path(pretty_midi.__file__).with_name("TimGM6mb.sf2")


def pianoroll_to_wav(roll: PianoRoll, path: str | Path,
                     soundfont: str | Path | None = None) -> None:
    """Play a piano roll into a WAV file (16 bits, stereo, 44.1 kHz).

    The program `fluidsynth` must be installed, which is no Python package.

    Args:
        roll: the roll, an hour at most.
        path: the .wav file to write; its folder is made if missing.
        soundfont: a .sf2 file, whose first instrument plays; None takes the piano that
            pretty_midi brings.

    Raises:
        FileNotFoundError: if the sound font does not exist.
        MusicError: if FluidSynth is not installed or fails, the roll is too long, or the path
            is no .wav file.
    """
    path, soundfont = Path(path), Path(soundfont or _SOUND_FONT)
    if path.suffix.lower() != ".wav":
        raise MusicError(f"path must end in .wav, got {str(path)!r}: rename it")
    if not soundfont.is_file():
        raise FileNotFoundError(f"soundfont must be a .sf2 file, got {str(soundfont)!r}, where "
                                f"there is none: check the path or leave it out")
    seconds = len(roll.frames) * 60 / (roll.qpm * roll.steps_per_quarter)
    if seconds > MAX_SECONDS:
        raise MusicError(f"roll must last at most {MAX_SECONDS:.0f} s, got {seconds:.0f} s: cut "
                         f"it or raise qpm above {roll.qpm:g}")
    program = shutil.which("fluidsynth")
    if program is None:
        raise MusicError("WAV needs the program fluidsynth, got none on PATH: install it (Debian: "
                         "apt-get install --no-install-recommends fluidsynth) or write MIDI")
    with tempfile.TemporaryDirectory() as folder, written_beside(path) as beside:
        source = Path(folder, "roll.mid")
        source.write_bytes(pianoroll_to_midi(roll))
        done = subprocess.run(
            [program, "-ni", "-g", str(_GAIN), "-r", str(SAMPLE_RATE), "-F", str(beside),
             str(soundfont), str(source)], capture_output=True, text=True, errors="replace")
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        if done.returncode or errors or not beside.is_file():  # it ends with 0 after an error, too
            reason = errors[0] if errors else f"status {done.returncode}"
            raise MusicError(f"soundfont must be one that fluidsynth plays, got {str(soundfont)!r} "
                             f"({reason}): try another, or write MIDI")
