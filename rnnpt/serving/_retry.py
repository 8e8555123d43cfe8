"""When a call is tried again, at which server, and when it has taken too long."""

import dataclasses
import math
import random
import threading
from collections.abc import Callable, Iterator

from rnnpt.serving.error import DeadlineExceeded, InvalidArgument

# Those of gRPC's own waits between two connections, which grow from 1 s to 120 s; a caller that has
# another server left need not find a dead one out more often.
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 120.0


@dataclasses.dataclass(frozen=True)
class Retry:
    """How a call that finds nobody is tried again: a random wait, from a span that doubles.

    Every call carries its state and its seed, so that to send it twice does no harm. Only
    `Unavailable` is tried again, and only within the call's own time.

    Args:
        num_attempts: How often at most, the first one included; 1 never tries again.
        first_wait_s: The longest first wait, in seconds.
        longest_wait_s: The longest of all.

    Raises:
        InvalidArgument: If there is no attempt, or a wait is negative.

    Source: gRPC's proposal A6 (at most five attempts); Amazon's "Exponential backoff and jitter"
    (full jitter: clients of a server that died do not come back all at once).
    """

    num_attempts: int = 5
    first_wait_s: float = 0.1
    longest_wait_s: float = 1.0

    def __post_init__(self) -> None:
        if self.num_attempts < 1:
            raise InvalidArgument(f"num_attempts must be at least 1, got {self.num_attempts}: 1 "
                                  "never tries again")
        for name in ("first_wait_s", "longest_wait_s"):
            check_seconds(getattr(self, name), name, least=0)

    def waits(self, uniform: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
        """Draws the waits of a call.

        Args:
            uniform: Draws a number between two.

        Yields:
            Seconds before the next attempt, until there is none.
        """
        span_s = self.first_wait_s
        for _ in range(self.num_attempts - 1):
            yield uniform(0, min(span_s, self.longest_wait_s))
            span_s *= 2


def check_seconds(value: float, name: str, least: float | None = None) -> None:
    """Checks a time.

    Args:
        value: The seconds.
        name: The argument's name.
        least: The smallest that is allowed; anything above 0 by default.

    Raises:
        InvalidArgument: If it is too small, or not finite.
    """
    if not math.isfinite(value) or value < (least or 0) or (least is None and value == 0):
        rule = "positive" if least is None else f"at least {least:g}"
        raise InvalidArgument(f"{name} must be {rule} and finite, got {value:g}: pass seconds")


class Deadline:
    """The end of a call, whatever it is made of.

    Args:
        timeout_s: Seconds from now.
        now: Tells the time in seconds.

    Raises:
        InvalidArgument: If there is no time.
    """

    def __init__(self, timeout_s: float, now: Callable[[], float]):
        check_seconds(timeout_s, "timeout_s")
        self.timeout_s = timeout_s
        self._now = now
        self._end = now() + timeout_s

    def allows(self, wait_s: float) -> bool:
        """Tells whether there is time after a wait.

        Args:
            wait_s: Seconds.

        Returns:
            Whether there is.
        """
        return self._now() + wait_s < self._end

    def left_s(self) -> float:
        """Tells the time left.

        Returns:
            Seconds, never 0.

        Raises:
            DeadlineExceeded: If it is over.
        """
        left_s = self._end - self._now()
        if left_s <= 0:
            raise DeadlineExceeded(f"a call must end in timeout_s={self.timeout_s:g}, got no "
                                   "answer in that time: wait longer or ask for less")
        return left_s


class Rotation:
    """Whose turn it is. A server that does not answer is passed over while another does.

    Args:
        num_servers: How many there are.
        now: Tells the time in seconds.
    """

    def __init__(self, num_servers: int, now: Callable[[], float]):
        self._now = now
        self._lock = threading.Lock()
        self._next = 0
        self._rests_s = [_FIRST_REST_S] * num_servers
        self._rests_until = [-math.inf] * num_servers

    def turn(self) -> list[int]:
        """Takes a turn.

        Returns:
            The servers to ask, the one whose turn it is first.
        """
        with self._lock:
            num_servers = len(self._rests_until)
            order = [(self._next + place) % num_servers for place in range(num_servers)]
            self._next = order[1 % num_servers]
            now = self._now()
            awake = [server for server in order if self._rests_until[server] <= now]
            return awake or [min(order, key=self._rests_until.__getitem__)]

    def answered(self, server: int) -> None:
        """Notes that a server is there.

        Args:
            server: Its place in the list.
        """
        with self._lock:
            self._rests_s[server] = _FIRST_REST_S
            self._rests_until[server] = -math.inf

    def failed(self, server: int) -> None:
        """Notes that a server is not there, or stuck.

        Args:
            server: Its place in the list.
        """
        with self._lock:
            self._rests_until[server] = self._now() + self._rests_s[server]
            self._rests_s[server] = min(2 * self._rests_s[server], _LONGEST_REST_S)
