"""`sortline predict --target`: classify files by asking a model server. No TensorFlow in here."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from sortline.client.base_client import MAX_PIXELS
from sortline.client.batching import batched
from sortline.client.client import Client
from sortline.client.prediction import Prediction
from sortline.client.rpc import Tls
from sortline.client.server_options import Server
from sortline.core.errors import ArtifactError
from sortline.dataset.layout import readable
from sortline.model.contract import Contract
from sortline.serving.file_answers import (
    Answer,
    count_files,
    find_files,
    label_width,
    print_answers,
)

_GROUP_FILES: Final = 32  # A deadline holds for so many, and so many are answered at once.
_WIDTH: Final = 12  # Of the labels' column when the labels are not known beforehand.
_DECIMALS: Final = 6


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


def classify(client: Client, files: Iterable[Path]) -> Iterator[Answer]:
    """Answers to files, in their order; 32 of them are asked about at a time.

    Raises:
        ServingError: the server gave no answer.
    """
    for group in batched(files, lambda _: 0, max_size=0, max_items=_GROUP_FILES):
        for path, prediction in zip(group, client.predict(group), strict=True):
            yield _answer(path, prediction)


def _answer(path: Path, found: Prediction) -> Answer:
    shares = tuple(round(each, _DECIMALS) for each in found.probabilities)
    by_label = dict(zip(found.labels, shares, strict=True)) if found.labels else shares
    probability = round(found.probability, _DECIMALS)
    shown = readable(str(path))
    return Answer(shown, found.label, probability, by_label, found.valid, found.reason)


def command(paths: Sequence[Path], server: Server, *, as_json: bool) -> int:
    """Print one line a file; returns the number of invalid ones.

    Raises:
        DataError: a path is missing, or there is no file in them.
        ServingError: the server gave no answer.
        ParamsError, ArtifactError: see `open_client`.
    """
    total = count_files(paths)
    with closing(open_client(server)) as client:
        width = label_width(client.labels) if client.labels else _WIDTH
        answers = classify(client, find_files(paths))
        return print_answers(answers, total, as_json=as_json, width=width)
