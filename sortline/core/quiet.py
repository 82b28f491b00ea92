"""Keeps libraries from talking to people who did not ask: start-up lines and usage statistics.

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


class _SilentLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with silenced_stderr():
            self._loader.exec_module(module)


class _TensorFlowFinder(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 (the protocol's)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)  # Once is enough, and find_spec must not find us again.
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _SilentLoader(spec.loader)
        return spec


def quiet_libraries() -> None:
    """Apply both; what the user has set in the environment stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():  # In a log, ten lines a second of progress are no progress.
        os.environ.setdefault("TQDM_MININTERVAL", "15")
    installed = any(isinstance(finder, _TensorFlowFinder) for finder in sys.meta_path)
    if "tensorflow" not in sys.modules and not installed:
        sys.meta_path.insert(0, _TensorFlowFinder())
