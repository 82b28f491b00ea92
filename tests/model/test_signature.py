"""What a client sends and gets: names, dtypes, bad neighbours, and nothing that reads a file."""

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sortline.core.errors import ExportError
from sortline.images.decode import decode_and_resize
from sortline.model import allowed_operations as graph
from sortline.model.contract import Tensor, signatures
from sortline.model.saved_model import Exported, check_signatures, write_saved_model

LABELS = ("can", "jar", "sheet")
SIZE_PX = 32
TEMPERATURE = 1.7
MAX_PIXELS = 40_000
REPOSITORY = Path(__file__).parents[2]


def network() -> keras.Model:
    """What matters of a real one: convolution, BatchNorm, Dropout, logits."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dropout(0.5)(x)))


def encoded(kind: str, seed: int = 0, size: tuple[int, int] = (50, 40)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


KINDS = ("JPEG", "PNG", "WEBP")
BAD = {
    "empty": b"",
    "text": b"hello, I am not a picture",
    "gif": encoded("GIF"),
    **{f"truncated {kind}": encoded(kind)[:700] for kind in KINDS},
    **{f"junk {kind}": encoded(kind)[:16] + b"\x5a" * 900 for kind in KINDS},
    **{f"too large {kind}": encoded(kind, size=(300, 200)) for kind in KINDS},
}


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    return network()


@pytest.fixture(scope="module")
def folder(trained: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model")
    write_saved_model(Exported(trained, LABELS, TEMPERATURE, SIZE_PX, MAX_PIXELS), target)
    return target


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Any:
    return tf.saved_model.load(str(folder))


def by_bytes(loaded: Any, *images: bytes) -> dict[str, np.ndarray]:
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant(images, tf.string))
    return {name: value.numpy() for name, value in answer.items()}


def by_pixels(loaded: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    answer = loaded.signatures["predict_tensor"](image=tf.constant(images, tf.float32))
    return {name: value.numpy() for name, value in answer.items()}


def test_names_dtypes_and_shapes_are_the_promised_ones(loaded: Any) -> None:
    outputs = {
        "probabilities": tf.TensorSpec([None, 3], tf.float32),
        "class_id": tf.TensorSpec([None], tf.int64),
        "label": tf.TensorSpec([None], tf.string),
        "valid": tf.TensorSpec([None], tf.bool),
    }
    inputs = {
        "serving_default": {"image_bytes": tf.TensorSpec([None], tf.string)},
        "predict_tensor": {"image": tf.TensorSpec([None, SIZE_PX, SIZE_PX, 3], tf.float32)},
    }
    assert set(loaded.signatures) == set(inputs)
    for name, wanted in inputs.items():
        seen = loaded.signatures[name].structured_input_signature[1]
        assert {key: (s.dtype, s.shape) for key, s in seen.items()} == {
            key: (s.dtype, s.shape) for key, s in wanted.items()
        }
        found = loaded.signatures[name].structured_outputs
        assert {key: (s.dtype, s.shape) for key, s in found.items()} == {
            key: (s.dtype, s.shape) for key, s in outputs.items()
        }
    check_signatures(loaded, signatures(3, SIZE_PX))


def test_another_contract_is_refused(loaded: Any) -> None:
    with pytest.raises(ExportError, match="promised"):
        check_signatures(loaded, signatures(4, SIZE_PX))
    renamed = signatures(3, SIZE_PX)
    renamed["serving_default"].inputs["images"] = Tensor(dtype="string", shape=(None,))
    with pytest.raises(ExportError, match="images"):
        check_signatures(loaded, renamed)
    with pytest.raises(ExportError, match="predict_tensor"):
        check_signatures(loaded, {"serving_default": signatures(3, SIZE_PX)["serving_default"]})


@pytest.mark.parametrize("name", BAD)
def test_a_bad_item_leaves_its_neighbours_alone(loaded: Any, name: str) -> None:
    good = [encoded(kind, seed) for seed, kind in enumerate((*KINDS, KINDS[0]))]
    found = by_bytes(loaded, good[0], BAD[name], good[1], good[2])
    assert found["valid"].tolist() == [True, False, True, True]
    assert found["class_id"][1] == -1
    assert found["label"][1] == b""
    assert not found["probabilities"][1].any()
    # A batch of the same size: a matrix product may round otherwise for another number of rows.
    beside_a_good_one = by_bytes(loaded, good[0], good[3], good[1], good[2])
    for key, values in beside_a_good_one.items():
        np.testing.assert_array_equal(
            np.delete(found[key], 1, axis=0), np.delete(values, 1, axis=0), err_msg=key
        )


def test_nothing_but_bad_items_is_answered(loaded: Any) -> None:
    found = by_bytes(loaded, *BAD.values())
    assert not found["valid"].any()
    assert not found["probabilities"].any()


def test_no_item_at_all_is_answered(loaded: Any) -> None:
    for found in (by_bytes(loaded), by_pixels(loaded, np.zeros((0, SIZE_PX, SIZE_PX, 3)))):
        assert {key: value.shape for key, value in found.items()} == {
            "probabilities": (0, 3),
            "class_id": (0,),
            "label": (0,),
            "valid": (0,),
        }


def test_pixels_that_are_not_numbers_are_invalid(loaded: Any) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (3, SIZE_PX, SIZE_PX, 3)).astype("float32")
    alone = by_pixels(loaded, images)
    images[1, 0, 0, 0] = np.nan
    found = by_pixels(loaded, images)
    assert found["valid"].tolist() == [True, False, True]
    assert found["class_id"][1] == -1
    assert not found["probabilities"][1].any()
    np.testing.assert_array_equal(found["probabilities"][::2], alone["probabilities"][::2])


def test_probabilities_are_the_softmax_of_logits_over_temperature(
    loaded: Any, trained: keras.Model
) -> None:
    images = [encoded(kind) for kind in KINDS]
    pixels = np.stack([decode_and_resize(tf.constant(each), SIZE_PX).numpy() for each in images])
    logits = np.asarray(trained(pixels, training=False), np.float64) / TEMPERATURE
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for found in (by_bytes(loaded, *images), by_pixels(loaded, pixels)):
        np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-6)
        assert found["class_id"].tolist() == wanted.argmax(axis=1).tolist()
        assert [name.decode() for name in found["label"]] == [
            LABELS[index] for index in wanted.argmax(axis=1)
        ]


def test_weights_are_stored_once(folder: Path, trained: keras.Model) -> None:
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    stored = sum(int(np.prod(shape)) for name, shape in shapes.items() if "_GRAPH" not in name)
    assert stored == trained.count_params()


def test_operations_are_all_allowed(folder: Path) -> None:
    found = graph.read_operations(folder)
    graph.check_operations(found)
    assert "DecodeWebP" in found.serving
    assert graph.min_serving_version(found) == "2.20"


def reads_a_file(images: tf.Tensor) -> tf.Tensor:
    return images + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def calls_python(images: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(
        tf.py_function(lambda x: x, [images], tf.float32), [None, SIZE_PX, SIZE_PX, 3]
    )


def restores_a_checkpoint(images: tf.Tensor) -> tf.Tensor:
    # The saver's own operation, where no saver is.
    found = tf.raw_ops.RestoreV2(
        prefix="elsewhere", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    return images + tf.ensure_shape(found[0], [])


def prints(images: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.print("seen")]):
        return tf.identity(images)


def inside_a_branch(images: tf.Tensor) -> tf.Tensor:
    # Not in the graph, nor in a signature's function: in a function that one of them names.
    empty = tf.equal(tf.shape(images)[0], 0)
    return tf.cond(empty, lambda: reads_a_file(images), lambda: images)


@pytest.mark.parametrize(
    ("strange", "operation"),
    [
        (reads_a_file, "ReadFile"),
        (calls_python, "EagerPyFunc"),
        (restores_a_checkpoint, "RestoreV2"),
        (inside_a_branch, "ReadFile"),
        (prints, "PrintV2"),
    ],
)
def test_an_operation_that_has_no_place_in_a_server_is_refused(
    strange: Callable[[tf.Tensor], tf.Tensor], operation: str, tmp_path: Path
) -> None:
    class Strange(keras.layers.Layer):  # type: ignore[misc]
        def call(self, images: tf.Tensor) -> tf.Tensor:
            return strange(images)

        def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
            return shape

    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(Strange()(inputs))
    odd = keras.Model(inputs, keras.layers.Dense(3)(pooled))
    write_saved_model(Exported(odd, LABELS, 1.0, SIZE_PX, MAX_PIXELS), tmp_path)
    with pytest.raises(ExportError, match=operation):
        graph.check_operations(graph.read_operations(tmp_path))


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = ["tests", "tests/model"]
from test_signature import LABELS, MAX_PIXELS, SIZE_PX, TEMPERATURE, network
from sortline.model.saved_model import Exported, write_saved_model
write_saved_model(Exported(network(), LABELS, TEMPERATURE, SIZE_PX, MAX_PIXELS), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_two_processes_export_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / name)]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append(
            {
                path.relative_to(tmp_path / name): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in files
            }
        )
    assert contents[0] == contents[1]
