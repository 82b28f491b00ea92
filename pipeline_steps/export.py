"""Step export: write the SavedModel whose bytes are scored, gated and served; prove what it is.

Reads: `artifacts/phase2/`, `artifacts/manifest.parquet`, some of the validation split's files in
`data/`, and some of the training split's when int8 is asked for.
Writes: `artifacts/saved_model/` (with `assets.extra/contract.json`), `artifacts/litert/`,
`reports/export.json`.
Refuses: a model that, reloaded from disk, disagrees with the trained network or with itself, does
not keep its contract, or holds an operation that has no place in a server. Nothing is written then.
"""

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import pandas as pd
import tensorflow as tf
from pydantic import model_validator

from sortline.core.entry import step_main
from sortline.core.errors import DataError
from sortline.core.files import atomic_dir, require, tree_bytes, write_json
from sortline.core.paths import Paths
from sortline.images.settings import Images
from sortline.model.litert import Facts, Sources, write_litert
from sortline.model.local_model import evenly_spaced
from sortline.model.saved_model import Exported, Parity, prove_parity, write_model
from sortline.model.settings import Export, refuse_idle_threshold
from sortline.training.backbones import BACKBONES
from sortline.training.calibration import Calibration, calibrate
from sortline.training.logits import read_logits
from sortline.training.network import load_network
from sortline.training.network_settings import NetworkParams


class Params(NetworkParams):
    """The sections of params.yaml that this step reads, with seed, backbone and head."""

    images: Images
    export: Export

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        refuse_idle_threshold(self.head.activation, self.export)
        return self


@dataclass(frozen=True)
class Report:
    """What reports/export.json holds."""

    model_digest: str
    min_serving_version: str
    size_bytes: int
    operations: int
    calibration: Calibration
    parity: Parity
    litert: dict[str, Facts]


def read_manifest(paths: Paths, labels: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Path, label and sha256 of the images of `train` and `val`, sorted by path.

    Raises:
        DataError: the classes are not the trained ones, or there is no validation image.
    """
    columns = ["path", "split", "label", "sha256"]
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"), columns=columns)
    classes = sorted(set(manifest["label"]))
    if classes != list(labels):
        raise DataError(
            f"The dataset's classes are {', '.join(classes)}; the network was trained on"
            f" {', '.join(labels)}. Run `dvc repro`: it trains on the classes that are there."
        )
    if not (manifest["split"] == "val").any():
        raise DataError(
            "The validation split is empty. Run `dvc repro validate` for what is there."
        )
    manifest = manifest.sort_values("path")
    return {split: manifest[manifest["split"] == split] for split in ("train", "val")}


def write_export(
    exported: Exported,
    calibration: Calibration,
    files: dict[str, pd.DataFrame],
    params: Params,
    paths: Paths,
) -> Report:
    """Write the SavedModel and the LiteRT files, prove them, and only then put them in place.

    Raises:
        ExportError: a proof fails; what was there before stays.
    """
    settings, pixels = params.export, BACKBONES[params.backbone.architecture].pixels
    probes = evenly_spaced(files["val"], settings.parity_images)
    images = Sources(paths.root, evenly_spaced(files["train"], settings.litert_images), probes)
    with atomic_dir(paths.saved_model) as folder, atomic_dir(paths.litert) as flat:
        served, operations = write_model(exported, pixels, files["train"], folder)
        parity = prove_parity(exported.network, served, probes, paths.root)
        litert = write_litert(exported, served, settings.litert, images, flat)
        size_bytes = tree_bytes(folder)
    digest, version = served.contract.model_digest, served.contract.min_serving_version
    return Report(digest, version, size_bytes, operations.total, calibration, parity, litert)


def run(params: Params, paths: Paths) -> Report:
    """Run the step."""
    # On a GPU, TF32 and the choice of kernels at run time break parity and bitwise agreement.
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    network, labels = load_network(paths.phase2, params)
    files = read_manifest(paths, labels)
    logits = read_logits(paths.phase2, files["val"]["sha256"].tolist())
    ids = np.array([labels.index(label) for label in files["val"]["label"]], np.int64)
    threshold = params.export.threshold if params.head.activation == "sigmoid" else None
    calibration = calibrate(logits, ids, params.export.temperature, threshold)
    size_px, max_pixels = params.backbone.image_size_px, params.images.max_pixels
    folded = calibration.temperature, size_px, max_pixels, calibration.threshold
    exported = Exported(network, labels, *folded)
    report = write_export(exported, calibration, files, params, paths)
    write_json(paths.reports / "export.json", asdict(report))
    _print(report)
    return report


def _print(report: Report) -> None:
    fitted = report.calibration
    differs = max(report.parity.max_difference_tensors, report.parity.max_difference_bytes)
    print(
        f"export: temperature {fitted.temperature:.4g} (validation loss {fitted.nll_before:.4f} ->"
        f" {fitted.nll_after:.4f}), {report.size_bytes / 1e6:.1f} MB, differs by {differs:.1e} from"
        f" Keras on {report.parity.images} images, model {report.model_digest[:12]}"
    )
    for kind, file in report.litert.items():
        print(
            f"export: LiteRT {kind}, {file.size_bytes / 1e6:.1f} MB, differs by"
            f" {file.max_difference:.1e} from the SavedModel, the same class for"
            f" {file.agreement:.1%} of the images"
        )
    if fitted.warning:
        print(f"export: {fitted.warning}")


def main() -> None:
    """Run the step in the current folder."""
    step_main("export", Params, run)


if __name__ == "__main__":
    main()
