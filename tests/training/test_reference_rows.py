"""What is cached or resumed depends on a number beside the code: values of before hold that number.

Tolerances leave room for another x86-64 machine, which adds in another order.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from helpers.reference_values import assert_as_before
from helpers.tiny_runs import settings
from helpers.training_parts import signal_examples

from sortline.core.paths import Paths
from sortline.training import stage
from sortline.training.engine import open_engine
from sortline.training.extraction import phase1_extractor, pretrained_network
from sortline.training.loop import train
from sortline.training.phase_settings import Phase

HERE = Path(__file__).parent
_DEMO: dict[str, Any] = {
    "backbone": {
        "architecture": "mobilenet_v2",
        "alpha": 0.35,
        "image_size_px": 96,
        "weights": "demo",
    },
    "fine_tune_phase2": {"from_layer": "block_11_expand"},
}


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_weights_and_pixels_give_the_features_of_before(tmp_path: Path, engine: str) -> None:
    params = settings(_DEMO, {"features": {"engine": engine}})
    network, weights = pretrained_network(params, Paths(tmp_path), 3)
    extractor = phase1_extractor(network, weights.sha256, params)
    y, x = np.mgrid[0:96, 0:96]
    pixels = np.stack([y * 2.5, x * 2.5, (x * y) % 256], -1)[np.newaxis].astype("float32")
    with open_engine(extractor.model, params.features.engine) as forward:
        pooled, at_cut = (np.ravel(output) for output in forward(pixels))
    values = {"pooled": pooled[::40], "cut": at_cut[::40]}
    number = extractor.identities[0]["arithmetic"]
    assert_as_before(HERE / "reference_features.json", number, values, rtol=1e-3, atol=1e-3)


_PHASE = {
    **{"epochs": 3, "batch_size": 16, "optimizer": "adamw", "learning_rate": 0.01},
    **{"weight_decay": 0.01, "schedule": "cosine", "warmup_epochs": 1, "label_smoothing": 0.1},
    **{"mixup_alpha": 0.2, "ema_momentum": 0.9, "early_stopping_patience": None},
    **{"plateau_patience": None, "plateau_factor": 0.5},
}


def test_a_seed_gives_the_weights_of_before(tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Dropout(0.3), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    trained = train(
        model,
        (signal_examples(0, 90, 2), signal_examples(1, 40, 0)),
        Phase.model_validate(_PHASE),
        seed=3,
        first_epoch=0,
        resume=tmp_path / "resume",
        on_epoch=lambda _: None,
    )
    values: dict[str, npt.ArrayLike] = {
        "weights": np.concatenate([np.ravel(each) for each in model.get_weights()]),
        "val_loss": [row["val_loss"] for row in trained.history],
    }
    file = HERE / "reference_training.json"
    assert_as_before(file, stage._TRAINER, values, rtol=1e-3, atol=1e-4)
