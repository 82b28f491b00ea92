"""Servers that read the model config file themselves, every so many seconds.

A server that reads a file in which a label moves to a version that it does not serve refuses the
whole file, and loads nothing (`UpdateModelVersionLabelMap` in TensorFlow Serving's server_core.cc
comes before everything else). So a version is named in the file first, and gets its labels later.
"""

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from sortline.core.errors import ServingError
from sortline.releases.endpoints import Replica, left, wait_available
from sortline.releases.model_config import CANARY, STABLE, Served, served_by
from sortline.releases.store import CONFIG

if TYPE_CHECKING:
    from sortline.releases.rollout import Rollout

_PAUSE_S: Final = 0.2


def follow(replica: Replica, config: Any, model: str, deadline: float, poll_s: float) -> None:
    """Wait until a replica that reads the config file serves what it says of a model.

    Args:
        replica: who.
        config: what the file says.
        model: its name.
        deadline: of `time.monotonic`.
        poll_s: after which it has surely read the file, and an old failure is a new one.

    Raises:
        ServingError: it cannot load a version, or does not come to that in time.
    """
    served = served_by(config, model) or Served()
    before = replica.states(model, deadline)
    for version in sorted(served.versions):
        wait_available(replica, model, version, deadline, before.get(version), poll_s)
    for label, version in sorted(served.labels.items()):
        _wait_labelled(replica, model, label, version, deadline)


def _wait_labelled(replica: Replica, model: str, label: str, version: int, deadline: float) -> None:
    while (found := replica.labelled(model, label, deadline)) != version:
        if time.monotonic() >= deadline:
            raise ServingError(
                "DEADLINE_EXCEEDED",
                replica.target,
                f"{replica.target}: {label} of {model} is {found or 'no version'} and not"
                f" {version} in time. It has to poll {CONFIG}, more often than promote.deadline_s"
                " (--model_config_file_poll_wait_seconds).",
            )
        time.sleep(min(_PAUSE_S, left(deadline)))


def write_in_turn(rollout: "Rollout", version: int, keep: Collection[int]) -> None:
    """Make a version canary and stable in the file alone; nobody is asked whether it serves.

    Args:
        rollout: without replicas.
        version: which.
        keep: versions that stay loaded without a label.

    Raises:
        BusyError, ReleaseError: the file cannot be written.
    """
    fleet, before = rollout.fleet, rollout.before
    if version not in before.versions and before.versions:
        rollout.apply(before.with_loaded(version), fleet.deadline())
        poll_s = fleet.settings.poll_s
        fleet.say(
            f"{CONFIG} names version {version}; its labels move in {poll_s:g} s (promote.poll_s),"
            " when all servers have read that: they refuse a label of a version that they lack"
        )
        time.sleep(poll_s)
    labelled = rollout.now.with_loaded(version).with_labels(**{CANARY: version, STABLE: version})
    rollout.apply(labelled.with_only(*keep), fleet.deadline())
    fleet.say(
        f"{rollout.store.address}/{CONFIG} names version {version} as stable. Servers that poll it"
        " follow (--model_config_file_poll_wait_seconds); none was asked, as there are no"
        " --endpoints"
    )
