"""Makes the site that Great Expectations builds one that opens anywhere, and asks nobody.

Its pages load styles, scripts, icons and a logo from eight hosts: without a network the table of
the first page stays empty, and with one those hosts learn who reads. Here the scripts go, the
styles come from a file of ours, and the first page is written anew.
"""

import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sortline.core.files import remove

_DROPPED = [
    re.compile(r"<script\b.*?</script>", re.DOTALL),
    re.compile(r"<link\b[^>]*>", re.DOTALL),
    re.compile(r"<img\b[^>]*>", re.DOTALL),
    re.compile(r"<style\b.*?</style>", re.DOTALL),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL),
    re.compile(r"\sonclick=\"[^\"]*\""),
]
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Data checks</title>
<style>
{{ style | safe }}</style>
</head>
<body>
<h1>Data checks</h1>
<table>
<thead><tr><th>Result</th><th>Check</th><th>If it fails</th><th class="num">Failing</th>
<th>Required</th></tr></thead>
<tbody>
{% for check in checks %}
{% set result = "passed" if check.passed else "failed" %}
<tr><td class="{{ result }}">{{ result }}</td>
<td>{{ check.check }}</td><td>{{ check.severity }}</td><td class="num">{{ check.failing }}</td>
<td>{{ check.required }}</td></tr>
{% endfor %}
</tbody>
</table>
{% for note in skipped %}
<p>Not asked: {{ note }}</p>
{% endfor %}
<p>Every failing file: <code>failures.csv</code>, beside this folder. By table, as Great
Expectations found it:</p>
<ul>
{% for name, page in pages %}
<li><a href="{{ page }}">{{ name }}</a></li>
{% endfor %}
</ul>
</body>
</html>
"""


def finish_site(site: Path, checks: Sequence[Mapping[str, Any]], skipped: Sequence[str]) -> None:
    """Free the pages of `site` from every other host, and write its first page.

    Args:
        site: the folder that Great Expectations wrote.
        checks: rows with check, passed, severity, failing, required.
        skipped: notes on checks that were not asked.
    """
    remove(site / "static")
    style = resources.files("sortline.reporting").joinpath("templates/data_docs.css")
    css = style.read_text(encoding="utf-8")
    for page in sorted(site.rglob("*.html")):
        page.write_text(_without_hosts(page.read_text(encoding="utf-8"), css), encoding="utf-8")
    results = sorted((site / "validations").rglob("*.html"))
    pages = [(page.stem.removeprefix("manifest-"), os.path.relpath(page, site)) for page in results]
    index = _render(style=css, checks=checks, skipped=skipped, pages=pages)
    (site / "index.html").write_text(index, encoding="utf-8")


def _without_hosts(page: str, css: str) -> str:
    for pattern in _DROPPED:
        page = pattern.sub("", page)
    return page.replace("</head>", f"<style>\n{css}</style>\n</head>", 1)


def _render(**values: Any) -> str:
    from jinja2 import Environment

    return Environment(autoescape=True, trim_blocks=True).from_string(_INDEX).render(**values)
