"""An interrupt from the keyboard that reaches the training, whatever lies between."""
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import keras


class Interrupt(keras.callbacks.Callback):
    """Remembers SIGINT while it watches, and raises it again after the batch if it got lost.

    Python raises KeyboardInterrupt wherever it stands: in the callback of a weak reference it is
    printed and dropped, and out of what TensorFlow's C++ had called it may come as another error.
    """

    came = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what happens inside.

        Only the main thread sees signals, and a handler of the caller's own stays in charge.

        Yields:
            None.

        Raises:
            KeyboardInterrupt: If the signal came, in place of any other error.
        """
        self.came = False
        is_mine = (threading.current_thread() is threading.main_thread()
                   and signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        if is_mine:
            signal.signal(signal.SIGINT, self._note)
        try:
            yield
            self._check()
        except Exception as error:
            if self.came:
                raise KeyboardInterrupt from error
            raise
        finally:
            if is_mine:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if the signal came and `fit` went on.

        Args:
            batch: Its index, unused.
            logs: Of Keras, unused.
        """
        self._check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)

    def _check(self) -> None:
        if self.came:
            raise KeyboardInterrupt
