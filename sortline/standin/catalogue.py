"""Which version is meant: by a name alone, with a number, or with a label."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from sortline.client.model_config import ModelSettings
from sortline.client.server_status import StatusError, invalid
from sortline.standin.versions import Model, Version


@dataclass(frozen=True)
class Chosen:
    """What a model_spec asks for."""

    name: str
    version: int | None
    label: str


def chosen(spec: Any) -> Chosen:
    """Read a ModelSpec.

    Raises:
        StatusError: INVALID_ARGUMENT, it has no name.
    """
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    which = spec.WhichOneof("version_choice")
    version = spec.version.value if which == "version" else None
    return Chosen(spec.name, version, spec.version_label if which == "version_label" else "")


def _not_found(text: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, text)


@dataclass
class Catalogue:
    """All models that were ever wanted, by name, and the labels of each.

    Attributes:
        models: their versions; a model that was left out stays, with its versions at END.
        labels: version by label, by model.
    """

    models: dict[str, Model] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)

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
        wanted = [self.models[name] for name in self.settings]
        return any(model.failures() and not model.available() for model in wanted)

    def find(self, spec: Any) -> Version:
        """The available version that a ModelSpec asks for.

        Raises:
            StatusError: there is none; see the table of gRPC errors.
        """
        wanted = chosen(spec)
        model = self.models.get(wanted.name)
        available = model.available() if model else {}
        number = self._resolved(wanted)
        if number is None and available:
            return available[max(available)]
        if number is not None and number in available:
            return available[number]
        which = f"Latest({wanted.name})" if number is None else f"Specific({wanted.name}, {number})"
        raise _not_found(f"Servable not found for request: {which}")

    def _resolved(self, wanted: Chosen) -> int | None:
        if not wanted.label:
            return wanted.version
        number = self.labels.get(wanted.name, {}).get(wanted.label)
        if number is None:
            raise invalid(f"Unrecognized servable version label: {wanted.label}")
        return number

    def statuses(self, spec: Any) -> list[Version]:
        """The versions that a GetModelStatus request asks for, newest first.

        Raises:
            StatusError: there is no such model or version.
        """
        wanted = chosen(spec)
        number = self._resolved(wanted)
        model = self.models.get(wanted.name)
        versions = list(model.listed()) if model else []
        if not versions:
            raise _not_found(f"Could not find any versions of model {wanted.name}")
        found = [each for each in versions if number in (None, each.number)]
        if not found:
            raise _not_found(f"Could not find version {number} of model {wanted.name}")
        return found

    def check_labels(self, wanted: Mapping[str, ModelSettings], *, allow_unavailable: bool) -> None:
        """Labels may only point at versions that serve now.

        Args:
            wanted: the config list that is to be applied.
            allow_unavailable: a label that is new may point ahead; one that is in use may not.

        Raises:
            StatusError: FAILED_PRECONDITION, one does not.
        """
        for name, settings in wanted.items():
            model = self.models.get(name)
            available = model.available() if model else {}
            for label, number in settings.labels.items():
                kept = self.labels.get(name, {}).get(label, number) == number
                if number not in available and not (allow_unavailable and kept):
                    raise StatusError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is"
                        " not currently available for inference",
                    )
