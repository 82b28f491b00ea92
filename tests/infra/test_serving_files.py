"""The files that TensorFlow Serving reads from ConfigMaps: a typing error in one fails here."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from rendered import OVERLAYS, REPOSITORY, named, render

from pipeline_steps.params import load_params
from pipeline_steps.serving.standin.model_config import read_config_file
from pipeline_steps.serving.standin.monitoring import metrics_path

_WRAPPED = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "num_batch_threads": (3, "Int64Value"),
    "max_enqueued_batches": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}


def _parameters() -> Any:
    """tensorflow.serving.BatchingParameters, as its documentation names the fields.

    No package brings its descriptor; text needs names and kinds alone, not the true numbers.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="t", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    described = file.message_type.add(name="BatchingParameters")
    for name, (number, kind) in _WRAPPED.items():
        described.field.add(
            name=name, number=number, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_OPTIONAL,
            type_name=f".google.protobuf.{kind}",
        )  # fmt: skip
    described.field.add(
        name="allowed_batch_sizes", number=6, type=kinds.TYPE_INT64, label=kinds.LABEL_REPEATED
    )
    described.field.add(
        name="pad_variable_length_inputs", number=7, type=kinds.TYPE_BOOL,
        label=kinds.LABEL_OPTIONAL,
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.BatchingParameters"))()


def _file(overlay: str, name: str) -> str:
    return str(named(render(overlay), "ConfigMap", "server-config")["data"][name])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_batching_makes_sense(overlay: str) -> None:
    found = text_format.Parse(_file(overlay, "batching.config"), _parameters())
    largest = found.max_batch_size.value
    sizes = list(found.allowed_batch_sizes)
    # The server refuses sizes that do not grow, or do not end with the largest.
    assert sizes == sorted(set(sizes))
    assert not sizes or sizes[-1] == largest
    assert found.num_batch_threads.value > 0
    assert found.max_enqueued_batches.value > 0
    # A client's request may be larger than a batch.
    assert largest >= 32 or found.enable_large_batch_splitting.value
    spec = named(render(overlay), "Deployment", "serving")["spec"]["template"]["spec"]
    server = next(each for each in spec["containers"] if each["name"] == "server")
    if overlay != "dev":
        assert found.num_batch_threads.value == int(server["resources"]["limits"]["cpu"])


def test_a_gpu_waits_for_company_and_a_cpu_does_not() -> None:
    gpu = text_format.Parse(_file("gpu", "batching.config"), _parameters())
    cpu = text_format.Parse(_file("cpu", "batching.config"), _parameters())
    assert gpu.batch_timeout_micros.value > cpu.batch_timeout_micros.value == 0
    assert gpu.max_batch_size.value > cpu.max_batch_size.value


def test_a_misspelt_setting_would_be_seen() -> None:
    text = _file("gpu", "batching.config").replace("max_batch_size", "max_batchsize")
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, _parameters())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_is_told_the_path_that_the_server_opens(overlay: str, tmp_path: Path) -> None:
    (tmp_path / "monitoring.config").write_text(_file(overlay, "monitoring.config"), "utf-8")
    monitor = named(render("gpu"), "ServiceMonitor", "serving")["spec"]
    assert metrics_path(tmp_path / "monitoring.config") == monitor["endpoints"][0]["path"]


def test_the_dev_overlays_model_config_names_the_model_that_clients_ask_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "models.config").write_text(_file("dev", "models.config"), encoding="utf-8")
    models = read_config_file(tmp_path / "models.config")
    name = load_params(REPOSITORY / "params.yaml").promote.model_name
    assert models.keys() == {name}
    assert models[name].labels == {"stable": 1}
    assert models[name].base_path == Path("/releases")
