"""A change of code re-runs the steps that it can reach, and no other; none is forgotten."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sortline.core.params import read_yaml

ROOT = Path(__file__).parents[2]
_PARTS = ("pipeline_steps", "sortline", "plugins")
_RECORD = "mobilenet_v2_0.35_96.json"  # How those weights came about: for people.


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for part in _PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    return folder


def lists(folder: Path) -> dict[str, str]:
    subprocess.run([sys.executable, "-m", "sortline.core.closure"], cwd=folder, check=True)
    return {path.stem: path.read_text() for path in (folder / "code").iterdir()}


def changed_by(folder: Path, name: str, text: str = "\n# A remark.\n") -> set[str]:
    """The steps whose list is another one after a change of a file, which is undone again."""
    path, before = folder / name, lists(folder)
    kept = path.read_bytes()
    path.write_bytes(kept + text.encode())
    try:
        after = lists(folder)
    finally:
        path.write_bytes(kept)
    return {step for step in before if before[step] != after[step]}


def imported_by(step: str) -> set[str]:
    """Files of the checkout that Python reads for a step, as Python itself tells."""
    program = f"""
import sys
import pipeline_steps.{step}
for module in list(sys.modules.values()):
    if module.__name__.split(".")[0] in {_PARTS!r} and getattr(module, "__file__", None):
        print(module.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {Path(line).relative_to(ROOT).as_posix() for line in done.stdout.splitlines()}


@pytest.mark.parametrize("step", ["augment", "gate", "fine_tune_phase2"])
def test_whatever_python_imports_for_a_step_is_on_its_list(checkout: Path, step: str) -> None:
    listed = {line.split("  ")[1] for line in lists(checkout)[step].splitlines()}
    # What the environment says is outside: a new variable, or a better text, re-runs nothing.
    assert imported_by(step) - {"sortline/core/settings.py"} <= listed


def test_a_change_reaches_exactly_the_steps_that_import_it(checkout: Path) -> None:
    assert changed_by(checkout, "sortline/standin/server.py") == set()
    assert changed_by(checkout, "sortline/synthetic/scene.py") == set()
    assert changed_by(checkout, "sortline/cli/main.py") == set()
    assert changed_by(checkout, "sortline/core/settings.py") == set()
    assert changed_by(checkout, "pipeline_steps/gate.py") == {"gate"}
    assert changed_by(checkout, "sortline/training/loop.py") == {"train_phase1", "fine_tune_phase2"}
    everywhere = set(lists(checkout))
    assert changed_by(checkout, "sortline/core/errors.py") == everywhere


def test_a_backbone_reaches_what_trains_it_and_one_that_is_not_used_nothing(
    checkout: Path,
) -> None:
    folder = "sortline/training/backbones"
    assert changed_by(checkout, f"{folder}/resnet50.py") == set()
    network = {"warm_start", "train_phase1", "fine_tune_phase2", "export"}
    assert changed_by(checkout, f"{folder}/mobilenet_v2.py") == network


def test_a_plugin_counts_for_what_uses_it_once_the_settings_name_it(checkout: Path) -> None:
    before = lists(checkout)
    shutil.copytree(ROOT / "examples" / "plugins", checkout / "plugins", dirs_exist_ok=True)
    path = checkout / "params.yaml"
    text = path.read_text()
    try:
        assert lists(checkout) == before
        path.write_text(text.replace("architecture: mobilenet_v2", "architecture: small_cnn"))
        after = lists(checkout)
        uses = {step for step in after if "plugins/backbones/small_cnn.py" in after[step]}
        assert uses == {"warm_start", "train_phase1", "fine_tune_phase2", "export"}
        assert not any("mobilenet_v2.py" in text for text in after.values())
        path.write_text(text.replace("augment:", "augment:\n  erase: 0.3\n  #", 1))
        after = lists(checkout)
        uses = {step for step in after if "plugins/augmentations/erase.py" in after[step]}
        assert uses == {"augment", "train_phase1", "fine_tune_phase2"}
        path.write_text(text.replace("gate:", "gate:\n  max_recall_gap: 0.2\n  #", 1))
        after = lists(checkout)
        assert {step for step in after if after[step] != before[step]} == {"gate"}
    finally:
        path.write_text(text)
        for folder in ("augmentations", "backbones", "gates"):
            shutil.rmtree(checkout / "plugins" / folder, ignore_errors=True)


def test_a_file_beside_the_code_counts_where_it_is_read(checkout: Path) -> None:
    for name in ("data_docs.html.j2", "page.css.j2"):
        assert changed_by(checkout, f"sortline/reporting/templates/{name}") == {"validate"}
    assert changed_by(checkout, "sortline/reporting/templates/report.html.j2") == set()


def test_a_figure_reaches_the_step_that_draws_it_alone(checkout: Path) -> None:
    assert changed_by(checkout, "sortline/reporting/figures/mistakes.py") == {"evaluate"}


def test_every_file_beside_the_code_is_named_by_a_module() -> None:
    """One that no module names would be read by a step without being on its list."""
    modules = [path.read_text() for path in sorted((ROOT / "sortline").rglob("*.py"))]
    texts = [
        node.value
        for text in modules
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    texts += [path.read_text() for path in (ROOT / "sortline").rglob("*.j2")]
    beside = [
        path
        for path in (ROOT / "sortline").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != _RECORD
    ]
    assert beside
    assert [path for path in beside if not any(path.name in text for text in texts)] == []


def test_the_stage_that_lists_depends_on_all_that_it_reads() -> None:
    stage = read_yaml(ROOT / "dvc.yaml")["stages"]["code"]
    assert set(stage["deps"]) == set(_PARTS)
