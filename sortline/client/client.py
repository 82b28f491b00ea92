"""A client of the model server, for programs without TensorFlow.

    from sortline.client import Client
    client = Client("localhost:8500")
    print(client.predict([Path("photo.jpg")]))

It installs with `sortline`, without any extra. The same for asyncio is in async_client.py.
"""

from collections.abc import Iterable
from typing import Any

from tenacity import Retrying

from sortline.client.base_client import BaseClient
from sortline.client.exchange import Call, Exchange
from sortline.client.messages import PREDICTION_SERVICE
from sortline.client.picture import Image
from sortline.client.prediction import Prediction
from sortline.client.rpc import method, open_channel


class Client(BaseClient):
    """Asks a model server about images; see `BaseClient` for what it does and its settings.

    Threads may share one. It connects when it is first asked, and again whenever it has to. `close`
    it, or use it in a `with` block, when no more will be asked.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._channel = open_channel(self.target, self.tls, self.options)
        self._predict = method(self._channel, PREDICTION_SERVICE, "Predict")

    def predict(self, images: Iterable[Image], timeout_s: float | None = None) -> list[Prediction]:
        """Classify images; an answer for each, in their order.

        Args:
            images: paths or bytes of files.
            timeout_s: for all of it; the client's if absent.

        Raises:
            ServingError: the server is not there, refuses, or gives an answer that does not fit.
            ParamsError: `images` is no list of paths or bytes.
        """
        exchange = Exchange(self, images, timeout_s)
        for call in exchange.calls():
            with call.observed():
                response = Retrying(**call.retrying())(self._attempt, call)
            exchange.accept(call, response)
        return exchange.predictions()

    def _attempt(self, call: Call) -> Any:
        return self._predict(call.request, timeout=call.remaining_s())

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
