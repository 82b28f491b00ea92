"""Seconds of CPU of each step, of the files as they are beside those of an earlier commit.

    python bench/step_times.py --ref COMMIT [--recipe demo] [--images 300] [--rounds 3]

Runs every step of both in turns on the same drawn pictures, each as a process of its own and with
empty caches, and prints the least of the rounds: other work on the machine only adds. 1 when all
steps together take more than 1.05 of what they took.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from steps import ROOT, STEPS, link_images, prepare, run_step, settings_of

from sortline.synthetic.generated import generate, subset_counts

ALLOWED = 1.05


def _draw(folder: Path, images: int) -> Path:
    counts = {"train": images * 8 // 10, "val": images // 10, "test": images // 10}
    generate(folder / "data", seed=1, counts=subset_counts(counts))
    return folder / "data"


def _unpack(ref: str, folder: Path) -> Path:
    folder.mkdir()
    archive = subprocess.run(["git", "archive", ref], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def _measure(tree: Path, data: Path, recipe: str) -> dict[str, float]:
    """Seconds of CPU by step."""
    with tempfile.TemporaryDirectory(dir=data.parent) as name:
        folder = Path(name)
        link_images(data, folder)
        lenient = {"validate": {"min_images_per_class": 1}}
        prepare(folder, settings_of(recipe, lenient, tree))
        return {step: run_step(folder, step, tree, quiet=True).cpu_s for step in STEPS}


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ref", required=True, help="A commit to measure beside the files.")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sortline-bench-") as name:
        data = _draw(Path(name), asked.images)
        trees = {"now": ROOT, "before": _unpack(asked.ref, Path(name) / "before")}
        rounds = [
            {side: _measure(tree, data, asked.recipe) for side, tree in trees.items()}
            for _ in range(asked.rounds)
        ]
    least = {
        side: {step: min(costs[side][step] for costs in rounds) for step in STEPS} for side in trees
    }
    table = Table("step", "now, s of CPU", f"{asked.ref[:12]}", "ratio", box=None)
    totals = {side: sum(costs.values()) for side, costs in least.items()}
    for step in (*STEPS, "all"):
        now, before = (
            totals[side] if step == "all" else least[side][step] for side in ("now", "before")
        )
        table.add_row(step, f"{now:.1f}", f"{before:.1f}", f"{now / before:.2f}")
    Console().print(table)
    return int(totals["now"] > ALLOWED * totals["before"])


if __name__ == "__main__":
    raise SystemExit(main())
