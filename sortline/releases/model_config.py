"""The model config file: which versions are served, and which labels they have. It is the truth.

The text is the real server's own (`tensorflow.serving.ModelServerConfig`), with specific versions:
what is not named there is not served, whatever lies beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import text_format

from sortline.client.messages import message
from sortline.core.errors import ReleaseError

STABLE: Final = "stable"
CANARY: Final = "canary"


@dataclass(frozen=True)
class Served:
    """What the config file says of one model.

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

    @property
    def canary(self) -> int | None:
        """The version that clients get who ask for `canary`."""
        return self.labels.get(CANARY)

    def with_loaded(self, *versions: int) -> "Served":
        """The same, with these versions beside those that are loaded."""
        return Served(self.versions | set(versions), self.labels)

    def with_labels(self, **labels: int) -> "Served":
        """The same, with these labels moved."""
        return Served(self.versions, {**self.labels, **labels})

    def with_only(self, *versions: int) -> "Served":
        """The same, with these versions loaded, and all that have a label."""
        return Served(frozenset(versions) | set(self.labels.values()), self.labels)


def parse_config(data: bytes, where: str) -> Any:
    """A ModelServerConfig from its text.

    Raises:
        ReleaseError: it is none, or not a list of models.
    """
    config = message("tensorflow.serving.ModelServerConfig")()
    try:
        text_format.Parse(data.decode("utf-8"), config)
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise ReleaseError(
            f"{where} is not the text of a ModelServerConfig: {error}. It was changed by hand:"
            " restore it from a server that runs, or from its history."
        ) from error
    if config.WhichOneof("config") not in ("model_config_list", None):
        raise ReleaseError(f"{where} holds no model_config_list, which is all that is understood.")
    return config


def _entry(config: Any, name: str) -> Any:
    return next((each for each in config.model_config_list.config if each.name == name), None)


def served_by(config: Any, name: str) -> Served | None:
    """What a config says of a model; None: nothing, or not which versions."""
    entry = _entry(config, name)
    if entry is None or entry.model_version_policy.WhichOneof("policy_choice") != "specific":
        return None
    versions = frozenset(entry.model_version_policy.specific.versions)
    return Served(versions, dict(entry.version_labels))


def has_model(config: Any, name: str) -> bool:
    """Whether a config names a model."""
    return _entry(config, name) is not None


def labels_in(config: Any, name: str) -> dict[str, int]:
    """The labels that a config gives to versions of a model, whatever its policy."""
    entry = _entry(config, name)
    return dict(entry.version_labels) if entry is not None else {}


def base_path_in(config: Any, name: str) -> str | None:
    """Where the servers look for a model; None: the config does not say."""
    entry = _entry(config, name)
    return str(entry.base_path) or None if entry is not None else None


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
    entry.model_platform = "tensorflow"
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
