"""Two models, two replicas, and a store of three versions that they serve."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.promotion_parts import Releases, assembled, empty_standins, opened, unload_all
from helpers.release_parts import Candidates
from helpers.served_models import Running


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three versions that can be told apart by their answers."""
    folder = tmp_path_factory.mktemp("models")
    return [assembled(folder / str(n) / "version", (0.1, 0.2, 0.1 * n)) for n in range(3)]


@pytest.fixture(scope="session")
def broken_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights are numbers, and its answers are not: logits overflow."""
    return assembled(tmp_path_factory.mktemp("broken") / "version", (3e38, 3e38, 0.0))


@pytest.fixture(scope="session")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    with empty_standins(tmp_path_factory.mktemp("standins"), 2) as running:
        yield running


@pytest.fixture
def targets(standins: list[Running]) -> list[str]:
    """Two replicas that serve nothing."""
    found = [each.at.grpc for each in standins]
    for target in found:
        unload_all(target)
    return found


@pytest.fixture
def releases(
    tmp_path: Path, targets: list[str], models: list[Path], candidates: Candidates
) -> Iterator[Releases]:
    """Versions 1 and 2 are published, and nothing is served."""
    with opened(tmp_path / "store") as store:
        found = Releases(store, targets, candidates)
        for model in models[:2]:
            found.publish(model)
        yield found
