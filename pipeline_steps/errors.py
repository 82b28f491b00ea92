"""Everything that Sortline refuses, as one tree.

    SortlineError                 exit code 2: somebody has to change something
    ├── ParamsError               params.yaml, a recipe or a command line is wrong
    ├── DataError                 the dataset is missing, incomplete or inconsistent
    │   ├── ImageError            one file is not an image that we accept
    │   └── ValidationError       an expectation of severity "error" is not met
    ├── WeightsError              pretrained weights cannot be had, or do not fit
    ├── ArtifactError             a file cannot be read or written: missing, full disk, no rights
    ├── BusyError                 somebody else is running the same thing here
    ├── ExportError               the exported model is not what was trained
    ├── GateError                 the gates cannot give a verdict
    └── RefusedError              exit code 3: the gates gave one, and it is no

A message says what was seen, what was required and what to do, in this order.
"""


class SortlineError(Exception):
    """Base of all refusals; `exit_code` is what the command line ends with."""

    exit_code = 2


class ParamsError(SortlineError):
    """A setting is unknown, of the wrong type, out of range, or would be ignored."""


class DataError(SortlineError):
    """The dataset as a whole cannot be used."""


class ImageError(DataError):
    """One file is refused.

    Args:
        path: the file, as the user knows it ("" when only bytes are at hand).
        sha256: of the file's bytes, in hex ("" when it could not be read).
        reason: a short phrase from a closed set, e.g. "truncated"; used as a table column.
        detail: what was seen, for a person.
    """

    def __init__(self, path: str, sha256: str, reason: str, detail: str = "") -> None:
        self.path, self.sha256, self.reason, self.detail = path, sha256, reason, detail
        super().__init__(f"{path or 'image'}: {reason}" + (f" ({detail})" if detail else ""))

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str, str, str]]:
        # Raised in worker processes: exceptions are rebuilt from `args` unless told otherwise.
        return type(self), (self.path, self.sha256, self.reason, self.detail)


class ValidationError(DataError):
    """An expectation of severity "error" is not met by the dataset."""


class WeightsError(SortlineError):
    """Pretrained weights were not found, or are not of the network's shapes."""


class ArtifactError(SortlineError):
    """A file of the graph cannot be read or written."""


class BusyError(SortlineError):
    """Another process holds what this one needs."""


class ExportError(SortlineError):
    """The exported model fails one of its proofs: parity, determinism, allowed operations."""


class GateError(SortlineError):
    """There is nothing to gate on, or the champion cannot be read."""


class RefusedError(SortlineError):
    """The candidate is refused by at least one gate."""

    exit_code = 3
