"""`python -m infra.tools.image_sizes`: what the locked wheels of each image come to.

Counts the files that each wheel installed in this environment, as its RECORD lists them and as
they are on this disk. Not counted: the base image, Python's bytecode, packages of the lock that
this platform does not install, and the CUDA libraries, which are not installed here.
"""

from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from infra.tools.locked_subset import Locked, subset

# An image, the extras that it installs, and packages besides: what its Dockerfile says.
IMAGES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "train": (("pipeline", "serving"), ()),
    "airflow": (("airflow",), ()),
    "client": (("client",), ("boto3",)),
}
_LARGEST = 3


@dataclass(frozen=True)
class Size:
    """What one image's wheels come to.

    Attributes:
        image: its name.
        bytes_by_package: of every package that is installed here.
        absent: packages of the image that are not, and are not counted.
    """

    image: str
    bytes_by_package: dict[str, int]
    absent: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """Of all that is counted."""
        return sum(self.bytes_by_package.values())


def _installed_bytes(found: Distribution) -> int:
    paths = [Path(str(file.locate())) for file in found.files or () if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _bytes(package: Locked) -> int | None:
    try:
        return _installed_bytes(distribution(package.name))
    except PackageNotFoundError:
        return None


def measure(root: Path, image: str) -> Size:
    """Count one image's wheels; `root` is the repository."""
    extras, packages = IMAGES[image]
    sizes = {package.name: _bytes(package) for package in subset(root, extras, packages)}
    return Size(
        image,
        {name: size for name, size in sizes.items() if size is not None},
        tuple(name for name, size in sizes.items() if size is None),
    )


def main() -> None:
    """Print a table, one line an image."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Files of the locked wheels, uncompressed")
    for heading in ("image", "packages", "MB", "largest", "not installed here"):
        table.add_column(heading, justify="right" if heading in ("packages", "MB") else "left")
    for image in IMAGES:
        size = measure(Path.cwd(), image)
        ranked = sorted(size.bytes_by_package.items(), key=lambda each: -each[1])[:_LARGEST]
        largest = ", ".join(f"{name} {count / 1e6:,.0f}" for name, count in ranked)
        packages = f"{len(size.bytes_by_package)}"
        table.add_row(
            image, packages, f"{size.total_bytes / 1e6:,.0f}", largest, ", ".join(size.absent)
        )
    console = Console()
    console.print(table)
    console.print(
        "train:cuda adds infra/docker/cuda.lock, which is not installed here and not counted."
    )


if __name__ == "__main__":
    main()
