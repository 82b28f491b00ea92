"""The part of requirements.lock that some extras need: what one image installs.

The lock holds every extra at once, and says of each package which others asked for it ("via").
Followed from an extra's own packages downwards, that gives the image's packages with the very
versions and hashes that are tested. A package that another extra asked for under the same parent
comes along: an image may hold a little more than it needs, never less.

Standard library alone, and no import of the package: images run this file before anything is
installed. `python locked_subset.py --extra client --package boto3`
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROJECT = "sortline"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VIA = re.compile(r"\s+#\s+(?:via\s+)?(?P<parent>[A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class Locked:
    """One package of the lock.

    Attributes:
        name: normalised.
        version: the only one.
        parents: names of the packages that asked for it.
        text: its lines as they stand, hashes included.
    """

    name: str
    version: str
    parents: frozenset[str]
    text: str


def normalised(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _blocks(text: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            if block:
                yield block
            block = []
        block.append(line)
    if block:
        yield block


def _locked(block: list[str]) -> Locked:
    name, _, rest = block[0].partition("==")
    comments = [line for line in block[1:] if line.lstrip().startswith("#")]
    matches = (_VIA.match(line) for line in comments if line.strip() != "# via")
    return Locked(
        name=normalised(name.partition("[")[0].strip()),
        version=re.split(r"[\s;\\]", rest, maxsplit=1)[0],
        parents=frozenset(normalised(match["parent"]) for match in matches if match),
        text="\n".join(line for line in block if line not in comments),
    )


def read_lock(text: str) -> dict[str, Locked]:
    """Every package of a lock as `uv pip compile` writes it, by normalised name.

    Raises:
        ValueError: it holds a line that pins nothing.
    """
    blocks = [block for block in _blocks(text) if block[0] and not block[0].startswith("#")]
    if loose := [block[0] for block in blocks if "==" not in block[0]]:
        raise ValueError(f"{loose[0]!r} pins no version. Run `make lock` again.")
    packages = [_locked(block) for block in blocks]
    return {package.name: package for package in packages}


def _named(requirement: str) -> tuple[str, list[str]]:
    match = _NAME.match(requirement)
    if not match:
        raise ValueError(f"{requirement!r} in pyproject.toml names no package.")
    inside = re.match(r"\[([^]]*)]", requirement[match.end() :])
    return normalised(match[0]), [part.strip() for part in inside[1].split(",")] if inside else []


def roots(project: Mapping[str, object], extras: Iterable[str]) -> set[str]:
    """The packages that the project itself asks for with these extras.

    Args:
        project: pyproject.toml's `project` table.
        extras: names of its extras.

    Raises:
        ValueError: there is no such extra.
    """
    listed = project.get("optional-dependencies")
    options: Mapping[str, list[str]] = listed if isinstance(listed, dict) else {}
    always = project.get("dependencies")
    found = {_named(each)[0] for each in (always if isinstance(always, list) else [])}
    waiting, seen = list(extras), set[str]()
    while waiting:
        extra = waiting.pop()
        if extra not in options:
            raise ValueError(f"There is no extra {extra!r}. There are: {', '.join(options)}.")
        seen.add(extra)
        for name, inner in map(_named, options[extra]):
            if name == _PROJECT:
                waiting.extend(set(inner) - seen)
            else:
                found.add(name)
    return found


def closure(lock: Mapping[str, Locked], wanted: Iterable[str]) -> list[Locked]:
    """These packages and all that they asked for, sorted by name.

    Raises:
        ValueError: one is not in the lock.
    """
    children: dict[str, set[str]] = {}
    for package in lock.values():
        for parent in package.parents:
            children.setdefault(parent, set()).add(package.name)
    found, waiting = set[str](), list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in lock:
            raise ValueError(f"{name} is not in the lock. Run `make lock`.")
        if name not in found:
            found.add(name)
            waiting.extend(children.get(name, ()))
    return [lock[name] for name in sorted(found)]


def subset(root: Path, extras: Iterable[str], packages: Iterable[str] = ()) -> list[Locked]:
    """What an image with these extras, and these packages besides, installs."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = read_lock((root / "requirements.lock").read_text(encoding="utf-8"))
    return closure(lock, {*roots(project, extras), *map(normalised, packages)})


def main() -> None:
    """Print the part, ready for `uv pip sync --require-hashes`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(), help="Where both files are.")
    parser.add_argument("--extra", action="append", default=[], help="Of pyproject.toml.")
    parser.add_argument("--package", action="append", default=[], help="Besides; in the lock.")
    given = parser.parse_args()
    try:
        packages = subset(given.root, given.extra, given.package)
    except (OSError, ValueError) as error:
        sys.exit(f"No part of the lock can be written: {error}")
    print("\n".join(package.text for package in packages))


if __name__ == "__main__":
    main()
