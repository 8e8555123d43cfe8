"""Cells whose kernel may be another layer's."""

import keras

from rnnpt.cells.cell import Cell


class TiedCell(Cell):
    """A recurrence of K hidden units of an RBM, whose kernel W (V, K) it may share.

    A subclass sets `units` and `kernel_initializer`, and asks `_make_kernel` in its `build`.
    """

    units: int
    kernel_initializer: keras.initializers.Initializer
    kernel: keras.Variable | None = None

    def tie(self, kernel: keras.Variable) -> None:
        """Take another layer's kernel in place of an own one.

        Args:
            kernel: W (V, K), of a layer that is built.

        Raises:
            ValueError: if the cell is built, or the kernel has another number of columns.
        """
        if self.built:
            raise ValueError(
                f"{type(self).__name__}: kernel must be tied before build, got the built cell "
                f"{self.name!r}; tie it first")
        if kernel.shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__}: kernel must have units={self.units} columns, got "
                f"{tuple(kernel.shape)}; give both layers as many hidden units")
        self.kernel = kernel

    def _make_kernel(self, num_visible: int | None) -> None:
        """Create the kernel, unless it is tied."""
        if self.kernel is None:
            self.kernel = self.add_weight(
                name="kernel", shape=(num_visible, self.units),
                initializer=self.kernel_initializer)
