"""Synchronous training on several devices, by tf.distribute: GPUs of one machine, or machines.

Keras 3's `fit` refuses what a MultiWorkerMirroredStrategy gives it (keras-team/keras#20585, and
measured with Keras 3.15), so the step is ours: every device computes gradients of its share of the
batch, weighted by its rows; their sum over all devices, one all-reduce, is the gradient of the
whole batch; every process applies it to its own copy of the weights. The last, smaller batch of an
epoch is padded with rows of weight 0.

Variables are plain ones, not mirrored: checkpoints, averages and early stopping work as on one
device, and the other GPUs of a machine read the first one's weights at each step. That is cheap for
networks of a few million weights, which is what this project trains.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sortline.core.errors import ParamsError, UnreachableError
from sortline.core.files import atomic_file, remove
from sortline.training.cluster import task_of
from sortline.training.devices import Array, Figures, share_of, shares, weights_of

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
_LOST_ADVICE = "Start all workers again: training goes on from its last epoch."


def _end_of_waiting(what: str, timeout_s: float) -> None:
    # A wait inside TensorFlow cannot be interrupted: this process has to go, and says why.
    print(
        f"sortline: {what} took more than {timeout_s:.0f} s (distribution.timeout_s): a worker was"
        f" never there, or is out of reach. {_LOST_ADVICE}",
        file=sys.stderr,
        flush=True,
    )
    os._exit(UnreachableError.exit_code)


@contextmanager
def _alarm(timeout_s: float) -> Iterator[None]:
    """End this process by SIGALRM when the block takes longer.

    While TensorFlow looks for the other workers it holds Python's lock: no thread can end it.
    """
    # A moment after the other clock, which can say what it ends.
    signal.setitimer(signal.ITIMER_REAL, timeout_s + 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _reason(error: Exception) -> str:
    """The line of TensorFlow's many that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "abort" in line.lower()), lines[0] if lines else "")


@contextmanager
def _together(what: str, timeout_s: float) -> Iterator[None]:
    """Wait for the other workers in the block, but not for ever."""
    timer = threading.Timer(timeout_s, _end_of_waiting, (what, timeout_s))
    timer.daemon = True
    timer.start()
    try:
        yield
    except _LOST as error:
        raise UnreachableError(
            f"A worker was lost during {what}: {_reason(error)}. {_LOST_ADVICE}"
        ) from error
    finally:
        timer.cancel()


def _refuse_moving_statistics(model: keras.Model) -> None:
    layers = model._flatten_layers()
    names = [
        layer.name
        for layer in layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if names:
        raise ParamsError(
            f"{len(names)} BatchNorm layers train ({names[0]}, ...), and each device would take"
            " statistics of its own share of a batch. Freeze them, or set distribution.strategy to"
            " single."
        )


def _right(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Float32 [N]: 1 where the largest logit is the label's, one-hot or a class id."""
    labels = tf.argmax(targets, -1) if targets.shape.rank == 2 else tf.cast(targets, tf.int64)
    return tf.cast(tf.equal(tf.argmax(logits, -1), labels), tf.float32)


class Replicas:
    """Devices of one `tf.distribute` strategy.

    Args:
        strategy: mirrored, or over workers.
        worker: index of this process among `workers`.
        timeout_s: after which a wait for other workers ends this process, with exit status 75.
    """

    def __init__(self, strategy: Any, worker: int, workers: int, timeout_s: float) -> None:
        self._strategy, self._worker, self._workers = strategy, worker, workers
        self._timeout_s = timeout_s
        self._compiled: tuple[Any, Callable[..., Any]] | None = None
        self._sum = tf.function(self._summed)

    @property
    def chief(self) -> bool:
        """Whether this is the first worker."""
        return self._worker == 0

    @property
    def count(self) -> int:
        """Number of devices, over all workers."""
        return int(self._strategy.num_replicas_in_sync)

    def _from_chief(self, values: Array) -> Array:
        """The chief's array, in every process; float64, of the same shape everywhere, not empty.

        Reducing an empty array ends a process of TensorFlow 2.21 by a segmentation fault.
        """
        if self._workers == 1:
            return values
        nothing = np.zeros_like(values)
        mine = values if self.chief else nothing
        # Each device of the chief would add its copy; all but the first are zero.
        copies = self._distributed(lambda index: nothing if index % self._per_worker else mine)
        result: Array = self._sum(copies).numpy()
        return result

    def _summed(self, values: Any) -> Any:
        def replica(value: Any) -> Any:
            # An argument lies on no device, and where to reduce to is asked of its device.
            return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(value))

        summed = self._strategy.run(replica, (values,))
        return self._strategy.experimental_local_results(summed)[0]

    @property
    def _per_worker(self) -> int:
        return self.count // self._workers

    def _distributed(self, value_of: Callable[[int], Array]) -> Any:
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(value_of(context.replica_id_in_sync_group))
        )

    def share_file(self, path: Path) -> None:
        """Give every process the chief's file, or none where the chief has none."""
        if self._workers == 1:
            return
        with _together("the start of training", self._timeout_s):
            data = path.read_bytes() if self.chief and path.is_file() else b""
            size = int(self._from_chief(np.array([len(data)], "float64"))[0])
            content = np.zeros(size, "float64")
            if self.chief:
                content[:] = np.frombuffer(data, "uint8")
            content = self._from_chief(content) if size else content
        if not self.chief:
            self._put(path, content.astype("uint8").tobytes())

    @staticmethod
    def _put(path: Path, data: bytes) -> None:
        if not data:
            remove(path)
            return
        with atomic_file(path) as partial:
            partial.write_bytes(data)

    def share_weights(self, model: keras.Model) -> None:
        """Give every process the chief's weights and optimizer, bit by bit."""
        if self._workers == 1:
            return
        variables = [*model.variables, *model.optimizer.variables]
        floats = [v for v in variables if keras.backend.is_float_dtype(v.dtype)]
        flat = np.concatenate([keras.ops.convert_to_numpy(v).ravel() for v in floats])
        with _together("the start of an epoch", self._timeout_s):
            flat = self._from_chief(flat.astype("float64"))
        ends = np.cumsum([int(np.prod(v.shape)) for v in floats])
        for variable, part in zip(floats, np.split(flat, ends[:-1]), strict=True):
            variable.assign(part.reshape(variable.shape))

    def train_on_batch(
        self, model: keras.Model, x: Array, y: Array, sample_weight: Array | None = None
    ) -> Figures:
        """Take one step on a whole batch, which every process has; each computes its share."""
        size = len(x)
        rows = shares(size, self.count)
        of_loss = np.ones(size, "float32") if sample_weight is None else sample_weight
        parts = (
            self._distributed(lambda index: share_of(x, index, rows)),
            self._distributed(lambda index: share_of(y, index, rows)),
            self._distributed(lambda index: share_of(of_loss, index, rows).astype("float32")),
            self._distributed(lambda index: weights_of(size, index, rows)),
            tf.constant(float(size)),
        )
        with _together("a step", self._timeout_s):
            loss, accuracy = self._step_of(model)(*parts)
            return {"loss": float(loss), "accuracy": float(accuracy)}

    def agree(self, row: Figures) -> Figures:
        """The chief's figures."""
        values = np.array(list(row.values()), "float64")
        with _together("the end of an epoch", self._timeout_s):
            agreed = self._from_chief(values)
        # An epoch's number stays a whole one.
        return {name: type(row[name])(value) for name, value in zip(row, agreed, strict=True)}

    def _step_of(self, model: keras.Model) -> Callable[..., Any]:
        # One graph for each phase, and in it one for each size of a share.
        if self._compiled is None or self._compiled[0] is not model.optimizer:
            _refuse_moving_statistics(model)
            self._compiled = (model.optimizer, tf.function(self._step(model)))
        return self._compiled[1]

    def _step(self, model: keras.Model) -> Callable[..., Any]:
        def replica(x: Any, y: Any, of_loss: Any, there: Any, size: Any) -> Any:
            with tf.GradientTape() as tape:
                logits = model(x, training=True)
                loss = tf.reduce_sum(model.loss.call(y, logits) * of_loss * there) / size
            gradients = tape.gradient(loss, model.trainable_variables)
            accuracy = tf.reduce_sum(_right(y, logits) * there) / size
            context = tf.distribute.get_replica_context()
            return context.all_reduce("SUM", [loss, accuracy, *gradients])

        def step(*parts: Any) -> Any:
            summed = self._strategy.run(replica, parts)
            local = [self._strategy.experimental_local_results(value)[0] for value in summed]
            model.optimizer.apply(local[2:], model.trainable_variables)
            return local[0], local[1]

        return step


def mirrored(timeout_s: float) -> Replicas:
    """All GPUs of this machine, or its processor where it has none."""
    return Replicas(tf.distribute.MirroredStrategy(), 0, 1, timeout_s)


def workers(timeout_s: float) -> Replicas:
    """The workers that TF_CONFIG names; call it before TensorFlow has done anything.

    Where another worker never comes, this process ends by SIGALRM after `timeout_s`.

    Raises:
        ParamsError: TF_CONFIG does not say which worker this is.
        UnreachableError: another worker was lost while this one waited for it.
    """
    index, count = task_of(os.environ)
    print(
        f"Worker {index} of {count} waits at most {timeout_s:.0f} s (distribution.timeout_s) for"
        f" the others: {os.environ['TF_CONFIG']}",
        flush=True,
    )
    with _together("waiting for the other workers", timeout_s), _alarm(timeout_s):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return Replicas(strategy, index, count, timeout_s)
