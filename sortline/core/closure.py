"""`python -m sortline.core.closure`: the code of every step, into `code/STEP.txt`.

A line for each file that can change what the step does, with its SHA-256: the modules that it
imports, directly or not; the package's data files that those name (a template, a descriptor,
weights); of a registry, whose folder is scanned and not imported, the entries that the settings
name. A stage of dvc.yaml depends on its file, so that a change re-runs the steps that it can reach,
and no other.

Reads pipeline_steps/, sortline/, plugins/ and params.yaml of the current folder. Writes code/.
"""

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grimp

from sortline.core.entry import exit_code_of
from sortline.core.files import atomic_dir, sha256_file
from sortline.core.params import read_yaml
from sortline.core.paths import Paths
from sortline.core.registry import decorator_of, registered_names, scanned_files

FOLDER: Final = "code"
STEPS: Final = "pipeline_steps"
LIBRARY: Final = "sortline"
_DATA_SUFFIXES: Final = (".css", ".j2", ".json", ".binpb", ".safetensors", ".js", ".svg")


@dataclass(frozen=True)
class Scanned:
    """A registry: a package whose modules are scanned.

    Attributes:
        package: its dotted name.
        settings: which value of params.yaml names entries, "section.key", or whose keys do so,
            "section.*"; "*": every entry counts.
    """

    package: str
    settings: str

    def counted(self, root: Path, params: Mapping[str, Any]) -> list[Path]:
        """Its files, in the package and in the project's plugins, but for those not in use."""
        folder = root.joinpath(*self.package.split("."))
        return [
            path
            for path in scanned_files(self.package, folder, root)
            if self._uses(registered_names(path, decorator_of(self.package)), params)
        ]

    def _uses(self, names: frozenset[str], params: Mapping[str, Any]) -> bool:
        if self.settings == "*":
            return True
        section, key = self.settings.split(".")
        if key != "*":
            return str((params.get(section) or {}).get(key)) in names
        mentioned = params.get(section) or {}
        return any(mentioned.get(name) not in (None, False) for name in names)


def _assigned(tree: ast.Module, name: str) -> str | None:
    for node in tree.body:
        match node:
            case ast.AnnAssign(
                target=ast.Name(id=str(target)), value=ast.Constant(value=str(text))
            ):
                if target == name:
                    return text
    return None


def registries(root: Path) -> list[Scanned]:
    """Packages of the library whose `__init__` says `SCANNED_FOR: Final = "section.key"`."""
    scanned = []
    for path in sorted((root / LIBRARY).rglob("__init__.py")):
        settings = _assigned(ast.parse(path.read_text(encoding="utf-8")), "SCANNED_FOR")
        if settings is not None:
            scanned.append(Scanned(".".join(path.parent.relative_to(root).parts), settings))
    return scanned


def _strings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


class Code:
    """The import graph of a checkout, and what hangs on it.

    Args:
        root: the checkout; it has to be the current folder, where Python finds its packages.
        params: the settings that name entries of registries.
    """

    def __init__(self, root: Path, params: Mapping[str, Any]) -> None:
        self._root = root
        self._graph = grimp.build_graph(
            STEPS, LIBRARY, cache_dir=None, exclude_type_checking_imports=True
        )
        self._chosen = {
            registry.package: registry.counted(root, params) for registry in registries(root)
        }
        self._data = [
            path
            for path in sorted((root / LIBRARY).rglob("*"))
            if path.suffix in _DATA_SUFFIXES and path.is_file()
        ]

    def steps(self) -> list[str]:
        """Names of the modules that are stages."""
        children = self._graph.find_children(STEPS)
        return sorted(
            name.rpartition(".")[2]
            for name in children
            if (self._root / STEPS / f"{name.rpartition('.')[2]}.py").is_file()
        )

    def _file(self, module: str) -> Path:
        path = self._root.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def _module(self, path: Path) -> str:
        return ".".join(path.relative_to(self._root).with_suffix("").parts)

    def _imported_by(self, module: str) -> set[str]:
        if module in self._graph.modules:
            return self._graph.find_modules_directly_imported_by(module)
        names = set()  # A plugin: the graph knows the library, and not what stands on it.
        for node in ast.walk(ast.parse(self._file(module).read_text(encoding="utf-8"))):
            match node:
                case ast.ImportFrom(module=str(package)):
                    names |= {package, *(f"{package}.{alias.name}" for alias in node.names)}
                case ast.Import():
                    names |= {alias.name for alias in node.names}
        return names & self._graph.modules

    def _modules(self, step: str) -> set[str]:
        reached, waiting = set[str](), {f"{STEPS}.{step}"}
        while waiting:
            module = waiting.pop()
            reached.add(module)
            package = module.rpartition(".")[0]
            waiting |= self._imported_by(module)
            waiting |= {package} & self._graph.modules
            waiting |= {self._module(path) for path in self._chosen.get(module, [])}
            waiting -= reached
        return reached

    def _named_by(self, files: set[Path]) -> set[Path]:
        """Data files that the modules, or data files among them, name."""
        named, waiting = set[Path](), {path for path in files if path.suffix == ".py"}
        while waiting:
            path = waiting.pop()
            text = path.read_bytes().decode(errors="ignore")
            names = "\n".join(_strings(ast.parse(text))) if path.suffix == ".py" else text
            new = {
                data
                for data in self._data
                if data.name in names and data.is_relative_to(path.parent)
            }
            waiting |= new - named
            named |= new
        return named

    def files(self, step: str) -> list[Path]:
        """Every file that can change what a step does, sorted."""
        modules = {self._file(module) for module in self._modules(step)}
        # What the environment says changes no result, and its list grows for other reasons.
        modules.discard(self._root / LIBRARY / "core" / "settings.py")
        return sorted(modules | self._named_by(modules))


def listing(root: Path, params: Mapping[str, Any]) -> dict[str, str]:
    """The text of `code/STEP.txt` by step: a SHA-256 and a path a line."""
    code, hashes = Code(root, params), dict[Path, str]()

    def line(path: Path) -> str:
        if path not in hashes:
            hashes[path] = sha256_file(path)
        return f"{hashes[path]}  {path.relative_to(root).as_posix()}\n"

    return {step: "".join(map(line, code.files(step))) for step in code.steps()}


def write(root: Path) -> None:
    """Write `code/` of the checkout in the current folder."""
    texts = listing(root, read_yaml(Paths(root).params))
    with atomic_dir(root / FOLDER) as folder:
        for step, text in texts.items():
            (folder / f"{step}.txt").write_text(text, encoding="utf-8")


def show(root: Path) -> None:
    """Print, as JSON, what `write` would write under the settings that stdin gives as JSON."""
    print(json.dumps(listing(root, json.load(sys.stdin))))


if __name__ == "__main__":
    step = show if sys.argv[1:] == ["--print"] else write
    sys.exit(exit_code_of(lambda: step(Path.cwd())))
