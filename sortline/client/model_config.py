"""The model config of a server: which models are served from where, in which versions, as text.

The text is the real server's own (`tensorflow.serving.ModelServerConfig`). Releases write it with
specific versions: what is not named there is not served, whatever lies beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from google.protobuf import text_format

from sortline.client.messages import message
from sortline.client.server_status import invalid
from sortline.core.errors import ParamsError, ReleaseError

STABLE: Final = "stable"
CANARY: Final = "canary"
_PLATFORM: Final = "tensorflow"
Kind = Literal["latest", "all", "specific"]


@dataclass(frozen=True)
class Policy:
    """Which of the versions in a base path are wanted.

    Attributes:
        count: of the newest ones, for `latest`.
        versions: for `specific`.
    """

    kind: Kind = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()

    def choose(self, available: frozenset[int]) -> frozenset[int]:
        """The wanted ones among those that are there."""
        match self.kind:
            case "all":
                return available
            case "specific":
                return available & self.versions
        return frozenset(sorted(available)[-self.count :])


@dataclass(frozen=True)
class ModelSettings:
    """One entry of the list; `base_path` is a folder or a bucket's address, "" when none is set."""

    name: str
    base_path: str
    policy: Policy = Policy()
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """What an entry with specific versions says of its model.

    Attributes:
        versions: that are to be loaded.
        labels: versions by label; each of them is among `versions`.
    """

    versions: frozenset[int] = frozenset()
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def stable(self) -> int | None:
        """The version that clients get who ask for `stable`."""
        return self.labels.get(STABLE)

    def with_loaded(self, *versions: int) -> "Served":
        """The same, with these versions beside those that are loaded."""
        return Served(self.versions | set(versions), self.labels)

    def with_labels(self, **labels: int) -> "Served":
        """The same, with these labels moved."""
        return Served(self.versions, {**self.labels, **labels})

    def with_only(self, *versions: int) -> "Served":
        """The same, with these versions loaded, and all that have a label."""
        return Served(frozenset(versions) | set(self.labels.values()), self.labels)


def _parse(text: bytes, empty: Any) -> Any:
    try:
        return text_format.Parse(text.decode("utf-8"), empty)
    except text_format.ParseError as error:
        raise ValueError(str(error)) from error


def parse_text_file(path: Path, empty: Any, flag: str) -> Any:
    """Fill a message from the file of text that a flag names.

    Raises:
        ParamsError: it cannot be read, or is not text of that message.
    """
    try:
        return _parse(path.read_bytes(), empty)
    except (OSError, ValueError) as error:
        raise ParamsError(
            f"--{flag}={path} cannot be used: {error}. It wants the text of a"
            f" {empty.DESCRIPTOR.full_name}."
        ) from error


def parse_config(data: bytes, where: str) -> Any:
    """A ModelServerConfig from the text in a store.

    Raises:
        ReleaseError: it is none, or not a list of models.
    """
    try:
        config = _parse(data, message("tensorflow.serving.ModelServerConfig")())
    except ValueError as error:
        raise ReleaseError(
            f"{where} is not the text of a ModelServerConfig: {error}. It was changed by hand:"
            " restore it from a server that runs, or from its history."
        ) from error
    if config.WhichOneof("config") not in ("model_config_list", None):
        raise ReleaseError(f"{where} holds no model_config_list, which is all that is understood.")
    return config


def _policy(proto: Any) -> Policy:
    match proto.WhichOneof("policy_choice"):
        case "all":
            return Policy("all")
        case "specific":
            return Policy("specific", versions=frozenset(proto.specific.versions))
    return Policy("latest", count=max(1, proto.latest.num_versions))


def _settings(entry: Any) -> ModelSettings:
    policy = _policy(entry.model_version_policy)
    return ModelSettings(entry.name, entry.base_path, policy, dict(entry.version_labels))


def read_config_list(config: Any) -> dict[str, ModelSettings]:
    """The models of a ModelServerConfig, by name, as a server takes them.

    Raises:
        StatusError: INVALID_ARGUMENT, as the real server says it.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid("Only ModelConfigList is currently supported")
    models: dict[str, ModelSettings] = {}
    for entry in config.model_config_list.config:
        name, platform = entry.name, entry.model_platform
        if not name:
            raise invalid("A model in the config list has no name.")
        if not entry.base_path:
            raise invalid(f"Model {name} has no base_path.")
        if platform not in ("", _PLATFORM):
            raise invalid(f"Model {name} requests unsupported platform {platform}")
        if name in models:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
        models[name] = _settings(entry)
    return models


def read_config_file(path: Path) -> dict[str, ModelSettings]:
    """The models that `--model_config_file` names.

    Raises:
        ParamsError: see `parse_text_file`.
        StatusError: see `read_config_list`.
    """
    empty = message("tensorflow.serving.ModelServerConfig")()
    return read_config_list(parse_text_file(path, empty, "model_config_file"))


def _entry(config: Any, name: str) -> Any:
    entries = config.model_config_list.config
    return next((entry for entry in entries if entry.name == name), None)


def settings_of(config: Any, name: str) -> ModelSettings | None:
    """What a ModelServerConfig says of a model; None: nothing."""
    entry = _entry(config, name)
    return None if entry is None else _settings(entry)


def served_by(config: Any, name: str) -> Served | None:
    """The versions of a model that a config names; None: it does not say which."""
    settings = settings_of(config, name)
    if settings is None or settings.policy.kind != "specific":
        return None
    return Served(settings.policy.versions, settings.labels)


def with_served(config: Any, name: str, base_path: str, served: Served) -> Any:
    """A copy of a config that says this of a model; other models in it stay as they are.

    A model without a version is left out: a list of no specific versions means nothing.
    """
    changed = message("tensorflow.serving.ModelServerConfig")()
    changed.CopyFrom(config)
    changed.model_config_list.SetInParent()  # Also when it is empty: or servers refuse it.
    entry = _entry(changed, name)
    if not served.versions:
        if entry is not None:
            changed.model_config_list.config.remove(entry)
        return changed
    if entry is None:
        entry = changed.model_config_list.config.add(name=name)
    entry.base_path = base_path
    entry.model_platform = _PLATFORM
    entry.model_version_policy.specific.versions[:] = sorted(served.versions)
    entry.version_labels.clear()
    entry.version_labels.update(served.labels)
    return changed


def to_text(config: Any) -> bytes:
    """The file's content: equal configs give equal bytes."""
    copy = message("tensorflow.serving.ModelServerConfig")()
    copy.CopyFrom(config)
    for entry in copy.model_config_list.config:
        labels = sorted(entry.version_labels.items())
        entry.version_labels.clear()
        for label, version in labels:
            entry.version_labels[label] = version
    return text_format.MessageToString(copy).encode()
