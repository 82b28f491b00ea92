"""How a step starts and ends: one run at a time, errors as one line and a code."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sortline.core.errors import ArtifactError, SortlineError
from sortline.core.files import exclusive
from sortline.core.paths import Paths

if TYPE_CHECKING:
    from sortline.core.params import P

_INTERRUPTED = 130  # 128 + SIGINT, as shells count.
_WHAT_TO_DO = {
    errno.ENOSPC: "The disk is full. Free some space; then run the same command again.",
    errno.EDQUOT: "The disk quota is used up. Free some space; then run the same command again.",
    errno.EROFS: "The file system is read-only. Run in a folder that can be written to.",
    errno.EACCES: "No permission. Change the folder's owner or rights, or run elsewhere.",
    errno.EPERM: "No permission. Change the folder's owner or rights, or run elsewhere.",
}


@contextmanager
def _named_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _WHAT_TO_DO:
            raise
        raise ArtifactError(f"{error}. {_WHAT_TO_DO[error.errno]} Nothing was lost.") from error


def exit_code_of(work: Callable[[], None]) -> int:
    """Do the work; turn what it raises into a line on stderr and an exit code.

    0: done. 2 or 3: a `SortlineError` (see errors.py). 130: interrupted. Anything else that is
    raised is a defect of ours and keeps its traceback.
    """
    try:
        with _named_os_errors():
            work()
    except SortlineError as error:
        print(f"sortline: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nsortline: interrupted. Run the same command to go on.", file=sys.stderr)
        return _INTERRUPTED
    return 0


def step_main(name: str, sections: "type[P]", run: Callable[["P", Paths], object]) -> None:
    """Run one step in the current folder, then leave the process with its exit code.

    Args:
        name: the step's.
        sections: of params.yaml, that it reads.
        run: does the work.
    """
    from sortline.core.params import load_params  # Late: `sortline --help` needs none.

    paths = Paths(Path.cwd())

    def work() -> None:
        with exclusive(paths.root / ".sortline" / f"{name}.lock", f"The step {name}"):
            run(load_params(sections, paths.params), paths)

    sys.exit(exit_code_of(work))
