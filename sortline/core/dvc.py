"""DVC's small files, read one way: what data.dvc pins, and what the graph depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sortline.core.errors import DataError
from sortline.core.files import digest_tree, sha256_file, sha256_json
from sortline.core.params import read_yaml

_MAKE_ONE = "Run `dvc add data`, and commit data.dvc."


@dataclass(frozen=True)
class Pin:
    """A dataset's revision: its MD5, as DVC counts it, and the text of the .dvc file."""

    digest: str
    text: str


def parse_pin(text: str, source: str) -> Pin:
    """What the text of a .dvc file pins.

    Raises:
        DataError: it pins nothing.
    """
    try:
        digest = YAML(typ="safe", pure=True).load(text)["outs"][0]["md5"]
    except (YAMLError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{source} pins no dataset ({error!r}). {_MAKE_ONE}") from error
    return Pin(str(digest), text)


def read_pin(path: Path) -> Pin:
    """What a .dvc file pins.

    Raises:
        DataError: there is no such file, or it pins nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise DataError(f"There is no {path.name} that can be read. {_MAKE_ONE}") from error
    return parse_pin(text, path.name)


def find_pin(path: Path) -> str | None:
    """The MD5 that a .dvc file pins, for records that do without; None where there is none."""
    try:
        return read_pin(path).digest
    except (DataError, OSError):
        return None


def graph_identity(root: Path, settings: Mapping[str, Any], code: Any) -> str:
    """SHA-256, in hex, of all that the graph's results depend on: two equal ones are one run.

    Args:
        root: the checkout.
        settings: of params.yaml, with what is laid over them; sections that no stage names do not
            count.
        code: what the stages can reach of the code, as the stage `code` lists it.

    Raises:
        DataError: data.dvc pins no dataset.
        ParamsError: dvc.yaml cannot be read.
    """
    stages = read_yaml(root / "dvc.yaml")["stages"]
    sections = {section for stage in stages.values() for section in stage.get("params", [])}
    champion = root / "champion"
    return sha256_json(
        {
            "params": {name: settings[name] for name in sorted(sections)},
            "graph": sha256_file(root / "dvc.yaml"),
            "data": read_pin(root / "data.dvc").digest,
            "champion": digest_tree(champion) if champion.is_dir() else None,
            "code": code,
        }
    )
