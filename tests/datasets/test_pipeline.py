"""Datasets that Python computes step by step."""

import os
import platform
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import datasets
from rnnpt.datasets._pipeline import computed


def test_batches_have_the_structure_and_the_shapes_of_the_signature():
    signature = {"square": tf.TensorSpec((None, 2), tf.int64), "sum": tf.TensorSpec((), tf.int64)}
    dataset = computed(
        tf.data.Dataset.range(3), lambda step: {
            "square": np.full((step, 2), step ** 2), "sum": np.int64(2 * step)}, signature)
    assert dataset.element_spec == signature
    assert dataset.cardinality() == 3
    assert [int(batch["sum"]) for batch in dataset] == [0, 2, 4]
    np.testing.assert_array_equal(list(dataset)[2]["square"], [[4, 4], [4, 4]])


def test_batches_of_another_shape_than_the_signature_are_refused():
    dataset = computed(
        tf.data.Dataset.range(1), lambda step: np.zeros([3], np.int64),
        tf.TensorSpec((2,), tf.int64))
    with pytest.raises(tf.errors.InvalidArgumentError, match="is not compatible with expected"):
        next(iter(dataset))


def test_passes_side_by_side_get_the_same_batches():
    dataset = datasets.Addition(num_steps=10).batches(2, seed=0)
    ahead = iter(dataset)
    for _ in range(3):
        next(ahead)
    alone = [batch.inputs.numpy() for batch, _ in zip(dataset, range(6))]
    behind = iter(dataset)
    for step in range(3):
        np.testing.assert_array_equal(next(behind).inputs, alone[step])
        np.testing.assert_array_equal(next(ahead).inputs, alone[step + 3])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_freed_arrays_stay_with_the_process():
    # The library's threshold grows with what is freed, until somebody sets it: of two arrays the
    # smaller one then lies where the larger one was, and is not mapped anew.
    code = textwrap.dedent("""
        import ctypes
        import numpy as np
        from rnnpt import datasets

        class Figures(ctypes.Structure):
            _fields_ = [(name, ctypes.c_int) for name in (
                "arena", "ordblks", "smblks", "num_mapped", "hblkhd", "usmblks", "fsmblks",
                "uordblks", "fordblks", "keepcost")]

        pieces = datasets.Sequences([np.eye(3)])
        for dataset in (
                pieces.pieces(), pieces.segments(2), datasets.Addition(10).batches(2, seed=0)):
            next(iter(dataset))
        library = ctypes.CDLL(None)
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        library.free.argtypes = [ctypes.c_void_p]
        library.mallinfo.restype = Figures
        library.free(library.malloc(30_000_000))
        before = library.mallinfo().num_mapped
        library.malloc(20_000_000)
        print(library.mallinfo().num_mapped - before)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True,
        env={name: value for name, value in os.environ.items()
             if not name.startswith("MALLOC_") and name not in ("GLIBC_TUNABLES", "LD_PRELOAD")})
    assert done.stdout == "0\n"
