"""A model is blessed for serving only when a server has served it as it was evaluated."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.colour_models import export, settings, workspace
from helpers.params import Params

from pipeline_steps import evaluate
from sortline.core.errors import ArtifactError, DataError
from sortline.core.files import digest_tree, read_json, write_json
from sortline.core.paths import Paths
from sortline.model.contract import model_digest, verify
from sortline.serving import infra_validate
from sortline.serving.infra_blessing import InfraBlessing, read_infra_blessing
from sortline.serving.infra_validate import Answer, Expected, Trial, compare, spread, try_out
from sortline.serving.server_program import Program

FEW: dict[str, object] = {"images": 4, "timeout_s": 900.0, "warmup_records": 3}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """An exported model, thirty test pictures, and what evaluation says of them."""
    paths = workspace(tmp_path_factory.mktemp("workspace"))
    params = settings()
    result = evaluate.evaluate(params, paths)
    folder = paths.reports / "evaluation"
    folder.mkdir()
    write_json(folder / "metrics.json", result.metrics)
    result.predictions.to_parquet(folder / "predictions.parquet", index=False)
    return paths


@pytest.fixture
def predictions(evaluated: Paths) -> Iterator[pd.DataFrame]:
    """What evaluation wrote, to be tampered with; put back afterwards."""
    path = evaluated.reports / "evaluation" / "predictions.parquet"
    kept = path.read_bytes()
    yield pd.read_parquet(path)
    path.write_bytes(kept)


def validate(params: Params, paths: Paths) -> InfraBlessing:
    served, version = params.promote.model_name, params.publish.serving_version
    return infra_validate.run(params.infra_validate, served, version, paths)


def blessing(paths: Paths) -> Any:
    return read_json(paths.reports / "infra_blessing.json", "the test")


def test_a_model_that_is_served_as_it_was_evaluated_is_blessed(
    evaluated: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SORTLINE_MODEL_SERVER", "stand-in")
    validate(settings(infra_validate=FEW), evaluated)
    found = blessing(evaluated)
    version = evaluated.root / "artifacts" / "version"
    assert found["blessed"] is True
    assert found["model_digest"] == model_digest(evaluated.saved_model) == verify(version)
    assert found["version_digest"] == digest_tree(version)
    assert found["server"]["kind"] == "stand-in"
    assert "tensorflow" in found["server"]["version"]
    assert found["warmup"] == {"records": 3, "ran": True}
    assert found["images"] == 4
    assert 0.0 <= found["max_difference"] <= 1e-5
    assert found["reason"].startswith("4 images, each through gRPC and REST")


@pytest.mark.slow
def test_a_model_that_is_served_as_another_one_was_evaluated_is_not_blessed(
    evaluated: Paths, predictions: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SORTLINE_MODEL_SERVER", "stand-in")
    first = 0.001 * (np.arange(len(predictions)) == 0)
    tampered = predictions.assign(p_red=predictions["p_red"] + first)
    table = evaluated.reports / "evaluation" / "predictions.parquet"
    tampered.to_parquet(table, index=False)
    result = validate(settings(infra_validate=FEW), evaluated)
    assert not result.blessed
    assert result == InfraBlessing(**blessing(evaluated))
    path = predictions.iloc[0]["path"]
    said = f"{path} by gRPC: a probability differs by 0.001; and 1 more"
    assert result.reason == said
    assert result.max_difference == pytest.approx(0.001, abs=1e-5)


def test_a_server_that_cannot_start_is_exit_code_3_and_the_report_says_why(
    evaluated: Paths, tmp_path: Path
) -> None:
    (tmp_path / "tensorflow_model_server").write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "TensorFlow ModelServer: 1.0" && exit\n'
        'echo "no such operation: DecodeWebP" >&2; exit 9\n'
    )
    (tmp_path / "tensorflow_model_server").chmod(0o755)
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "sortline", "infra-validate", f"--root={evaluated.root}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SORTLINE_MODEL_SERVER": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    found = blessing(evaluated)
    assert (found["blessed"], found["max_difference"]) == (False, None)
    assert found["server"] == {"kind": "tensorflow_model_server", "version": "1.0"}
    assert found["warmup"] == {"records": 16, "ran": False}
    assert "ended with exit code 9" in found["reason"]
    assert "no such operation: DecodeWebP" in done.stderr
    assert found["version_digest"] == digest_tree(evaluated.root / "artifacts" / "version")


def test_what_was_not_evaluated_is_not_tried(
    evaluated: Paths, predictions: pd.DataFrame, tmp_path: Path
) -> None:
    params = settings(infra_validate=FEW)
    picture = evaluated.root / predictions.iloc[0]["path"]
    kept = picture.read_bytes()
    picture.write_bytes(kept + b"!")
    with pytest.raises(DataError, match="is not the file that was evaluated"):
        validate(params, evaluated)
    picture.write_bytes(kept)
    table = evaluated.reports / "evaluation" / "predictions.parquet"
    predictions.assign(valid=False).to_parquet(table, index=False)
    with pytest.raises(ArtifactError, match="has no image that the model can read"):
        validate(params, evaluated)
    other = Paths(tmp_path)
    export(other.saved_model, bias=9.0)
    with pytest.raises(ArtifactError, match=r"predictions\.parquet is missing"):
        validate(params, other)
    folder = other.reports / "evaluation"
    folder.mkdir(parents=True)
    predictions.to_parquet(folder / "predictions.parquet", index=False)
    write_json(folder / "metrics.json", {"model_digest": "0" * 64})
    with pytest.raises(ArtifactError, match=r"is of the model 000000000000, not of .*evaluate"):
        validate(params, other)


def test_a_scheduler_that_stops_it_stops_the_server_too(evaluated: Paths, tmp_path: Path) -> None:
    (tmp_path / "tensorflow_model_server").write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "TensorFlow ModelServer: 1.0" && exit\n'
        f'echo $$ > "{tmp_path}/pid.partial"; mv "{tmp_path}/pid.partial" "{tmp_path}/pid"\n'
        "exec sleep 600\n"
    )
    (tmp_path / "tensorflow_model_server").chmod(0o755)
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    with subprocess.Popen(
        [sys.executable, "-m", "sortline", "infra-validate", f"--root={evaluated.root}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SORTLINE_MODEL_SERVER": ""},
        stderr=subprocess.PIPE,
    ) as process:
        while not (tmp_path / "pid").exists():
            assert process.poll() is None
        server = int((tmp_path / "pid").read_text())
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


EXPECTED = Expected("a.png", b"", "red", (0.25, 0.75))


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (Answer("gRPC", "red", (0.25, 0.75), 1), ""),
        (Answer("REST", "red", (0.25, 0.750001), None), ""),
        (Answer("gRPC", "red", (0.25, 0.75), 2), "answered by version 2, not 1"),
        (Answer("REST", "blue", (0.25, 0.75), None), "'blue', and evaluation said 'red'"),
        (Answer("REST", "red", (0.25, 0.7), None), "a probability differs by 0.05"),
        (Answer("REST", "red", (0.25, float("nan")), None), "a probability differs by nan"),
        (Answer("REST", "red", (1.0,), None), "1 probabilities, not 2"),
    ],
)
def test_every_kind_of_wrong_answer_is_named(answered: Answer, said: str) -> None:
    _, fault = compare(EXPECTED, answered, 1e-5)
    assert fault.startswith("a.png by ") if said else not fault
    assert said in fault


def test_a_server_that_is_not_there_is_an_outcome(evaluated: Paths) -> None:
    trial = Trial(evaluated.saved_model, 0, "sortline", 5.0, 1e-5)
    outcome = try_out(Program("tensorflow_model_server", "absent"), trial, [EXPECTED])
    assert "cannot be started" in outcome.fault
    assert (outcome.max_difference, outcome.warmed_up) == (None, False)


def test_the_images_are_of_every_class() -> None:
    rows = pd.DataFrame({"path": [f"{name}/{i}" for name in "abc" for i in range(10)]})
    chosen = spread(rows, 4)["path"].tolist()
    assert chosen == ["a/0", "a/9", "b/9", "c/9"]
    assert len(spread(rows, 99)) == 30
    assert np.array_equal(spread(rows, 30)["path"], rows["path"])
    assert spread(rows, 0).empty


def test_the_report_is_json_that_publish_reads(evaluated: Paths) -> None:
    value = json.loads((evaluated.reports / "infra_blessing.json").read_text())
    assert set(value) == {
        "blessed",
        "model_digest",
        "version_digest",
        "server",
        "warmup",
        "images",
        "max_difference",
        "reason",
    }
    assert read_infra_blessing(evaluated) == InfraBlessing(**value)
