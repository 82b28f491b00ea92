"""A promotion that is killed with SIGKILL, at whatever step: `stable` is where the file has it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.promotion_parts import Releases, unload_all
from helpers.release_parts import REPOSITORY
from helpers.served_models import standin

from sortline.releases.promote import STEPS

pytest_plugins = ["helpers.release_fixtures", "helpers.promotion_fixtures"]

# In here nothing imports TensorFlow, which would take longer than all the rest.
_PROMOTION = """
import os, signal, sys
from contextlib import ExitStack
from datetime import UTC, datetime
from helpers.release_parts import LIMITS, settings
from sortline.serving.version_folder import WARMUP
from sortline.releases import promote as module
from sortline.releases.replicas import open_replicas
from sortline.releases.replicas import read_golden
from sortline.releases.rollout import Fleet
from sortline.releases.store import CONFIG, open_store

folder, targets, kind, moment = sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4]
values = settings(promote={"soak_s": 0.05, "max_latency_ratio": 1000.0}).promote

def die():
    os.kill(os.getpid(), signal.SIGKILL)

with open_store(folder, LIMITS) as store, open_replicas(targets) as replicas:
    requests = store.read(f"2/{WARMUP}").data
    module._verified = lambda *_: read_golden(requests, "sortline", 1)
    write, written = store.write, []

    def write_and_die(name, data, tag):
        found = write(name, data, tag)
        if name == CONFIG:
            written.append(name)
            if kind == "write" and len(written) == int(moment):
                die()
        return found

    store.write = write_and_die
    request = module.Request(2, None, (), datetime(2026, 5, 4, tzinfo=UTC), "Ada")
    step = lambda name: die() if (kind, moment) == ("step", name) else None
    module.promote(store, Fleet(replicas, values, print), request, step)
"""
# The command, which gets a SIGTERM when canary has moved, and another while that is put back.
_TOLD_TO_END = """
import os, signal, sys
from sortline.core.entry import exit_code_of
from sortline.serving.version_folder import WARMUP
from sortline.cli import release
from sortline.releases import promote
from sortline.releases.replicas import read_golden
from sortline.releases.rollout import Rollout

def verified(store, *_):
    return read_golden(store.read(f"2/{WARMUP}").data, "sortline", 1)

def and_then_a_signal(method):
    def call(*arguments):
        found = method(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)
        return found
    return call

promote._verified, promote._label = verified, and_then_a_signal(promote._label)
Rollout._put_file_back = and_then_a_signal(Rollout._put_file_back)
sys.exit(exit_code_of(lambda: release.promote("2", sys.argv[1], endpoints=[sys.argv[2]])))
"""
# The third time that the file is written moves `stable`.
_FAST = [("step", "stable"), ("write", "3")]
_SLOW = [("step", name) for name in (*STEPS, "unload")] + [("write", str(n)) for n in range(1, 4)]


def kill(releases: Releases, kind: str, moment: str) -> None:
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    arguments = [releases.store.address, ",".join(releases.targets), kind, moment]
    done = subprocess.run(
        [sys.executable, "-c", _PROMOTION, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


def check_killed(releases: Releases, kind: str, moment: str) -> None:
    moved = (kind, moment) in (("step", "unload"), ("write", "3"))
    assert releases.served().stable == (2 if moved else 1)
    serving = releases.answers("stable")
    assert serving == ([2, 2] if moment == "unload" else [1, 1])
    # One that starts anew, as after a failure of the machine.
    flags = (
        f"--model_config_file={releases.store.address}/models.config",
        "--allow_version_labels_for_unavailable_models",
    )
    with standin(*flags) as anew:
        alone = Releases(releases.store, [anew.at.grpc], releases.candidates)
        assert alone.answers("stable") == ([2] if moved else [1])


def check_repeated(releases: Releases) -> None:
    releases.promote(2)
    assert releases.answers("stable") == releases.answers("canary") == [2, 2]
    assert releases.served().versions == {1, 2}
    assert releases.rollback() == (2, 1), "the killed promotion is in the way"
    assert releases.answers("stable") == [1, 1]


@pytest.mark.parametrize(("kind", "moment"), _FAST)
def test_a_killed_promotion_leaves_stable_where_the_file_has_it(
    releases: Releases, kind: str, moment: str
) -> None:
    releases.promote(1)
    kill(releases, kind, moment)
    check_killed(releases, kind, moment)
    check_repeated(releases)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "moment"), _SLOW)
def test_a_promotion_killed_at_every_moment(releases: Releases, kind: str, moment: str) -> None:
    releases.promote(1)
    kill(releases, kind, moment)
    check_killed(releases, kind, moment)
    check_repeated(releases)


def test_a_promotion_that_is_told_to_end_puts_everything_back_first(releases: Releases) -> None:
    releases.promote(1)
    before = releases.served()
    arguments = [releases.store.address, ",".join(releases.targets)]
    done = subprocess.run(
        [sys.executable, "-c", _TOLD_TO_END, *arguments], cwd=REPOSITORY, check=False
    )
    assert done.returncode == 130
    assert releases.served() == before
    assert releases.answers("stable") == releases.answers("canary") == [1, 1]
    assert all(states[2] != "AVAILABLE" for states in releases.states())


def test_a_promotion_that_is_killed_and_forgotten_is_not_in_the_next_ones_way(
    releases: Releases, models: list[Path]
) -> None:
    releases.promote(1)
    kill(releases, "step", "stable")
    releases.publish(models[2])
    releases.promote(3)
    assert releases.served().versions == {1, 3}
    assert releases.rollback() == (3, 1)
    for target in releases.targets:
        unload_all(target)
