"""A part of the project is one file, found by the name that it registers."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sortline.core.errors import ParamsError

Shapes = Mapping[str, Callable[[], int]]
_REGISTRY = """
from sortline.core.registry import Registry

SHAPES = Registry(__name__)

def shape(name):
    def mark(corners):
        SHAPES.add(name, corners, corners.__module__)
        return corners
    return mark
"""


def entry(name: str, corners: int) -> str:
    return f"""
from geometry.shapes import shape

@shape({name!r})
def corners():
    return {corners}
"""


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shapes]:
    """A registry whose package has two entries, in a project without any of its own."""
    package = tmp_path / "geometry" / "shapes"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(_REGISTRY)
    (package / "triangle.py").write_text(entry("triangle", 3))
    (package / "square.py").write_text(entry("square", 4))
    (tmp_path / "plugins" / "shapes").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("geometry.shapes").SHAPES
    for name in [name for name in sys.modules if name.startswith(("geometry", "plugins."))]:
        del sys.modules[name]


def plugin(name: str, text: str) -> None:
    Path("plugins", "shapes", f"{name}.py").write_text(text)


def test_names_are_known_before_anything_is_imported(shapes: Shapes) -> None:
    assert list(shapes) == ["square", "triangle"]
    assert "geometry.shapes.square" not in sys.modules


def test_only_the_file_that_registers_the_name_is_imported(shapes: Shapes) -> None:
    assert shapes["square"]() == 4
    assert "geometry.shapes.triangle" not in sys.modules


def test_a_file_of_the_project_adds_an_entry(shapes: Shapes) -> None:
    plugin("own", entry("pentagon", 5))
    assert "pentagon" in shapes
    assert shapes["pentagon"]() == 5


def test_an_installed_package_adds_an_entry(shapes: Shapes, tmp_path: Path) -> None:
    (tmp_path / "hexagons.py").write_text(entry("hexagon", 6))
    about = tmp_path / "hexagons-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hexagons\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[sortline.shapes]\nhexagon = hexagons\n")
    importlib.invalidate_caches()
    assert shapes["hexagon"]() == 6


def test_an_unknown_name_is_answered_with_the_nearest(shapes: Shapes) -> None:
    with pytest.raises(ParamsError, match=r"'sqare' is none of the shapes. Did you mean 'square'"):
        shapes["sqare"]


def test_two_files_may_not_register_one_name(shapes: Shapes) -> None:
    plugin("own", entry("square", 5))
    with pytest.raises(ParamsError, match=r"square.py and .*own.py both register 'square'"):
        list(shapes)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("import nothing_of_this_name\n" + entry("round", 0), "nothing_of_this_name"),
        (entry("round", 0).replace("def corners():", "def corners(:"), "is not Python"),
        (entry("round", 0) + "\n1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(shapes: Shapes, text: str, seen: str) -> None:
    plugin("own", text)
    with pytest.raises(ParamsError, match=rf"own\.py.*{seen}"):
        shapes["round"]


def test_another_project_has_its_own_entry_of_the_same_file_name(
    shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin("own", entry("star", 10))
    assert shapes["star"]() == 10
    (tmp_path / "other" / "plugins" / "shapes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "other")
    assert "star" not in shapes
    plugin("own", entry("star", 12))
    assert shapes["star"]() == 12


def test_a_file_whose_name_begins_with_an_underscore_is_no_entry(shapes: Shapes) -> None:
    plugin("_draft", entry("star", 10))
    assert "star" not in shapes
