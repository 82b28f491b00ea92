"""Versions swapped while clients ask: by number, by label, and for the latest.

Each version is a tiny SavedModel whose answer is its own number, so that an answer tells who gave
it. A swap is what `sortline promote` does: the new version is loaded beside the old one, the label
moves, the old one goes.
"""

import asyncio
import functools
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf import text_format
from serving_load import MODEL, Load, Seen, request_for

from sortline.client.messages import MODEL_SERVICE, message
from sortline.client.rpc import method

LABEL = "stable"
VERSIONS = 8  # Folders; a swap goes from one to the next, and from the last to the first again.
CLIENTS = 4
_RELOAD_S = 60.0


def write_versions(base: Path) -> None:
    """SavedModels 1 to N, each of which answers with its number."""
    import tensorflow as tf

    for number in range(1, VERSIONS + 1):
        module = tf.Module()

        def answer(image_bytes: Any, number: int = number) -> dict[str, Any]:
            return {"number": tf.fill(tf.shape(image_bytes), tf.constant(number, tf.int64))}

        module.answer = tf.function(
            answer, input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")]
        )
        call = module.answer.get_concrete_function()
        tf.saved_model.save(module, str(base / str(number)), {"serving_default": call})


def config(base: Path, versions: list[int], stable: int) -> Any:
    """A ModelServerConfig that serves these versions."""
    result = message("tensorflow.serving.ModelServerConfig")()
    entry = result.model_config_list.config.add(
        name=MODEL, base_path=str(base), model_platform="tensorflow"
    )
    entry.model_version_policy.specific.versions.extend(versions)
    entry.version_labels[LABEL] = stable
    return result


class Pinned:
    """Which version may be asked for by number, and how many are asking for it."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._asking: dict[int, int] = {}
        self._changed = asyncio.Condition()

    async def take(self) -> int:
        """The version to ask for; `give` it back when it has answered."""
        async with self._changed:
            self._asking[self.version] = self._asking.get(self.version, 0) + 1
            return self.version

    async def give(self, version: int) -> None:
        """A call has been answered."""
        async with self._changed:
            self._asking[version] -= 1
            self._changed.notify_all()

    async def move(self, version: int) -> None:
        """Pin another version, and wait until nobody asks for the one before."""
        async with self._changed:
            old, self.version = self.version, version
            await self._changed.wait_for(lambda: not self._asking.get(old))


def _number(answer: Any) -> int:
    return int(answer.outputs["number"].int64_val[0])


def _fault(answer: Any, pinned: int | None) -> str | None:
    given, named = _number(answer), answer.model_spec.version.value
    if given == named and pinned in (None, given):
        return None
    return f"{given} answered as {named}; pinned was {pinned}"


async def _ask(load: Load, request: Any, seen: Seen, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await load.call(request, seen, check=lambda answer: _fault(answer, None))


async def _ask_pinned(load: Load, pinned: Pinned, seen: Seen, stop: asyncio.Event) -> None:
    while not stop.is_set():
        version = await pinned.take()
        check = functools.partial(_fault, pinned=version)
        await load.call(request_for(b"", version=version), seen, check=check)
        await pinned.give(version)


async def _swap(target: str, base: Path, swaps: int) -> dict[str, Any]:
    seen, stop, pinned = Seen(), asyncio.Event(), Pinned(1)
    load = Load(target, _RELOAD_S)
    askers = [
        *(_ask_pinned(load, pinned, seen, stop) for _ in range(CLIENTS)),
        *(_ask(load, request_for(b"", label=LABEL), seen, stop) for _ in range(CLIENTS)),
        *(_ask(load, request_for(b""), seen, stop) for _ in range(CLIENTS)),
    ]
    running = [asyncio.create_task(asker) for asker in askers]
    async with grpc.aio.insecure_channel(target) as channel:
        reload = method(channel, MODEL_SERVICE, "HandleReloadConfigRequest")
        for number in range(swaps):
            old, new = (1 + index % VERSIONS for index in (number, number + 1))
            for versions, stable in (([old, new], old), ([old, new], new)):
                await _apply(reload, config(base, versions, stable))
            await pinned.move(new)
            await _apply(reload, config(base, [new], new))
    stop.set()
    await asyncio.gather(*running)
    await load.close()
    failed = sum(count for code, count in seen.codes.items() if code != "OK")
    return {
        "swaps": swaps,
        "answers": seen.codes["OK"],
        "failed": failed,
        "codes": dict(seen.codes),
        "wrong": len(seen.faults),
        "first_wrong": seen.faults[:3],
    }


async def _apply(reload: Any, wanted: Any) -> None:
    request = message("tensorflow.serving.ReloadConfigRequest")(config=wanted)
    answer = await reload(request, timeout=_RELOAD_S)
    if answer.status.error_code:
        raise SystemExit(f"A reload was refused: {answer.status.error_message}")


def swap_under_load(
    serving: Callable[..., AbstractContextManager[Any]], swaps: int
) -> dict[str, Any]:
    """Swap versions so many times; what the clients saw.

    Args:
        serving: starts a server with flags, and yields something that has a `target`.
        swaps: how many.
    """
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "versions"
        write_versions(base)
        file = Path(name) / "models.config"
        file.write_text(text_format.MessageToString(config(base, [1], 1)))
        # Without it no server starts from a file with labels, be it this one or the real one.
        labels = "--allow_version_labels_for_unavailable_models"
        with serving(f"--model_config_file={file}", labels) as server:
            _wait(server.target)
            return asyncio.run(_swap(server.target, base, swaps))


def _wait(target: str) -> None:
    async def until_available() -> None:
        load = Load(target, _RELOAD_S)
        seen = Seen()
        while not seen.codes["OK"]:
            await load.call(request_for(b"", label=LABEL), seen)
            await asyncio.sleep(0.05)
        await load.close()

    asyncio.run(asyncio.wait_for(until_available(), _RELOAD_S))
