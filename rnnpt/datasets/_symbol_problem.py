"""Artificial problems about symbols: their order, the first one, a string of them.

Symbols and positions count from 1 in the descriptions; a symbol is given and asked for as a 1-of-N
vector. Where an interval of the text begins or ends between two integers, the integers inside it
are meant.

Source: Sutskever, Training recurrent neural networks (2013), sections 4.4.2 to 4.4.5, after
Hochreiter and Schmidhuber 1997.
"""
import itertools

import numpy as np

from rnnpt.datasets.problem import Problem, ProblemBatch


class TemporalOrder(Problem):
    """Which two special symbols came, and in which order.

    Use it where the order of far apart events matters. The symbols of a sequence of T are drawn
    from 3 to 6, but for two special ones, drawn from 1 and 2: one between T / 10 and 2 T / 10, the
    other between 5 T / 10 and 6 T / 10. The target, at the last step, is one of the 4 pairs (a, b),
    which are counted in the order (1, 1), (1, 2), (2, 1), (2, 2).

    Args:
        num_steps: The length T, in steps.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 10.

    Source: Sutskever 2013, section 4.4.2.
    """

    num_inputs = 6
    num_outputs = 4
    output = "categorical"
    least_num_steps = 10
    _too_short = "Take a longer problem: each special symbol lies within a tenth of it."
    # Where special symbols lie: from the first to the second of these tenths.
    _tenths: tuple[tuple[int, int], ...] = ((1, 2), (5, 6))

    def _generate(self, rng: np.random.Generator, num_sequences: int) -> ProblemBatch:
        symbols = rng.integers(3, 6, (num_sequences, self.num_steps), endpoint=True)
        answer = np.zeros(num_sequences, int)
        for low, high in self._tenths:
            positions = rng.integers(-(-low * self.num_steps // 10), high * self.num_steps // 10,
                                     num_sequences, endpoint=True)
            special = rng.integers(1, 2, num_sequences, endpoint=True)
            symbols[np.arange(num_sequences), positions - 1] = special
            answer = 2 * answer + special - 1
        targets = np.zeros((num_sequences, self.num_steps, self.num_outputs), np.float32)
        targets[:, -1] = _one_hot(answer + 1, self.num_outputs)
        weights = np.zeros((num_sequences, self.num_steps), np.float32)
        weights[:, -1] = 1
        return ProblemBatch(_one_hot(symbols, self.num_inputs), targets, weights)


class ThreeBitTemporalOrder(TemporalOrder):
    """Which three special symbols came, and in which order.

    As `TemporalOrder`, with special symbols between T / 10 and 2 T / 10, 3 T / 10 and 4 T / 10,
    6 T / 10 and 7 T / 10, and the 8 triples for answers, the last symbol changing fastest.

    Args:
        num_steps: The length T, in steps.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 10.

    Source: Sutskever 2013, section 4.4.3.
    """

    num_outputs = 8
    _tenths = ((1, 2), (3, 4), (6, 7))


class RandomPermutation(Problem):
    """Predict the next symbol, where only the last can be foretold: it is the first one again.

    Use it to see whether a network finds a small long-term gain amid a large loss that no
    learning reduces. Of T symbols the first, 1 or 2, comes again at the end; the others are drawn
    from 3 to 100. The target of each step is the symbol of the next, so T inputs have T - 1
    targets, and nothing is asked at step T. A sequence is judged by the last of them, at step
    T - 1.

    Args:
        num_steps: The number T of symbols.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 2.

    Source: Sutskever 2013, section 4.4.4.
    """

    num_inputs = 100
    num_outputs = 100
    output = "categorical"
    least_num_steps = 2
    _too_short = "Take a longer problem: it has a first symbol and a last one."

    def _generate(self, rng: np.random.Generator, num_sequences: int) -> ProblemBatch:
        symbols = rng.integers(3, 100, (num_sequences, self.num_steps), endpoint=True)
        symbols[:, 0] = symbols[:, -1] = rng.integers(1, 2, num_sequences, endpoint=True)
        inputs = _one_hot(symbols, self.num_inputs)
        targets = np.zeros_like(inputs)
        targets[:, :-1] = inputs[:, 1:]
        weights = np.ones(symbols.shape, np.float32)
        weights[:, -1] = 0
        return ProblemBatch(inputs, targets, weights)

    def _judged_steps(self, batch: ProblemBatch) -> np.ndarray:
        judged = np.zeros(batch.weights.shape, bool)
        judged[:, -2] = True
        return judged


class _Memorization(Problem):
    """Symbols, a long blank, a trigger, and then the symbols are to be told.

    With K symbols to remember from an alphabet of A: steps 1 to K are the symbols, step T + K is
    the trigger A + 2, all others are the blank A + 1, T + 2 K in all. The target is the blank up
    to step T + K, then the K symbols. Every target counts; judged are only the last K.
    """

    output = "categorical"
    least_num_steps = 1
    _too_short = "Take a longer problem: the trigger comes after the symbols."
    num_remembered: int  # K
    num_symbols: int  # A

    @property
    def max_length(self) -> int:
        """Steps T' of every batch, which all its sequences have."""
        return self.num_steps + 2 * self.num_remembered

    def _generate(self, rng: np.random.Generator, num_sequences: int) -> ProblemBatch:
        return self._pose(rng.integers(
            1, self.num_symbols, (num_sequences, self.num_remembered), endpoint=True))

    def _pose(self, remembered: np.ndarray) -> ProblemBatch:
        """The problem for given symbols (B, K)."""
        blank = self.num_symbols + 1
        trigger = self.num_symbols + 2
        symbols = np.full((len(remembered), self.max_length), blank)
        answers = symbols.copy()
        symbols[:, :self.num_remembered] = remembered
        symbols[:, self.num_steps + self.num_remembered - 1] = trigger
        answers[:, -self.num_remembered:] = remembered
        return ProblemBatch(_one_hot(symbols, self.num_inputs),
                            _one_hot(answers, self.num_outputs),
                            np.ones(symbols.shape, np.float32))

    def _judged_steps(self, batch: ProblemBatch) -> np.ndarray:
        judged = np.zeros(batch.weights.shape, bool)
        judged[:, -self.num_remembered:] = True
        return judged


class Memorization5Bit(_Memorization):
    """Remember 5 bits over T steps of nothing.

    Use it to see how long a network can carry several bits and then tell them one by one. Steps
    1 to 5 are drawn from the symbols 1 and 2, step T + 5 is the trigger 4, all others are the
    blank 3; the target is the blank up to step T + 5, then the 5 symbols. Every target counts in
    training; zero-one loss and success look only at the 5 remembered ones, since the blanks are
    irrelevant. There are 32 such sequences: they are the test set, and may be the training batch.

    Args:
        num_steps: The steps T from the last symbol to the trigger.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 1.

    Example:
        >>> from rnnpt import datasets
        >>> problem = datasets.Memorization5Bit(num_steps=2)
        >>> batch = problem.all_sequences()
        >>> len(batch.inputs)
        32
        >>> (batch.inputs[1].argmax(-1) + 1).tolist()
        [1, 1, 1, 1, 2, 3, 4, 3, 3, 3, 3, 3]
        >>> (batch.targets[1].argmax(-1) + 1).tolist()
        [3, 3, 3, 3, 3, 3, 3, 1, 1, 1, 1, 2]

    Source: Sutskever 2013, section 4.4.5.
    """

    num_inputs = 4
    num_outputs = 3
    num_remembered = 5
    num_symbols = 2

    def all_sequences(self) -> ProblemBatch:
        """Give each sequence there is once.

        Returns:
            32 sequences, the last bit changing fastest.
        """
        return self._pose(np.array(list(itertools.product([1, 2], repeat=5))))

    def test_set(self, num_sequences: int = 32) -> ProblemBatch:
        """Give the fixed test set: by default each sequence there is, once.

        Args:
            num_sequences: Sequences N of the set; with any number but 32 they are drawn.

        Returns:
            N sequences, the same at every call with this N.

        Raises:
            ValueError: If `num_sequences` is not a positive integer.
        """
        return self.all_sequences() if num_sequences == 32 else super().test_set(num_sequences)


class Memorization20Bit(_Memorization):
    """Remember 10 symbols of 5, more than 20 bits, over T steps of nothing.

    As `Memorization5Bit` with 10 symbols from 1 to 5, the blank 6 and the trigger 7: T + 20 steps,
    the trigger at T + 10, the last 10 steps to be told.

    Args:
        num_steps: The steps T from the last symbol to the trigger.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 1.

    Source: Sutskever 2013, section 4.4.5.
    """

    num_inputs = 7
    num_outputs = 6
    num_remembered = 10
    num_symbols = 5


def _one_hot(symbols: np.ndarray, num_symbols: int) -> np.ndarray:
    """Encode symbols that count from 1, (...) to (..., num_symbols) float32."""
    encoded = np.zeros((symbols.size, num_symbols), np.float32)
    encoded[np.arange(symbols.size), symbols.ravel() - 1] = 1
    return encoded.reshape(*symbols.shape, num_symbols)
