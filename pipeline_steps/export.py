"""Step 5: write the SavedModel whose bytes are scored, gated and served, and prove what it is.

Reads: `artifacts/phase2/`, `artifacts/manifest.parquet`, some of the validation split's files in
`data/`, and some of the training split's when int8 is asked for.
Writes: `artifacts/saved_model/` (with `assets.extra/contract.json`), `artifacts/litert/`,
`reports/export.json`.
Refuses: a model that, reloaded from disk, disagrees with the trained network or with itself, does
not keep its contract, or holds an operation that has no place in a server. Nothing is written then.
"""

from dataclasses import asdict, dataclass
from typing import Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from pydantic import model_validator

from sortline.core.entry import step_main
from sortline.core.errors import DataError
from sortline.core.files import atomic_dir, require, write_json
from sortline.core.paths import Paths
from sortline.evaluation.ranking import youden_threshold
from sortline.images.settings import Images
from sortline.model.allowed_operations import (
    Operations,
    check_operations,
    min_serving_version,
    read_operations,
)
from sortline.model.contract import (
    Contract,
    Preprocessing,
    signatures,
    write_contract,
)
from sortline.model.litert_export import Facts, Sources, write_litert
from sortline.model.local_model import load_model
from sortline.model.parity import Parity, parity_files, prove_parity
from sortline.model.saved_model import Exported, check_signatures, write_saved_model
from sortline.model.seen_images import write_seen
from sortline.model.settings import Export, refuse_idle_threshold
from sortline.training.backbones import BACKBONES
from sortline.training.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
)
from sortline.training.logits import read_logits
from sortline.training.network import load_network
from sortline.training.network_settings import NetworkParams

_FORMATS = ("jpeg", "png", "webp")
_RESIZE = "bilinear, stretched to the square, without antialiasing (tf.image.resize)"
_ORIENTATION = "ignored by the graph: apply it before sending, as ingest did"


class Params(NetworkParams):
    """The sections of params.yaml that this step reads, with seed, backbone and head."""

    images: Images
    export: Export

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        refuse_idle_threshold(self.head.activation, self.export)
        return self


@dataclass(frozen=True)
class Calibration:
    """The temperature, and the validation split's negative log-likelihood at 1 and at it.

    `at_limit`: it was fitted, and the split would have it further out than we go. `threshold`: of
    the second class, where there is one logit for two; None elsewhere.
    """

    temperature: float
    at_limit: bool
    nll_before: float
    nll_after: float
    threshold: float | None = None


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


def read_manifest(paths: Paths, labels: tuple[str, ...]) -> pd.DataFrame:
    """Path, split, label and sha256 of every image.

    Raises:
        DataError: the classes are not the trained ones, or there is no validation image.
    """
    columns = ["path", "split", "label", "sha256"]
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"), columns=columns)
    found = sorted(set(manifest["label"]))
    if found != list(labels):
        raise DataError(
            f"The dataset's classes are {', '.join(found)}; the network was trained on"
            f" {', '.join(labels)}. Run `dvc repro`: it trains on the classes that are there."
        )
    if not (manifest["split"] == "val").any():
        raise DataError(
            "The validation split is empty. Run `dvc repro validate` for what is there."
        )
    return manifest


def calibrate(
    logits: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int64], params: Params
) -> Calibration:
    """Fit the temperature and the threshold, or take those that params give."""
    wanted = params.export.temperature
    fitted = isinstance(wanted, str)
    value = fit_temperature(logits, class_ids) if isinstance(wanted, str) else wanted
    # Rounded, so that the number in the report and the contract is the one in the graph.
    temperature = float(f"{value:.6g}")
    return Calibration(
        temperature,
        fitted and not MIN_TEMPERATURE * 1.001 < temperature < MAX_TEMPERATURE / 1.001,
        negative_log_likelihood(logits, class_ids),
        negative_log_likelihood(logits, class_ids, temperature),
        _threshold(probabilities(logits, temperature), class_ids, params),
    )


def _threshold(
    given: npt.NDArray[np.float64], class_ids: npt.NDArray[np.int64], params: Params
) -> float | None:
    if params.head.activation != "sigmoid":
        return None
    wanted = params.export.threshold
    value = youden_threshold(given[:, 1], class_ids == 1) if isinstance(wanted, str) else wanted
    return float(f"{value:.6g}")


def describe(
    exported: Exported, manifest: pd.DataFrame, operations: Operations, params: Params
) -> Contract:
    """The contract of a model, without its digest."""
    pixels = BACKBONES[params.backbone.architecture].pixels
    counts = manifest["label"][manifest["split"] == "train"].value_counts()
    return Contract(
        format_version=1,
        signatures=signatures(len(exported.labels), exported.image_size_px),
        labels=tuple(exported.labels),
        preprocessing=Preprocessing(
            image_size_px=exported.image_size_px,
            resize=_RESIZE,
            channels=pixels.channels,
            scale=pixels.scale,
            offset=pixels.offset,
            max_pixels=exported.max_pixels,
            formats=_FORMATS,
            exif_orientation=_ORIENTATION,
        ),
        temperature=exported.temperature,
        threshold=exported.threshold,
        train_class_counts={label: int(counts.get(label, 0)) for label in exported.labels},
        versions={"tensorflow": tf.__version__, "keras": keras.__version__},
        min_serving_version=min_serving_version(operations),
        model_digest="",
    )


def write_export(
    exported: Exported,
    calibration: Calibration,
    manifest: pd.DataFrame,
    params: Params,
    paths: Paths,
) -> Report:
    """Write the SavedModel and the LiteRT files, prove them, and only then put them in place.

    Raises:
        ExportError: a proof fails; what was there before stays.
    """
    files = parity_files(manifest[manifest["split"] == "val"], params.export.parity_images)
    with atomic_dir(paths.saved_model) as folder, atomic_dir(paths.litert) as flat:
        write_saved_model(exported, folder)
        operations = read_operations(folder)
        check_operations(operations)
        write_seen(folder, manifest["sha256"][manifest["split"] == "train"])
        contract = write_contract(folder, describe(exported, manifest, operations, params))
        served = load_model(folder)
        check_signatures(served.loaded, contract.signatures)
        parity = prove_parity(exported.network, served, files, paths.root)
        images = Sources(paths.root, _calibration_files(manifest, params), files)
        litert = write_litert(exported, served, params.export.litert, images, flat)
        size_bytes = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    return Report(
        contract.model_digest,
        contract.min_serving_version,
        size_bytes,
        operations.total,
        calibration,
        parity,
        litert,
    )


def _calibration_files(manifest: pd.DataFrame, params: Params) -> pd.DataFrame:
    train = manifest[manifest["split"] == "train"].sort_values("path")
    return parity_files(train, params.export.litert_images)


def _keep_to_cpu() -> None:
    # On a GPU, TF32 and the choice of kernels at run time break parity and bitwise agreement.
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")


def run(params: Params, paths: Paths) -> Report:
    """Run the step."""
    _keep_to_cpu()
    network, labels = load_network(paths.phase2, params)
    manifest = read_manifest(paths, labels)
    files = manifest[manifest["split"] == "val"]
    logits = read_logits(paths.phase2, files["sha256"].tolist())
    ids = np.array([labels.index(label) for label in files["label"]], np.int64)
    calibration = calibrate(logits, ids, params)
    exported = Exported(
        network,
        labels,
        calibration.temperature,
        params.backbone.image_size_px,
        params.images.max_pixels,
        calibration.threshold,
    )
    report = write_export(exported, calibration, manifest, params, paths)
    write_json(paths.reports / "export.json", asdict(report))
    _print(report)
    return report


def _print(report: Report) -> None:
    found = report.calibration
    differs = max(report.parity.max_difference_tensors, report.parity.max_difference_bytes)
    print(
        f"export: temperature {found.temperature:.4g} (validation loss {found.nll_before:.4f} ->"
        f" {found.nll_after:.4f}), {report.size_bytes / 1e6:.1f} MB, differs by {differs:.1e} from"
        f" Keras on {report.parity.images} images, model {report.model_digest[:12]}"
    )
    for kind, file in report.litert.items():
        print(
            f"export: LiteRT {kind}, {file.size_bytes / 1e6:.1f} MB, differs by"
            f" {file.max_difference:.1e} from the SavedModel, the same class for"
            f" {file.agreement:.1%} of the images"
        )
    if found.at_limit:
        print(
            f"export: the temperature is at a limit ({MIN_TEMPERATURE} to {MAX_TEMPERATURE}): the"
            " validation split is all right or all wrong, and says little of confidence."
            " export.temperature: 1.0 leaves it as it is."
        )


def main() -> None:
    """Run the step in the current folder."""
    step_main("export", Params, run)


if __name__ == "__main__":
    main()
