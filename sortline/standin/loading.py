"""A SavedModel in memory: its graph in a session, as the real server has it.

The session's loader takes SavedModels of both kinds, those of TF 2 and those of TF 1's builder,
runs a signature by the names of its tensors, and gives its memory back when it is closed.
"""

import gc
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions

from sortline.client.server_status import StatusError
from sortline.core.errors import ArtifactError
from sortline.model.contract import CONTRACT, verify
from sortline.standin.batching import Batcher

Array = npt.NDArray[Any]
_MAX_CALLABLES: Final = 32
_TAG: Final = "serve"


def _check_folder(folder: Path) -> None:
    # A pipe in place of the file would be waited for without end.
    for name in ("saved_model.pb", "saved_model.pbtxt"):
        try:
            mode = (folder / name).stat().st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode):
            return
    raise StatusError(
        grpc.StatusCode.NOT_FOUND,
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}",
    )


def _check_contract(folder: Path) -> None:
    if not (folder / CONTRACT).exists():
        return
    try:
        verify(folder)
    except ArtifactError as error:
        raise StatusError(grpc.StatusCode.DATA_LOSS, str(error)) from error


class Servable:
    """One loaded version.

    Attributes:
        name: of the model.
        version: number.
        signatures: `tensorflow.SignatureDef` by name.
        is_ours: whether it brought a contract, which says what its outputs mean.
        batcher: puts requests together; None: each is computed by itself.
    """

    def __init__(self, name: str, version: int, folder: Path) -> None:
        self.name, self.version = name, version
        self.is_ours = (folder / CONTRACT).exists()
        self.batcher: Batcher | None = None
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        self._callables: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._lock = Lock()
        try:
            with self._graph.as_default():
                meta = tf.compat.v1.saved_model.load(self._session, [_TAG], str(folder))
        except BaseException:
            self.close()
            raise
        self.signatures: Mapping[str, Any] = dict(meta.signature_def)

    def run(
        self, signature: str, feeds: Mapping[str, Array], outputs: Sequence[str]
    ) -> list[Array]:
        """Compute the named outputs; thread-safe.

        Args:
            signature: its name.
            feeds: every input by its name in the signature.
            outputs: names in the signature.

        Raises:
            tf.errors.OpError: the graph refuses the values.
            StatusError: they cannot be put into a batch.
        """
        call = self._callable(signature, tuple(outputs))
        order = sorted(self.signatures[signature].inputs)

        def compute(given: Mapping[str, Array]) -> list[Array]:
            return [np.asarray(value) for value in call(*(given[name] for name in order))]

        if self.batcher is None:
            return compute(feeds)
        return self.batcher.run((signature, *outputs), feeds, compute)

    def _callable(self, signature: str, outputs: tuple[str, ...]) -> Any:
        key = (signature, outputs)
        with self._lock:
            if key not in self._callables:
                if len(self._callables) >= _MAX_CALLABLES:
                    self._callables.pop(next(iter(self._callables)))
                self._callables[key] = self._make(signature, outputs)
            return self._callables[key]

    def _make(self, signature: str, outputs: tuple[str, ...]) -> Any:
        definition = self.signatures[signature]
        options = CallableOptions(
            feed=[definition.inputs[name].name for name in sorted(definition.inputs)],
            fetch=[definition.outputs[name].name for name in outputs],
        )
        # The public ways to run a session refuse values of another shape than the signature's; the
        # real server takes them, and its own test client sends a scalar for a vector.
        return self._session._make_callable_from_options(options)

    def close(self) -> None:
        """Free the memory; no call may be under way."""
        self._callables.clear()
        self._session.close()
        del self._session, self._graph
        gc.collect()  # A graph is full of references in circles.


def load(name: str, version: int, folder: Path) -> Servable:
    """Load a version, after checking its digest if it has a contract of ours.

    Raises:
        StatusError: there is no SavedModel, or not the one that was exported.
        Exception: whatever TensorFlow raises on files that are not a SavedModel it can use.
    """
    _check_folder(folder)
    _check_contract(folder)
    return Servable(name, version, folder)
