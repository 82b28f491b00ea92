"""A small repository, and settings that work on a clone of it."""

from pathlib import Path

import pytest
from small_repository import make_repository, settings_for
from workspaces import git

from pipeline_steps.orchestration.settings import Settings


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("template") / "repository")


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    git(tmp_path, "clone", "--quiet", str(template), "repository")
    return settings_for(tmp_path / "repository", tmp_path)
