"""The client of a model server: no TensorFlow, no pandas, nothing set on import.

    from sortline.client import Client
    with Client("localhost:8500") as client:
        print(client.predict([Path("photo.jpg")]))

`AsyncClient` is the same for asyncio. The names below are brought when they are first asked for:
the stand-in and the commands use single modules of this folder, and need no gRPC for that.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sortline.client.async_client import AsyncClient
    from sortline.client.client import Client
    from sortline.client.client_metrics import ClientMetrics
    from sortline.client.picture import Image
    from sortline.client.prediction import Prediction
    from sortline.client.rpc import Tls
    from sortline.core.errors import ImageError, ParamsError, ServingError

__all__ = [
    "AsyncClient",
    "Client",
    "ClientMetrics",
    "Image",
    "ImageError",
    "ParamsError",
    "Prediction",
    "ServingError",
    "Tls",
]

_MODULES = {
    "AsyncClient": "sortline.client.async_client",
    "Client": "sortline.client.client",
    "ClientMetrics": "sortline.client.client_metrics",
    "Image": "sortline.client.picture",
    "ImageError": "sortline.core.errors",
    "ParamsError": "sortline.core.errors",
    "Prediction": "sortline.client.prediction",
    "ServingError": "sortline.core.errors",
    "Tls": "sortline.client.rpc",
}


if not TYPE_CHECKING:  # A checker is to know the names above, and no other.

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)
