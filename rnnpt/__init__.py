"""Recurrent models of sequences for TensorFlow and Keras, polyphonic music first.

A next-frame predictor is a cell, which remembers, and a head, which says how likely the next
frame is. Import the rooms by name, as in ``from rnnpt import datasets, models``; importing
``rnnpt`` alone imports none of them, so that the serving client starts without TensorFlow.

Symbols, the same in every docstring of the package:

=========  =====================================================================================
B          rows of a batch
T          time steps of a sequence
V          visible units, the width of a frame; for music 88 keys, where column 0 is MIDI pitch 21
H          recurrent units of a cell
K          hidden units of a head (RBM, NADE)
S          width of a packed state, as a served model takes and returns it
frames     (B, T, V) float32: 0 or 1, or real numbers where the head is Gaussian
mask       (B, T) bool: True on the real frames; padding stands at the end only
starts     (B,) bool: True where a row begins a new sequence
length     (B,) int32: the number of real frames of each row
state      a tensor, or a nested structure of tensors, each (B, ...)
=========  =====================================================================================

Time is counted in steps; seconds exist in ``rnnpt.music`` alone. Log-likelihoods are in nats,
and a figure "a frame" is the total over all frames, the first of each piece included, divided by
their number.
"""

from importlib import metadata

try:
    __version__ = metadata.version("rnnpt")
except metadata.PackageNotFoundError:  # a source tree on the path that was never installed
    __version__ = "0+source"
