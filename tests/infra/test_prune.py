"""The command that removes old releases in the cluster is one that `sortline` has."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers.release_store import fill, promote, record
from helpers.rendered import named, render
from helpers.workspaces import ROOT, environment, git

from sortline.cli.main import app

Container = dict[str, Any]


@pytest.fixture(scope="module")
def container() -> Container:
    job = named(render("gpu"), "CronJob", "prune")
    found: Container = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return found


def _sortline(container: Container) -> list[str]:
    (line,) = container["args"]
    words = shlex.split(line.rpartition("&&")[2])
    assert words[0] == "sortline"
    return words[1:]


def test_the_command_line_itself_takes_what_the_cluster_calls(container: Container) -> None:
    name, *rest = _sortline(container)
    group = typer.main.get_command(app)
    with group.make_context("sortline", [name]) as context:
        _, command, _ = group.resolve_command(context, [name])  # type: ignore[attr-defined]
        given = command.make_context(name, rest, parent=context).params
    assert given["prune"] is True
    assert given["store"] == "$STORE"
    assert given["keep"] is None, "params.yaml says how many stay"


def _checkout(folder: Path) -> Path:
    folder.mkdir()
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=settings")
    return folder


def test_it_clones_reads_how_many_stay_and_removes_what_is_older(
    container: Container, tmp_path: Path
) -> None:
    pytest.importorskip("tensorflow_serving")
    store, bin_folder, scratch = tmp_path / "store", tmp_path / "bin", tmp_path / "scratch"
    for version in range(1, 13):
        fill(store, version, str(version))
        record(store, version)
    promote(store, {"stable": 2})
    bin_folder.mkdir()
    scratch.mkdir()
    program = bin_folder / "sortline"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sortline.cli.main "$@"\n')
    program.chmod(0o755)
    variables = environment(
        STORE=str(store),
        GIT_REPOSITORY=f"file://{_checkout(tmp_path / 'repository')}",
        PYTHONPATH=str(ROOT),
    )
    variables["PATH"] = f"{bin_folder}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(
        [*container["command"], *container["args"]],
        cwd=scratch, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    left = {int(path.name) for path in store.iterdir() if path.name.isdecimal()}
    assert left == {2, *range(3, 13)}, "the newest ten, and what is served"
