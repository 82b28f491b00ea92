"""What `sortline predict` says of files, be it a model in this process or a server that answers."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from sortline.core.errors import ArtifactError, DataError
from sortline.dataset.layout import readable

_INVALID = "invalid"


@dataclass(frozen=True)
class Answer:
    """What is said about one file; `reason` is empty when it is valid.

    `probabilities` are by label, or in the order of class ids where the labels are not known.
    """

    path: str
    label: str
    probability: float
    probabilities: dict[str, float] | tuple[float, ...]
    valid: bool
    reason: str = ""

    def as_json(self) -> str:
        """One line; `reason` only where there is one."""
        fields = dict(vars(self))
        if self.valid:
            del fields["reason"]
        return json.dumps(fields, ensure_ascii=False)

    def as_row(self, label_width: int) -> str:
        """One line of a table: label, probability, path (last, as it may be of any length)."""
        path = self.path if self.path.isprintable() else repr(self.path)
        if not self.valid:
            return f"{_INVALID:<{label_width}}  {'-':>7}  {path}: {self.reason}"
        return f"{self.label:<{label_width}}  {self.probability:>7.1%}  {path}"


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths` and below the folders among them, sorted; hidden ones are skipped."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path, onerror=_give_up):
            below[:] = sorted(name for name in below if not name.startswith("."))
            found = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
            # Opening a pipe would wait for ever; a link to nowhere is worth a line.
            yield from (file for file in found if file.is_file() or file.is_symlink())


def _give_up(error: OSError) -> NoReturn:
    raise ArtifactError(f"{error.filename} cannot be listed: {error.strerror}.") from error


def require_paths(paths: Sequence[Path]) -> None:
    """Check that all are there, before any work.

    Raises:
        DataError: one is missing.
    """
    if missing := [str(path) for path in paths if not path.exists()]:
        raise DataError(f"There is no {', '.join(map(readable, missing))}. Nothing was classified.")


def count_files(paths: Sequence[Path]) -> int:
    """How many files `find_files` will find.

    Raises:
        DataError: a path is missing, or there is no file in them.
    """
    require_paths(paths)
    total = sum(1 for _ in find_files(paths))
    if not total:
        raise DataError(f"There is no file in {', '.join(readable(str(p)) for p in paths)}.")
    return total


def label_width(labels: Iterable[str]) -> int:
    """The width of a table's first column."""
    return max(map(len, [*labels, _INVALID]))


def print_answers(answers: Iterator[Answer], total: int, *, as_json: bool, width: int) -> int:
    """Print one line an answer, as it comes; returns the number of invalid ones."""
    # On a terminal the lines themselves are the progress.
    silent = sys.stdout.isatty() or not sys.stderr.isatty()
    invalid = 0
    for answer in tqdm(answers, total=total, unit="img", desc="predict", disable=silent):
        print(answer.as_json() if as_json else answer.as_row(width), flush=True)
        invalid += not answer.valid
    return invalid
