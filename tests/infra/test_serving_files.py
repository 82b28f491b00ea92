"""The files that TensorFlow Serving reads from ConfigMaps: a typing error in one fails here."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from helpers.rendered import OVERLAYS, REPOSITORY, named, render

from sortline.client.model_config import read_config_file
from sortline.orchestration.params import load
from sortline.standin.model_server import message_class, read_metrics_path


def _file(overlay: str, name: str) -> str:
    return str(named(render(overlay), "ConfigMap", "server-config")["data"][name])


def _batching(text: str) -> Any:
    return text_format.Parse(text, message_class("BatchingParameters")())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_batching_makes_sense(overlay: str) -> None:
    found = _batching(_file(overlay, "batching.config"))
    largest = found.max_batch_size.value
    sizes = list(found.allowed_batch_sizes)
    # The server refuses sizes that do not grow, or do not end with the largest.
    assert sizes == sorted(set(sizes))
    assert not sizes or sizes[-1] == largest
    assert found.num_batch_threads.value > 0
    assert found.max_enqueued_batches.value > 0
    assert largest >= 32  # A larger request is refused, and the client sends so many at most.
    spec = named(render(overlay), "Deployment", "serving")["spec"]["template"]["spec"]
    server = next(each for each in spec["containers"] if each["name"] == "server")
    if overlay != "dev":
        assert found.num_batch_threads.value == int(server["resources"]["limits"]["cpu"])


def test_a_gpu_waits_for_company_and_a_cpu_does_not() -> None:
    gpu = _batching(_file("gpu", "batching.config"))
    cpu = _batching(_file("cpu", "batching.config"))
    assert gpu.batch_timeout_micros.value > cpu.batch_timeout_micros.value == 0
    assert gpu.max_batch_size.value > cpu.max_batch_size.value


def test_a_misspelt_setting_would_be_seen() -> None:
    text = _file("gpu", "batching.config").replace("max_batch_size", "max_batchsize")
    with pytest.raises(text_format.ParseError):
        _batching(text)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_is_told_the_path_that_the_server_opens(overlay: str, tmp_path: Path) -> None:
    (tmp_path / "monitoring.config").write_text(_file(overlay, "monitoring.config"), "utf-8")
    monitor = named(render("gpu"), "ServiceMonitor", "serving")["spec"]
    assert read_metrics_path(tmp_path / "monitoring.config") == monitor["endpoints"][0]["path"]


def test_the_dev_overlays_model_config_names_the_model_that_clients_ask_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "models.config").write_text(_file("dev", "models.config"), encoding="utf-8")
    models = read_config_file(tmp_path / "models.config")
    name = load(REPOSITORY).promote.model_name
    assert models.keys() == {name}
    assert models[name].labels == {"stable": 1}
    assert models[name].base_path == "/releases"
