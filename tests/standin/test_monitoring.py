"""Dashboards made for TensorFlow Serving read the stand-in's metrics, too."""

import http.client
import re
from pathlib import Path

import grpc
import pytest
from helpers.colour_models import paint
from helpers.served_models import Running, client_of, floats, standin, versions

from sortline.core.errors import ParamsError
from sortline.standin.model_server import read_metrics_path


def page(running: Running, path: str) -> str:
    assert running.at.rest is not None
    connection = http.client.HTTPConnection(running.at.rest, timeout=30)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def value(text: str, sample: str) -> float:
    match = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    assert match, f"{sample} is not in\n{text}"
    return float(match[1])


def test_requests_latency_loads_classes_and_confidence_are_counted(
    tmp_path: Path, ours: Path
) -> None:
    base_path = versions(tmp_path / "default", ours, 1)
    paint(tmp_path / "red.png", "red", 80)
    red = (tmp_path / "red.png").read_bytes()
    metrics = tmp_path / "monitoring.config"
    metrics.write_text("prometheus_config { enable: true }")
    flags = (f"--model_base_path={base_path}", f"--monitoring_config_file={metrics}")
    with standin(*flags) as running, client_of(running) as client:
        client.predict({"name": "default"}, image_bytes=[red, b"no image", red])
        for name in ("default", "nobody"):
            with pytest.raises(grpc.RpcError):
                client.predict({"name": name}, x=floats(1.0))
        text = page(running, "/monitoring/prometheus/metrics")
    count = ":tensorflow:serving:request_count"
    assert value(text, f'{count}{{model_name="default",status="OK"}}') == 1
    assert value(text, f'{count}{{model_name="default",status="INVALID_ARGUMENT"}}') == 1
    assert value(text, f'{count}{{model_name="",status="NOT_FOUND"}}') == 1
    labels = 'API="Predict",entrypoint="GRPC",model_name="default"'
    assert value(text, f":tensorflow:serving:request_latency_count{{{labels}}}") == 1
    assert value(text, f":tensorflow:serving:request_latency_sum{{{labels}}}") > 0
    loads = ":tensorflow:cc:saved_model:load_attempt_count"
    assert value(text, f'{loads}{{model_path="{base_path}/1",status="success"}}') == 1
    classes = "sortline_predicted_class_count"
    of = 'model_name="default",version="1"'
    assert value(text, f'{classes}{{class_name="red",{of}}}') == 2
    assert value(text, f'{classes}{{class_name="",{of}}}') == 1
    confidence = 'sortline_prediction_confidence_count{model_name="default",version="1"}'
    assert value(text, confidence) == 2


def test_the_path_is_the_files_and_there_is_none_without_it(
    running: Running, tmp_path: Path
) -> None:
    assert ":tensorflow:serving:request_count" in page(running, "/metrics")
    assert "Malformed request" in page(running, "/monitoring/prometheus/metrics")
    off = tmp_path / "off"
    off.write_text("")
    assert read_metrics_path(off) is None
    assert read_metrics_path(None) is None
    off.write_text('prometheus_config { enable: true path: "relative" }')
    with pytest.raises(ParamsError, match="begin it with /"):
        read_metrics_path(off)
    off.write_text("prometheus { }")
    with pytest.raises(ParamsError, match=r"wants the text of a tensorflow\.serving\.Monitoring"):
        read_metrics_path(off)
