"""An exported model served, and asked: `rnnpt.serving.server` and `rnnpt.serving.client`.

The clients and their error are named here too, and imported when they are first asked for, so that
the server does not pay for them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnpt.serving.client import AsyncClient, Client, ServingError

__all__ = ["AsyncClient", "Client", "ServingError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rnnpt.serving import client

    return getattr(client, name)
