"""A PostgreSQL of its own for a test."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sortline.orchestration.embedded_home import free_port

_DEADLINE_S = 60.0
_PROGRAMS = ("initdb", "postgres", "pg_isready")


def program(name: str) -> str | None:
    """Path of one of PostgreSQL's programs, also where Debian keeps it; None when it is missing."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, places)]))


def _account() -> str | None:
    # PostgreSQL refuses to run as root.
    return "postgres" if os.geteuid() == 0 else None


def _wait(ready: list[str]) -> None:
    end = time.monotonic() + _DEADLINE_S
    while subprocess.run(ready, check=False, capture_output=True).returncode:
        assert time.monotonic() < end, "PostgreSQL did not come up"
        time.sleep(0.1)


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database, whose server ends with the block."""
    account, port = _account(), str(free_port())
    initdb, server, ready = (program(name) or name for name in _PROGRAMS)
    folder = Path(tempfile.mkdtemp(prefix="sortline-postgres-", dir="/tmp"))
    try:
        if account:
            shutil.chown(folder, account)
        trust = ["--auth=trust", "--username=airflow", "--encoding=UTF8", "--no-sync"]
        subprocess.run(
            [initdb, *trust, str(folder / "data")],
            user=account,
            cwd="/",
            check=True,
            capture_output=True,
        )
        where = ["-h", "127.0.0.1", "-p", port, "-k", str(folder)]
        command = [server, "-D", str(folder / "data"), "-F", *where]
        with subprocess.Popen(
            command, user=account, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _wait([ready, "-h", "127.0.0.1", "-p", port])
                yield f"postgresql://airflow@127.0.0.1:{port}/postgres"
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder)
