"""The folder of downloads and prepared data."""
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Tell where downloads and prepared data are kept.

    Returns:
        The user's cache folder of this package; it need not exist yet.
    """
    return Path(platformdirs.user_cache_dir("rnnpt"))
