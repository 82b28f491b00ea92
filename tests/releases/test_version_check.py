"""What must not be served although its bytes are those on record."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from helpers.promotion_parts import Releases, TinyModel, assembled, opened, tiny_model
from helpers.release_parts import Candidates

from sortline.core.errors import RefusedError
from sortline.model.contract import read_contract, write_contract
from sortline.releases.version_check import check_soundness

pytest_plugins = ["helpers.release_fixtures"]


def test_a_sound_version_passes(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", (1.0, 2.0, 3.0))
    check_soundness(folder, 1, read_contract(folder))


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", (1.0, float("nan"), float("inf")))
    with pytest.raises(
        RefusedError, match=r"Version 7 must not be served\. 2 of 3 weights of logits"
    ):
        check_soundness(folder, 7, read_contract(folder))


def test_weights_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", (1.0, 2.0, 3.0))
    data = folder / "variables/variables.data-00000-of-00001"
    data.write_bytes(np.full(len(data.read_bytes()) // 4, 7.0, np.float32).tobytes())
    with pytest.raises(RefusedError, match="weights cannot be read"):
        check_soundness(folder, 1, read_contract(folder))


def test_a_forbidden_operation_is_refused(tmp_path: Path) -> None:
    def reads_files(model: TinyModel, image_bytes: Any) -> dict[str, Any]:
        tf.io.read_file("/etc/passwd")
        size = tf.strings.length(tf.io.read_file(image_bytes[0]))
        return model.answer(tf.shape(image_bytes)[0] + 0 * size)

    folder = tiny_model(tmp_path / "model", (1.0, 2.0, 3.0), serving_default=reads_files)
    with pytest.raises(RefusedError, match="not allowed in a server: ReadFile"):
        check_soundness(folder, 1, read_contract(folder))


def test_a_graph_that_does_not_keep_its_contract_is_refused(tmp_path: Path) -> None:
    def fewer(model: TinyModel, image_bytes: Any) -> dict[str, Any]:
        answer = model.answer(tf.shape(image_bytes)[0])
        return {"probabilities": answer["probabilities"]}

    folder = tiny_model(tmp_path / "model", (1.0, 2.0, 3.0), serving_default=fewer)
    with pytest.raises(
        RefusedError, match="outputs of signature serving_default are probabilities"
    ):
        check_soundness(folder, 1, read_contract(folder))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", (1.0, 2.0, 3.0))
    contract = read_contract(folder)
    (folder / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(RefusedError, match="must not be served"):
        check_soundness(folder, 1, contract)


def published(tmp_path: Path, candidates: Candidates, folder: Path) -> Releases:
    with opened(tmp_path / "store") as store:
        releases = Releases(store, (), candidates)
        releases.publish(folder)
        return releases


def test_promote_asks(tmp_path: Path, candidates: Candidates) -> None:
    folder = assembled(tmp_path / "model", (float("nan"), 0.0, 0.0))
    releases = published(tmp_path, candidates, folder)
    with pytest.raises(RefusedError, match="not finite"):
        releases.promote(1)
    assert not releases.served().versions


def test_signatures_that_our_clients_do_not_use_are_refused(
    tmp_path: Path, candidates: Candidates
) -> None:
    folder = assembled(tmp_path / "model", (0.0, 0.0, 0.0))
    contract = read_contract(folder)
    only = {"serving_default": contract.signatures["serving_default"]}
    write_contract(folder, contract.model_copy(update={"signatures": only}))
    releases = published(tmp_path, candidates, folder)
    with pytest.raises(RefusedError, match="other signatures than our clients use: predict_tensor"):
        releases.promote(1)


def test_a_version_without_golden_requests_is_refused(
    tmp_path: Path, candidates: Candidates
) -> None:
    folder = tiny_model(tmp_path / "model", (0.0, 0.0, 0.0))
    releases = published(tmp_path, candidates, folder)
    with pytest.raises(RefusedError, match="brings no warm-up requests"):
        releases.promote(1)


def test_golden_requests_for_another_model_are_refused(
    tmp_path: Path, candidates: Candidates
) -> None:
    folder = assembled(tmp_path / "model", (0.0, 0.0, 0.0))
    releases = published(tmp_path, candidates, folder)
    with pytest.raises(RefusedError, match=r"for the model 'sortline'.*is 'other'"):
        releases.promote(1, model_name="other")
