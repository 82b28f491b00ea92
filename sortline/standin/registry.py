"""Keeps the models as the newest settings want them.

Everything in here runs on the event loop; only loading and closing happen in a thread, one at a
time: two models in memory are enough.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from sortline.client.model_config import ModelSettings
from sortline.client.server_status import OK, Status, StatusError, status_of
from sortline.standin.catalogue import Catalogue
from sortline.standin.loading import Servable
from sortline.standin.versions import (
    Fingerprint,
    Model,
    State,
    Version,
    find_versions,
    fingerprint,
)

Load = Callable[[str, int, Path], Servable]


class Registry:
    """The models of a server, loaded and unloaded.

    Args:
        load: called in the loader's thread; it must return a version that is ready to serve.
        allow_unavailable_labels: see the real server's flag.
        say: takes a line for the log.
    """

    def __init__(
        self, load: Load, *, allow_unavailable_labels: bool, say: Callable[[str], None]
    ) -> None:
        self.catalogue = Catalogue()
        self._load_files, self._say = load, say
        self._allow_unavailable_labels = allow_unavailable_labels
        self._turn = asyncio.Lock()
        self._loader = ThreadPoolExecutor(1, "load")
        self._unloading: set[asyncio.Task[None]] = set()
        self._watchers: set[asyncio.Event] = set()
        self.stopping = False

    def watch(self) -> asyncio.Event:
        """An event that is set whenever a state has changed or `stopping` has, until `unwatch`."""
        event = asyncio.Event()
        self._watchers.add(event)
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        """Nobody waits for it any more."""
        self._watchers.discard(event)

    def end_watches(self) -> None:
        """Tell everybody who watches that the server stops."""
        self.stopping = True
        self._tell()

    def _tell(self) -> None:
        for event in self._watchers:
            event.set()

    async def apply(self, wanted: Mapping[str, ModelSettings]) -> None:
        """Make `wanted` the whole config list; returns when all of it is available.

        Raises:
            StatusError: a label's version is not available (nothing is changed then), or a version
                cannot be loaded (the others are; what served before serves on).
        """
        async with self._turn:
            self.catalogue.check_labels(wanted, allow_unavailable=self._allow_unavailable_labels)
            models = self.catalogue.models
            self.catalogue.labels = {name: dict(each.labels) for name, each in wanted.items()}
            models |= {name: Model(name) for name in wanted.keys() - models.keys()}
            for name, model in models.items():
                model.settings = wanted.get(name)
            await self._converge(retry=True)
            _check_available(models.values())

    async def poll(self) -> None:
        """Look at every base path again, load and unload what follows from it."""
        async with self._turn:
            await self._converge(retry=False)

    async def _converge(self, *, retry: bool) -> None:
        for model in self.catalogue.models.values():
            await _scan(model)
            for failure in model.failures():
                failure.retry = retry or failure.seen != await _fingerprint(failure.path)
        for model in self.catalogue.models.values():
            while step := model.next_step():
                kind, number = step
                if kind == "load":
                    await self._load(model, number)
                else:
                    self._unload(model, number)

    async def _load(self, model: Model, number: int) -> None:
        version = Version(number, model.wanted[number])
        model.versions[number] = version
        self._set(model, version, State.LOADING)
        work = functools.partial(self._load_files, model.name, number, version.path)
        try:
            version.servable = await self._in_loader(work)
        except Exception as error:
            version.status = status_of(error)
            version.seen = await _fingerprint(version.path)
            self._set(model, version, State.END)
            return
        self._set(model, version, State.AVAILABLE)

    async def _in_loader(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._loader, work)

    def _unload(self, model: Model, number: int) -> None:
        version = model.versions[number]
        self._set(model, version, State.UNLOADING)
        task = asyncio.create_task(self._close(model, version))
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)

    async def _close(self, model: Model, version: Version) -> None:
        await version.drained()
        servable, version.servable = version.servable, None
        if servable is not None:
            await self._in_loader(servable.close)
        self._set(model, version, State.END)

    def _set(self, model: Model, version: Version, state: State) -> None:
        version.state = state
        why = "" if version.status == OK else f" ({_said(version.status)})"
        self._say(f"{model.name} version {version.number}: {state.name}{why}")
        self._tell()

    async def close(self) -> None:
        """Unload everything, once the requests under way have ended."""
        async with self._turn:
            for model in self.catalogue.models.values():
                model.settings, model.wanted = None, {}
                for number in model.available():
                    self._unload(model, number)
            await asyncio.gather(*self._unloading)
            self._loader.shutdown()


async def _scan(model: Model) -> None:
    model.fault = ""
    if model.settings is None:
        model.wanted = {}
        return
    base_path, policy = Path(model.settings.base_path), model.settings.policy
    try:
        found = await asyncio.to_thread(find_versions, base_path)
    except OSError as error:
        # A file system that is away for a moment is no reason to stop serving.
        model.fault = f"Could not find base path {base_path}: {error.strerror}"
        return
    model.wanted = {number: found[number] for number in policy.choose(frozenset(found))}
    if absent := sorted(policy.versions - found.keys()):
        model.fault = f"Version {absent[0]} was not found in {base_path}"
    elif not found:
        model.fault = f"No versions found in {base_path}"


async def _fingerprint(folder: Path) -> Fingerprint:
    return await asyncio.to_thread(fingerprint, folder)


def _said(status: Status) -> str:
    return f"{status.code.name}: {status.details}"


def _check_available(models: Any) -> None:
    faults = [fault for model in models for fault in _faults(model)]
    if faults:
        listed = ", ".join(f"{{{fault}}}" for fault in faults)
        raise StatusError(
            grpc.StatusCode.UNKNOWN,
            f"{len(faults)} servable(s) did not become available: {{{listed}}}",
        )


def _faults(model: Model) -> list[str]:
    if model.settings is None:
        return []
    faults = [
        f"{{name: {model.name} version: {each.number}}} due to error: {_said(each.status)}"
        for each in model.failures()
    ]
    missing = [f"{{name: {model.name}}} due to error: {model.fault}"] if model.fault else []
    return faults + missing
