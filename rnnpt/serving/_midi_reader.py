"""Reading MIDI files in processes of their own, with limits of time and memory."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator

from rnnpt.music.pianoroll_midi import MAX_STEPS, PianoRoll
from rnnpt.serving._midi_worker import REQUEST, num_packed, unpack
from rnnpt.serving.error import InvalidArgument, Unavailable

#: A process is replaced after so many files, lest what the parsers leave behind adds up.
_MAX_FILES = 200
# Beside the models, two processes read all that two cores can continue.
_NUM_PROCESSES = 2


class _Crash(Exception):
    """The process ended in the middle of a request."""


class _Process:
    """One reader.

    Args:
        timeout_s: Seconds for a file.
    """

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self.num_files = 0
        # What this process imports, whether it is installed or not. One thread of OpenBLAS, which
        # takes addresses for each.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                       "OPENBLAS_NUM_THREADS": "1"}
        # File descriptors of the server are not handed on: `close_fds` is on by default.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rnnpt.serving._midi_worker"], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def read(self, data: bytes, steps_per_quarter: int, max_steps: int) -> PianoRoll:
        """As `MidiReader.read`; a process that raised `_Crash` is of no more use."""
        self.num_files += 1
        killer = threading.Timer(self._timeout_s, self._process.kill)
        killer.daemon = True
        killer.start()
        try:
            return self._ask(data, steps_per_quarter, max_steps)
        except OSError:  # a pipe that broke
            raise _Crash from None
        finally:
            killer.cancel()

    def _ask(self, data: bytes, steps_per_quarter: int, max_steps: int) -> PianoRoll:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None
        requests.write(REQUEST.pack(len(data), steps_per_quarter, max_steps) + data)
        requests.flush()
        line = answers.readline()
        if not line.endswith(b"\n"):
            raise _Crash
        answer = json.loads(line)
        if "error" in answer:
            raise InvalidArgument(answer["error"])
        num_steps = answer["num_steps"]
        size = num_packed(num_steps)
        packed = answers.read(2 * size)
        if len(packed) < 2 * size:
            raise _Crash
        frames, onsets = unpack(packed[:size], num_steps), unpack(packed[size:], num_steps)
        return PianoRoll(frames, onsets, steps_per_quarter, answer["qpm"])

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was written and not read
                    pipe.close()
        self._process.wait()


class MidiReader:
    """Some processes that read MIDI files, started at once and anew when one ends.

    Args:
        num_processes: How many.
        timeout_s: Seconds for a file, the start of a process included.
        wait_s: Seconds to wait for a process that is free.
    """

    def __init__(
        self, num_processes: int = _NUM_PROCESSES, timeout_s: float = 20.0, wait_s: float = 5.0
    ):
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._is_closed = False
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._num_processes = num_processes
        for _ in range(num_processes):
            self._idle.put(_Process(timeout_s))

    def read(self, data: bytes, steps_per_quarter: int, max_steps: int = MAX_STEPS) -> PianoRoll:
        """Reads a file; any thread may call it.

        Args:
            data: Its bytes.
            steps_per_quarter: Steps in a quarter note, 1 to 96.
            max_steps: The longest roll to make.

        Returns:
            The music.

        Raises:
            InvalidArgument: If it cannot be read within the limits.
            Unavailable: If no process gets free in time.
        """
        with self._borrowed() as process:
            try:
                return process.read(data, steps_per_quarter, max_steps)
            except _Crash:
                raise InvalidArgument(
                    f"data must be a MIDI file that is read in {self._timeout_s:g} seconds, got "
                    f"{len(data)} bytes on which the reader ended; export the file again, or cut "
                    "the piece") from None

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[_Process]:
        try:
            process = self._idle.get(timeout=self._wait_s)
        except queue.Empty:
            raise Unavailable(
                f"MIDI files must come at most {self._num_processes} at a time, got more for "
                f"{self._wait_s:g} seconds; ask again later") from None
        if not process.is_alive:
            process = self._replaced(process)
        try:
            yield process
        finally:
            if not process.is_alive or process.num_files >= _MAX_FILES:
                process = self._replaced(process)
            self._idle.put(process)

    def _replaced(self, process: _Process) -> _Process:
        process.close()
        # One that is closed starts nothing anew; `close` waits for what is put back.
        return process if self._is_closed else _Process(self._timeout_s)

    def close(self) -> None:
        """Ends the processes; files under way end first, or at their time's end."""
        self._is_closed = True
        for _ in range(self._num_processes):
            self._idle.get().close()
