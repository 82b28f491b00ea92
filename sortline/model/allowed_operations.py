"""Which operations a SavedModel holds, and which ones it may.

The list is what may run in a server on a stranger's bytes: pure functions of the request and of the
model's own variables. An operation that reads files, calls Python or opens a connection is not on
it, and neither is one that nobody has thought about yet.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

from sortline.core.errors import ExportError

_DECODING = """
    DecodeJpeg DecodePng DecodeRaw DecodeWebP ExtractJpegShape StringJoin StringLength Substr
"""
# tf.data inside the graph: how an item that cannot be decoded leaves its neighbours alone.
_GUARDING = """
    BatchDatasetV2 ConcatenateDataset DatasetToSingleElement IgnoreErrorsDataset
    ParallelMapDatasetV2 TensorDataset TensorSliceDataset
"""
_NETWORK = """
    BiasAdd Conv2D DepthwiseConv2dNative MatMul Max MaxPool Mean Pad ReadVariableOp Relu Relu6
    ResizeBilinear ReverseV2 Rsqrt Sigmoid Softmax Sum VarHandleOp
"""
_ARITHMETIC = """
    AddN AddV2 All ArgMax BitwiseAnd Cast Equal FloorDiv FloorMod Greater GreaterEqual IsFinite Less
    LessEqual LogicalAnd LogicalNot LogicalOr Maximum Minimum Mul RealDiv Square Sub
"""
_SHAPES = """
    ConcatV2 Const EnsureShape ExpandDims Fill GatherV2 Identity IdentityN OnesLike Pack Placeholder
    Range Reshape ScatterNd SelectV2 Shape Size Squeeze StridedSlice ZerosLike
"""
_CALLS = "NoOp PartitionedCall StatefulPartitionedCall StatelessIf"

ALLOWED = frozenset(f"{_DECODING} {_GUARDING} {_NETWORK} {_ARITHMETIC} {_SHAPES} {_CALLS}".split())
_SAVER = """
    AssignVariableOp DisableCopyOnRead MergeV2Checkpoints RestoreV2 SaveV2 Select ShardedFilename
    StaticRegexFullMatch
"""
# Every SavedModel carries functions that save and restore its variables. A server restores them
# once, from `variables/`, before it answers anybody; no signature may call them.
ALLOWED_IN_SAVER = ALLOWED | frozenset(_SAVER.split())
# TensorFlow's wheels before 2.20 do not have it (looked for in 2.19.1 and 2.20.0).
_FIRST_RELEASE_WITH = {"DecodeWebP": (2, 20)}
_OLDEST_CONSIDERED = (2, 18)


@dataclass(frozen=True)
class Operations:
    """Numbers of nodes by operation: those a signature can reach or might, and the saver's own."""

    serving: Mapping[str, int]
    saver: Mapping[str, int]

    @property
    def total(self) -> int:
        """Number of nodes."""
        return sum(self.serving.values()) + sum(self.saver.values())


def _called(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        if attribute.WhichOneof("value") == "func":
            yield attribute.func.name
        yield from (function.name for function in attribute.list.func)


def _closure(nodes: Iterable[Any], functions: Mapping[str, Any]) -> set[str]:
    """Names of all functions that these nodes call, directly or not."""
    names: set[str] = set()
    waiting = [name for node in nodes for name in _called(node)]
    while waiting:
        name = waiting.pop()
        if name in names or name not in functions:
            continue
        names.add(name)
        waiting += [called for node in functions[name].node_def for called in _called(node)]
    return names


def read_operations(folder: Path) -> Operations:
    """Count the operations in the graph and in every function of `saved_model.pb`.

    Raises:
        ExportError: the file is not one graph without assets (files that a server would read).
    """
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = list(model.meta_graphs)
    if len(graphs) != 1 or graphs[0].asset_file_def:
        assets = [asset.filename for graph in graphs for asset in graph.asset_file_def]
        raise ExportError(
            f"{folder} holds {len(graphs)} graphs, assets {assets}; wanted 1 and none."
        )
    graph, saver = graphs[0].graph_def, graphs[0].saver_def
    saver_ends = {saver.save_tensor_name.partition(":")[0], saver.restore_op_name}
    functions = {function.signature.name: function for function in graph.library.function}
    saver_nodes = [node for node in graph.node if node.name in saver_ends]
    other_nodes = [node for node in graph.node if node.name not in saver_ends]
    # What both can reach counts as serving: only what the saver alone calls may touch files.
    savers = _closure(saver_nodes, functions) - _closure(other_nodes, functions)
    serving, saving = Counter(node.op for node in other_nodes), Counter(n.op for n in saver_nodes)
    for name, function in functions.items():
        (saving if name in savers else serving).update(node.op for node in function.node_def)
    return Operations(serving, saving)


def check_operations(operations: Operations) -> None:
    """Compare with the lists above.

    Raises:
        ExportError: an operation is not on its list; all such are named.
    """
    strange = sorted(operations.serving.keys() - ALLOWED)
    strange += sorted(f"{name} (saver)" for name in operations.saver.keys() - ALLOWED_IN_SAVER)
    if strange:
        raise ExportError(
            f"The graph holds operations that are not allowed in a server: {', '.join(strange)}."
            " Take them out of the network or of its preprocessing; if they are pure functions of"
            " the request, add them to sortline/model/allowed_operations.py."
        )


def min_serving_version(operations: Operations) -> str:
    """The oldest TensorFlow Serving that can load the graph, as far as we know."""
    needed = [_FIRST_RELEASE_WITH.get(name, _OLDEST_CONSIDERED) for name in operations.serving]
    major, minor = max(needed, default=_OLDEST_CONSIDERED)
    return f"{major}.{minor}"
