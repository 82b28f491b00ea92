"""Which models are served from where: `model_config_list` as text, and the flags that replace it.

The text is the real server's own (`tensorflow.serving.ModelServerConfig`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from google.protobuf import text_format

from sortline.client.messages import message
from sortline.client.server_status import invalid
from sortline.core.errors import ParamsError

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

    def choose(self, found: frozenset[int]) -> frozenset[int]:
        """The wanted ones among those that are there."""
        match self.kind:
            case "all":
                return found
            case "specific":
                return found & self.versions
        return frozenset(sorted(found)[-self.count :])


@dataclass(frozen=True)
class ModelSettings:
    """One entry of the list."""

    name: str
    base_path: Path
    policy: Policy = Policy()
    labels: Mapping[str, int] = field(default_factory=dict)


def _policy(proto: Any) -> Policy:
    match proto.WhichOneof("policy_choice"):
        case "all":
            return Policy("all")
        case "specific":
            return Policy("specific", versions=frozenset(proto.specific.versions))
    return Policy("latest", count=max(1, proto.latest.num_versions))


def _settings(config: Any) -> ModelSettings:
    if not config.name:
        raise invalid("A model in the config list has no name.")
    if not config.base_path:
        raise invalid(f"Model {config.name} has no base_path.")
    if config.model_platform not in ("", _PLATFORM):
        raise invalid(f"Model {config.name} requests unsupported platform {config.model_platform}")
    policy = _policy(config.model_version_policy)
    return ModelSettings(config.name, Path(config.base_path), policy, dict(config.version_labels))


def read_config_list(config: Any) -> dict[str, ModelSettings]:
    """The models of a ModelServerConfig, by name.

    Raises:
        StatusError: INVALID_ARGUMENT, as the real server says it.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid("Only ModelConfigList is currently supported")
    models: dict[str, ModelSettings] = {}
    for entry in config.model_config_list.config:
        settings = _settings(entry)
        if settings.name in models:
            raise invalid(f"Illegal to list model {settings.name} multiple times in config list")
        models[settings.name] = settings
    return models


def parse_text_file(path: Path, empty: Any, flag: str) -> Any:
    """Fill a message from a file of text.

    Raises:
        ParamsError: it cannot be read, or is not text of that message.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), empty)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ParamsError(
            f"--{flag}={path} cannot be used: {error}. It wants the text of a"
            f" {empty.DESCRIPTOR.full_name}."
        ) from error


def read_config_file(path: Path) -> dict[str, ModelSettings]:
    """The models that `--model_config_file` names.

    Raises:
        ParamsError: see `parse_text_file`.
        StatusError: see `read_config_list`.
    """
    empty = message("tensorflow.serving.ModelServerConfig")()
    return read_config_list(parse_text_file(path, empty, "model_config_file"))
