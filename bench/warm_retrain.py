"""What a retrain costs after 5 % more images, over what it cost to train on the others.

    python bench/warm_retrain.py [--data DIR] [--recipe NAME] [--share 1.0]

Runs every step on 95 % of each class of each split with an empty cache, makes the result the
champion, adds the other 5 %, and runs every step again with `train.warm_start`. Each step is a
process of its own. Prints a table and writes it as JSON; 1 when the second run takes more than a
tenth of the first, or is less accurate by more than a point.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from steps import ROOT, STEPS, link_images, prepare, read_all, run_step, settings_of

from sortline.core.files import write_json
from sortline.evaluation.champion import fetch

RESULT = ROOT / "bench/results/warm_retrain.json"
FIRST_SHARE = 0.95
REQUIRED = 0.1
MAX_LOSS = 0.01  # Of test accuracy, on a test split that has grown by 5 %.


def _accept(folder: Path) -> None:
    """Make the model of the last run the champion, as `sortline champion use` does."""
    champion = folder / "champion"
    shutil.rmtree(champion)
    taken = fetch(str(folder / "artifacts/saved_model"), champion / "model")
    facts = {"uri": taken.uri, "digest": taken.digest, "labels": list(taken.labels)}
    write_json(champion / "champion.json", facts)


def _run(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    prepare(folder, settings)
    costs = {step: run_step(folder, step) for step in STEPS}
    figures = json.loads((folder / "reports/evaluation/metrics.json").read_text())
    uses = [
        use
        for step in ("train_phase1", "fine_tune_phase2")
        for file in folder.glob(f"reports/{step}/features.json")
        for use in json.loads(file.read_text()).values()
    ]
    return {
        "seconds": {step: round(cost.seconds, 1) for step, cost in costs.items()},
        "total_s": round(sum(cost.seconds for cost in costs.values()), 1),
        "cpu_s": round(sum(cost.cpu_s for cost in costs.values()), 1),
        "features_computed": sum(use["computed"] for use in uses),
        "features_found": sum(use["found"] for use in uses),
        "test_accuracy": figures["accuracy"],
        "test_images": figures["images"],
    }


def measure(data: Path, recipe: str | None, share: float) -> dict[str, Any]:
    """Both runs, and the ratio of their seconds."""
    settings = settings_of(recipe, {})
    with tempfile.TemporaryDirectory(dir=data.parent, prefix=".bench.", suffix=".partial") as name:
        folder = Path(name)
        first = link_images(data, folder, FIRST_SHARE * share)
        read_all(data)
        cold = _run(folder, settings)
        _accept(folder)
        shutil.rmtree(folder / "data")
        both = link_images(data, folder, share)
        warm = _run(folder, {**settings, "train": {**settings["train"], "warm_start": True}})
        if not json.loads((folder / "artifacts/start/facts.json").read_text())["champion"]:
            raise SystemExit("The second run did not start from the champion.")
    cold["images"], warm["images"] = first, both
    return {
        "recipe": recipe or "params.yaml",
        "cold": cold,
        "warm": warm,
        "ratio": round(warm["total_s"] / cold["total_s"], 3),
        "cpu_ratio": round(warm["cpu_s"] / cold["cpu_s"], 3),
    }


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    head = ["", "images", "features computed", "found", "test accuracy", *STEPS, "all", "CPU"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in ("cold", "warm"):
        run = result[name]
        cells = [name, f"{run['images']:,}", f"{run['features_computed']:,}"]
        cells += [f"{run['features_found']:,}", f"{run['test_accuracy']:.2%}"]
        cells += [f"{run['seconds'][step]:,.0f} s" for step in STEPS] + [f"{run['total_s']:,.0f} s"]
        cells.append(f"{run['cpu_s']:,.0f} s")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write; 1 when the promise is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--recipe")
    parser.add_argument("--share", type=float, default=1.0, help="of the images, for a quick look")
    asked = parser.parse_args()
    result = measure(asked.data.resolve(), asked.recipe, asked.share)
    print(table(result))
    lost = result["cold"]["test_accuracy"] - result["warm"]["test_accuracy"]
    held = result["ratio"] <= REQUIRED and lost <= MAX_LOSS
    print(
        f"{'ok' if held else 'MISSED'}: warm over cold {result['ratio']}, at most {REQUIRED}"
        f" (of CPU seconds {result['cpu_ratio']});"
        f" accuracy {-lost:+.2%}, no less than {-MAX_LOSS:.2%}"
    )
    if asked.share == 1.0:
        write_json(RESULT, result)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
