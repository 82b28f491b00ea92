"""What several files here share: models, stand-ins, and a server that answers by a script.

Nobody changes what `running` serves.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.colour_models import export
from helpers.scripted_server import Script, serving
from helpers.served_models import (
    Client,
    Running,
    client_of,
    gated,
    half_plus,
    half_plus_two_v1,
    standin,
    versions,
)


@pytest.fixture(scope="session")
def half_plus_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_plus(tmp_path_factory.mktemp("model") / "half_plus_two")


@pytest.fixture(scope="session")
def half_plus_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_plus(tmp_path_factory.mktemp("model") / "half_plus_three", plus=3.0)


@pytest.fixture(scope="session")
def half_plus_two_gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gated(tmp_path_factory.mktemp("model") / "gated")


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_plus_two_v1(tmp_path_factory.mktemp("model") / "examples")


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, half_plus_two: Path, examples: Path
) -> Iterator[Running]:
    """`default`: a model of TF 2's kind, version 123, label stable; `examples`: one of TF 1's."""
    root = tmp_path_factory.mktemp("served")
    versions(root / "default", half_plus_two, 123)
    versions(root / "examples", examples, 1)
    config = root / "models.config"
    config.write_text(
        "model_config_list {"
        f' config {{ name: "default" base_path: "{root}/default" model_platform: "tensorflow"'
        ' version_labels { key: "stable" value: 123 } }'
        f' config {{ name: "examples" base_path: "{root}/examples" }} }}'
    )
    metrics = root / "monitoring.config"
    metrics.write_text('prometheus_config { enable: true path: "/metrics" }')
    flags = (
        f"--model_config_file={config}",
        f"--monitoring_config_file={metrics}",
        "--allow_version_labels_for_unavailable_models",
    )
    with standin(*flags) as server:
        yield server


@pytest.fixture(scope="session")
def client(running: Running) -> Iterator[Client]:
    with client_of(running) as caller:
        yield caller


@pytest.fixture
def base_path(tmp_path: Path, half_plus_two: Path) -> Path:
    """Version 1 of `default`, for `served`."""
    return versions(tmp_path / "default", half_plus_two, 1)


@pytest.fixture
def served(base_path: Path) -> Iterator[tuple[Running, Client]]:
    """A server of its own for one test, which may change what it serves."""
    with standin(f"--model_base_path={base_path}") as running, client_of(running) as client:
        yield running, client


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a contract."""
    folder = tmp_path_factory.mktemp("model") / "ours"
    export(folder)
    return folder


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def target(script: Script) -> Iterator[str]:
    """A server that answers by `script`."""
    with serving(script) as where:
        yield where
