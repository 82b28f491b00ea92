"""The page that people decide by: complete where it can be, honest where it cannot."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sortline.cli.main import app
from sortline.core.errors import ArtifactError
from sortline.reporting.report import build_report

DIGEST, OTHER = "3f9a" * 16, "77aa" * 16
PICTURES = ("training_curves", "confusion_matrix", "per_class", "reliability", "mistakes")
VOID = {"meta", "link", "img", "br", "hr", "input"}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value)
    path.write_text(text, encoding="utf-8")


def verdict(gate: str, *, passed: bool) -> dict[str, Any]:
    reason = f"{gate}: 0.61 seen, 0.7 wanted"
    return {"gate": gate, "passed": passed, "observed": 0.61, "required": 0.7, "reason": reason}


def blessing(*, blessed: bool) -> dict[str, Any]:
    verdicts = [verdict("min_accuracy", passed=True), verdict("min_recall", passed=blessed)]
    return {"blessed": blessed, "candidate": DIGEST, "champion": None, "verdicts": verdicts}


def facts(accuracy: float) -> dict[str, Any]:
    numbers = {"train_accuracy": 0.994, "val_accuracy": accuracy, "val_loss": 0.3}
    labels = {"labels": ["glass", "metal"], "weights_sha256": "5e" * 32}
    return {**labels, "epochs_run": 20, "best_epoch": 18, "metrics": numbers, "cut_layer": "b10"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder in which every step has run."""
    root = tmp_path / "run"
    metrics = {
        **{"accuracy": 0.9267, "macro_f1": 0.9191, "ece": 0.021, "brier": 0.117, "images": 1974},
        "intervals": {"accuracy": [0.9111, 0.9405], "macro_f1": [0.9003, 0.9344]},
        "gaps": {"train_val": 0.071, "train_test": 0.066, "val_test": -0.005},
        "core": {"accuracy": 0.925, "macro_f1": 0.917, "images": 1500},
        "per_class": {
            label: {"precision": 0.9, "recall": 0.8123, "f1": 0.85, "support": 40}
            for label in ("glass", "metal")
        },
        "litert": {
            "int8": {
                **{"accuracy": 0.9241, "accuracy_lost": 0.0026, "interval": [-0.0011, 0.0063]},
                "size_bytes": 2_840_000,
            }
        },
        "model_digest": DIGEST,
    }
    speed = {"p50_ms": 2.117, "p95_ms": 2.9, "speedup": 6.04, "saved_model": {"p50_ms": 12.8}}
    latency = {"p50_ms": 12.34, "p95_ms": 19.9, "ratio": 1.2345, "machine": {"cpu": "Some CPU"}}
    latency["litert"] = {"int8": speed}
    check = {"name": "near_duplicates", "passed": False, "severity": "warning", "observed": 0.07}
    checks = [{"name": "counts", "passed": True, "severity": "error"}, check]
    write(root / "reports" / "blessing.json", blessing(blessed=True))
    write(root / "reports" / "evaluation" / "metrics.json", metrics)
    write(root / "reports" / "evaluation" / "latency.json", latency)
    write(root / "reports" / "export.json", {"model_digest": DIGEST, "temperature": 1.234})
    write(root / "reports" / "validation.json", {"success": True, "expectations": checks})
    listed = "expectation,path\n" + "".join(f"near,data/train/glass/{i}.jpg\n" for i in range(25))
    write(root / "reports" / "validation" / "failures.csv", listed)
    write(root / "artifacts" / "phase1" / "facts.json", facts(0.907))
    write(root / "artifacts" / "phase2" / "facts.json", facts(0.923))
    write(root / "artifacts" / "saved_model" / "saved_model.pb", "x" * 1_500_000)
    write(root / "data.dvc", "outs:\n- md5: 0f3dabc.dir\n  nfiles: 19723\n  path: data\n")
    write(root / "params.yaml", "seed: 0  # <&>\n")
    for name in (*(f"evaluation/figures/{each}" for each in PICTURES), "augment/preview"):
        path = root / "reports" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (400, 300), "white").save(path)
    return root


class Page(HTMLParser):
    """Tags in order, whether they nest, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, *names: str) -> list[tuple[str, dict[str, str | None]]]:
        return [tag for tag in self.tags if tag[0] in names]


def html_of(root: Path) -> str:
    return build_report(root, root / "report.html").read_text(encoding="utf-8")


def page(root: Path) -> Page:
    parsed = Page(html_of(root))
    assert parsed.open == []
    return parsed


def test_the_page_needs_nothing_but_itself(root: Path) -> None:
    html = html_of(root)
    parsed = Page(html)
    addresses = [
        value
        for _, attributes in parsed.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert len(addresses) > 10
    assert all(str(value).startswith(("#", "data:")) for value in addresses)
    assert not parsed.all("script", "link", "iframe", "object")[1:]  # One: the empty icon.
    assert not re.search(r"@import|url\(|https?://", html)


def test_everything_that_was_found_is_on_the_page(root: Path) -> None:
    parsed = page(root)
    text = parsed.text.replace("\N{NO-BREAK SPACE}", " ")
    for wanted in (
        *("Blessed: this model may be served", "min accuracy", "0.61 seen, 0.7 wanted"),
        *("92.7 %", "91.1 % to 94.0 %", "0.919", "0.900 to 0.934", "2.1 %", "0.117"),
        *("12.3 ms", "19.9 ms", "1.23 ×", "1.5 MB", "Some CPU", "+7.1", "−0.5"),
        *(
            "int8",
            "2.84 MB",
            "92.41 %",
            "0.26 % (-0.11 % to 0.63 %)",
            "2.12 ms",
            "12.80 ms",
            "6.0 ×",
        ),
        *("92.5 %", "99.4 %", "90.7 %", "92.3 %", "0.812", "1.234"),
        *("near duplicates", "✗ failed", "warning", "The first 10 of 25 lines"),
        *("data/train/glass/9.jpg", "5e" * 32, "0f3dabc.dir", "19,723", DIGEST, "glass, metal"),
    ):
        assert wanted in text, wanted
    assert "data/train/glass/10.jpg" not in text
    assert "Not here:" not in text
    assert len(parsed.all("img")) == 6


def test_the_verdict_comes_before_everything_else(root: Path) -> None:
    write(root / "reports" / "blessing.json", blessing(blessed=False))
    text = page(root).text
    assert "Refused: this model may not be served" in text
    assert (
        "1 of 2 gates refused it: min recall: min_recall: 0.61 seen, 0.7 wanted (required: 0.7)"
        in text
    )
    assert text.index("Refused:") < text.index("Accuracy")
    assert text.index("✗ refused") < text.index("✓ passed")  # Also in the table.


def test_people_who_do_not_see_the_page_can_read_it(root: Path) -> None:
    parsed = page(root)
    assert all(len(str(tag["alt"])) > 20 for _, tag in parsed.all("img"))
    assert all(tag.get("scope") in ("col", "row") for _, tag in parsed.all("th"))
    headings = [int(tag[1]) for tag, _ in parsed.all("h1", "h2", "h3", "h4")]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert max(np.diff(headings)) == 1
    anchors = {str(tag["href"])[1:] for _, tag in parsed.all("a")}
    assert anchors == {tag["id"] for _, tag in parsed.tags if tag.get("id")}
    assert parsed.all("html")[0][1]["lang"] == "en"
    assert "viewport" in [tag.get("name") for _, tag in parsed.all("meta")]


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("reports/blessing.json", "dvc repro gate"),
        ("reports/evaluation/metrics.json", "dvc repro evaluate"),
        ("reports/evaluation/latency.json", "dvc repro evaluate"),
        ("reports/evaluation/figures/training_curves.png", "dvc repro evaluate"),
        ("reports/evaluation/figures/mistakes.png", "dvc repro evaluate"),
        ("reports/export.json", "dvc repro export"),
        ("reports/validation.json", "dvc repro validate"),
        ("reports/augment/preview.png", "dvc repro augment"),
        ("artifacts/phase1/facts.json", "dvc repro train_phase1"),
        ("artifacts/phase2/facts.json", "dvc repro fine_tune_phase2"),
        ("data.dvc", "dvc add data"),
    ],
)
@pytest.mark.parametrize("broken", [False, True], ids=["missing", "broken"])
def test_a_part_that_cannot_be_shown_is_said_in_its_place(
    root: Path, path: str, command: str, broken: bool
) -> None:
    (root / path).unlink()
    if broken:
        write(root / path, "{ no [")
    text = page(root).text
    assert path in text
    assert command in text
    assert ("is missing" in text) != broken


@pytest.mark.parametrize("value", [[], {}, 3, "text", None, [1, 2], {"unknown": [{"a": None}]}])
def test_no_shape_of_a_report_breaks_the_page(root: Path, value: Any) -> None:
    """The other steps may change what they write; the verdicts are needed most then."""
    for path in [*(root / "reports").rglob("*.json"), *(root / "artifacts").rglob("*.json")]:
        write(path, value)
    assert "Sortline report" in page(root).text


def test_odd_values_inside_a_report_do_not_break_the_page(root: Path) -> None:
    metrics = {"accuracy": "high", "intervals": 3, "gaps": [1], "core": "x", "per_class": {"a": 1}}
    write(root / "reports" / "evaluation" / "metrics.json", {**metrics, "litert": {"int8": 3}})
    assert "int8" in page(root).text
    odd = {"blessed": False, "candidate": 3, "champion": 4, "verdicts": ["no", {"gate": None}]}
    write(root / "reports" / "blessing.json", odd)
    assert "Refused" in page(root).text


def test_pictures_of_a_run_by_an_older_version_are_shown(root: Path) -> None:
    folder = root / "reports" / "evaluation" / "figures"
    for path in folder.iterdir():
        path.rename(folder.parent / path.name)
    folder.rmdir()
    parsed = page(root)
    assert len(parsed.all("img")) == 6
    assert "Not here:" not in parsed.text


def test_reports_of_different_models_are_not_shown_as_one(root: Path) -> None:
    assert "different models" not in page(root).text
    write(root / "reports" / "export.json", {"model_digest": OTHER})
    text = page(root).text
    assert "These reports are of different models" in text
    assert OTHER[:12] in text


def test_nothing_in_a_report_can_become_markup(root: Path) -> None:
    hostile = "<script>alert(1)</script>\"'"
    bad = {**verdict(hostile, passed=False), "reason": hostile}
    write(root / "reports" / "blessing.json", {**blessing(blessed=False), "verdicts": [bad]})
    write(root / "reports" / "validation.json", {hostile: hostile, "checks": [{hostile: hostile}]})
    write(root / "params.yaml", hostile)
    html = html_of(root)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 4


def test_nothing_at_all_is_refused_with_what_to_run(tmp_path: Path) -> None:
    write(tmp_path / "params.yaml", "seed: 0\n")
    write(tmp_path / "data.dvc", "outs:\n- md5: ab\n")
    with pytest.raises(ArtifactError, match="Run `dvc repro`"):
        build_report(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_one_report_is_enough(tmp_path: Path) -> None:
    write(tmp_path / "reports" / "validation.json", {"success": False})
    text = page(tmp_path).text
    assert "No verdict" in text
    assert "dvc repro gate" in text


def test_a_refused_dataset_shows_its_bad_files(tmp_path: Path) -> None:
    """validate leaves no summary then, only the list of files."""
    write(tmp_path / "reports" / "validation" / "failures.csv", "check,path\ndecoding,a/b.jpg\n")
    text = page(tmp_path).text
    assert "a/b.jpg" in text
    assert "dvc repro validate" in text


def test_the_same_reports_give_the_same_page(root: Path) -> None:
    assert html_of(root) == html_of(root)


def test_large_sheets_are_embedded_small(root: Path) -> None:
    """A report has to fit into a mail."""
    noise = np.random.default_rng(0).integers(0, 60, (600, 800, 3), dtype=np.uint8)
    path = root / "reports" / "evaluation" / "figures" / "mistakes.png"
    Image.fromarray(noise).save(path)
    html = html_of(root)
    assert "data:image/webp;base64," in html
    assert len(html) < path.stat().st_size


def test_the_lineage_names_the_commit(root: Path) -> None:
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "params.yaml"], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "first"], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() in page(root).text
    assert "uncommitted" not in page(root).text
    write(root / "params.yaml", "seed: 1\n")
    assert "with uncommitted changes" in page(root).text
    write(root / "run.json", {"experiment": "demo-1", "commit": "c0ffee"})
    assert "c0ffee" in page(root).text


def test_the_page_says_what_the_feature_cache_saved(root: Path) -> None:
    uses = {
        "train": {"cut": "average", "found": 15777, "computed": 789, "seconds": 2, "saved_s": 60.4},
        "val": {"cut": "average", "found": 1972, "computed": 0, "seconds": 0, "saved_s": 7.9},
    }
    write(root / "reports" / "train_phase1" / "features.json", uses)
    assert "17,749 found, 789 computed, 68 s saved" in page(root).text


def test_the_command_writes_the_page_and_names_it(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", "--root", str(root), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert str(out) in result.output
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_report_and_a_comparison_are_written_without_waiting_for_tensorflow() -> None:
    code = (
        "import sys, sortline.experiments.comparison_page, sortline.reporting.report;"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
