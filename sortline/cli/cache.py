"""`sortline cache`: what is kept, what it saved."""

from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sortline.core.settings import read_settings
from sortline.training.feature_cache import summarize, uses


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _network(identity: dict[str, Any]) -> str:
    if not identity:
        return "unknown: space.json is damaged"
    size, weights = identity["image_size_px"], str(identity["weights"])
    return f"{identity['architecture']} {identity['alpha']} at {size} px, weights {weights[:8]}"


def show(cache: Path) -> None:
    """Print a line for each network and cut, and what the cache saved in its life."""
    console = Console()
    spaces = summarize(cache)
    if not spaces:
        console.print(f"{cache} is empty. It fills with the first `sortline run`.")
        return
    table = Table(box=SIMPLE_HEAD)
    for name in ("network", "cut", "storage", "engine"):
        table.add_column(name)
    for name in ("shards", "MB", "last used"):
        table.add_column(name, justify="right")
    for space in spaces:
        identity = dict(space.identity)
        table.add_row(
            _network(identity),
            *(identity.get(name, "") for name in ("cut", "storage", "engine")),
            f"{space.shards:,}",
            f"{space.size_bytes / 1e6:,.1f}",
            f"{datetime.fromtimestamp(space.used):%Y-%m-%d %H:%M}",
        )
    console.print(table)
    totals: dict[str, float] = defaultdict(float)
    for use in uses(cache):
        for key in ("found", "computed", "seconds", "saved_s"):
            totals[key] += use[key]
    size = sum(space.size_bytes for space in spaces)
    console.print(
        f"{size / 1e9:.2f} GB of {read_settings().cache_gb:g} (SORTLINE_CACHE_GB)."
        f" {totals['computed']:,.0f} rows were computed in {_duration(totals['seconds'])};"
        f" {totals['found']:,.0f} were found, which saved {_duration(totals['saved_s'])}."
    )
