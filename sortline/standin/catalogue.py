"""Which versions of which models there are, in what state, and which of them a request means.

A request names a model alone (its newest version is meant), with a number, or with a label.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import grpc

from sortline.client.model_config import ModelSettings
from sortline.client.server_status import OK, Status, StatusError, invalid
from sortline.standin.inference import Servable

Fingerprint = tuple[tuple[str, int, int], ...]


class State(Enum):
    """Of a version, by its number in `tensorflow.serving.ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """One version, from the moment it is wanted until it is gone.

    Attributes:
        status: why it ended; OK when nothing went wrong.
        seen: the files on which loading failed: others are worth another attempt.
        retry: whether it is to be attempted again, although it failed.
        users: calls that hold it.
    """

    number: int
    path: Path
    state: State = State.START
    status: Status = OK
    servable: Servable | None = None
    seen: Fingerprint | None = None
    retry: bool = False
    users: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def why(self) -> str:
        """Code and text of what went wrong; empty when nothing did."""
        return "" if self.status == OK else f"{self.status.code.name}: {self.status.details}"

    def acquire(self) -> Servable:
        """Its servable, which stays in memory until `release`; only of an available version."""
        if self.servable is None:
            raise RuntimeError(f"version {self.number} is not loaded")
        self.users += 1
        return self.servable

    def release(self) -> None:
        """The caller of `acquire` has done with it."""
        self.users -= 1
        if not self.users:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until nobody uses it; it must not be available any more."""
        while self.users:
            self._idle.clear()
            await self._idle.wait()


@dataclass
class Model:
    """All versions of a name, and which of them are wanted.

    Attributes:
        settings: None once the config list leaves the model out.
        wanted: folders by version.
        versions: newest attempt of each number; a version that ended stays.
        fault: why the base path gives nothing, for whoever waits for the model.
    """

    name: str
    settings: ModelSettings | None = None
    wanted: dict[int, Path] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    fault: str = ""

    def available(self) -> dict[int, Version]:
        """Those that serve."""
        return {n: v for n, v in self.versions.items() if v.state is State.AVAILABLE}

    def failures(self) -> list[Version]:
        """The wanted ones that could not be loaded."""
        tried = (self.versions[number] for number in self.wanted if number in self.versions)
        return [version for version in tried if version.status != OK]

    def next_step(self) -> tuple[Literal["load", "unload"], int] | None:
        """What is to be done next, None when the wanted versions are as far as they can get.

        The order is the real server's: a wanted version is loaded before an unwanted one goes, the
        newest first; one that cannot be loaded never takes a serving one down.
        """
        serving = self.available().keys()
        unwanted = serving - self.wanted.keys()
        if unwanted and (not self.wanted or serving & self.wanted.keys()):
            return "unload", min(unwanted)
        failed = {version.number for version in self.failures() if not version.retry}
        if missing := self.wanted.keys() - serving - failed:
            return "load", max(missing)
        return None


@dataclass
class Catalogue:
    """All models that were ever wanted.

    Attributes:
        models: by name; one that was left out stays, with its versions at END.
    """

    models: dict[str, Model] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, ModelSettings]:
        """The config list that was applied last."""
        return {name: model.settings for name, model in self.models.items() if model.settings}

    @property
    def ready(self) -> bool:
        """Whether every model of the config list has a version that serves."""
        return all(self.models[name].available() for name in self.settings)

    @property
    def will_not_recover(self) -> bool:
        """Whether a model has versions, none of which can be loaded."""
        models = [self.models[name] for name in self.settings]
        return any(model.failures() and not model.available() for model in models)

    def find(self, spec: Any) -> Version:
        """The available version that a ModelSpec asks for.

        Raises:
            StatusError: there is none; see the table of gRPC errors.
        """
        number = self._number(spec)
        available = self._available(spec.name)
        if available and number in (None, *available):
            return available[max(available) if number is None else number]
        which = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
        raise StatusError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {which}")

    def statuses(self, spec: Any) -> list[Version]:
        """The versions that a GetModelStatus request asks for, newest first.

        Raises:
            StatusError: there is no such model or version.
        """
        number = self._number(spec)
        model = self.models.get(spec.name)
        if model is None or not model.versions:
            text = f"Could not find any versions of model {spec.name}"
            raise StatusError(grpc.StatusCode.NOT_FOUND, text)
        if number is None:
            return [version for _, version in sorted(model.versions.items(), reverse=True)]
        if number not in model.versions:
            text = f"Could not find version {number} of model {spec.name}"
            raise StatusError(grpc.StatusCode.NOT_FOUND, text)
        return [model.versions[number]]

    def _number(self, spec: Any) -> int | None:
        """The version that a ModelSpec names by number or label; None: the newest."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return int(spec.version.value)
        if choice is None or not spec.version_label:
            return None
        settings = self.settings.get(spec.name)
        if settings is None or spec.version_label not in settings.labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return settings.labels[spec.version_label]

    def _available(self, name: str) -> dict[int, Version]:
        return self.models[name].available() if name in self.models else {}

    def check_labels(self, wanted: Mapping[str, ModelSettings], *, allow_unavailable: bool) -> None:
        """Labels may only point at versions that serve now.

        Args:
            wanted: the config list that is to be applied.
            allow_unavailable: a label that is new may point ahead; one that is in use may not.

        Raises:
            StatusError: FAILED_PRECONDITION, one does not.
        """
        for name, settings in wanted.items():
            available = self._available(name)
            used = self.settings[name].labels if name in self.settings else {}
            for label, number in settings.labels.items():
                unchanged = used.get(label, number) == number
                if number not in available and not (allow_unavailable and unchanged):
                    raise StatusError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is"
                        " not currently available for inference",
                    )
