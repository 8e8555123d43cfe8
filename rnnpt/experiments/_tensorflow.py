"""Importing TensorFlow without its banner."""

import os
import sys
import tempfile


def import_quietly() -> None:
    """Imports TensorFlow; what its libraries write while they load is shown only if that fails.

    They write to the process' standard error before any log level is read, and an error of rnnpt
    is one line.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as banner:
        os.dup2(banner.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            banner.seek(0)
            os.write(kept, banner.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
