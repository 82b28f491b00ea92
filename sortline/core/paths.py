"""Where every file of the graph is."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Every path of the graph, below one root (the repository, or an experiment's copy of it)."""

    root: Path

    @property
    def params(self) -> Path:
        """Settings of every step."""
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        """The dataset: `{train,val,test}/<class>/<image>`."""
        return self.root / "data"

    @property
    def manifest(self) -> Path:
        """One row an image."""
        return self.root / "artifacts" / "manifest.parquet"

    @property
    def views(self) -> Path:
        """One row an augmented view of a training image."""
        return self.root / "artifacts" / "views.parquet"

    @property
    def start(self) -> Path:
        """From which weights training starts, when they are not the pretrained ones."""
        return self.root / "artifacts" / "start"

    @property
    def new_images(self) -> Path:
        """SHA-256, a line each, of the training images that the champion has not seen."""
        return self.start / "new_images.txt"

    @property
    def phase1(self) -> Path:
        """The network after phase 1."""
        return self.root / "artifacts" / "phase1"

    @property
    def phase2(self) -> Path:
        """The network after phase 2."""
        return self.root / "artifacts" / "phase2"

    @property
    def saved_model(self) -> Path:
        """The SavedModel whose bytes are scored, gated and served."""
        return self.root / "artifacts" / "saved_model"

    @property
    def litert(self) -> Path:
        """The same model as LiteRT files for devices, if any were asked for."""
        return self.root / "artifacts" / "litert"

    @property
    def champion(self) -> Path:
        """The model to beat, or `none.json`."""
        return self.root / "champion"

    @property
    def reports(self) -> Path:
        """Where every report of a step is."""
        return self.root / "reports"

    @property
    def state(self) -> Path:
        """Features and training state that may be deleted at any time without changing a result.

        Outside the root when `SORTLINE_STATE_DIR` says so: an experiment in a temporary copy of
        the repository then finds what an earlier one computed.
        """
        from sortline.core.settings import read_settings  # Late: the client has no use for it.

        return read_settings().state_dir or self.root / ".sortline"

    @property
    def features(self) -> Path:
        """The feature cache; it can be shared by several runs at once."""
        return self.state / "features"

    @property
    def tensorboard(self) -> Path:
        """Curves of every training for TensorBoard, a folder a phase."""
        return self.state / "tensorboard"

    @property
    def measured(self) -> Path:
        """What the validate step measured of images, by their bytes."""
        return self.state / "measured"
