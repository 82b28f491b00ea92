"""The client for asyncio; see client.py.

async with AsyncClient("localhost:8500") as client:
    print(await client.predict([Path("photo.jpg")]))
"""

import asyncio
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import grpc.aio
from tenacity import AsyncRetrying

from sortline.client.base_client import BaseClient
from sortline.client.exchange import Call, Exchange
from sortline.client.messages import PREDICTION_SERVICE
from sortline.client.picture import Image
from sortline.client.prediction import Prediction
from sortline.client.rpc import method, open_async_channel


class AsyncClient(BaseClient):
    """Asks a model server about images; see `BaseClient` for what it does and its settings.

    Tasks may share one, of the event loop in which it is first asked. `close` it, or use it in an
    `async with` block, when no more will be asked.
    """

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        # Not before there is a loop: gRPC binds a channel to the one that is running.
        return open_async_channel(self.target, self.tls, self.options)

    @cached_property
    def _predict(self) -> Any:
        return method(self._channel, PREDICTION_SERVICE, "Predict")

    async def predict(
        self, images: Iterable[Image], timeout_s: float | None = None
    ) -> list[Prediction]:
        """Classify images; an answer for each, in their order.

        Files are read and pictures turned in threads beside the loop.

        Args:
            images: paths or bytes of files.
            timeout_s: for all of it; the client's if absent.

        Raises:
            ServingError: the server is not there, refuses, or gives an answer that does not fit.
            ParamsError: `images` is no list of paths or bytes.
        """
        exchange = Exchange(self, images, timeout_s)
        calls = exchange.calls()
        while call := await asyncio.to_thread(next, calls, None):
            with call.observed():
                response: Any = await AsyncRetrying(**call.retrying())(self._attempt, call)
            await asyncio.to_thread(exchange.accept, call, response)
        return exchange.predictions()

    async def _attempt(self, call: Call) -> Any:
        return await self._predict(call.request, timeout=call.remaining_s())

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        if "_channel" in vars(self):
            await self._channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
