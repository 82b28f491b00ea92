"""A server that answers by a script, for the tests of what calls one."""

from collections.abc import Iterator

import pytest
from scripted_server import Script, serving


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def target(script: Script) -> Iterator[str]:
    with serving(script) as where:
        yield where
