"""Before phase 1: whether training starts from the champion, and if so its weights.

Reads: champion/, artifacts/manifest.parquet, the pretrained weights.
Writes: artifacts/start/ (facts.json, and when training starts warm weights.safetensors; and
new_images.txt when there are images that the champion has not seen).
Refuses: a champion that is damaged; pretrained weights that cannot be had.

A step of its own so that another champion re-runs no training that does not start from it: what
this step writes is then the same, byte for byte.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pandas as pd
from pydantic import model_validator

from sortline.core.entry import step_main
from sortline.core.files import atomic_dir, require, write_json
from sortline.core.paths import Paths
from sortline.evaluation.champion import read_champion
from sortline.model.contract import are_new
from sortline.training.network_settings import NetworkParams
from sortline.training.phase_settings import FineTunePhase2, Train, refuse_idle_warm_start


class Params(NetworkParams):
    """The sections of params.yaml that this step reads, with seed, backbone and head."""

    train: Train
    fine_tune_phase2: FineTunePhase2

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        refuse_idle_warm_start(self.train, self.fine_tune_phase2)
        return self


@dataclass(frozen=True)
class Start:
    """Where training starts.

    Attributes:
        champion: `model_digest` of the model from which it starts; None: from pretrained weights.
        epochs: of phase 2 then; phase 1 has none.
        rate: its learning rate, as a share of phase 2's.
        weights_sha256: of the pretrained weights, with which its frozen layers agree.
        reason: why it does not start from the champion; None when it does.
        new_images: training images that the champion has not seen; None when it does not say.
        replay: old images an epoch for each new one; None: an epoch has all images.
    """

    champion: str | None
    epochs: int | None
    rate: float | None
    weights_sha256: str | None
    reason: str | None
    new_images: int | None = None
    replay: float | None = None


def _cold(reason: str) -> Start:
    return Start(None, None, None, None, reason)


def _new_images(champion: Path, manifest: pd.DataFrame) -> list[str] | None:
    """SHA-256 of the training images that the champion has not seen, if it says what it has."""
    training = manifest["sha256"][manifest["split"] == "train"].tolist()
    new = are_new(champion, training)
    return (
        None
        if new is None
        else [image for image, is_new in zip(training, new, strict=True) if is_new]
    )


def _decide(params: Params, paths: Paths, folder: Path) -> Start:
    settings = params.train
    if not settings.warm_start:
        return _cold("train.warm_start is false")
    champion = read_champion(paths.champion)
    if champion is None:
        return _cold("there is no champion")
    columns = ["label", "split", "sha256"]
    manifest = pd.read_parquet(require(paths.manifest, "dvc repro validate"), columns=columns)
    if champion.labels != tuple(sorted(manifest["label"].unique())):
        return _cold("the champion has other classes than the dataset")
    # TensorFlow takes seconds to import: only when there is something to load.
    from sortline.model.warm_start_weights import start_from

    phases, target = params.fine_tune_phase2.phases, folder / "weights.safetensors"
    taken = start_from(champion.folder, params, phases, paths, target)
    if taken.reason:
        return _cold(taken.reason)
    new = _new_images(champion.folder, manifest)
    if new:
        (folder / paths.new_images.name).write_text("\n".join([*new, ""]), encoding="ascii")
    return Start(
        champion.digest,
        settings.warm_epochs,
        settings.warm_learning_rate,
        taken.weights_sha256,
        None,
        None if new is None else len(new),
        settings.warm_replay if new else None,
    )


def _seen_in_an_epoch(start: Start) -> str:
    if start.replay is None:
        return "all images"
    return f"{start.new_images} new images and {start.replay:g} old ones for each of them"


def run(params: Params, paths: Paths) -> Start:
    """Run the step."""
    with atomic_dir(paths.start) as folder:
        start = _decide(params, paths, folder)
        write_json(folder / "facts.json", asdict(start))
    if start.champion:
        print(
            f"warm_start: from the champion {start.champion[:12]}, {start.epochs} epochs of"
            f" {_seen_in_an_epoch(start)}"
        )
    else:
        print(f"warm_start: from the pretrained weights ({start.reason})")
    return start


def main() -> None:
    """Run the step in the current folder."""
    step_main("warm_start", Params, run)


if __name__ == "__main__":
    main()
