"""Data Docs: one page of every check of the dataset, from Great Expectations' results.

It opens anywhere and asks nobody: the pages that Great Expectations builds itself load styles,
scripts and icons from eight hosts, and show nothing without them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sortline.reporting.pages import plain, render_page

_EXAMPLES: Final = 10


def write_data_docs(
    folder: Path,
    checks: Sequence[Mapping[str, Any]],
    skipped: Sequence[str],
    results: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write `index.html` into a new folder.

    Args:
        folder: does not exist.
        checks: rows with check, passed, severity, failing, required.
        skipped: notes on checks that were not asked.
        results: by table, what Great Expectations found, as `to_json_dict` gives it.
    """
    tables = {name: list(map(_expectation, result["results"])) for name, result in results.items()}
    context = {"checks": checks, "skipped": skipped, "tables": tables}
    folder.mkdir()
    page = render_page("data_docs.html.j2", context)
    (folder / "index.html").write_text(page, encoding="utf-8")


def _expectation(result: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of one expectation."""
    asked, outcome = result["expectation_config"], result["result"]
    rows = outcome.get("partial_unexpected_index_list") or []
    return {
        "check": asked["meta"]["check"],
        "passed": result["success"],
        "type": asked["type"],
        "arguments": {key: value for key, value in asked["kwargs"].items() if key != "batch_id"},
        "observed": outcome.get("observed_value"),
        "unexpected": outcome.get("unexpected_count"),
        "elements": outcome.get("element_count"),
        "examples": [_example(row) for row in rows[:_EXAMPLES]],
    }


def _example(row: Mapping[str, Any]) -> str:
    return f"{row['path']}: {', '.join(plain(row[key]) for key in row if key != 'path')}"
