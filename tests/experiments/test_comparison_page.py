"""The page that a regime is chosen by: it may not say more, or less, than was measured."""

import re
from pathlib import Path

import pytest
from helpers.made_records import record, summaries
from PIL import Image

from sortline.experiments.compare import NotMeasured
from sortline.experiments.comparison_page import Setting, as_markdown, recall_rows, write_pages
from sortline.experiments.records import Point
from sortline.experiments.summary import Summary, sentences, summarise

SETTING = Setting("0123456789abcdef.dir", "c0ffee" * 7, "3 seeds, 5 epochs")


def said(found: tuple[Summary, ...]) -> str:
    return "\n".join(sentences(found)).replace("\N{NO-BREAK SPACE}", " ")


def test_a_clear_gain_is_called_clear_and_a_small_one_is_not() -> None:
    clear = said(summaries(scratch=[0.60, 0.61, 0.59], transfer=[0.90, 0.91, 0.89]))
    assert "transfer is the most accurate with 90.0% ± 1.0" in clear
    assert "30.0 points above scratch (60.0% ± 1.0): more than the seeds explain" in clear
    small = said(summaries(one=[0.80, 0.84, 0.76], other=[0.81, 0.85, 0.77]))
    assert "no more than the seeds explain" in small
    single = said(summaries(one=[0.6], other=[0.9]))
    assert "one seed does not say how much of it is chance" in single


def test_a_baseline_that_nothing_beats_is_said_to_be_best() -> None:
    assert "Nothing is more accurate than plain (90.0%)" in said(summaries(plain=[0.9], deep=[0.8]))


def test_curves_are_told_apart_by_start_slope_and_end() -> None:
    slow = [Point(epoch=e, train=0.1, val=v) for e, v in enumerate((0.1, 0.3, 0.6), start=1)]
    found = summarise(
        ("scratch", "transfer"),
        [record("scratch", 0, 0.6, curve=slow), record("transfer", 0, 0.9)],
    )
    assert (
        "transfer starts 35.0 points higher after its first epoch (45.0% of the validation split"
        " against 10.0%); needs 3 epochs to 90 % of its final accuracy against 3; ends 30.0 points"
        " higher (90.0% against 60.0%)" in said(found)
    )


def test_the_cheapest_recipe_near_the_best_is_named() -> None:
    found = summarise(
        ("whole", "head"),
        [record("whole", 0, 0.905, seconds=900.0), record("head", 0, 0.90, trained=10)],
    )
    assert (
        "head comes within a point of whole in 100 s of training that moves 10 of 2,000,000"
        " parameters; whole takes 900 s" in said(found)
    )


def test_falling_recalls_and_learning_by_heart_are_not_left_out() -> None:
    found = summarise(
        ("one", "two"),
        [
            record("one", 0, 0.8, recall={"glass": 0.5, "metal": 0.9}),
            record("two", 0, 0.9, recall={"glass": 0.8, "metal": 0.7}, gap=0.2),
        ],
    )
    assert "recall of glass changes most for the better (0.50 to 0.80)" in said(found)
    assert "that of metal falls (0.90 to 0.70)" in said(found)
    assert "two learns most by heart" in said(found)
    assert "20.0 points more accurate than on the validation split" in said(found)


def test_a_recipe_without_weights_is_a_row_without_numbers() -> None:
    found = summaries(known=[0.8], resnet=[])
    text = as_markdown(found, SETTING)
    (row,) = [line for line in text.splitlines() if line.startswith("| resnet")]
    assert "not measured: the weights were not found" in row
    assert not re.search(r"\d", row)
    assert "runner-up" not in said(found).lower() or "resnet" not in said(found)
    assert said(summaries(resnet=[])) == "Nothing was measured."


def test_a_seed_that_failed_is_told_beside_the_others() -> None:
    found = summarise(("one",), [record("one", 0, 0.8), NotMeasured("one", 1, "disk full")])
    assert "one, seed 1: not measured: disk full" in as_markdown(found, SETTING)


def test_of_hundreds_of_classes_the_table_shows_both_ends() -> None:
    before = {f"bird {number:03}": 0.5 for number in range(400)}
    after = {name: number / 400 for number, name in enumerate(before)}
    runs = [record("one", 0, 0.5, recall=before), record("two", 0, 0.6, recall=after)]
    found = summarise(("one", "two"), runs)
    _, rows = recall_rows(found)
    assert len(rows) == 21
    assert rows[0] == ["bird 399", "0.50", "1.00", "+0.50"]
    assert rows[10] == ["the other 380", "", "", ""]
    assert rows[-1] == ["bird 000", "0.50", "0.00", "-0.50"]


def test_the_page_stands_alone_with_table_curves_and_recalls(tmp_path: Path) -> None:
    found = summaries(scratch=[0.6, 0.62], transfer=[0.9, 0.92], resnet=[])
    target = write_pages(tmp_path / "made", found, SETTING)
    page = (target / "comparison.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count("<img ") == 1
    assert "data 0123456789ab" in page
    for text in (
        "61.0%\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}1.4",
        "0.900 ± 0.014",
        "0.0123 / 2.00 M",
        "9.0 MB",
        "800 / 100 / 100",
    ):
        assert text in page, text
        assert text in (target / "comparison.md").read_text()
    assert page.index("glass") < page.index("metal")  # What changed most comes first.
    with Image.open(target / "curves.png") as picture:
        assert picture.width > 1000


def test_a_name_with_markup_is_shown_and_not_run(tmp_path: Path) -> None:
    target = write_pages(tmp_path / "made", summaries(**{"<script>|": [0.5]}), SETTING)
    assert "<script>" not in (target / "comparison.html").read_text()
    assert r"<script>\|" in (target / "comparison.md").read_text()


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_records_give_equal_bytes(tmp_path: Path, seeds: int) -> None:
    found = summaries(one=[0.5] * seeds, two=[0.6] * seeds)
    pages = [write_pages(tmp_path / name, found, SETTING) for name in ("a", "b")]
    for name in ("comparison.html", "comparison.md", "curves.png"):
        assert (pages[0] / name).read_bytes() == (pages[1] / name).read_bytes()
