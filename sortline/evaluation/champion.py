"""The model to beat, as it lies in `champion/`.

champion/none.json                     there is none: {"champion": null}
champion/champion.json, model.dvc      where it came from and what it is; tracked by git
champion/model/                        its SavedModel; tracked by DVC
"""

from dataclasses import dataclass
from pathlib import Path

from sortline.core.errors import ArtifactError, GateError
from sortline.core.files import read_json
from sortline.model.contract import verify

NONE, FACTS, MODEL = "none.json", "champion.json", "model"
HOW_TO_SET = "Name one by `sortline champion use URI`, or say `sortline champion use none`."


@dataclass(frozen=True)
class Champion:
    """A verified model to beat.

    Attributes:
        folder: its SavedModel.
        uri: where it was taken from.
        digest: its `model_digest`.
        labels: its classes, in the order of class ids.
    """

    folder: Path
    uri: str
    digest: str
    labels: tuple[str, ...]


def _recorded(folder: Path) -> Champion:
    facts = read_json(folder / FACTS, "sortline champion use URI")
    try:
        uri, digest, labels = facts["uri"], facts["digest"], tuple(facts["labels"])
    except (KeyError, TypeError) as error:
        raise GateError(f"{folder / FACTS} lacks {error}. {HOW_TO_SET}") from error
    return Champion(folder / MODEL, uri, digest, labels)


def read_champion(folder: Path) -> Champion | None:
    """The champion in `folder`, verified; None when there is none to beat.

    Raises:
        GateError: the folder does not say, or its model is missing, damaged or another one.
    """
    none, some = (folder / NONE).is_file(), (folder / FACTS).is_file()
    if none == some:
        seen = "both" if some else "neither"
        raise GateError(
            f"{folder} holds {seen} of {NONE} and {FACTS}; one was wanted. {HOW_TO_SET}"
        )
    if none:
        return None
    champion = _recorded(folder)
    if not champion.folder.exists():
        raise GateError(
            f"{champion.folder} is missing: git has only its address. Run"
            f" `dvc pull {folder.name}/{MODEL}.dvc`, or take it anew: `sortline champion use"
            f" {champion.uri}`."
        )
    try:
        found = verify(champion.folder)
    except ArtifactError as error:
        raise GateError(
            f"The champion cannot be read. {error} Or: `sortline champion use none`."
        ) from error
    if found != champion.digest:
        raise GateError(
            f"{champion.folder} is the model {found[:12]}; {folder / FACTS} names"
            f" {champion.digest[:12]}. {HOW_TO_SET}"
        )
    return champion
