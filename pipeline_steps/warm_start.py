"""Before phase 1: whether training starts from the champion, and if so its weights.

Reads: champion/, artifacts/manifest.parquet (the classes), the pretrained weights.
Writes: artifacts/start/ (facts.json, and weights.safetensors when training starts warm).
Refuses: a champion that is damaged; pretrained weights that cannot be had.

A step of its own so that another champion re-runs no training that does not start from it: what
this step writes is then the same, byte for byte.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from pipeline_steps.artifacts import Paths, atomic_dir, require, write_json
from pipeline_steps.entry import step_main
from pipeline_steps.params import Params
from pipeline_steps.serving.champion import read_champion


@dataclass(frozen=True)
class Start:
    """Where training starts.

    Attributes:
        champion: `model_digest` of the model from which it starts; None: from pretrained weights.
        epochs: of phase 2 then; phase 1 has none.
        rate: its learning rate, as a share of phase 2's.
        weights_sha256: of the pretrained weights, with which its frozen layers agree.
        reason: why it does not start from the champion; None when it does.
    """

    champion: str | None
    epochs: int | None
    rate: float | None
    weights_sha256: str | None
    reason: str | None


def _cold(reason: str) -> Start:
    return Start(None, None, None, None, reason)


def _labels(paths: Paths) -> tuple[str, ...]:
    manifest = require(paths.manifest, "dvc repro validate")
    return tuple(sorted(pd.read_parquet(manifest, columns=["label"])["label"].unique()))


def _decide(params: Params, paths: Paths, target: Path) -> Start:
    settings = params.train
    if not settings.warm_start:
        return _cold("train.warm_start is false")
    champion = read_champion(paths.champion)
    if champion is None:
        return _cold("there is no champion")
    if champion.labels != _labels(paths):
        return _cold("the champion has other classes than the dataset")
    # TensorFlow takes seconds to import: only when there is something to load.
    from pipeline_steps.serving.champion_weights import start_from

    taken = start_from(champion.folder, params, paths, target)
    if taken.reason:
        return _cold(taken.reason)
    return Start(
        champion.digest,
        settings.warm_epochs,
        settings.warm_learning_rate,
        taken.weights_sha256,
        None,
    )


def run(params: Params, paths: Paths) -> Start:
    """Run the step."""
    with atomic_dir(paths.start) as folder:
        start = _decide(params, paths, folder / "weights.safetensors")
        write_json(folder / "facts.json", asdict(start))
    if start.champion:
        print(f"warm_start: from the champion {start.champion[:12]}, {start.epochs} epochs")
    else:
        print(f"warm_start: from the pretrained weights ({start.reason})")
    return start


def main() -> None:
    """Run the step in the current folder."""
    step_main("warm_start", run)


if __name__ == "__main__":
    main()
