"""Small SavedModels to serve, and a stand-in that serves them in a thread of the test's process.

`half_plus_two` is y = x / 2 + 2, as in TensorFlow Serving's own tests: of TF 2's kind, or of TF 1's
builder with signatures to classify and to regress.
"""

import asyncio
import gc
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from sortline.client import rpc
from sortline.client.messages import MODEL_SERVICE, PREDICTION_SERVICE, methods_of
from sortline.client.tensors import from_proto, to_proto
from sortline.serving.local_server import LOOPBACK
from sortline.standin.model_server import parse_flags
from sortline.standin.server import QUEUE, WORKERS, Addresses, Server


class _HalfPlus(tf.Module):  # type: ignore[misc]
    def __init__(self, plus: float) -> None:
        super().__init__()
        self.plus = tf.Variable(plus)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def half_plus(self, x: Any) -> Any:
        return {"y": x * 0.5 + self.plus}

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([None], tf.string, name="key")]
    )
    def echo(self, key: Any) -> Any:
        return {"key_bytes": key, "key_text": key, "size": tf.strings.length(key)}

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int64, name="b"),
        ]
    )
    def add(self, a: Any, b: Any) -> Any:
        return {"total": a + tf.cast(b, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="path")])  # type: ignore[untyped-decorator]
    def read(self, path: Any) -> Any:
        """The size of a file."""
        return {"bytes": tf.strings.length(tf.io.read_file(path))}


def floats(*values: float) -> npt.NDArray[np.float32]:
    """A vector of float32."""
    return np.array(values, np.float32)


def half_plus(folder: Path, plus: float = 2.0) -> Path:
    """A model of TF 2's kind: y = x / 2 + `plus`, and three more signatures."""
    model = _HalfPlus(plus)
    signatures = {
        "serving_default": model.half_plus,
        "echo": model.echo,
        "add": model.add,
        "read": model.read,
    }
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


def half_plus_two_v1(folder: Path) -> Path:
    """A model of TF 1's builder: Predict, Classify and Regress on tf.Examples with a float `x`."""
    v1 = tf.compat.v1
    kinds = v1.saved_model.signature_def_utils
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        parsed = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32)})
        x = tf.identity(parsed["x"], name="x")
        y = tf.add(x * 0.5, v1.get_variable("plus", initializer=2.0), name="y")
        info = v1.saved_model.build_tensor_info
        outputs = {"outputs": info(y)}
        signatures = {
            "serving_default": kinds.predict_signature_def({"x": x}, {"y": y}),
            "regress": kinds.build_signature_def(
                {"inputs": info(serialized)}, outputs, "tensorflow/serving/regress"
            ),
            "classify": kinds.build_signature_def(
                {"inputs": info(serialized)}, {"scores": info(y)}, "tensorflow/serving/classify"
            ),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


def gated(folder: Path) -> Path:
    """Half plus two; and a call of the signature `wait` ends when somebody calls `go`."""
    v1 = tf.compat.v1
    predict = v1.saved_model.signature_def_utils.predict_signature_def
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        y = x * 0.5 + v1.get_variable("plus", initializer=2.0)
        gate = tf.queue.FIFOQueue(100, [tf.int32], [[]], shared_name="gate")
        ticket, token = (v1.placeholder(tf.int32, [], name=name) for name in ("ticket", "token"))
        passed = ticket + gate.dequeue()
        with tf.control_dependencies([gate.enqueue(token)]):
            sent = tf.identity(token)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        signatures = {
            "serving_default": predict({"x": x}, {"y": y}),
            "wait": predict({"ticket": ticket}, {"passed": passed}),
            "go": predict({"token": token}, {"sent": sent}),
        }
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


def versions(base_path: Path, model: Path, *numbers: int) -> Path:
    """Put copies of a model under these numbers, as a release is put there."""
    for number in numbers:
        partial = base_path / f".{number}"
        shutil.copytree(model, partial)
        partial.rename(base_path / str(number))
    return base_path


def model_config(base_path: Path, *numbers: int, **labels: int) -> dict[str, Any]:
    """A ModelConfig of `default`: specific versions (the newest if none), version by label."""
    found: dict[str, Any] = {"name": "default", "base_path": str(base_path)}
    if numbers:
        found["model_version_policy"] = {"specific": {"versions": numbers}}
    return {**found, "version_labels": labels}


class Client:
    """Calls one server; requests and configs are given as nested dictionaries."""

    def __init__(self, target: str) -> None:
        self.channel = rpc.open_channel(target, options=LOOPBACK)

    def ask(self, service: str, name: str, /, timeout: float = 30.0, **fields: Any) -> Any:
        request = methods_of(service)[name][0](**fields)
        return rpc.method(self.channel, service, name)(request, timeout=timeout)

    def predict(self, spec: dict[str, Any], timeout: float = 30.0, **inputs: Any) -> Any:
        fed = {name: to_proto(value) for name, value in inputs.items()}
        return self.ask(PREDICTION_SERVICE, "Predict", timeout, model_spec=spec, inputs=fed)

    def half_plus(self, x: float, **spec: Any) -> float:
        """What the model says of one number."""
        response = self.predict({"name": "default", **spec}, x=floats(x))
        return float(from_proto(response.outputs["y"])[0])

    def states(self, name: str = "default") -> dict[int, str]:
        """State of every version of a model."""
        response = self.ask(MODEL_SERVICE, "GetModelStatus", model_spec={"name": name})
        kind = type(response.model_version_status[0]).State
        return {v.version: kind.Name(v.state) for v in response.model_version_status}

    def reload(self, *models: dict[str, Any], timeout: float = 60.0) -> Any:
        """HandleReloadConfigRequest with these ModelConfigs."""
        config = {"model_config_list": {"config": list(models)}}
        return self.ask(MODEL_SERVICE, "HandleReloadConfigRequest", timeout, config=config)


def refusal(error: grpc.RpcError) -> tuple[str, str]:
    """Code and details of a failed call."""
    assert isinstance(error, grpc.Call)
    return error.code().name, error.details() or ""


class Running:
    """A stand-in in a thread of this process."""

    def __init__(self, flags: Sequence[str], workers: int, queue: int) -> None:
        self._flags, self._size = flags, (workers, queue)
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._stop = asyncio.Event()
        self.at = Addresses("", None)
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stand-in")

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self.failure = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._up.set()

    async def _serve(self) -> None:
        parsed = parse_flags(self._flags)
        assert parsed is not None
        self.server = Server(parsed, workers=self._size[0], queue=self._size[1])
        try:
            self.at = await self.server.start()
            await self.server.load()
            self._up.set()
            await self._stop.wait()
        finally:
            await self.server.stop()

    def start(self) -> "Running":
        if not gc.get_freeze_count():  # As model_server does: all of TensorFlow's objects stay.
            gc.freeze()
        self._thread.start()
        assert self._up.wait(120)
        return self

    def poll(self) -> None:
        """Have it look at its base paths, as its clock would; returns when all is loaded."""
        asyncio.run_coroutine_threadsafe(self.server.registry.poll(), self._loop).result(120)

    def wait_for_calls(self, count: int, version: int = 1) -> None:
        """Until so many calls have come to a version of `default`, and none of them has ended."""
        while self.server.registry.catalogue.models["default"].versions[version].users < count:
            threading.Event().wait(0.001)

    @contextmanager
    def gate(self) -> Iterator[Callable[[], None]]:
        """What lets one call of `wait` on version 1 end; all of them end when the block fails."""
        version = self.server.registry.catalogue.models["default"].versions[1]
        servable = version.servable
        assert servable is not None

        def go() -> None:
            # The call that it lets end may be the last one: the session is closed, then.
            with suppress(tf.errors.CancelledError):
                servable.run("go", {"token": np.array(0, np.int32)}, ["sent"])

        try:
            yield go
        except BaseException:  # Nobody else would let them go, and the server waits for them.
            for _ in range(50):
                go()
            raise

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert not self._thread.is_alive()


@contextmanager
def standin(*flags: str, workers: int = WORKERS, queue: int = QUEUE) -> Iterator[Running]:
    """A stand-in with these flags that has loaded what they name; ports are its own choice.

    It looks at its base paths when it is told to, and not by the clock.
    """
    own = ("--port=0", "--rest_api_port=0", "--file_system_poll_wait_seconds=0")
    running = Running((*own, *flags), workers, queue).start()
    try:
        if running.failure is not None:
            raise running.failure
        yield running
    finally:
        running.stop()


@contextmanager
def client_of(running: Running) -> Iterator[Client]:
    """A client of that server."""
    client = Client(running.at.grpc)
    with client.channel:
        yield client
