"""Pages for people: templates, and values of the steps' JSON files as words, numbers and tables.

Whatever is there is shown: the steps may add keys that a page was not made for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2

_LISTED = 10  # Values of a list that are written out.


def percent(value: Any, digits: int = 1) -> str:
    """A share for a person; a dash for what is no number."""
    return f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%" if _is_number(value) else "–"


def points(value: Any) -> str:
    """A difference of two shares, in percentage points with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−") if _is_number(value) else "–"


def number(value: Any, digits: int = 3) -> str:
    """A number with `digits` decimals; a dash for what is none."""
    return f"{value:,.{digits}f}" if _is_number(value) else "–"


def megabytes(value: Any) -> str:
    """Bytes in MB (10^6 bytes); a dash for what is no number."""
    return f"{value / 1e6:,.2f}\N{NO-BREAK SPACE}MB" if _is_number(value) else "–"


def plain(value: Any) -> str:
    """Any value of a JSON file in a table's cell."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, Mapping):
        return ", ".join(f"{words(key)}: {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED else ""
        return (", ".join(plain(item) for item in value[:_LISTED]) + more) or "none"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def words(key: str) -> str:
    """A key of a JSON file as words."""
    return str(key).replace("_", " ")


def rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Key and value of whatever a file holds, for a table; records have tables of their own."""
    return [(words(key), plain(value)) for key, value in facts.items() if not _is_records(value)]


def markdown_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of text; a `|` or a line break inside a cell does not end it."""
    cells = (
        [" ".join(cell.split()).replace("|", r"\|") for cell in line]
        for line in [columns, ["---"] * len(columns), *lines]
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """A page of this package's templates, as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sortline.reporting", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,  # Reports of an older version lack some keys.
    )
    for filter_ in (percent, points, number, megabytes, plain, words, rows):
        environment.filters[filter_.__name__] = filter_
    return environment.get_template(template).render(context)


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
