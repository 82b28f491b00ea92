"""`python -m sortline.releases.sync STORE --into FOLDER`: bring releases to a model server.

TensorFlow Serving's own image cannot read s3:// since 2.7 (tensorflow/serving#1963), and polling a
bucket every second is expensive. This runs beside it instead: it reads the store's models.config
(the truth, written by `sortline promote`), brings every version that the file names, compared with
its record byte for byte, and only then lays the file, with base paths that are local, where the
server polls it. A pass that fails changes nothing: the server goes on with what it has.

Reads: STORE, as `sortline publish` writes it. Writes: FOLDER/models.config and
FOLDER/<model>/<version>/. Needs neither TensorFlow nor params.yaml.
"""

import argparse
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from sortline.client.model_config import Served, parse_config, served_by, to_text, with_served
from sortline.core.entry import exit_code_of
from sortline.core.errors import ReleaseError, SortlineError
from sortline.core.files import atomic_dir, remove, write_text
from sortline.core.storage import Limits
from sortline.releases.records import read_record
from sortline.releases.store import CONFIG, Store, open_store
from sortline.releases.version_check import check_files

_LIMITS: Final = Limits(timeout_s=30.0, attempts=3)


@dataclass(frozen=True)
class Wanted:
    """What the store says should be served.

    Attributes:
        versions: of the model, all of them.
        labels: the version that each label names.
        text: the file, with the base path that the server will see.
    """

    versions: frozenset[int]
    labels: Mapping[str, int]
    text: str


def localised(data: bytes, model: str, base_path: Path) -> Wanted:
    """Read a models.config and give its model a local base path.

    Args:
        data: the file's bytes.
        model: the one that is served from this store; the file has to name it, and no other.
        base_path: where its versions will lie.

    Raises:
        ReleaseError: it is not such a file, or it leaves the versions to what a folder holds.
    """
    config = parse_config(data, f"{CONFIG} in the store")
    names = [entry.name for entry in config.model_config_list.config]
    served = served_by(config, model)
    if names != [model] or served is None or not served.versions:
        fault = "no specific versions" if names == [model] else f"{names} and not {model!r} alone"
        raise ReleaseError(
            f"{CONFIG} in the store cannot be served: it names {fault}. `sortline promote` writes"
            " it anew."
        )
    return _with_text(config, model, base_path, served)


def _with_text(config: Any, model: str, base_path: Path, served: Served) -> Wanted:
    text = to_text(with_served(config, model, str(base_path), served)).decode()
    return Wanted(served.versions, served.labels, text)


def _bring(store: Store, version: int, target: Path) -> None:
    recorded = read_record(store, version)
    if recorded is None:
        raise ReleaseError(
            f"Version {version} has no record in {store.address}, so its bytes cannot be compared."
            " Publish it with `sortline publish`."
        )
    with store.fetched(version) as folder, atomic_dir(target) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        check_files(partial, recorded[0])


def _present(folder: Path) -> frozenset[int]:
    names = (path.name for path in folder.glob("*") if path.is_dir())
    return frozenset(int(name) for name in names if name.isdecimal())


class ServedFolder:
    """The folder that one server sees.

    Args:
        into: that folder.
        model: its name in models.config.
    """

    def __init__(self, into: Path, model: str) -> None:
        self.model = model
        self._file, self._base_path = into / CONFIG, into / model
        # Versions of the file that is there, and of the one before it, which the server may be
        # serving still: it reads the file at times of its own.
        self._now, self._last = _present(self._base_path), frozenset[int]()

    def synchronise(self, store: Store) -> Wanted:
        """One pass: bring what is missing, lay the file, remove what no server can want any more.

        Returns what the server is told.

        A label that moves to a version of which the file has said nothing yet waits for the next
        pass: TensorFlow Serving refuses the whole file until the version is loaded.

        Raises:
            SortlineError: the store fails, has no models.config, or a version is not what its
                record says; what is served is left as it was.
        """
        small = store.read(CONFIG)
        if small is None:
            raise ReleaseError(
                f"There is no {CONFIG} in {store.address}: nothing was promoted yet. Run"
                " `sortline promote`."
            )
        wanted = localised(small.data, self.model, self._base_path)
        for version in sorted(wanted.versions - _present(self._base_path)):
            _bring(store, version, self._base_path / str(version))
        laid = self._next(wanted)
        self._lay(laid)
        for version in _present(self._base_path) - self._now - self._last:
            remove(self._base_path / str(version))
        return laid

    def _next(self, wanted: Wanted) -> Wanted:
        if not self._file.exists():  # A server that starts may be given everything at once.
            return wanted
        laid = localised(self._file.read_bytes(), self.model, self._base_path)
        if laid.versions.issuperset(wanted.labels.values()):
            return wanted
        # Every version that is wanted or laid, under the labels that are laid.
        config = parse_config(wanted.text.encode(), CONFIG)
        served = Served(wanted.versions | laid.versions, laid.labels)
        return _with_text(config, self.model, self._base_path, served)

    def _lay(self, wanted: Wanted) -> None:
        if not self._file.exists() or self._file.read_text(encoding="utf-8") != wanted.text:
            write_text(self._file, wanted.text)
            labels = " ".join(f"{label}={number}" for label, number in wanted.labels.items())
            print(f"sync: the server is given {sorted(wanted.versions)} {labels}", flush=True)
        if wanted.versions != self._now:
            self._now, self._last = wanted.versions, self._now


class Figures:
    """What Prometheus is told of the passes.

    - `sortline_sync_passes_total{result}`: `done` or `failed`.
    - `sortline_sync_done_timestamp_seconds`: of the last pass that was done.
    - `sortline_sync_version{model,label}`: the version that each label names.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._passes = Counter(
            "sortline_sync_passes", "Passes by result.", ("result",), registry=registry
        )
        self._done = Gauge(
            "sortline_sync_done_timestamp_seconds", "Last pass that was done.", registry=registry
        )
        self._version = Gauge(
            "sortline_sync_version", "Version by label.", ("model", "label"), registry=registry
        )

    def failed(self) -> None:
        """A pass changed nothing."""
        self._passes.labels("failed").inc()

    def done(self, model: str, labels: Mapping[str, int]) -> None:
        """A pass brought everything that these labels name."""
        self._passes.labels("done").inc()
        self._done.set_to_current_time()
        self._version.clear()
        for label, version in labels.items():
            self._version.labels(model, label).set(version)


@dataclass(frozen=True)
class Options:
    """The command line."""

    store: str
    into: Path
    model: str
    every_s: float
    port: int
    once: bool


@contextmanager
def _metrics(port: int, registry: CollectorRegistry) -> Iterator[None]:
    server, thread = start_http_server(port, registry=registry)
    try:
        print(f"sync: metrics on port {server.server_port}", flush=True)
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _attempt(served: ServedFolder, store: Store, figures: Figures) -> bool:
    try:
        wanted = served.synchronise(store)
    except SortlineError as error:
        figures.failed()
        print(f"sync: nothing was changed: {error}", file=sys.stderr, flush=True)
        return False
    figures.done(served.model, wanted.labels)
    return True


def run(options: Options, stop: threading.Event) -> None:
    """Synchronise again and again; the metrics' port opens after the first pass that is done.

    Raises:
        SortlineError: with `once`, whatever kept the pass from being done.
    """
    registry = CollectorRegistry()
    figures, served = Figures(registry), ServedFolder(options.into, options.model)
    with open_store(options.store, _LIMITS) as store:
        if options.once:
            served.synchronise(store)
            return
        while not _attempt(served, store, figures):
            if stop.wait(options.every_s):
                return
        with _metrics(options.port, registry):
            while not stop.wait(options.every_s):
                _attempt(served, store, figures)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", help="A folder, or an address such as s3://bucket/prefix.")
    parser.add_argument("--into", type=Path, required=True, help="The folder the server sees.")
    parser.add_argument("--model", required=True, help="Its name in models.config.")
    parser.add_argument("--every-s", type=float, default=10.0, help="Seconds between passes.")
    parser.add_argument("--port", type=int, default=9100, help="Of the metrics.")
    parser.add_argument("--once", action="store_true", help="One pass, and no metrics.")
    options, stop = Options(**vars(parser.parse_args())), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sys.exit(exit_code_of(lambda: run(options, stop)))


if __name__ == "__main__":
    main()
