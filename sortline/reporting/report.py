"""One self-contained HTML page of everything the steps reported: `sortline report`.

Reads a folder laid out like the repository (the repository, or runs/<recipe>/). Pictures are
embedded; the page refers to nothing outside itself. A part that is missing is no failure: it is
named in its place with the command that makes it.
"""

import base64
import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sortline.core.dvc import first_out
from sortline.core.errors import ArtifactError
from sortline.core.files import sha256_file, tree_bytes, write_text
from sortline.core.git import checked_out
from sortline.reporting.figures import FIGURES
from sortline.reporting.pages import plain, render_page, words

_MAPPINGS = {
    "blessing": ("reports/blessing.json", "dvc repro gate"),
    "metrics": ("reports/evaluation/metrics.json", "dvc repro evaluate"),
    "latency": ("reports/evaluation/latency.json", "dvc repro evaluate"),
    "export": ("reports/export.json", "dvc repro export"),
    "contract": ("artifacts/saved_model/assets.extra/contract.json", "dvc repro export"),
    "validation": ("reports/validation.json", "dvc repro validate"),
    "phase1": ("artifacts/phase1/facts.json", "dvc repro train_phase1"),
    "phase2": ("artifacts/phase2/facts.json", "dvc repro fine_tune_phase2"),
    "features1": ("reports/train_phase1/features.json", "dvc repro train_phase1"),
    "features2": ("reports/fine_tune_phase2/features.json", "dvc repro fine_tune_phase2"),
    "data": ("data.dvc", "dvc add data"),
    "run": ("run.json", "sortline run"),
    "labels": ("artifacts/labels/audit.json", "sortline labels audit"),
}
_FIGURES = Path("reports") / "evaluation" / "figures"
_SECTIONS = ("training", "classes", "calibration", "mistakes")
_PICTURES = {
    "views": ("reports/augment/preview.png", "dvc repro augment"),
    "suspects": ("artifacts/labels/sheet.png", "sortline labels audit"),
}
_FROM_STEPS = tuple(key for key in _MAPPINGS if key not in ("data", "run"))
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_LARGE_PICTURE_BYTES = 300_000
_LISTED_FAILURES = 10
VERDICT_KEYS = ("passed", "success", "met", "ok")  # What a check may call its outcome.


@dataclass(frozen=True)
class Part:
    """One input of the report: `value` is None when it cannot be shown, `problem` says why.

    Attributes:
        path: where it is looked for, relative to the root.
        command: what makes it.
        value: what was read.
        problem: "is missing", or what is wrong with it.
    """

    path: str
    command: str
    value: Any = None
    problem: str | None = None


@dataclass(frozen=True)
class Picture:
    """An embedded picture: its data URI, and the size at which it is sharp on a 2x screen."""

    uri: str
    width: int
    height: int


class _UnfitError(ValueError):
    """A file holds something else than it should; its text goes on as "PATH ..."."""


def _read(root: Path, path: str, command: str, parse: Callable[[bytes], Any]) -> Part:
    try:
        return Part(path, command, parse((root / path).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return Part(path, command, problem="is missing")
    except _UnfitError as error:
        return Part(path, command, problem=str(error))
    except (ValueError, YAMLError, csv.Error, OSError) as error:
        return Part(path, command, problem=f"cannot be read ({str(error).splitlines()[0]})")


def _json(data: bytes) -> dict[str, Any]:
    return _mapping(json.loads(data))


def _yaml(data: bytes) -> dict[str, Any]:
    return _mapping(YAML(typ="safe", pure=True).load(data.decode()))


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise _UnfitError("holds nothing that can be shown")
    return dict(value)


def read_picture(root: Path, path: str, command: str) -> Part:
    """A PNG, as a data URI."""
    return _read(root, path, command, _picture)


def _picture(data: bytes) -> Picture:
    if not data.startswith(_PNG_MAGIC) or len(data) < 24:
        raise _UnfitError("is not a PNG")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    kind, data = ("png", data) if len(data) < _LARGE_PICTURE_BYTES else _smaller(data)
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Picture(uri, width // 2, height // 2)


def _smaller(png: bytes) -> tuple[str, bytes]:
    """A sheet of photographs as WebP, a tenth of its size: reports are sent by mail."""
    written = io.BytesIO()
    try:
        Image.open(io.BytesIO(png)).convert("RGB").save(written, "WEBP", quality=90, method=4)
    except OSError:
        return "png", png
    return "webp", written.getvalue()


def _failures(data: bytes) -> dict[str, Any]:
    """The header and the first rows of a CSV, and how many rows there are."""
    header, *body = list(csv.reader(io.StringIO(data.decode(), newline=""))) or [[]]
    return {"columns": header, "rows": body[:_LISTED_FAILURES], "count": len(body)}


def checks_of(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list of checks in a validation summary, whatever it is called; failing ones first.

    All have the same keys, in the order in which they are met; None where one has no such key.
    """
    lists = [value for value in summary.values() if isinstance(value, list) and value]
    checks = next((rows for rows in lists if all(isinstance(row, Mapping) for row in rows)), [])
    columns = dict.fromkeys(key for row in checks for key in row)
    even = [{key: row.get(key) for key in columns} for row in checks]
    return sorted(even, key=lambda row: not any(row.get(key) is False for key in VERDICT_KEYS))


def git_commit(root: Path) -> str | None:
    """The commit that is checked out where `root` is, with a word if files differ from it."""
    commit, changed = checked_out(root)
    return f"{commit} (with uncommitted changes)" if changed else commit


@dataclass(frozen=True)
class ShownFigure:
    """A figure of the evaluation in its place on the page."""

    section: str
    part: Part
    alt: str
    caption: str = ""


def _figures(root: Path) -> list[ShownFigure]:
    """The registered figures, then pictures whose figures are registered no more."""
    shown = []
    for name, entry in FIGURES.items():
        path = _FIGURES / f"{name}.png"
        if not (root / path).exists() and (root / path.parent.parent / path.name).exists():
            path = path.parent.parent / path.name  # Where they lay before there was a folder.
        part = read_picture(root, path.as_posix(), "dvc repro evaluate")
        section = entry.section if entry.section in _SECTIONS else ""
        shown.append(ShownFigure(section, part, entry.alt, entry.caption))
    for path in sorted((root / _FIGURES).glob("*.png")):
        if path.stem not in FIGURES:
            part = read_picture(root, (_FIGURES / path.name).as_posix(), "")
            shown.append(ShownFigure("", part, f"Figure {words(path.stem)}"))
    return shown


def _digests(parts: Mapping[str, Part]) -> dict[str, str]:
    """The model that each report is of, by the report's path."""
    keys = dict.fromkeys(("metrics", "export", "contract"), "model_digest")
    keys["blessing"] = "candidate"
    digests = {parts[name].path: (parts[name].value or {}).get(key) for name, key in keys.items()}
    return {path: digest for path, digest in digests.items() if isinstance(digest, str)}


def _labels(facts: Mapping[str, Any]) -> str:
    labels = facts.get("labels")
    return ", ".join(map(str, labels)) if isinstance(labels, list) else ""


def _start(start: Any) -> str | None:
    """Whose weights were trained on, as `warm_start.Start` tells it."""
    if not isinstance(start, Mapping):
        return None
    if champion := start.get("champion"):
        old, images = start.get("replay"), "all images"
        if old is not None:
            images = f"{start['new_images']} new ones, {old:g} old for each"
        return f"the champion {str(champion)[:12]}; images an epoch: {images}"
    return f"the pretrained weights ({start.get('reason')})"


def _features(facts: Mapping[str, Any]) -> str:
    """What a phase found in the feature cache, as `training.features.Use` tells it."""
    uses = [use for use in facts.values() if isinstance(use, Mapping)]
    found, computed, saved = (
        sum(float(use.get(key) or 0) for use in uses) for key in ("found", "computed", "saved_s")
    )
    return f"{found:,.0f} found, {computed:,.0f} computed, {saved:,.0f} s saved" if uses else ""


def _lineage(parts: Mapping[str, Part], root: Path, params: Part) -> list[tuple[str, str]]:
    """What this model was made of, as far as it is known."""
    blessing, export, phase1, phase2, contract, run, data = (
        parts[name].value or {}
        for name in ("blessing", "export", "phase1", "phase2", "contract", "run", "data")
    )
    weights = phase1.get("weights_sha256") or phase2.get("weights_sha256")
    facts = {
        "Model digest": export.get("model_digest") or contract.get("model_digest"),
        "Champion": blessing.get("champion") or ("none" if blessing else None),
        "Labels, by class id": _labels(phase2) or _labels(contract),
        "Pretrained weights, sha256": weights or ("none (random)" if phase1 or phase2 else None),
        "Training started from": _start(phase2.get("start")),
        "Features, phase 1": _features(parts["features1"].value or {}),
        "Features, phase 2": _features(parts["features2"].value or {}),
        "Git commit": run.get("commit") or git_commit(root) or "not in a git repository",
        "Dataset (data.dvc)": first_out(data),
        "params.yaml, sha256": sha256_file(root / params.path) if params.value else None,
        "Versions": contract.get("versions"),
    }
    return [(name, plain(value)) for name, value in facts.items() if value]


def gather(root: Path) -> dict[str, Any]:
    """Everything the page shows, by the names that its template uses.

    Raises:
        ArtifactError: no step has left anything in `root`.
    """
    parts = {
        name: _read(root, path, command, _json if path.endswith(".json") else _yaml)
        for name, (path, command) in _MAPPINGS.items()
    }
    pictures = {name: read_picture(root, *place) for name, place in _PICTURES.items()}
    figures = _figures(root)
    csv_of = "reports/validation/failures.csv", "dvc repro validate"
    failures = _read(root, *csv_of, _failures)
    read = [*(parts[name] for name in _FROM_STEPS), *pictures.values(), failures]
    read += [figure.part for figure in figures]
    if all(part.problem == "is missing" for part in read):
        raise ArtifactError(
            f"There is nothing to report in {root}: no step has left anything in its reports/ or"
            " artifacts/. Run `dvc repro` or `sortline run` first, or name a folder that a run"
            " wrote: `sortline report --root runs/NAME`."
        )
    params = _read(root, "params.yaml", "git checkout params.yaml", bytes.decode)
    digests = _digests(parts)
    model = root / "artifacts" / "saved_model"
    return {
        **parts,
        "pictures": pictures,
        "figures": figures,
        "failures": failures,
        "verdict_keys": VERDICT_KEYS,
        "checks": checks_of(parts["validation"].value or {}),
        "params": params,
        "digests": digests,
        "one_model": len(set(digests.values())) <= 1,
        "lineage": _lineage(parts, root, params),
        "size_mb": tree_bytes(model) / 1e6 if model.is_dir() else None,
    }


def build_report(root: Path, target: Path) -> Path:
    """Write the report of the folder `root` to `target`, whole; returns `target`.

    Raises:
        ArtifactError: there is nothing at all to report.
    """
    write_text(target, render_page("report.html.j2", gather(root)))
    return target
