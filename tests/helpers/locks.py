"""Reading what `uv pip compile` writes."""

import re

from packaging.utils import NormalizedName, canonicalize_name

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;\\]+)", re.MULTILINE)


def pinned(text: str) -> dict[NormalizedName, str]:
    """The version of every package of a lock."""
    return {canonicalize_name(name): version for name, version in _PIN.findall(text)}
