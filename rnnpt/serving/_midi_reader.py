"""Reading and writing MIDI in processes of their own, with limits of time and memory."""

import contextlib
import math
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from rnnpt.music.piano_roll import MAX_STEPS, PianoRoll
from rnnpt.serving._midi_message import ERROR, GRID, READ, ROLL, pack_roll, unpack_roll
from rnnpt.serving._midi_process import MidiProcess, ProcessEnded
from rnnpt.serving.error import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ServingError,
    Unavailable,
)

#: Beside the models, two processes read all that two cores can continue.
NUM_PROCESSES = 2
# NumPy and the parsers take 100 MiB of addresses, and the worst files of 1 MiB some 330 more.
_MEMORY_BYTES = 768 * 2**20
# The worst files of 1 MiB take 4; more is a flaw of the parsers that somebody has found.
_CPU_SECONDS = 10
# On the clock, the start of a process and a busy machine included.
_TIMEOUT_S = 30.0
# A process is replaced after so many requests, lest what the parsers leave behind adds up.
_MAX_REQUESTS = 1000
_LONGEST_ERROR = 1000  # characters; ours are shorter

_Decoded = TypeVar("_Decoded")


class MidiReader:
    """Some processes that read and write MIDI, started at once and anew when one ends.

        with contextlib.closing(MidiReader()) as reader:
            roll = reader.read(data)

    Args:
        num_processes: How many.
        timeout_s: Seconds for a request.
        memory_bytes: Bytes of addresses that a process may take.
        cpu_seconds: Seconds of CPU for a request.
        max_requests: How many requests a process answers before another takes its place.

    Raises:
        OSError: If a process cannot be started.
    """

    def __init__(
        self, num_processes: int = NUM_PROCESSES, timeout_s: float = _TIMEOUT_S,
        memory_bytes: int = _MEMORY_BYTES, cpu_seconds: int = _CPU_SECONDS,
        max_requests: int = _MAX_REQUESTS,
    ):
        self._timeout_s = timeout_s
        self._limits = (memory_bytes, cpu_seconds)
        self._max_requests = max_requests
        self._lock = threading.Lock()
        self._is_closed = False
        self._processes: set[MidiProcess] = set()
        self._idle: queue.LifoQueue[MidiProcess] = queue.LifoQueue()
        try:
            for _ in range(num_processes):
                self._idle.put(self._start())
        except BaseException:
            self.close()
            raise

    @property
    def num_idle(self) -> int:
        """How many processes have nothing to do."""
        return self._idle.qsize()

    def read(
        self, data: bytes, steps_per_quarter: int = 1, max_steps: int = MAX_STEPS,
        ends_at: float = math.inf, qpm: float | None = None,
    ) -> PianoRoll:
        """Reads a file; any thread may call it.

        Args:
            data: Its bytes.
            steps_per_quarter: Steps in a quarter note, 1 to 96.
            max_steps: The longest roll to make.
            ends_at: When the caller's time is over, on the monotonic clock.
            qpm: The tempo, in quarter notes a minute, in place of the file's; None for that.

        Returns:
            The music.

        Raises:
            ServingError: `InvalidArgument` if the file cannot be read within the limits,
                `DeadlineExceeded` if the time is over, `Unavailable` if no process gets free in
                time or the reader is closed, `Internal` if a process ended for no reason known.
        """
        body = GRID.pack(steps_per_quarter, max_steps, math.nan if qpm is None else qpm) + data
        return self._ask(READ, body, f"one of {len(data)} bytes", unpack_roll, ends_at)

    def write(self, roll: PianoRoll, ends_at: float = math.inf) -> bytes:
        """Writes a file, as `pianoroll_to_midi`, whose work would hold up the server's threads.

        Args:
            roll: The music.
            ends_at: When the caller's time is over, on the monotonic clock.

        Returns:
            The file.

        Raises:
            ServingError: As `read`.
        """
        what = f"one of {len(roll.frames)} steps"
        return self._ask(ROLL, pack_roll(roll), what, bytes, ends_at)

    def close(self) -> None:
        """Ends the processes; requests under way end with `Unavailable`."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            num_processes = len(self._processes)
            for process in self._processes:
                process.kill()
        for _ in range(num_processes):
            self._idle.get().close()

    def _start(self, ended: MidiProcess | None = None) -> MidiProcess:
        """A new process, in the place of one that has ended if there is one."""
        # Under one lock: `close` waits for as many to become idle as it finds here.
        with self._lock:
            if self._is_closed:
                raise _closed()
            process = MidiProcess(*self._limits)
            self._processes.add(process)
            self._processes.discard(ended)
        return process

    @contextlib.contextmanager
    def _borrowed(self, ends_at: float) -> Iterator[MidiProcess]:
        if self._is_closed:
            raise _closed()
        wait_s = min(ends_at - time.monotonic(), self._timeout_s)
        try:
            process = self._idle.get(timeout=max(wait_s, 0))
        except queue.Empty:
            raise Unavailable(
                f"MIDI files must come at most {len(self._processes)} at a time, got more for "
                f"{wait_s:.3g} seconds; ask again later") from None
        try:
            process = self._fresh(process)
            yield process
            if process.num_requests >= self._max_requests:
                process.close()
        finally:
            # Whoever comes next finds one that has started.
            with contextlib.suppress(ServingError):
                process = self._fresh(process)
            self._idle.put(process)

    def _fresh(self, process: MidiProcess) -> MidiProcess:
        """The process, or another in its place if it has ended."""
        if process.is_alive:
            return process
        process.close()
        try:
            return self._start(process)
        except OSError as error:
            raise Unavailable(f"a MIDI process must start, got {error.strerror}; free processes "
                              "and memory of the server's machine") from None

    def _ask(
        self, kind: bytes, body: bytes, what: str, decode: Callable[[bytes], _Decoded],
        ends_at: float,
    ) -> _Decoded:
        gives_up_at = min(ends_at, time.monotonic() + self._timeout_s)
        with self._borrowed(ends_at) as process:
            try:
                answer, result = process.ask(kind, body, gives_up_at)
                if answer == ERROR:
                    text = " ".join(result.decode("utf-8", "replace").split())
                    raise InvalidArgument(text[:_LONGEST_ERROR])
                return _decode(process, decode, result)
            except TimeoutError:
                raise DeadlineExceeded(
                    f"a MIDI file must be done within {self._timeout_s:g} seconds and the "
                    f"request's own time, got {what} that was not; cut the piece, or ask again "
                    "when less is asked") from None
            except ProcessEnded as ended:
                raise self._explain(ended, what) from None

    def _explain(self, ended: ProcessEnded, what: str) -> ServingError:
        if self._is_closed:
            return _closed()
        if ended.code == -signal.SIGXCPU:
            return InvalidArgument(
                f"a MIDI file must be done in {self._limits[1]} seconds of CPU, got {what} that "
                "takes longer; cut the piece")
        return Internal(
            f"the process that reads MIDI must live until it answers, got its end with code "
            f"{ended.code} over {what}; send the file again")


def _decode(
    process: MidiProcess, decode: Callable[[bytes], _Decoded], result: bytes
) -> _Decoded:
    try:
        return decode(result)
    except ValueError:
        # It has lost its mind: what it says next would be no better.
        process.close()
        raise ProcessEnded(None) from None


def _closed() -> Unavailable:
    return Unavailable("the server must run to read MIDI, got a stop; ask another server")
