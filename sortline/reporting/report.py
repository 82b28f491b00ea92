"""One self-contained HTML page of everything the steps reported: `sortline report`.

Reads a folder laid out like the repository (the repository, or runs/<recipe>/). Pictures are
embedded; the page refers to nothing outside itself. A part that is missing is named in its place
with the command that makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from sortline.core.dvc import first_out
from sortline.core.errors import ArtifactError
from sortline.core.files import sha256_file, write_text
from sortline.reporting import findings
from sortline.reporting.figures import FIGURES
from sortline.reporting.findings import Part
from sortline.reporting.wording import (
    megabytes,
    number,
    percent,
    plain,
    points,
    rows,
    words,
)

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
        part = findings.read_picture(root, path.as_posix(), "dvc repro evaluate")
        section = entry.section if entry.section in _SECTIONS else ""
        shown.append(ShownFigure(section, part, entry.alt, entry.caption))
    for path in sorted((root / _FIGURES).glob("*.png")):
        if path.stem not in FIGURES:
            part = findings.read_picture(root, (_FIGURES / path.name).as_posix(), "")
            shown.append(ShownFigure("", part, f"Figure {words(path.stem)}"))
    return shown


def _digests(parts: Mapping[str, Part]) -> dict[str, str]:
    """The model that each report is of, by the report's path."""
    keys = dict.fromkeys(("metrics", "export", "contract"), "model_digest") | {
        "blessing": "candidate"
    }
    found = {parts[name].path: (parts[name].value or {}).get(key) for name, key in keys.items()}
    return {path: digest for path, digest in found.items() if isinstance(digest, str)}


def _labels(facts: Mapping[str, Any]) -> str:
    labels = facts.get("labels")
    return ", ".join(map(str, labels)) if isinstance(labels, list) else ""


def _start(start: Any) -> str | None:
    """Whose weights were trained on, as `warm_start.Start` tells it."""
    if not isinstance(start, Mapping):
        return None
    if champion := start.get("champion"):
        old = start.get("replay")
        each = (
            "all images" if old is None else f"{start['new_images']} new ones, {old:g} old for each"
        )
        return f"the champion {str(champion)[:12]}; images an epoch: {each}"
    return f"the pretrained weights ({start.get('reason')})"


def _features(facts: Mapping[str, Any]) -> str:
    """What a phase found in the feature cache, as `models.features.Use` tells it."""
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
    known = {
        "Model digest": export.get("model_digest") or contract.get("model_digest"),
        "Champion": blessing.get("champion") or ("none" if blessing else None),
        "Labels, by class id": _labels(phase2) or _labels(contract),
        "Pretrained weights, sha256": weights or ("none (random)" if phase1 or phase2 else None),
        "Training started from": _start(phase2.get("start")),
        "Features, phase 1": _features(parts["features1"].value or {}),
        "Features, phase 2": _features(parts["features2"].value or {}),
        "Git commit": run.get("commit") or findings.git_commit(root) or "not in a git repository",
        "Dataset (data.dvc)": first_out(data),
        "params.yaml, sha256": sha256_file(root / params.path) if params.value else None,
        "Versions": contract.get("versions"),
    }
    return [(name, plain(value)) for name, value in known.items() if value]


def gather(root: Path) -> dict[str, Any]:
    """Everything the page shows, by the names that its template uses.

    Raises:
        ArtifactError: no step has left anything in `root`.
    """
    parts = {name: findings.read_mapping(root, *place) for name, place in _MAPPINGS.items()}
    pictures = {name: findings.read_picture(root, *place) for name, place in _PICTURES.items()}
    figures = _figures(root)
    failures = findings.read_failures(root, "reports/validation/failures.csv", "dvc repro validate")
    read = [*(parts[name] for name in _FROM_STEPS), *pictures.values(), failures]
    read += [figure.part for figure in figures]
    if all(part.problem == "is missing" for part in read):
        raise ArtifactError(
            f"There is nothing to report in {root}: no step has left anything in its reports/ or"
            " artifacts/. Run `dvc repro` or `sortline run` first, or name a folder that a run"
            " wrote: `sortline report --root runs/NAME`."
        )
    params = findings.read_text(root, "params.yaml", "git checkout params.yaml")
    digests = _digests(parts)
    return {
        **parts,
        "pictures": pictures,
        "figures": figures,
        "failures": failures,
        "verdict_keys": findings.VERDICT_KEYS,
        "checks": findings.checks_of(parts["validation"].value or {}),
        "params": params,
        "digests": digests,
        "one_model": len(set(digests.values())) <= 1,
        "lineage": _lineage(parts, root, params),
        "size_mb": findings.folder_megabytes(root / "artifacts" / "saved_model"),
    }


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """A page of this package's templates, as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sortline.reporting", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,  # Reports of an older version lack some keys.
    )
    for filter_ in (percent, points, number, megabytes, plain, words, rows):
        environment.filters[filter_.__name__] = filter_
    return environment.get_template(template).render(context)


def build_report(root: Path, target: Path) -> Path:
    """Write the report of the folder `root` to `target`, whole; returns `target`.

    Raises:
        ArtifactError: there is nothing at all to report.
    """
    write_text(target, render_page("report.html.j2", gather(root)))
    return target
