"""The model config file and the replicas, moved step by step, and put back together.

Before each step the file says what the step makes true; then every replica is brought to it. A
replica that starts anew, whenever, comes up with what the file says.

Servers may also read the file themselves, every so many seconds. One that reads a file in which a
label moves to a version that it does not serve refuses the whole file, and loads nothing
(`UpdateModelVersionLabelMap` in TensorFlow Serving's server_core.cc comes before everything else).
So a version is named in the file first, and gets its labels later.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sortline.client.model_config import (
    CANARY,
    STABLE,
    Served,
    parse_config,
    served_by,
    settings_of,
    to_text,
    with_served,
)
from sortline.core.errors import BusyError, RefusedError, ReleaseError, ServingError, SortlineError
from sortline.core.storage import SmallFile
from sortline.releases.replicas import (
    Replica,
    State,
    available,
    converge,
    left,
    probe,
    wait_available,
)
from sortline.releases.settings import Promote
from sortline.releases.store import CONFIG, Store

_PAUSE_S: Final = 0.2


Say = Callable[[str], None]
States = Mapping[str, Mapping[int, State]]
"""Of versions, by their number, by replica."""


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
        while (labelled := replica.labelled(model, label, deadline)) != version:
            if time.monotonic() >= deadline:
                raise ServingError(
                    "DEADLINE_EXCEEDED",
                    replica.target,
                    f"{replica.target}: {label} of {model} is {labelled or 'no version'} and not"
                    f" {version} in time. It has to poll {CONFIG}, more often than"
                    " promote.deadline_s (--model_config_file_poll_wait_seconds).",
                )
            time.sleep(min(_PAUSE_S, left(deadline)))


@dataclass(frozen=True)
class Fleet:
    """The replicas, how long they may take, and where to tell of it.

    Attributes:
        replicas: none: servers that poll the config file.
        settings: section `promote`.
        say: takes a line for the user.
    """

    replicas: Sequence[Replica]
    settings: Promote
    say: Say

    @property
    def model(self) -> str:
        """Its name."""
        return self.settings.model_name

    def deadline(self) -> float:
        """As a time of `time.monotonic`."""
        return time.monotonic() + self.settings.deadline_s

    def call_deadline(self) -> float:
        """As a time of `time.monotonic`, for one call."""
        return time.monotonic() + self.settings.call_timeout_s

    def serving(self) -> frozenset[int]:
        """Versions that any replica serves now.

        Raises:
            ServingError: one cannot be asked.
        """
        deadline = self.deadline()
        served = [available(replica.states(self.model, deadline)) for replica in self.replicas]
        return frozenset().union(*served)

    def check(self) -> States:
        """Look whether all are there, before anything changes; what they serve.

        Raises:
            ServingError: one is not.
        """
        states = {}
        for replica in self.replicas:
            try:
                states[replica.target] = replica.states(self.model, self.call_deadline())
            except ServingError as error:
                raise ServingError(
                    error.code,
                    error.target,
                    f"{error} Nothing has changed. Without it in --endpoints the others go on; it"
                    " then has to read the config file when it comes back.",
                ) from error
        return states

    def bring(self, replica: Replica, config: Any, base_path: str, deadline: float) -> None:
        """Bring a replica to what a config says: by a reload, or by waiting for its next look.

        Raises:
            ServingError: it does not come to that in time.
        """
        if self.settings.reload:
            converge(replica, config, base_path, self.model, deadline)
        else:
            follow(replica, config, self.model, deadline, self.settings.poll_s)

    def wait(self, version: int, deadline: float, before: States) -> None:
        """Wait until all serve a version; `before`: what they said before they were asked to.

        Raises:
            ServingError: one cannot, or not in time.
        """
        for count, replica in enumerate(self.replicas, 1):
            earlier = before.get(replica.target, {}).get(version)
            wait_available(replica, self.model, version, deadline, earlier)
            self.say(f"version {version} is available: {count} of {len(self.replicas)} replicas")

    def probe(self, golden: Sequence[Any], version: int, label: str | None = None) -> None:
        """Ask every replica: see `replicas.probe`."""
        probe(self.replicas, golden, version, self.settings.call_timeout_s, label)


@dataclass
class Rollout:
    """One change of what is served.

    Attributes:
        before: what the file said of the model at the start; without a file, what replicas served.
        now: what the file says of it.
    """

    store: Store
    fleet: Fleet
    base_path: str
    before: Served
    now: Served
    _config: Any
    _original: SmallFile | None
    _last: SmallFile | None
    _written: set[bytes] = field(default_factory=set)

    def apply(self, served: Served, deadline: float) -> None:
        """Write the file, then bring every replica to it.

        Raises:
            BusyError: somebody else has changed the file.
            ServingError, ReleaseError: a replica does not follow; the file cannot be written.
        """
        config = with_served(self._config, self.fleet.model, self.base_path, served)
        text = to_text(config)
        self._written.add(text)
        if self._last is None or self._last.data != text:
            tag = self.store.write(CONFIG, text, self._last.tag if self._last else None)
            self._last = SmallFile(text, tag)
        self._config, self.now = config, served
        for replica in self.fleet.replicas:
            self.fleet.bring(replica, config, self.base_path, deadline)

    def put_back(self) -> list[str]:
        """Undo all steps as far as that is possible; what is not as it was, in words."""
        faults = []
        try:
            config = self._put_file_back()
        except SortlineError as error:
            faults.append(f"the config file is not as it was: {error}")
            config = self._first_config()
        for replica in self.fleet.replicas:
            try:
                deadline = self.fleet.deadline()
                self.fleet.bring(replica, config, self.base_path, deadline)
            except ServingError as error:
                faults.append(f"a replica is not as it was, until it starts anew: {error}")
        return faults

    def _first_config(self) -> Any:
        if self._original is not None:
            return parse_config(self._original.data, CONFIG)
        return with_served(parse_config(b"", CONFIG), self.fleet.model, self.base_path, self.before)

    def _put_file_back(self) -> Any:
        """Write the original, unless somebody else wrote last; the config that holds then."""
        file = self.store.read(CONFIG)
        theirs = file is not None and file.data not in self._written
        if file is not None and theirs:
            return parse_config(file.data, CONFIG)
        if self._original is not None and file != self._original:
            self.store.write(CONFIG, self._original.data, file.tag if file else None)
        elif self._original is None and file is not None:
            self.store.remove(CONFIG, file.tag)
        return self._first_config()


def read_config(store: Store) -> tuple[Any, SmallFile | None]:
    """The ModelServerConfig of a store, empty without a file; and that file.

    Raises:
        ReleaseError: the file cannot be read or understood.
    """
    file = store.read(CONFIG)
    return parse_config(file.data if file else b"", f"{store.address}/{CONFIG}"), file


def begin(store: Store, fleet: Fleet, base_path: str | None) -> Rollout:
    """Look at what is served now.

    Args:
        store: where the config file is.
        fleet: who serves.
        base_path: the store as the servers see it; None: as the file says, or else its address.

    Raises:
        ReleaseError: the file cannot be read or understood.
        ServingError: there is no file, and a replica cannot be asked what it serves.
    """
    config, original = read_config(store)
    settings, served = settings_of(config, fleet.model), served_by(config, fleet.model)
    if served is None:  # Served until now by the newest in a base path, or not at all.
        versions = fleet.serving() & store.list().published
        labels = settings.labels.items() if settings else ()
        served = Served(versions, {label: at for label, at in labels if at in versions})
    path = base_path or (settings and settings.base_path) or store.address
    written = {original.data} if original else set()
    return Rollout(store, fleet, path, served, served, config, original, original, written)


@contextmanager
def all_or_nothing(rollout: Rollout) -> Iterator[None]:
    """Put everything back when the block raises; the error says whether that was possible."""
    try:
        yield
    except BaseException as error:
        faults = rollout.put_back()
        outcome = f"But {'; '.join(faults)}" if faults else "Everything is as it was."
        if isinstance(error, ServingError):
            raise ServingError(error.code, error.target, f"{error} {outcome}") from error
        if isinstance(error, BusyError | ReleaseError | RefusedError):
            raise type(error)(f"{error} {outcome}") from error
        rollout.fleet.say(outcome)
        raise


def write_in_turn(rollout: Rollout, version: int, keep: Collection[int]) -> None:
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
