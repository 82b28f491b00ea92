"""What the tree looks like in numbers: lines, statements, callers, functions, cycles.

    python bench/shape.py [--ref COMMIT]

Lines stand beside statements (of Python's `ast`), so that neither long lines nor lost docstrings
count as a gain. With --ref, an earlier commit is measured, too.
"""

import argparse
import ast
import io
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
# Folders of the code that is delivered; the tests, benches and DAGs are not among them.
_CODE = ("sortline", "pipeline_steps", "infra/tools")
_LEAVES = ("sortline/synthetic",)
_LIBRARY = "sortline"


@dataclass(frozen=True)
class Source:
    """A Python file: where it is, and what it holds."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Of the file, empty ones included."""
        return self.text.count("\n")

    @property
    def statements(self) -> int:
        """Nodes of the syntax tree that are statements, docstrings included."""
        return sum(isinstance(node, ast.stmt) for node in ast.walk(self.tree))

    @property
    def folder(self) -> str:
        """The part of the tree that it belongs to."""
        parts = self.path.parts
        return "/".join(parts[:2]) if parts[0] != "pipeline_steps" and len(parts) > 2 else parts[0]

    @property
    def module(self) -> str:
        """Its dotted name."""
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")


def sources(root: Path) -> list[Source]:
    """Every Python file of the code that is delivered."""
    files = [path for part in _CODE for path in sorted((root / part).rglob("*.py"))]
    texts = [(path, path.read_text(encoding="utf-8")) for path in files]
    return [Source(path.relative_to(root), text, ast.parse(text)) for path, text in texts]


def _imported(source: Source, known: set[str]) -> set[str]:
    """Modules of ours that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= below & known or {node.module}
    return names & known - {source.module}


def single_callers(files: Iterable[Source]) -> tuple[list[str], int]:
    """Modules that exactly one other imports, and the number of all that have something in them."""
    files = [file for file in files if file.path.name not in ("__init__.py", "__main__.py")]
    known = {file.module for file in files}
    callers = Counter(name for file in files for name in _imported(file, known))
    return sorted(name for name in known if callers[name] == 1), len(known)


def _functions(files: Iterable[Source]) -> list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    return [
        (node, file.module)
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _used_once(files: Iterable[Source]) -> tuple[int, int]:
    """Private functions that their own module names once, and all private functions."""
    once = total = 0
    for file in files:
        names = Counter(
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(file.tree)
            if isinstance(node, ast.Name | ast.Attribute)
        )
        private = [
            node.name
            for node, _ in _functions([file])
            if node.name.startswith("_") and not node.name.startswith("__")
        ]
        total += len(private)
        once += sum(names[name] == 1 for name in private)
    return once, total


def _percentile(lengths: list[int], share: float) -> int:
    return sorted(lengths)[min(int(len(lengths) * share), len(lengths) - 1)]


def _facts(files: list[Source]) -> dict[str, str]:
    functions = [node for node, _ in _functions(files)]
    lengths = [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]
    short = sum(len(node.body) <= 2 for node in functions)
    single, modules = single_callers(files)
    once, private = _used_once(files)
    return {
        "files": f"{len(files):,}",
        "lines": f"{sum(file.lines for file in files):,}",
        "statements": f"{sum(file.statements for file in files):,}",
        "modules with one caller": f"{len(single)} of {modules} ({len(single) / modules:.0%})",
        "functions": f"{len(functions):,}",
        "lines of a function: median, 90th percentile, most": (
            f"{_percentile(lengths, 0.5)}, {_percentile(lengths, 0.9)}, {max(lengths)}"
        ),
        "functions of at most two statements": f"{short:,} ({short / len(functions):.0%})",
        "private functions used once": f"{once:,} of {private:,} ({once / private:.0%})",
    }


def _print_facts(console: Console, now: list[Source], before: list[Source] | None) -> None:
    table = Table("", "now", *(["before"] if before else []), box=None, pad_edge=False)
    earlier = _facts(before) if before else {}
    for name, value in _facts(now).items():
        table.add_row(name, value, *([earlier[name]] if earlier else []))
    console.print(table)


def _print_folders(console: Console, files: list[Source]) -> None:
    """Lines and statements a folder; a share is of the library without the drawings."""
    lines, statements, count = Counter[str](), Counter[str](), Counter[str]()
    for file in files:
        lines[file.folder] += file.lines
        statements[file.folder] += file.statements
        count[file.folder] += 1
    library = sum(
        number
        for folder, number in lines.items()
        if folder.startswith(_LIBRARY) and folder not in _LEAVES
    )
    table = Table("folder", "files", "lines", "statements", "share", box=None, pad_edge=False)
    for folder, number in lines.most_common():
        counted = folder.startswith(f"{_LIBRARY}/") and folder not in _LEAVES
        share = f"{number / library:.1%}" if counted else ""
        table.add_row(folder, str(count[folder]), f"{number:,}", f"{statements[folder]:,}", share)
    console.print(table)


def _at(commit: str) -> list[Source]:
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        return sources(Path(folder))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ref", help="A commit to measure beside the files as they are.")
    parser.add_argument("--one-caller", action="store_true", help="List modules with one caller.")
    arguments = parser.parse_args()
    console = Console(width=100)
    files = sources(ROOT)
    _print_facts(console, files, _at(arguments.ref) if arguments.ref else None)
    console.print()
    _print_folders(console, files)
    if arguments.one_caller:
        console.print("\n".join(["", *single_callers(files)[0]]))


if __name__ == "__main__":
    main()
