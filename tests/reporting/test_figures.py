"""The pictures of a report: readable for any dataset, and the same bytes for the same numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sortline.reporting import drawing
from sortline.reporting.drawing import BLUE, ORANGE, new_picture
from sortline.reporting.figures import FIGURES, Evaluated, draw_figures
from sortline.reporting.figures.confusion_matrix import draw_confusion
from sortline.reporting.figures.per_class import draw_classes
from sortline.reporting.figures.reliability import bins_of, draw_reliability
from sortline.reporting.figures.training_curves import draw_curves
from sortline.reporting.report import build_report

LABELS = ["battery", "glass", "metal"]
COUNTS = np.array([[9, 1, 0], [0, 8, 2], [0, 0, 0]])
PER_CLASS = {
    label: {"precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 40} for label in LABELS
}


def history(first: int, epochs: int) -> pd.DataFrame:
    epoch = np.arange(first, first + epochs)
    falling = np.exp(-epoch / 5)
    columns = {"accuracy": 1 - falling, "loss": falling, "val_loss": falling + 0.2}
    return pd.DataFrame({"epoch": epoch, **columns, "val_accuracy": 0.9 - falling})


def photographs(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    sizes = [(40, 60), (90, 30), (50, 50)]
    return [random.integers(0, 255, (*sizes[i % 3], 3), dtype=np.uint8) for i in range(count)]


def said(count: int) -> list[tuple[str, str, float]]:
    return [("glass", "metal", 0.99 - i / 100) for i in range(count)]


def drawn(draw: Callable[..., None], *numbers: Any) -> Callable[[Path], None]:
    """What draws the numbers into a file."""

    def write(target: Path) -> None:
        with new_picture(target, 6.4, 4.8) as drawing:
            draw(drawing, *numbers)

    return write


def sheet_of_views(target: Path) -> None:
    drawing.views([("glass", photographs(3)), ("metal", photographs(2))], "Views", target)


DRAWINGS: dict[str, Callable[[Path], None]] = {
    "confusion": drawn(draw_confusion, COUNTS, LABELS),
    "reliability": drawn(
        draw_reliability, np.array([0.3, 0.9, 1.0, 0.0]), np.array([False, True, True, False])
    ),
    "per_class": drawn(draw_classes, PER_CLASS),
    "curves": drawn(draw_curves, [history(1, 6), history(7, 4)]),
    "mistakes": drawn(drawing.draw_mistakes, photographs(8), said(8)),
    "views": sheet_of_views,
    "originals": lambda target: drawing.originals([("glass", photographs(1)[0])], "None", target),
}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def count_of(path: Path, colour: str) -> int:
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((pixels(path) == wanted).all(axis=-1).sum())


@pytest.mark.parametrize("name", DRAWINGS)
def test_equal_numbers_give_equal_bytes(name: str, tmp_path: Path) -> None:
    """DVC would otherwise see a change where there is none."""
    first, second = tmp_path / "new" / "a.png", tmp_path / "b.png"
    DRAWINGS[name](first)
    DRAWINGS[name](second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["a.png", "b.png"]
    with Image.open(first) as image:
        assert set(image.info) <= {"dpi"}  # No date, no version.
        assert image.width >= 500
    assert pixels(first).min() < 100


def test_errors_stand_out_in_the_confusion_matrix(tmp_path: Path) -> None:
    def orange(counts: np.ndarray) -> int:
        drawn(draw_confusion, counts, LABELS)(tmp_path / "c.png")
        image = pixels(tmp_path / "c.png").astype(int)
        return int(((image[..., 0] > 200) & (image[..., 0] - image[..., 2] > 60)).sum())

    assert orange(np.diag([5, 5, 5])) == 0
    assert orange(np.array([[5, 1, 0], [0, 5, 0], [0, 0, 5]])) > 1000


@pytest.mark.parametrize("classes", [1, 2, 40])
def test_charts_take_any_number_of_classes(classes: int, tmp_path: Path) -> None:
    labels = [f"class number {index}" for index in range(classes)]
    drawn(draw_confusion, np.eye(classes, dtype=int) * 7, labels)(tmp_path / "c.png")
    drawn(draw_classes, dict.fromkeys(labels, PER_CLASS["glass"]))(tmp_path / "p.png")
    for name in ("c.png", "p.png"):
        assert max(pixels(tmp_path / name).shape) < 3000


def test_labels_may_be_written_in_any_way(tmp_path: Path) -> None:
    """No formula, no missing glyph, no length stops the evaluation at its last step."""
    labels = [
        "$5_notes$",
        "ガラス",
        "a very long name of a class that nobody can read beside a chart",
    ]
    drawn(draw_confusion, COUNTS, labels)(tmp_path / "c.png")
    drawn(draw_classes, {label: {"f1": 0.5} for label in labels})(tmp_path / "p.png")
    drawn(drawing.draw_mistakes, photographs(1), [(labels[0], labels[1], 1.0)])(tmp_path / "m.png")
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_nothing_to_draw_is_said_in_the_picture(tmp_path: Path) -> None:
    drawn(drawing.draw_mistakes, [], [])(tmp_path / "m.png")
    drawn(draw_reliability, np.array([]), np.array([]))(tmp_path / "r.png")
    drawn(draw_curves, [history(1, 0)])(tmp_path / "t.png")
    drawn(draw_classes, {})(tmp_path / "p.png")
    for path in tmp_path.glob("*.png"):
        assert pixels(path).min() < 140, path.name


def test_the_second_phase_is_marked(tmp_path: Path) -> None:
    drawn(draw_curves, [history(1, 10)])(tmp_path / "one.png")
    drawn(draw_curves, [history(1, 6), history(7, 4)])(tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()
    assert min(count_of(tmp_path / "two.png", colour) for colour in (BLUE, ORANGE)) > 100


def test_a_history_without_a_column_is_drawn_without_it(tmp_path: Path) -> None:
    drawn(draw_curves, [history(1, 5).drop(columns="val_loss")])(tmp_path / "t.png")
    assert (tmp_path / "t.png").exists()


def test_the_bins_are_those_of_the_calibration_error() -> None:
    """Closed above: 2/15 is in the second bin, and so is it in the metric."""
    bins = bins_of(np.array([0.0, 1e-9, 1 / 15, 2 / 15, 0.99, 1.0]))
    assert bins.tolist() == [0, 0, 0, 1, 14, 14]


def test_a_certainty_that_is_none_is_not_rounded_up() -> None:
    assert drawing.rounded_down(0.9999) == "99.9 %"
    assert drawing.rounded_down(1.0) == "100.0 %"
    assert drawing.rounded_down(0.876) == "87 %"


def test_a_failed_drawing_leaves_the_old_picture(tmp_path: Path) -> None:
    target = tmp_path / "c.png"
    drawn(draw_confusion, COUNTS, LABELS)(target)
    old = target.read_bytes()
    with pytest.raises(ValueError, match=r"shorter|longer"):
        drawn(draw_confusion, COUNTS, LABELS[:2])(target)
    assert target.read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


PLUGIN = """
from matplotlib.figure import Figure

from sortline.reporting.figures import Evaluated, figure


@figure("confidences", title="How sure the model is")
def confidences(evaluated: Evaluated, drawing: Figure) -> None:
    drawing.subplots().hist(evaluated.predictions["probability"])
"""


@pytest.fixture
def evaluated(tmp_path: Path) -> Evaluated:
    """Four answers: one is wrong, one image was refused."""
    Image.new("RGB", (20, 20), "red").save(tmp_path / "b.png")
    rows = pd.DataFrame(
        {
            "path": ["a.png", "b.png", "c.png", "d.png"],
            "label": ["battery", "glass", "glass", "metal"],
            "predicted": ["battery", "metal", "glass", "(invalid)"],
            "probability": [0.9, 0.8, 0.7, 0.0],
            "correct": [True, False, True, False],
            "valid": [True, True, True, False],
        }
    )
    metrics = {"per_class": PER_CLASS}
    return Evaluated(rows, metrics, [history(1, 3), history(4, 2)], tmp_path, 10_000, 3)


def test_every_figure_is_drawn_from_an_evaluation(evaluated: Evaluated, tmp_path: Path) -> None:
    draw_figures(evaluated, tmp_path / "figures")
    names = {"confusion_matrix", "mistakes", "per_class", "reliability", "training_curves"}
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == names == set(FIGURES)


def test_a_figure_of_the_project_is_one_file(
    evaluated: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugins" / "figures").mkdir(parents=True)
    (tmp_path / "plugins" / "figures" / "confidences.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    drawn_to = tmp_path / "reports" / "evaluation" / "figures"
    draw_figures(evaluated, drawn_to)
    assert (drawn_to / "confidences.png").exists()
    page = build_report(tmp_path, tmp_path / "report.html").read_text()
    assert "More figures" in page
    assert 'alt="How sure the model is"' in page
    # Nor is its picture lost where the file is gone: in a run folder that somebody sent.
    (tmp_path / "plugins" / "figures" / "confidences.py").unlink()
    page = build_report(tmp_path, tmp_path / "report.html").read_text()
    assert 'alt="Figure confidences"' in page
