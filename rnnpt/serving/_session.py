"""One piece of music, frame by frame, by one version of a model."""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnpt.serving._argument import as_array
from rnnpt.serving._dialogue import Dialogue, Script
from rnnpt.serving._driver import AsyncDriver, Driver
from rnnpt.serving._retry import Deadline
from rnnpt.serving.error import InvalidArgument, NotFound

# What a server that limits the length of a request is told at a time, and asked for at a time.
MAX_PIECE = 64
_logger = logging.getLogger("rnnpt.serving.client")


class Restart(NamedTuple):
    """A session's change to another version.

    Args:
        old_version: The one that was gone.
        new_version: The one that has heard the music again.
        num_frames: How many frames there were.
    """

    old_version: int
    new_version: int
    num_frames: int


class Track:
    """The music so far and what the server needs to go on with it.

    Args:
        dialogue: The model's scripts.
        prime: The music to go on from (T, V), None to begin from nothing.
        seed: Of the draws.
        temperature: Below 1 for safer music, above for wilder.

    Raises:
        InvalidArgument: If the prime is no sequence of frames.
    """

    def __init__(
        self, dialogue: Dialogue, prime: ArrayLike | None, seed: int, temperature: float
    ):
        self._dialogue = dialogue
        self._seed = seed
        self._temperature = temperature
        self._rows: list[np.ndarray] = []
        self._num_heard = 0
        self._state: np.ndarray | None = None
        self._pinned: Dialogue | None = None
        self.restarts: list[Restart] = []
        if prime is not None:
            self.hear(prime)

    @property
    def frames(self) -> np.ndarray:
        """The music so far (T, V)."""
        return np.stack(self._rows) if self._rows else np.zeros((0, 0), np.float32)

    @property
    def version(self) -> int | None:
        """The version that plays, None before the first call."""
        return None if self._pinned is None else self._pinned.model.version

    def hear(self, frames: ArrayLike) -> None:
        """Adds music; the server hears it with the next call.

        Args:
            frames: The music (T, V).

        Raises:
            InvalidArgument: If the shape is another, or not that of the music so far.
        """
        array = as_array(frames, "frames")
        width = self._rows[0].size if self._rows else None
        if array.ndim != 2 or width not in (None, array.shape[1]):
            raise InvalidArgument(f"frames must have the shape (T, {width or 'V'}), got "
                                  f"{array.shape}: a session has one row")
        self._rows.extend(array)

    def generate(self, num_steps: int) -> Script[np.ndarray]:
        """Goes on, with another version from the beginning if the session's own is gone.

        Args:
            num_steps: How many frames to draw.

        Returns:
            The frames (num_steps, V).

        Raises:
            InvalidArgument: If there is nothing to draw.
            NotFound: If the model is gone altogether.
        """
        if num_steps < 1:
            raise InvalidArgument(f"num_steps must be at least 1, got {num_steps}: ask for a frame")
        deadline = self._dialogue.deadline()
        if self._pinned is None:
            metadata = yield from self._dialogue.metadata(deadline)
            self._pinned = self._dialogue.pinned(metadata)
        while True:
            try:
                return (yield from self._draw(self._pinned, num_steps, deadline))
            except NotFound as error:
                self._pinned = yield from self._restart(self._pinned, error, deadline)

    def _restart(
        self, pinned: Dialogue, error: NotFound, deadline: Deadline
    ) -> Script[Dialogue]:
        metadata = yield from self._dialogue.metadata(deadline)
        old_version = pinned.model.version or 0
        if metadata.version == old_version:
            raise error
        # The state of one version means nothing to another.
        self._state, self._num_heard = None, 0
        restart = Restart(old_version, metadata.version, len(self._rows))
        self.restarts.append(restart)
        _logger.warning(
            "version %d of model %s is gone: version %d goes on, having heard all %d frames again",
            old_version, pinned.model.model_name, metadata.version, restart.num_frames)
        return self._dialogue.pinned(metadata)

    def _draw(self, pinned: Dialogue, num_steps: int, deadline: Deadline) -> Script[np.ndarray]:
        while len(self._rows) - self._num_heard > MAX_PIECE:
            yield from self._advance(pinned, self._num_heard + MAX_PIECE, 0, deadline)
        return (yield from self._advance(pinned, len(self._rows), num_steps, deadline))

    def _advance(
        self, pinned: Dialogue, stop: int, num_steps: int, deadline: Deadline
    ) -> Script[np.ndarray]:
        """Hears the frames up to one of them and draws some; nothing changes if it fails."""
        heard = self._rows[self._num_heard:stop]
        # A seed for each call, or each would repeat the draws of the one before.
        seed = [[self._seed, stop]]
        if heard or num_steps != 1 or self._state is None:
            answer = yield from pinned.generate(
                np.stack(heard)[np.newaxis] if heard else None, num_steps, seed,
                self._temperature, None, self._state, deadline)
        else:
            answer = yield from pinned.draw(self._state, seed, self._temperature, deadline)
        drawn = answer.frames[0, :num_steps]
        self._state = answer.state
        self._rows.extend(drawn)
        self._num_heard = stop + num_steps
        return drawn


class _Tracked:
    """What both kinds of sessions tell without asking a server."""

    def __init__(self, track: Track):
        self._track = track

    @property
    def frames(self) -> np.ndarray:
        """The music so far, prime included (T, V)."""
        return self._track.frames

    @property
    def version(self) -> int | None:
        """The version that plays, None before the first call."""
        return self._track.version

    @property
    def restarts(self) -> list[Restart]:
        """The changes to another version, which are logged as warnings too."""
        return self._track.restarts

    def hear(self, frames: ArrayLike) -> None:
        """Adds music of somebody else's; the model hears it with the next call.

        Args:
            frames: The music (T, V), 0 or 1.

        Raises:
            InvalidArgument: If the shape is another.
        """
        self._track.hear(frames)


class Session(_Tracked):
    """One piece of music by one version of a model; made by `Client.session`. For one thread.

    It keeps to the version that was the newest when it began. When that one is gone, the newest
    hears the prime and all frames so far again, for the state of one version means nothing to
    another, and goes on from there: `restarts` tells.

    The draws are a function of the seed, of how many frames there are, and of how many are asked
    for at a time; not of the server that answers.

        session = client.session(prime, seed=1)
        for frame in session:
            ...

    Args:
        track: The music.
        driver: Plays its scripts.
    """

    def __init__(self, track: Track, driver: Driver):
        super().__init__(track)
        self._driver = driver

    def generate(self, num_steps: int) -> np.ndarray:
        """Goes on by some frames in one call, a seventh of the cost of as many steps.

        Args:
            num_steps: How many frames.

        Returns:
            The frames (num_steps, V).

        Raises:
            InvalidArgument: If there is nothing to draw, or the prime does not fit the model.
            NotFound: If the model is gone altogether.
        """
        return self._driver.run(self._track.generate(num_steps))

    def step(self) -> np.ndarray:
        """Goes on by one frame.

        Returns:
            The frame (V,).
        """
        return self.generate(1)[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Returns the session, which has no end."""
        return self

    def __next__(self) -> np.ndarray:
        """Returns the next frame (V,)."""
        return self.step()


class AsyncSession(_Tracked):
    """The same for asyncio; made by `AsyncClient.session`. For one task.

    Args:
        track: The music.
        driver: Plays its scripts.
    """

    def __init__(self, track: Track, driver: AsyncDriver):
        super().__init__(track)
        self._driver = driver

    async def generate(self, num_steps: int) -> np.ndarray:
        """As `Session.generate`, awaited."""
        return await self._driver.run(self._track.generate(num_steps))

    async def step(self) -> np.ndarray:
        """As `Session.step`, awaited."""
        return (await self.generate(1))[0]

    def __aiter__(self) -> AsyncIterator[np.ndarray]:
        """Returns the session, which has no end."""
        return self

    async def __anext__(self) -> np.ndarray:
        """Returns the next frame (V,)."""
        return await self.step()
