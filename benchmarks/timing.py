"""Turns and ratios, shared by the benchmarks."""

import time
from collections.abc import Callable, Mapping


def take_turns(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time contenders in turns, after one turn each that is not counted.

    Args:
        contenders: what to call, by name.
        rounds: turns that count.

    Returns:
        Seconds of each one's best turn.
    """
    best = {name: float("inf") for name in contenders}
    for turn in range(rounds + 1):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def print_ratios(seconds: Mapping[str, float], ours: str, amount: int, unit: str) -> None:
    """Print a Markdown table of rates, and of times relative to ours.

    Args:
        seconds: of each contender.
        ours: the name of the one that the others are divided by.
        amount: how many units one turn worked on.
        unit: their name.
    """
    print(f"| | {unit} a second | time / that of {ours} |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {amount / value:,.0f} | {value / seconds[ours]:.2f} |")
