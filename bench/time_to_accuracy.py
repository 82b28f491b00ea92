"""Seconds until the plain recipe's accuracy is reached: Keras as it is usually written, and ours.

    SORTLINE_WASTE10=... SORTLINE_WEIGHTS_DIR=... python bench/time_to_accuracy.py
        [--data photographs generated] [--recipes plain fast best] [--seeds 0 1 2] [--share 1.0]
        [--change JSON] [--out FILE] [--quick]

For each dataset and seed, in turns: bench/plain_keras.py ("plain"), and each recipe from an empty
cache, each in processes of its own. Both are timed from the start of the process to the last epoch;
plain is credited with the end of the epoch whose weights it keeps, as if it had known when to stop.
A ratio has to hold in seconds and in seconds of CPU, which other work on the machine changes less.
Recipes and stopping times were chosen on the validation split; the test split is scored once a run.

It takes a day in all, and nothing is repeated: a run's record lies below .sortline/bench/ by
dataset, recipe and seed, with the commit that trained, and the table is made of the records. Remove
those that another commit should make again. Records belong to one machine: where plain has none,
leave it out, and there are figures without a ratio. Stopped in the middle of the plain recipe, it
goes on after that recipe's last epoch; each start of it counts. --quick trains an epoch or two on
some of the images: it shows that everything works, and its ratios mean nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from steps import ROOT, STEPS, link_images, prepare, read_all, run_step, settings_of

from sortline.core.files import atomic_dir, sha256_file, sha256_json, write_json
from sortline.core.git import git
from sortline.experiments.run import recipe_file

HOME = ROOT / ".sortline/bench/time_to_accuracy"
RESULT = ROOT / "bench/results/time_to_accuracy.json"
WEIGHTS = "mobilenet_v2_1.0_224_no_top.weights.h5"
REQUIRED = 10.0
BEST_ACCURACY, BEST_SHARE = 0.9513, 0.5  # EfficientNetV2-S, arXiv 2602.10500; of plain's time.
TRAINING = ("train_phase1", "fine_tune_phase2")
QUICK_SHARE = 0.03


@dataclass(frozen=True)
class Run:
    """One training, scored once.

    Attributes:
        recipe: "plain", or a file in recipes/.
        seed: of everything random.
        seconds: of training: for plain, to the end of the epoch whose weights are kept.
        cpu_s: the same in seconds of CPU, which other work on the machine changes less.
        whole_s: of everything: for plain, until it stops by itself; for us, all steps.
        test_accuracy: on the test split.
        commit: of the code that trained; empty in records from before it was kept.
    """

    recipe: str
    seed: int
    seconds: float
    cpu_s: float
    whole_s: float
    test_accuracy: float
    commit: str = ""


def _weights() -> str | None:
    return os.environ.get("SORTLINE_WEIGHTS_DIR")


def _generated(share: float) -> Path:
    if not (ROOT / "data").is_dir():
        raise SystemExit("There is no data/: run `sortline generate` first.")
    if share == 1.0:
        return ROOT / "data"
    home = HOME / f"generated-{share:g}"
    if not home.is_dir():
        with atomic_dir(home) as partial:
            link_images(ROOT / "data", partial, share)
    return home / "data"


def _dataset(name: str, share: float) -> Path:
    """The folder with train/, val/ and test/; photographs are ingested when that was not done."""
    if name == "generated":
        return _generated(share)
    source, home = os.environ.get("SORTLINE_WASTE10"), HOME / "photographs"
    if not (home / "data").is_dir():
        if not source:
            raise SystemExit("Set SORTLINE_WASTE10: see this file's first lines.")
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "params.yaml", home / "params.yaml")
        command = [sys.executable, "-m", "sortline", "ingest", source]
        subprocess.run(command, cwd=home, check=True)
    return home / "data"


def run_plain(folder: Path, seed: int, quick: bool, out: Path) -> Run:
    """The plain recipe on `folder/data`; its epochs go to `out`, and it goes on from there."""
    command = [sys.executable, str(ROOT / "bench/plain_keras.py"), str(folder / "data"), str(out)]
    command += ["--seed", str(seed)]
    if weights := _weights():
        command += ["--weights", str(Path(weights) / WEIGHTS)]
    if quick:
        command += ["--epochs", "2", "1"]
    subprocess.run(command, check=True)
    found = json.loads(out.read_text())
    second = [row for row in found["epochs"] if row["phase"] == 2]
    kept = min(second, key=lambda row: row["val_loss"])
    spent = (kept["seconds"], kept["cpu_s"], found["seconds"])
    return Run("plain", seed, *spent, found["test_accuracy"])


def run_ours(folder: Path, recipe: str, seed: int, quick: bool, change: dict[str, Any]) -> Run:
    """A recipe on `folder/data`, from an empty cache."""
    settings = settings_of(recipe, {**change, "seed": seed})
    if quick:
        for section in TRAINING:
            settings[section] |= {"epochs": 1, "warmup_epochs": 0}
    prepare(folder, settings)
    costs = {step: run_step(folder, step) for step in STEPS}
    figures = json.loads((folder / "reports/evaluation/metrics.json").read_text())
    seconds = sum(costs[step].seconds for step in TRAINING)
    cpu_s = sum(costs[step].cpu_s for step in TRAINING)
    whole_s = sum(cost.seconds for cost in costs.values())
    return Run(recipe, seed, seconds, cpu_s, whole_s, figures["accuracy"])


def _record(data: Path, recipe: str, seed: int, quick: bool, change: dict[str, Any]) -> Path:
    files = [[p.relative_to(data).as_posix(), p.stat().st_size] for p in data.glob("*/*/*")]
    plain = recipe == "plain"
    what = sha256_file(ROOT / "bench/plain_keras.py") if plain else settings_of(recipe, change)
    key = sha256_json([sorted(files), what, bool(_weights()), quick])[:12]
    return HOME / f"{recipe}-{seed}-{key}.json"


def run_once(data: Path, recipe: str, seed: int, quick: bool, change: dict[str, Any]) -> Run:
    """The record of a run; made now if it is not there."""
    record = _record(data, recipe, seed, quick, change)
    if not record.is_file():
        folder = data.parent / f".bench.{recipe}.partial"  # Hard links stay on one file system.
        shutil.rmtree(folder, ignore_errors=True)
        try:
            link_images(data, folder, QUICK_SHARE if quick else 1.0)
            read_all(folder / "data")
            commit = git(ROOT, "rev-parse", "--short", "HEAD").strip()
            run = (
                run_plain(folder, seed, quick, record.with_suffix(".epochs.json"))
                if recipe == "plain"
                else run_ours(folder, recipe, seed, quick, change)
            )
            write_json(record, {**asdict(run), "commit": commit})
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return Run(**json.loads(record.read_text()))


def table(name: str, runs: list[Run]) -> str:
    """The runs on one dataset as Markdown, the mean over the seeds last."""
    head = f"| {name} | seed | training | of CPU | all steps | test accuracy | commit |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for recipe in dict.fromkeys(run.recipe for run in runs):
        own = [run for run in runs if run.recipe == recipe]
        rows = [
            (str(r.seed), r.seconds, r.cpu_s, r.whole_s, r.test_accuracy, r.commit) for r in own
        ]
        if len(own) > 1:
            columns = zip(*(row[1:5] for row in rows), strict=True)
            rows.append(("mean", *map(mean, columns), ""))
        lines += [
            f"| {recipe} | {s} | {t:,.0f} s | {c:,.0f} s | {w:,.0f} s | {a:.2%} | {at} |"
            for s, t, c, w, a, at in rows
        ]
    return "\n".join(lines)


def verdicts(name: str, runs: list[Run]) -> list[str]:
    """What was promised, and what was measured; nothing without the plain recipe beside it."""
    if all(run.recipe != "plain" for run in runs):
        return []
    by = {r: [run for run in runs if run.recipe == r] for r in {run.recipe for run in runs}}
    seconds = {r: mean(run.seconds for run in own) for r, own in by.items()}
    cpu = {r: mean(run.cpu_s for run in own) for r, own in by.items()}
    whole = {r: mean(run.whole_s for run in own) for r, own in by.items()}
    accuracy = {r: mean(run.test_accuracy for run in own) for r, own in by.items()}
    said = []
    if "fast" in by:
        ratio, of_cpu = seconds["plain"] / seconds["fast"], cpu["plain"] / cpu["fast"]
        held = min(ratio, of_cpu) >= REQUIRED and accuracy["fast"] >= accuracy["plain"]
        said.append(
            f"{'ok' if held else 'MISSED'}: {name}, fast reaches {accuracy['fast']:.2%} (plain:"
            f" {accuracy['plain']:.2%}) {ratio:.1f} times faster, at least {REQUIRED:.0f}; in"
            f" seconds of CPU {of_cpu:.1f} times, with every other step"
            f" {whole['plain'] / whole['fast']:.1f} times"
        )
    if "best" in by and name == "photographs":
        share, of_cpu = seconds["best"] / seconds["plain"], cpu["best"] / cpu["plain"]
        held = accuracy["best"] >= BEST_ACCURACY and max(share, of_cpu) <= BEST_SHARE
        said.append(
            f"{'ok' if held else 'MISSED'}: {name}, best reaches {accuracy['best']:.2%}, at least"
            f" {BEST_ACCURACY:.2%}, in {share:.0%} of plain's time, at most {BEST_SHARE:.0%} (of"
            f" seconds of CPU {of_cpu:.0%})"
        )
    return said


def main() -> int:
    """Run what is not there yet, print, write; 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["photographs", "generated"])
    parser.add_argument("--recipes", nargs="+", default=["plain", "fast", "best"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--share", type=float, default=1.0, help="of each generated class")
    parser.add_argument("--change", type=json.loads, default={}, help="settings over the recipes'")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    for recipe in {*asked.recipes} - {"plain"}:
        recipe_file(ROOT, recipe)  # Before hours of training, not after.
    if not (_weights() or asked.quick):
        raise SystemExit("Set SORTLINE_WEIGHTS_DIR: accuracies of random weights say nothing.")
    results, said = {}, []
    for name in asked.data:
        data = _dataset(name, asked.share)
        runs = [
            run_once(data, recipe, seed, asked.quick, asked.change)
            for seed in asked.seeds
            for recipe in asked.recipes
        ]
        label = f"{name} ({asked.share:.0%})" if name == "generated" and asked.share < 1 else name
        results[label] = [asdict(run) for run in runs]
        print(table(label, runs), flush=True)
        said += [] if asked.quick else verdicts(label, runs)
    print(*said, sep="\n")
    if not asked.quick:
        write_json(asked.out, {"runs": results, "verdicts": said})
    return int(any(line.startswith("MISSED") for line in said))


if __name__ == "__main__":
    sys.exit(main())
