"""Records of runs that were never made, for what is said of them."""

from typing import Any

from sortline.experiments.compare import NotMeasured
from sortline.experiments.records import Point, Record
from sortline.experiments.summary import Summary, summarise

COUNTS = {"train": 800, "val": 100, "test": 100}


def record(recipe: str, seed: int, accuracy: float, **changes: Any) -> Record:
    """A run that climbs to its accuracy in four epochs."""
    curve = [
        Point(epoch=e, train=accuracy * s, val=accuracy * s)
        for e, s in enumerate((0.5, 0.8, 0.95, 1.0), start=1)
    ]
    values: dict[str, Any] = {
        "recipe": recipe,
        "seed": seed,
        "data": "0123456789abcdef0123456789abcdef.dir",
        "experiment": f"{recipe}-{seed}",
        "commit": "c0ffee",
        "epoch_limit": None,
        "image_size_px": 96,
        "images": COUNTS,
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.01,
        "recall": {"glass": accuracy, "metal": 0.7},
        "gap": 0.02,
        "val_accuracy": accuracy,
        "curve": curve,
        "seconds": 100.0,
        "parameters": 2_000_000,
        "trained": 12_345,
        "size_bytes": 9_000_000,
        "latency_ms": 8.0,
        "latency_ratio": 1.1,
        "beside": 1,
    }
    return Record(**{**values, **changes})


def summaries(**accuracies: list[float]) -> tuple[Summary, ...]:
    """A summary a recipe, a run an accuracy; None of them: its weights were missing."""
    results: list[Record | NotMeasured] = []
    for name, values in accuracies.items():
        results += [record(name, seed, accuracy) for seed, accuracy in enumerate(values)]
        if not values:
            results.append(NotMeasured(name, 0, "the weights were not found"))
    return summarise(tuple(accuracies), results)
