"""One process that reads and writes MIDI, seen from the server."""

import contextlib
import os
import socket
import subprocess
import sys
import time

from rnnpt.serving._midi_message import HEADER

# A roll of 65536 steps takes 1.4 MiB, and a MIDI file some 6 bytes a note. A process that announces
# more is not to be believed.
_MAX_ANSWER_BYTES = 2**26
# Of a time-out; 0 would mean to wait for nothing.
_LEAST_WAIT_S = 0.001
_EXIT_WAIT_S = 1.0
# What a process needs to find its libraries. The server's other variables, which may hold
# passwords, are no business of a parser's.
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")


class ProcessEnded(Exception):
    """The process ended, or spoke nonsense, in the middle of a request.

    Args:
        code: Its exit code, minus a signal's number.
    """

    def __init__(self, code: int | None):
        super().__init__(code)
        self.code = code


class MidiProcess:
    """A process of `_midi_worker`, which starts in the background.

    Args:
        memory_bytes: Bytes of addresses that it may take.
        cpu_seconds: Seconds of CPU for a request.

    Raises:
        OSError: If it cannot be started.
    """

    def __init__(self, memory_bytes: int, cpu_seconds: int):
        self.num_requests = 0
        #: Whether it can be asked: not after a request that it did not answer.
        self.is_usable = True
        self._is_ready = False
        self._socket, theirs = socket.socketpair()
        try:
            # A session of its own: Ctrl-C in a terminal is for the server. Of the server's file
            # descriptors it gets none but `theirs`: `close_fds` is on by default.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-B", "-W", "ignore", "-m", "rnnpt.serving._midi_worker",
                 str(memory_bytes), str(cpu_seconds)],
                stdin=theirs.fileno(), stdout=theirs.fileno(), env=_environment(),
                start_new_session=True)
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked and has not ended in its sleep."""
        return self.is_usable and self._process.poll() is None

    def ask(self, kind: bytes, body: bytes, ends_at: float) -> tuple[bytes, bytes]:
        """Asks and waits for the answer.

        Args:
            kind: The request's kind.
            body: Its body.
            ends_at: When to give up, on the monotonic clock.

        Returns:
            The answer's kind and body.

        Raises:
            TimeoutError: If the time is over; the process is of no more use.
            ProcessEnded: If the process is no more.
        """
        self.num_requests += 1
        self.is_usable = False
        try:
            if not self._is_ready:
                self._receive(ends_at)
                self._is_ready = True
            self._wait_until(ends_at)
            self._socket.sendall(HEADER.pack(kind, len(body)) + body)
            answer = self._receive(ends_at)
        except TimeoutError:
            raise
        except (OSError, EOFError):
            raise ProcessEnded(self._exit_code()) from None
        self.is_usable = True
        return answer

    def _wait_until(self, ends_at: float) -> None:
        self._socket.settimeout(max(ends_at - time.monotonic(), _LEAST_WAIT_S))

    def _receive(self, ends_at: float) -> tuple[bytes, bytes]:
        kind, length = HEADER.unpack(self._receive_bytes(HEADER.size, ends_at))
        if length > _MAX_ANSWER_BYTES:
            raise EOFError
        return kind, self._receive_bytes(length, ends_at)

    def _receive_bytes(self, count: int, ends_at: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            self._wait_until(ends_at)
            part = self._socket.recv(min(count - len(data), 2**16))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _exit_code(self) -> int | None:
        """Its pipe closes a moment before it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_EXIT_WAIT_S)
        return None

    def kill(self) -> None:
        """Ends the process at once; any thread may call it."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and frees what it held."""
        self.is_usable = False
        self._process.kill()
        self._socket.close()
        self._process.wait()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {
        **kept,
        # What this process can import, whether it is installed or not.
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        # Each thread of OpenBLAS would take addresses, which are counted.
        "OPENBLAS_NUM_THREADS": "1",
    }
