"""Keeps versions loaded as the newest settings want them: finds, checks, loads, warms up, unloads.

Everything in here runs on the event loop; only loading and closing happen in a thread, one at a
time: two models in memory are enough.
"""

import asyncio
import functools
import stat
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError

from sortline.client.messages import message
from sortline.client.model_config import ModelSettings
from sortline.client.server_status import StatusError, invalid, status_of
from sortline.core.errors import ArtifactError
from sortline.model.contract import CONTRACT, verify
from sortline.serving.version_folder import MAX_RECORDS, WARMUP
from sortline.standin.batching import Batcher, BatchingParameters
from sortline.standin.catalogue import Catalogue, Fingerprint, Model, State, Version
from sortline.standin.inference import INFERENCE, Servable
from sortline.standin.monitoring import Monitoring

Say = Callable[[str], None]


class Registry:
    """The models of a server, loaded and unloaded.

    Args:
        monitoring: counts what was loaded.
        batching: how requests of a version are put together; None: they are not.
        allow_unavailable_labels: see the real server's flag.
        say: takes a line for the log.

    Attributes:
        watchers: events that are set whenever a state has changed, or `stopping` has.
    """

    def __init__(
        self,
        monitoring: Monitoring,
        batching: BatchingParameters | None,
        *,
        allow_unavailable_labels: bool,
        say: Say,
    ) -> None:
        self.catalogue = Catalogue()
        self._monitoring, self._batching, self._say = monitoring, batching, say
        self._allow_unavailable_labels = allow_unavailable_labels
        self._turn = asyncio.Lock()
        self._loader = ThreadPoolExecutor(1, "load")
        self._unloading: set[asyncio.Task[None]] = set()
        self.watchers: set[asyncio.Event] = set()
        self.stopping = False

    def end_watches(self) -> None:
        """Tell everybody who watches that the server stops."""
        self.stopping = True
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        for event in self.watchers:
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
            models |= {name: Model(name) for name in wanted.keys() - models.keys()}
            for name, model in models.items():
                model.settings = wanted.get(name)
            await self._converge(retry=True)
            faults = [fault for name in wanted for fault in _faults(models[name])]
            if faults:
                raise StatusError(
                    grpc.StatusCode.UNKNOWN,
                    f"{len(faults)} servable(s) did not become available: {{{', '.join(faults)}}}",
                )

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
        work = functools.partial(load, model.name, number, version.path, self._say)
        try:
            version.servable = await self._in_loader(work)
        except Exception as error:
            self._monitoring.loaded(version.path, well=False)
            version.status = status_of(error)
            version.seen = await _fingerprint(version.path)
            self._set(model, version, State.END)
            return
        self._monitoring.loaded(version.path, well=True)
        if self._batching:
            version.servable.batcher = Batcher(self._batching)
        self._set(model, version, State.AVAILABLE)

    async def _in_loader(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._loader, work)

    def _unload(self, model: Model, number: int) -> None:
        version = model.versions[number]
        self._set(model, version, State.UNLOADING)

        async def close() -> None:
            await version.drained()
            servable, version.servable = version.servable, None
            if servable is not None:
                await self._in_loader(servable.close)
            self._set(model, version, State.END)

        task = asyncio.create_task(close())
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)

    def _set(self, model: Model, version: Version, state: State) -> None:
        version.state = state
        why = f" ({version.why})" if version.why else ""
        self._say(f"{model.name} version {version.number}: {state.name}{why}")
        self._tell_watchers()

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
    """Find the versions of a model that its settings want now."""
    model.fault = ""
    if model.settings is None:
        model.wanted = {}
        return
    base_path, policy = Path(model.settings.base_path), model.settings.policy
    try:
        folders = await asyncio.to_thread(_numbered, base_path)
    except OSError as error:
        # A file system that is away for a moment is no reason to stop serving.
        model.fault = f"Could not find base path {base_path}: {error.strerror}"
        return
    model.wanted = {number: folders[number] for number in policy.choose(frozenset(folders))}
    if absent := sorted(policy.versions - folders.keys()):
        model.fault = f"Version {absent[0]} was not found in {base_path}"
    elif not folders:
        model.fault = f"No versions found in {base_path}"


def _numbered(base_path: Path) -> dict[int, Path]:
    """Everything in a base path whose name is a number, whatever it is."""
    return {
        int(path.name): path
        for path in sorted(base_path.iterdir())
        if path.name.isascii() and path.name.isdigit() and int(path.name) < 2**63
    }


async def _fingerprint(folder: Path) -> Fingerprint:
    """Names, sizes and times of a folder and all in it; equal while nobody changes them."""

    def look() -> Fingerprint:
        stats = [(path, path.stat()) for path in (folder, *sorted(folder.rglob("*")))]
        return tuple((str(path), file.st_size, file.st_mtime_ns) for path, file in stats)

    try:
        return await asyncio.to_thread(look)
    except OSError:
        return ()


def _faults(model: Model) -> list[str]:
    """Why what is wanted of a model does not serve, as the real server lists it."""
    faults = [
        f"{{{{name: {model.name} version: {failure.number}}} due to error: {failure.why}}}"
        for failure in model.failures()
    ]
    if model.fault:
        faults.append(f"{{{{name: {model.name}}} due to error: {model.fault}}}")
    return faults


def load(name: str, version: int, folder: Path, say: Say) -> Servable:
    """Check a version's files, its digest too if it has a contract of ours; load and warm it up.

    Raises:
        StatusError: there is no SavedModel, or not the one that was exported; or there are too many
            records to warm up with.
        Exception: whatever TensorFlow raises on files that it cannot use.
    """
    # A pipe in place of the file would be waited for without end.
    if not any(_is_file(folder / file) for file in ("saved_model.pb", "saved_model.pbtxt")):
        raise StatusError(
            grpc.StatusCode.NOT_FOUND,
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}",
        )
    if (folder / CONTRACT).exists():
        try:
            verify(folder)
        except ArtifactError as error:
            raise StatusError(grpc.StatusCode.DATA_LOSS, str(error)) from error
    servable = Servable(name, version, folder)
    try:
        _warm_up(servable, folder / WARMUP, say)
    except BaseException:
        servable.close()
        raise
    return servable


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # Path.is_file would raise where a folder may not be read.
        return False


def _warm_up(servable: Servable, path: Path, say: Say) -> None:
    """Play the requests that a version brings along, a TFRecord of PredictionLog.

    A record for another model or another signature is left out and said; the real server plays the
    former under its own name and refuses to load the version over the latter.
    """
    if not path.is_file():
        return
    start, played = time.monotonic(), 0
    for at, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
        if at == MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        if fault := _play(servable, record):
            say(f"warm-up record {at} of {path} is left out: {fault}")
        else:
            played += 1
    # The words of the real server's line, so that one reader does for both.
    say(
        f"Finished reading warmup data for model at {path}. Number of warmup records read:"
        f" {played}. Elapsed time (microseconds): {int((time.monotonic() - start) * 1e6)}."
    )


def _play(servable: Servable, record: bytes) -> str:
    """Why a record is left out; empty when it was played."""
    try:
        log = message("tensorflow.serving.PredictionLog").FromString(record)
    except DecodeError:
        return "it is no PredictionLog"
    kind = log.WhichOneof("log_type") or "log of nothing"
    method = kind.removesuffix("_log").capitalize()
    if method not in INFERENCE:
        return f"it is a {kind}, which this stand-in does not play"
    request: Any = getattr(log, kind).request
    name = request.model_spec.name
    if name and name != servable.name:
        return f"it is for the model {name}, and this is {servable.name}"
    try:
        INFERENCE[method](servable, request)
    except Exception as error:
        return status_of(error).details
    return ""
