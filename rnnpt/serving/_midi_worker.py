"""A process that reads and writes MIDI for the server, so that a wild file harms nobody.

    python -m rnnpt.serving._midi_worker MEMORY_BYTES CPU_SECONDS

Requests come on standard input and answers go to standard output, as messages of `_midi_message`,
until the input ends. The process imports NumPy and the MIDI libraries, no TensorFlow.
"""

import math
import os
import resource
import sys
from collections.abc import Sequence

from rnnpt.music.piano_roll import MusicError
from rnnpt.music.pianoroll_midi import midi_to_pianoroll, pianoroll_to_midi
from rnnpt.serving._midi_message import (
    ERROR,
    GRID,
    MIDI,
    READ,
    READY,
    ROLL,
    pack_roll,
    receive,
    send,
    unpack_roll,
)


def main(arguments: Sequence[str]) -> None:
    """Answers requests until the input ends.

    Args:
        arguments: Bytes of addresses that the process may take, and seconds of CPU a request.
    """
    memory_bytes, cpu_seconds = (int(argument) for argument in arguments)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a library prints must not come between the answers.
    os.dup2(2, 1)
    _limit(memory_bytes)
    try:
        send(answers, READY)
        while (request := receive(requests)) is not None:
            _limit_cpu(cpu_seconds)
            send(answers, *_answer(*request, memory_bytes))
    except ConnectionError:  # the server is gone
        os._exit(0)


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No file of the disk can grow by its hand.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_cpu(seconds: int) -> None:
    """The limit counts from the process' start, so it moves on with each request."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    times = os.times()
    resource.setrlimit(resource.RLIMIT_CPU, (int(times.user + times.system) + 1 + seconds, hard))


def _answer(kind: bytes, body: bytes, memory_bytes: int) -> tuple[bytes, bytes]:
    what = f"one of {len(body) - GRID.size} bytes" if kind == READ else "one to be written"
    try:
        if kind == READ:
            steps_per_quarter, max_steps, qpm = GRID.unpack_from(body)
            roll = midi_to_pianoroll(body[GRID.size:], steps_per_quarter, max_steps,
                                     qpm=None if math.isnan(qpm) else qpm)
            return ROLL, pack_roll(roll)
        return MIDI, pianoroll_to_midi(unpack_roll(body))
    except MusicError as error:
        text = str(error)
    except MemoryError:
        text = (f"a MIDI file must be done in {memory_bytes >> 20} MiB, got {what} that takes "
                "more; cut the piece")
    except Exception as error:  # of any kind: the parsers check little of what they read
        text = (f"a MIDI file must be one that the parser knows, got {what} that ends in "
                f"{type(error).__name__}; export it again")
    return ERROR, text.encode()


if __name__ == "__main__":
    main(sys.argv[1:])
