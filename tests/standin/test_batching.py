"""`--enable_batching`: callers are computed together, get their own rows, and are never held longer
than they were told.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from helpers.served_models import client_of, floats, refusal, standin, versions

from sortline.client.server_status import StatusError
from sortline.core.errors import ParamsError
from sortline.standin.batching import Batcher, BatchingParameters
from sortline.standin.model_server import read_batching

Array = npt.NDArray[Any]
LONG_US = 60_000_000


class Doubling:
    """What a graph does; remembers how many rows it was given, and waits until it may go on."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.begun, self.go = threading.Semaphore(0), threading.Event()
        self.go.set()

    def __call__(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.rows.append(len(feeds["x"]))
        self.begun.release()
        assert self.go.wait(60)
        if (feeds["x"] < 0).any():
            raise ValueError("the graph refuses it")
        return [2 * feeds["x"]]


def ask(batcher: Batcher, graph: Doubling, *values: float) -> list[float]:
    found: list[float] = batcher.run(("s",), {"x": floats(*values)}, graph)[0].tolist()
    return found


def test_callers_are_computed_as_one_and_get_their_own_rows() -> None:
    graph, batcher = Doubling(), Batcher(BatchingParameters(6, LONG_US))
    asking = [(1.0, 2.0), (3.0,), (4.0, 5.0, 6.0)]
    with ThreadPoolExecutor(3) as callers:
        found = list(callers.map(lambda values: ask(batcher, graph, *values), asking))
    assert found == [[2, 4], [6], [8, 10, 12]]
    assert graph.rows == [6]


def test_who_is_alone_waits_no_longer_than_the_timeout() -> None:
    graph = Doubling()
    assert ask(Batcher(BatchingParameters(6, 1000)), graph, 1.0) == [2]
    assert ask(Batcher(BatchingParameters()), graph, 1.0) == [2]


def test_the_graph_sees_allowed_sizes_alone_and_callers_none_of_the_padding() -> None:
    graph = Doubling()
    batcher = Batcher(BatchingParameters(8, allowed_batch_sizes=(1, 4, 8)))
    assert ask(batcher, graph, 1.0, 2.0, 3.0) == [2, 4, 6]
    assert ask(batcher, graph) == []
    assert graph.rows == [4, 0]


def test_past_the_batches_that_may_wait_callers_are_refused_and_then_served_again() -> None:
    graph, batcher = Doubling(), Batcher(BatchingParameters(1, 0, 1, 1))
    graph.go.clear()
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(ask, batcher, graph, 1.0)
        assert graph.begun.acquire(timeout=60)
        second = callers.submit(ask, batcher, graph, 2.0)
        while not batcher.waiting:
            pass
        with pytest.raises(StatusError, match=r"RESOURCE_EXHAUSTED.*queue.*is full"):
            ask(batcher, graph, 3.0)
        graph.go.set()
        assert (first.result(60), second.result(60)) == ([2], [4])
    assert ask(batcher, graph, 3.0) == [6]


def test_a_failure_reaches_everybody_of_the_batch_and_nobody_after() -> None:
    graph, batcher = Doubling(), Batcher(BatchingParameters(2, LONG_US))
    with ThreadPoolExecutor(2) as callers:
        asked = [callers.submit(ask, batcher, graph, value) for value in (-1.0, 1.0)]
        for each in asked:
            with pytest.raises(ValueError, match="the graph refuses it"):
                each.result(60)
    assert ask(batcher, graph, 1.0, 2.0) == [2, 4]


def test_rows_of_another_shape_are_computed_apart() -> None:
    graph, batcher = Doubling(), Batcher(BatchingParameters(2, 1000))
    wide, narrow = np.ones((1, 3), np.float32), np.ones((1, 2), np.float32)
    with ThreadPoolExecutor(2) as callers:
        asked = [
            callers.submit(batcher.run, ("s",), {"x": value}, graph) for value in (wide, narrow)
        ]
        assert [each.result(60)[0].shape for each in asked] == [(1, 3), (1, 2)]


def test_a_graph_that_does_not_answer_by_rows_is_refused() -> None:
    batcher = Batcher(BatchingParameters())
    with pytest.raises(StatusError, match=r"FAILED_PRECONDITION.*0th dimension"):
        batcher.run(("s",), {"x": floats(1.0)}, lambda feeds: [feeds["x"].sum()])


def parameters(tmp_path: Path, text: str) -> BatchingParameters | None:
    file = tmp_path / "batching"
    file.write_text(text)
    return read_batching(True, file)


def test_the_real_servers_file_is_read(tmp_path: Path) -> None:
    text = (
        "max_batch_size { value: 4 } batch_timeout_micros { value: 0 } thread_pool_name"
        ' { value: "p" } num_batch_threads { value: 3 } allowed_batch_sizes: [2, 4]'
    )
    ignored = ("thread_pool_name",)
    assert parameters(tmp_path, text) == BatchingParameters(4, 0, 10, 3, (2, 4), ignored)
    assert read_batching(True, None) == BatchingParameters()
    assert read_batching(False, None) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size is 0; 1 or more"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]", "has to be max_batch_size, 8"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: [4, 2, 4]", "have to increase"),
        ("max_batch: 4", "BatchingParameters"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ParamsError) as error:
        parameters(tmp_path, text)
    assert said in str(error.value)


def test_a_file_that_would_be_ignored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="ignored without --enable_batching"):
        read_batching(False, tmp_path)


def test_a_server_with_batching_answers_many_and_refuses_what_cannot_be_batched(
    tmp_path: Path, half_plus_two: Path
) -> None:
    file = tmp_path / "batching"
    file.write_text("max_batch_size { value: 4 } batch_timeout_micros { value: 5000 }")
    base_path = versions(tmp_path / "default", half_plus_two, 1)
    flags = ("--enable_batching", f"--batching_parameters_file={file}")
    with (
        standin(f"--model_base_path={base_path}", *flags) as running,
        client_of(running) as client,
        ThreadPoolExecutor(8) as callers,
    ):
        asked = [float(value) for value in range(40)]
        assert list(callers.map(client.half_plus, asked)) == [2 + value / 2 for value in asked]
        for sent, said in (
            (np.float32(1.0), "Batching Run() input tensors must have at least one dimension"),
            (floats(*range(5)), "Task size 5 is larger than maximum input batch size 4"),
        ):
            with pytest.raises(grpc.RpcError) as error:
                client.predict({"name": "default"}, x=sent)
            assert refusal(error.value) == ("INVALID_ARGUMENT", said)
