"""Parts of the tests of promotions: models that answer, replicas, and one between that meddles."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf

from helpers.release_parts import LABELS, LIMITS, Candidates, contract, settings
from helpers.served_models import Running, standin
from sortline.client import rpc
from sortline.client.messages import MODEL_SERVICE, message, methods_of
from sortline.client.model_config import Served, parse_config, served_by
from sortline.model.contract import write_contract
from sortline.releases.promote import Request, Step, promote
from sortline.releases.replicas import asked, open_replicas, read_golden
from sortline.releases.rollback import rollback
from sortline.releases.rollout import Fleet
from sortline.releases.store import CONFIG, Store, open_store
from sortline.serving.local_server import LOOPBACK
from sortline.serving.version_folder import WARMUP, warmup_file

MODEL = "sortline"
QUICK: dict[str, Any] = {
    "deadline_s": 60.0,
    "call_timeout_s": 30.0,
    "soak_s": 0.0,
    "probes": 2,
    "poll_s": 0.0,
}
SOAK: dict[str, Any] = {"soak_s": 0.2, "soak_probes_per_s": 20.0, "max_latency_ratio": 1000.0}


class TinyModel(tf.Module):  # type: ignore[misc]
    """Says the same of every image; loaded in no time."""

    def __init__(self, logits: Sequence[float]) -> None:
        super().__init__()
        self.logits = tf.Variable(tf.constant(logits, tf.float32), name="logits")

    def answer(self, count: Any) -> dict[str, Any]:
        """The outputs of both signatures for so many images."""
        # Times ten: numbers that are nearly too large become infinite on the way.
        softmax = tf.nn.softmax(tf.fill([count, len(LABELS)], 10.0) * self.logits)
        best = tf.argmax(softmax, axis=-1, output_type=tf.int64)
        label = tf.gather(tf.constant(LABELS), best)
        valid = tf.fill([count], True)
        return {"probabilities": softmax, "class_id": best, "label": label, "valid": valid}


def tiny_model(folder: Path, logits: Sequence[float], **functions: Any) -> Path:
    """A SavedModel with a contract; `functions` replace signatures."""
    model = TinyModel(logits)
    image_bytes = tf.TensorSpec([None], tf.string, "image_bytes")
    image = tf.TensorSpec([None, 32, 32, 3], tf.float32, "image")
    signatures: dict[str, Any] = {
        "serving_default": tf.function(
            lambda image_bytes: model.answer(tf.shape(image_bytes)[0]),
            input_signature=[image_bytes],
        ),
        "predict_tensor": tf.function(
            lambda image: model.answer(tf.shape(image)[0]), input_signature=[image]
        ),
    }
    for name, function in functions.items():
        signatures[name] = tf.function(
            functools.partial(function, model), input_signature=[image_bytes]
        )
    for function in signatures.values():
        function.get_concrete_function()
    tf.saved_model.save(model, str(folder), signatures=signatures)
    write_contract(folder, contract())
    return folder


def assembled(folder: Path, logits: Sequence[float], **functions: Any) -> Path:
    """A version that a server can load, with golden requests."""
    tiny_model(folder, logits, **functions)
    (folder / WARMUP).write_bytes(warmup_file([b"one", b"two", b"three"], MODEL))
    return folder


@dataclass
class Releases:
    """A store with versions in it, and who serves it."""

    store: Store
    targets: Sequence[str]
    candidates: Candidates
    said: list[str] = field(default_factory=list)

    def publish(self, model: Path) -> int:
        """One more version."""
        self.candidates.take(model)
        return self.candidates.publish(self.store).version

    @contextmanager
    def fleet(self, targets: Sequence[str] | None = None, **changes: object) -> Iterator[Fleet]:
        """Channels to the replicas, with settings that waste no time."""
        values = settings(promote={**QUICK, **changes}).promote
        with open_replicas(self.targets if targets is None else targets) as replicas:
            yield Fleet(replicas, values, self.said.append)

    def promote(
        self,
        version: int,
        targets: Sequence[str] | None = None,
        step: Step = lambda _: None,
        pages: Sequence[str] = (),
        base_path: str | None = None,
        **changes: object,
    ) -> None:
        """See `promote.promote`."""
        request = Request(version, base_path, pages, self.candidates.now, "Ada")
        with self.fleet(targets, **changes) as fleet:
            promote(self.store, fleet, request, step)

    def rollback(self, targets: Sequence[str] | None = None, **changes: object) -> tuple[int, int]:
        """See `rollback.rollback`."""
        with self.fleet(targets, **changes) as fleet:
            return rollback(self.store, fleet, None, self.candidates.now, "Grace")

    def served(self) -> Served:
        """What the config file says."""
        found = self.store.read(CONFIG)
        served = served_by(parse_config(found.data if found else b"", CONFIG), MODEL)
        return served or Served()

    def states(self) -> list[dict[int, str]]:
        """What each replica says of each version."""
        with self.fleet() as fleet:
            found = [each.states(MODEL, fleet.deadline()) for each in fleet.replicas]
        return [{version: state.name for version, state in each.items()} for each in found]

    def answers(self, label: str) -> list[int]:
        """The version that answers for a label, by replica."""
        golden = read_golden(Path(self.candidates.folder / WARMUP).read_bytes(), MODEL, 1)
        with self.fleet() as fleet:
            replies = [each.predict(asked(golden[0], label=label), 30.0) for each in fleet.replicas]
        return [int(reply.model_spec.version.value) for reply in replies]


def reload_with(target: str, config: Any) -> None:
    """Make a server serve what a ModelServerConfig lists."""
    request = message("tensorflow.serving.ReloadConfigRequest")(config=config)
    with rpc.open_channel(target, options=LOOPBACK) as channel:
        rpc.method(channel, MODEL_SERVICE, "HandleReloadConfigRequest")(request, timeout=60)


def unload_all(target: str) -> None:
    """Have a server serve nothing."""
    config = message("tensorflow.serving.ModelServerConfig")()
    config.model_config_list.SetInParent()
    reload_with(target, config)


@contextmanager
def empty_standins(folder: Path, count: int) -> Iterator[list[Running]]:
    """Stand-ins that serve nothing yet."""
    config = folder / "empty.config"
    config.write_text("model_config_list { }\n")
    monitoring = folder / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }\n')
    flags = (f"--model_config_file={config}", f"--monitoring_config_file={monitoring}")
    with ExitStack() as stack:
        yield [stack.enter_context(standin(*flags)) for _ in range(count)]


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """A store in a folder."""
    with open_store(str(folder), LIMITS) as store:
        yield store


# Takes a method's name and a request, which it may change; gives a failure, an answer, or nothing.
Meddle = Callable[[str, Any], Any]


class Meddler(grpc.GenericRpcHandler):
    """Stands before a server; a test says which calls fail, or waits in them."""

    def __init__(self, target: str) -> None:
        self._channel = rpc.open_channel(target, options=LOOPBACK)
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.meddle: Meddle = lambda _method, _request: None
        self._lock = threading.Lock()
        self.calls: list[str] = []

    def service(self, details: Any) -> Any:
        """How a method is handled: asked of the test, then of the server."""
        _, service, name = details.method.split("/")
        request_class, response_class = methods_of(service)[name]

        def handle(request: Any, context: Any) -> Any:
            with self._lock:
                self.calls.append(name)
            meddled = self.meddle(name, request)
            if isinstance(meddled, tuple):
                context.abort(*meddled)
            if meddled is not None:
                return meddled
            call = rpc.method(self._channel, service, name)
            try:
                return call(request, timeout=context.time_remaining())
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(
            handle, request_class.FromString, response_class.SerializeToString
        )

    def __enter__(self) -> "Meddler":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()
        self._channel.close()
