"""`sortline predict`: classify files or folders of images, here or by asking a model server.

No TensorFlow in here: asking a server needs none. local_predict.py loads a model.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError
from tqdm import tqdm

from sortline.client import Client
from sortline.client.base_client import MAX_PIXELS
from sortline.client.batching import batched
from sortline.client.rpc import Tls
from sortline.client.server_options import Server
from sortline.core.errors import ArtifactError, DataError
from sortline.dataset.layout import readable
from sortline.model.contract import Contract

GROUP_FILES: Final = 32  # A deadline holds for so many, and so many are answered at once.
DECIMALS: Final = 6
_WIDTH: Final = 12  # Of the labels' column when the labels are not known beforehand.
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
            files = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
            # Opening a pipe would wait for ever; a link to nowhere is worth a line.
            yield from (file for file in files if file.is_file() or file.is_symlink())


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


def _read_contract(path: Path) -> Contract:
    try:
        return Contract.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        raise ArtifactError(
            f"{path} is not the contract of a model ({error.errors()[0]['msg']}); wanted the file"
            " assets.extra/contract.json of a model that `dvc repro export` wrote."
        ) from error


def open_client(server: Server) -> Client:
    """A client of that server.

    Raises:
        ParamsError: version and label are both given, or a certificate without its key.
        ArtifactError: a file cannot be read.
    """
    contract = _read_contract(server.contract) if server.contract else None
    files = (server.authority, server.certificate, server.key)
    return Client(
        server.target or "",
        server.model_name or Client.model_name,
        version=server.version,
        version_label=server.version_label,
        tls=Tls(*files) if any(files) else None,
        timeout_s=server.timeout_s or Client.timeout_s,
        labels=contract.labels if contract else (),
        max_pixels=contract.preprocessing.max_pixels if contract else MAX_PIXELS,
    )


def ask(client: Client, files: Iterable[Path]) -> Iterator[Answer]:
    """Answers of a server to files, in their order; 32 of them are asked about at a time.

    Raises:
        ServingError: the server gave no answer.
    """
    for group in batched(files, lambda _: 0, max_size=0, max_items=GROUP_FILES):
        for path, prediction in zip(group, client.predict(group), strict=True):
            shares = tuple(round(share, DECIMALS) for share in prediction.probabilities)
            labels = prediction.labels
            yield Answer(
                readable(str(path)),
                prediction.label,
                round(prediction.probability, DECIMALS),
                dict(zip(labels, shares, strict=True)) if labels else shares,
                prediction.valid,
                prediction.reason,
            )


def ask_server(paths: Sequence[Path], server: Server, *, as_json: bool) -> int:
    """Print one line a file; returns the number of invalid ones.

    Raises:
        DataError: a path is missing, or there is no file in them.
        ServingError: the server gave no answer.
        ParamsError, ArtifactError: see `open_client`.
    """
    total = count_files(paths)
    with closing(open_client(server)) as client:
        width = label_width(client.labels) if client.labels else _WIDTH
        answers = ask(client, find_files(paths))
        return print_answers(answers, total, as_json=as_json, width=width)
