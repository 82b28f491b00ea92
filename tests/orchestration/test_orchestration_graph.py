"""The graph that schedulers see is dvc.yaml's."""

from pathlib import Path

import pytest
from helpers.workspaces import ROOT

from sortline.core.errors import ParamsError
from sortline.core.graph import closure, edges, read_graph, stage_of

GRAPH = read_graph(ROOT)


def test_a_stage_is_below_those_that_make_what_it_reads() -> None:
    assert ("validate", "augment") in edges(GRAPH)
    assert ("warm_start", "train_phase1") in edges(GRAPH)
    assert ("gate", "evaluate") not in edges(GRAPH)


def test_a_folder_that_is_read_in_part_is_an_edge_too(tmp_path: Path) -> None:
    meta = "meta: {resources: cpu, timeout_s: 1}"
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  a: {{cmd: x, outs: [out/folder], {meta}}}\n"
        f"  b: {{cmd: x, deps: [out/folder/part], {meta}}}\n"
        f"  c: {{cmd: x, deps: [out/folder-of-another], {meta}}}\n"
    )
    assert edges(read_graph(tmp_path)) == {("a", "b")}


def test_everything_above_the_gate_comes_in_the_order_of_the_file() -> None:
    assert closure(GRAPH, "gate") == [name for name in GRAPH if name != "gate"]
    assert closure(GRAPH, "validate") == []


def test_resources_and_time_are_those_of_the_file() -> None:
    assert GRAPH["train_phase1"].resources == "gpu"
    assert GRAPH["augment"].timeout_s == 600


def test_an_unknown_stage_is_named_with_those_there_are() -> None:
    with pytest.raises(ParamsError, match=r"no stage 'trian'.*validate"):
        stage_of(GRAPH, "trian")


@pytest.mark.parametrize("text", ["stages: {a: {cmd: x}}", "stages: [", "nothing: {}"])
def test_a_file_that_cannot_be_scheduled_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"meta\.resources"):
        read_graph(tmp_path)
