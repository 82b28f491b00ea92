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
    ├── ServingError              a model server is not there, refuses, or answers nonsense
    ├── ReleaseError              a store of releases, or a server's state, is not what is needed
    ├── UnreachableError          exit code 75: a remote or a process was lost; run it again
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


class ServingError(SortlineError):
    """A call to a model server brought no answer that can be used.

    Args:
        code: gRPC's name of what went wrong, e.g. "UNAVAILABLE"; "INTERNAL" also for an answer that
            does not fit what was asked.
        target: the server, as the user named it.
        message: what was seen, what was required, what to do.
    """

    def __init__(self, code: str, target: str, message: str) -> None:
        self.code, self.target = code, target
        super().__init__(message)

    def __reduce__(self) -> tuple[type["ServingError"], tuple[str, str, str]]:
        return type(self), (self.code, self.target, str(self))


class ReleaseError(SortlineError):
    """A store of releases cannot be read or written, or a release cannot take effect."""


class RefusedError(SortlineError):
    """The candidate is refused by at least one gate."""

    exit_code = 3


class UnreachableError(SortlineError):
    """A repository, a remote or a process was lost: the same command may work when run again."""

    exit_code = 75
