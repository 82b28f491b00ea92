"""The devices that params.yaml asks for, and where their processes write."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sortline.core.paths import Paths
from sortline.training.devices import Devices, OneDevice, use
from sortline.training.phase_settings import Distribution


@dataclass(frozen=True)
class ScratchPaths(Paths):
    """Paths of a worker that is not the chief: it reads the graph's files, and writes elsewhere."""

    scratch: Path

    @property
    def phase2(self) -> Path:
        """Thrown away."""
        return self.scratch / "phase2"

    @property
    def reports(self) -> Path:
        """Thrown away."""
        return self.scratch / "reports"

    @property
    def state(self) -> Path:
        """Thrown away: the checkpoint is the chief's."""
        return self.scratch / "state"

    @property
    def features(self) -> Path:
        """As the chief's: a cache by content, which several may fill at once."""
        return Paths(self.root).features


def _devices(distribution: Distribution) -> Devices:
    if distribution.strategy == "single":
        return OneDevice()
    from sortline.training import distributed_tf

    if distribution.strategy == "mirrored":
        return distributed_tf.mirrored(distribution.timeout_s)
    return distributed_tf.workers(distribution.timeout_s)


@contextmanager
def opened(distribution: Distribution, paths: Paths) -> Iterator[Paths]:
    """Train in the block on the devices that are asked for; where this process is to write.

    Only the chief writes what the graph is made of; the others write to a folder that is removed.

    Raises:
        ParamsError: the workers are not named.
        UnreachableError: a worker was lost.
    """
    devices = _devices(distribution)
    with tempfile.TemporaryDirectory(prefix="sortline-worker-") as scratch, use(devices):
        yield paths if devices.chief else ScratchPaths(paths.root, Path(scratch))
