"""Keeps libraries from talking to people who did not ask, and from loading what nobody asked for.

TensorFlow's C++ code prints some of its start-up lines to file descriptor 2 whatever
TF_CPP_MIN_LOG_LEVEL says, so the descriptor itself is turned away while TensorFlow is imported.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "true",
    "SCARF_ANALYTICS": "false",
}
# Keras imports both where they are installed, for wrappers and drawings that nothing here uses:
# three of the nine seconds of CPU that each process takes to load TensorFlow.
_UNUSED = ("matplotlib", "sklearn")


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere for the length of the block."""
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@contextmanager
def _hidden(names: Sequence[str]) -> Iterator[None]:
    """Let imports of these fail for the length of the block, unless they are loaded already."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class _SilentLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with silenced_stderr(), _hidden(_UNUSED):
            self._loader.exec_module(module)


class _Finder(MetaPathFinder):
    """Finds TensorFlow and Keras, whichever is imported first, and each of them once."""

    def __init__(self) -> None:
        self._names = {"keras", "tensorflow"}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 (the protocol's)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        self._names.remove(fullname)  # `find_spec` must not find us again.
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _SilentLoader(spec.loader)
        return spec


def quiet_libraries() -> None:
    """Apply all of it; what the user has set in the environment stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():  # In a log, ten lines a second of progress are no progress.
        os.environ.setdefault("TQDM_MININTERVAL", "15")
    installed = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if "tensorflow" not in sys.modules and not installed:
        sys.meta_path.insert(0, _Finder())
