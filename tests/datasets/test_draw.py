"""Endless data sets: the process may end, and fills with neither threads nor batches."""

import gc
import subprocess
import sys
import textwrap
import threading
import weakref

import numpy as np
import tensorflow as tf

from rnnpt import datasets
from rnnpt.datasets import _draw


def test_a_process_ends_while_a_batch_is_drawn():
    # Draws of a second, in which NumPy gives the interpreter's lock away and wants it back.
    code = textwrap.dedent("""
        import time
        from rnnpt import datasets

        batches = iter(datasets.RandomPermutation(num_steps=50).batches(10_000, seed=0))
        next(batches)
        time.sleep(0.2)
        print("the next one is being drawn")
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "the next one is being drawn\n"


def test_the_end_of_a_fit_does_not_wait_for_the_tuner_of_tf_data():
    batches = datasets.Addition(num_steps=30).batches(2, seed=0)
    assert batches.options().autotune.enabled is False


def test_one_thread_draws_for_all_datasets():
    # TensorFlow keeps the functions of datasets that are gone.
    for seed in range(3):
        next(iter(datasets.Addition(num_steps=10).batches(2, seed)))
    assert [thread.name.startswith("rnnpt-draw") for thread in threading.enumerate()].count(
        True) == 1


def test_what_was_drawn_ahead_goes_with_the_dataset():
    drawn = []

    def draw(step: int) -> np.ndarray:
        batch = np.full(3, step)
        drawn.append(weakref.ref(batch))
        return batch

    dataset = _draw.endless(draw, 0, tf.TensorSpec((3,), tf.int64))
    next(iter(dataset))
    _draw._thread().submit(int).result()
    gc.collect()
    assert [batch() is None for batch in drawn] == [True, False, False]
    del dataset
    gc.collect()
    assert [batch() is None for batch in drawn] == [True, True, True]
