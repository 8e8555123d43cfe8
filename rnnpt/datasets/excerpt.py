"""Excerpts of one length from pieces of music, moved along the keyboard while training."""
import numpy as np

from rnnpt.datasets._draw import check_integer
from rnnpt.datasets.sequence import Batch, Sequences
from rnnpt.datasets.splits import Splits
from rnnpt.datasets.stream import Stream, as_batch


class Excerpts(Stream):
    """Random excerpts of the training pieces, each transposed by a random interval.

    Use it to train on whole sequences of one length, as an optimizer with a curvature wants them,
    and to make more of a few pieces. Every place where an excerpt fits is as likely as any other;
    pieces that are shorter than one are left out. The interval is drawn evenly from the integers
    that are at most `most_semitones` up or down and keep all notes of the excerpt on the keyboard.

    Args:
        splits: The pieces; a column more is a semitone up.
        num_steps: Frames T of an excerpt.
        most_semitones: The largest interval; 0 for no transposition.

    Raises:
        ValueError: If a number is not a positive integer (`most_semitones`: not negative), or no
            piece of a split is long enough.

    Example:
        >>> pieces = Sequences([np.eye(5)[[1, 2, 3, 2]]])
        >>> excerpts = Excerpts(Splits(pieces, pieces, pieces), num_steps=2, most_semitones=1)
        >>> excerpts.test_set()["frames"].argmax(axis=-1).tolist()
        [[1, 2], [3, 2]]
        >>> excerpts.draw(num_sequences=3, seed=0)["frames"].shape
        (3, 2, 5)

    Source: Sutskever 2013, section 4.5.2.
    """

    def __init__(self, splits: Splits, num_steps: int = 200, most_semitones: int = 10) -> None:
        check_integer("num_steps", num_steps, 1, "The thesis has 200.")
        check_integer("most_semitones", most_semitones, 0, "The thesis has 10.")
        for name in ("train", "valid", "test"):
            longest = max(len(piece) for piece in getattr(splits, name).sequences)
            if longest < num_steps:
                raise ValueError(
                    f"`num_steps` must be at most the length of the longest piece of each split. "
                    f"Received: num_steps={num_steps}, and at most {longest} frames in "
                    f"`splits.{name}`. Take shorter excerpts.")
        self.splits = splits
        self.num_steps = num_steps
        self.most_semitones = most_semitones
        self.num_visible = splits.num_visible
        self._pieces = [piece for piece in splits.train.sequences if len(piece) >= num_steps]
        # How many excerpts there are up to the end of each piece.
        self._ends = np.cumsum([len(piece) - num_steps + 1 for piece in self._pieces])

    def valid_set(self) -> Batch:
        """Cut the validation pieces.

        Returns:
            Excerpts one after another from each piece's beginning, as many as are whole, in order
            and not transposed.
        """
        return self._cut(self.splits.valid)

    def test_set(self) -> Batch:
        """Cut the test pieces.

        Returns:
            Excerpts one after another from each piece's beginning, as many as are whole, in order
            and not transposed.
        """
        return self._cut(self.splits.test)

    def _cut(self, pieces: Sequences) -> Batch:
        return as_batch(np.stack([
            piece[start:start + self.num_steps] for piece in pieces.sequences
            for start in range(0, len(piece) - self.num_steps + 1, self.num_steps)]))

    def _frames(self, rng: np.random.Generator, num_sequences: int) -> np.ndarray:
        places = rng.integers(self._ends[-1], size=num_sequences)
        # One number in [0, 1) an excerpt, whatever its intervals: its share of them.
        shares = rng.random(num_sequences)
        frames = np.zeros((num_sequences, self.num_steps, self.num_visible), np.float32)
        chosen = np.searchsorted(self._ends, places, "right")
        for excerpt, number, place, share in zip(frames, chosen, places, shares):
            piece = self._pieces[number]
            start = place - self._ends[number] + len(piece) - self.num_steps + 1
            self._transpose(piece[start:start + self.num_steps], share, excerpt)
        return frames

    def _transpose(self, played: np.ndarray, share: float, excerpt: np.ndarray) -> None:
        """Put frames into an empty excerpt, up or down by the interval of a share."""
        keys = np.flatnonzero(played.any(axis=0))
        if not len(keys):
            return
        lowest, highest = keys[0], keys[-1]
        down = min(self.most_semitones, lowest)
        up = min(self.most_semitones, self.num_visible - 1 - highest)
        shift = int(share * (down + up + 1)) - down
        excerpt[:, lowest + shift:highest + shift + 1] = played[:, lowest:highest + 1]
