"""A store of releases in a folder, as `sortline publish` and `sortline promote` leave it."""

from collections.abc import Mapping
from pathlib import Path

from sortline.releases.records import LINEAGE, Lineage, Made, Record
from sortline.releases.store import CONFIG, record_name
from sortline.releases.version_check import digests, version_digest

MODEL = "sortline"


def fill(store: Path, version: int, mark: str) -> None:
    """A version whose files hold a mark; no server could load it."""
    folder = store / str(version)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(f"graph {mark}", encoding="utf-8")
    (folder / "variables" / "variables.index").write_text(mark, encoding="utf-8")


def record(store: Path, version: int) -> None:
    """The record of what lies there now."""
    folder = store / str(version)
    made = Made(git_commit=None, git_dirty=None, dvc_lock=None, data=None, weights=None,
                weights_sha256=None)  # fmt: skip
    lineage = Lineage(
        published_at="2026-01-02T03:04:05Z",
        published_by="somebody",
        model_digest="0" * 64,
        version_digest=version_digest(digests(folder)),
        made=made,
        metrics=None,
        blessing=None,
        infra_blessing=None,
        override="a test",
        warnings=(),
    )
    (folder / LINEAGE).parent.mkdir(exist_ok=True)
    (folder / LINEAGE).write_bytes(lineage.to_bytes())
    written = Record(version=version, state="published", token="t", files=digests(folder),
                     lineage=lineage)  # fmt: skip
    target = store / record_name(version)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(written.to_bytes())


def promote(store: Path, labels: Mapping[str, int], *others: int) -> None:
    """Name versions and labels in models.config."""
    versions = "".join(f" versions: {each}" for each in sorted({*labels.values(), *others}))
    named = "".join(
        f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items()
    )
    (store / CONFIG).write_text(
        f'model_config_list {{ config {{ name: "{MODEL}" base_path: "s3://elsewhere/releases"'
        f' model_platform: "tensorflow" model_version_policy {{ specific {{{versions} }} }} {named}'
        " } }",
        encoding="utf-8",
    )
