"""Parts that a project can add: each is one file that registers what it defines under a name.

A registry is a package whose modules are scanned and not imported by name. Its `__init__` says so,
says which settings name its entries, and holds the registry and the decorator that adds to it:

    # sortline/evaluation/gates/__init__.py
    SCANNED_FOR: Final = "gate.*"                    # or "backbone.architecture"; "*": every entry
    GATES: Final = Registry[Gate](__name__)

    def gate(name: str, setting: Any) -> Callable[[Judge], Judge]:
        def mark(judge: Judge) -> Judge:
            GATES.add(name, Gate(name, setting, judge), judge.__module__)
            return judge
        return mark

    # sortline/evaluation/gates/size.py, or plugins/gates/size.py in a project
    @gate("max_size_mb", Annotated[float, Field(gt=0.0)])
    def max_size_mb(cap: float, candidate: Candidate) -> Verdict: ...

The decorator has the package's name without its last letter (`gates`, `@gate`), and its first
argument is a plain string: so the names are read from the source, and `names()` imports nothing.
`GATES["max_size_mb"]` imports the one file that registers this name, and no other. A file whose
name begins with `_` is not scanned. An installed package names its module in the entry points
`sortline.gates`, each under the name that the module registers.

core/closure.py counts the entries that the settings name among the code of the steps that use the
registry, and no others.
"""

import ast
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Generic, TypeVar

from sortline.core.errors import ParamsError

PLUGINS = "plugins"
Entry = TypeVar("Entry")


def scanned_files(package: str, folder: Path, root: Path) -> list[Path]:
    """Files that may register entries: those of the package, then the project's plugins.

    Args:
        package: the dotted name of the registry's package.
        folder: where the package lies.
        root: the project's folder.
    """
    folders = (folder, root / PLUGINS / package.rpartition(".")[2])
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return [path for path in files if not path.name.startswith("_")]


def registered_names(path: Path, decorator: str) -> frozenset[str]:
    """Names that a file registers, read from its source: `@decorator("name", ...)`.

    Raises:
        ParamsError: the file is not Python.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not Python: {error}") from error
    return frozenset(_decorated(tree, decorator))


def _decorated(tree: ast.Module, decorator: str) -> Iterator[str]:
    for node in tree.body:
        for mark in getattr(node, "decorator_list", []):
            match mark:
                case ast.Call(
                    func=ast.Name(id=called) | ast.Attribute(attr=called),
                    args=[ast.Constant(value=str(name)), *_],
                ) if called == decorator:
                    yield name


def decorator_of(package: str) -> str:
    """What adds to a registry: `gate` for `sortline.evaluation.gates`."""
    return package.rpartition(".")[2].removesuffix("s")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name; the file that registers one is imported when it is asked for.

    Args:
        package: the dotted name of the package that is scanned, its `__name__`.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._kind = package.rpartition(".")[2]
        self._added: dict[tuple[str, str], Entry] = {}
        self._plugins: dict[str, Path] = {}

    def add(self, name: str, entry: Entry, module: str) -> None:
        """Register an entry; for the decorator, which passes on the `__module__` that it marks."""
        self._added[module, name] = entry

    def _sources(self) -> dict[str, Path | str]:
        """The file, or the module of an installed package, that registers each name."""
        sources: dict[str, Path | str] = {}
        own = Path(*importlib.import_module(self._package).__path__)
        for path in scanned_files(self._package, own, Path.cwd()):
            for name in registered_names(path, decorator_of(self._package)):
                self._refuse_a_second(name, path, sources)
                sources[name] = path
        for point in entry_points(group=f"sortline.{self._kind}"):
            self._refuse_a_second(point.name, point.module, sources)
            sources[point.name] = point.module
        return sources

    def _refuse_a_second(
        self, name: str, source: Path | str, sources: Mapping[str, Path | str]
    ) -> None:
        if name in sources:
            raise ParamsError(
                f"{sources[name]} and {source} both register {name!r} in {self._kind}: give one of"
                " them another name."
            )

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._sources()))

    def __len__(self) -> int:
        return len(self._sources())

    def __contains__(self, name: object) -> bool:
        return name in self._sources()

    def __getitem__(self, name: str) -> Entry:
        """The entry of this name.

        Raises:
            ParamsError: nothing registers it, or the file that does so cannot be imported.
        """
        sources = self._sources()
        if name not in sources:
            close = difflib.get_close_matches(name, sources, n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise ParamsError(
                f"{name!r} is none of the {self._kind}. {hint}There are {', '.join(self)}; another"
                f" one is a file in {PLUGINS}/{self._kind}/."
            )
        source = sources[name]
        try:
            module = self._module_of(source)
            return self._added[module, name]
        except Exception as error:  # Anything that a file of the project may do wrong.
            raise ParamsError(
                f"{source} should register {name!r} in {self._kind}, and cannot be used:"
                f" {type(error).__name__}: {error}"
            ) from error

    def _module_of(self, source: Path | str) -> str:
        """Import a source; the name of its module."""
        if isinstance(source, str):
            return importlib.import_module(source).__name__
        if source.parent.name == self._kind and source.parent.parent.name == PLUGINS:
            return self._plugin(source)
        return importlib.import_module(f"{self._package}.{source.stem}").__name__

    def _plugin(self, path: Path) -> str:
        name = f"{PLUGINS}.{self._kind}.{path.stem}"
        if self._plugins.get(name) != path:
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is None or spec.loader is None:
                raise ImportError(f"{path} is no module")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # Where dataclasses look for the module of a class.
            spec.loader.exec_module(module)
            self._plugins[name] = path
        return name
