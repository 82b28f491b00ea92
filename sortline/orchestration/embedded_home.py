"""The folder of an Airflow on this machine: settings, secrets, what its processes are told."""

import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sortline.core.errors import ParamsError
from sortline.core.files import write_json
from sortline.orchestration.airflow_api import AirflowApi

USER = "admin"
_SECRET_BYTES = 64
_DRIVER = "psycopg2"


@dataclass(frozen=True)
class Home:
    """An Airflow of one repository.

    Attributes:
        root: the repository, with dags/ in it.
        folder: what Airflow keeps.
        port: of the web page and the API.
        database: SQLAlchemy's address of it.
        password: of the user admin.
        secret: signs tokens.
    """

    root: Path
    folder: Path
    port: int
    database: str
    password: str
    secret: str

    @property
    def address(self) -> str:
        """Of the web page."""
        return f"http://127.0.0.1:{self.port}"

    def api(self) -> AirflowApi:
        """A session with its API server."""
        return AirflowApi(self.address, USER, self.password)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _database(folder: Path, address: str | None) -> str:
    if not address:
        return f"sqlite:///{folder / 'airflow.db'}"
    if find_spec(_DRIVER) is None:
        raise ParamsError(
            f"PostgreSQL was asked for by SORTLINE_AIRFLOW_DB, and {_DRIVER} is not installed."
            " Run `pip install 'sortline[airflow-postgresql]'`, or unset it to use SQLite."
        )
    return address.replace("postgresql://", f"postgresql+{_DRIVER}://", 1)


def _kept_secrets(folder: Path) -> dict[str, str]:
    path = folder / "secrets.json"
    if not path.is_file():
        made = {
            "password": secrets.token_urlsafe(12),
            "secret": secrets.token_urlsafe(_SECRET_BYTES),
        }
        write_json(path, made)
        path.chmod(0o600)
    credentials: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return credentials


def prepare(root: Path, folder: Path, port: int, database: str | None = None) -> Home:
    """Make the folder of an Airflow, or find it as it was left.

    Args:
        root: the repository.
        folder: for everything that Airflow keeps.
        port: 0 for a free one.
        database: postgresql://..., or None: SQLite in the folder.

    Raises:
        ParamsError: the database's driver is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    credentials = _kept_secrets(folder)
    passwords = folder / "passwords.json"
    write_json(passwords, {USER: credentials["password"]})
    passwords.chmod(0o600)
    return Home(root, folder, port or free_port(), _database(folder, database), **credentials)


def _airflow_variables(home: Home) -> dict[str, str]:
    settings = {
        "CORE__DAGS_FOLDER": str(home.root / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__SIMPLE_AUTH_MANAGERUSERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.folder / "passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"{home.address}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": home.database,
        "API__HOST": "127.0.0.1",
        "API__PORT": str(home.port),
        "API__BASE_URL": home.address,
        "API__WORKERS": "1",
        "API__SECRET_KEY": home.secret,
        "API_AUTH__JWT_SECRET": home.secret,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "60",
        # Airflow's five seconds are too short on a busy laptop: tasks were lost, and tried again.
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        "LOGGING__LOGGING_LEVEL": "INFO",
    }
    return {f"AIRFLOW__{name}": value for name, value in settings.items()}


def _sortline_variables(home: Home) -> dict[str, str]:
    return {
        "SORTLINE_REPOSITORY": str(home.root),
        "SORTLINE_DVC_REMOTE": str(home.folder / "remote"),
        "SORTLINE_DVC_CACHE": str(home.root / ".dvc" / "cache"),
        "SORTLINE_STATE_DIR": str(home.root / ".sortline"),
        "SORTLINE_WORK_DIR": str(home.folder / "work"),
        "SORTLINE_RELEASES": str(home.folder / "releases"),
    }


def environment(home: Home, variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What Airflow's processes get; what the user has set of ours and of Airflow's stays."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    own = {
        **_airflow_variables(home),
        **_sortline_variables(home),
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
        # Tasks import our package also where it is not installed.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(home.root), variables.get("PYTHONPATH")])),
    }
    return {**own, **variables, "PATH": path, "AIRFLOW_HOME": str(home.folder)}


CLIENT = Path(".airflow") / "client.json"


def tell_clients(home: Home) -> None:
    """Let commands that a person types in the repository find this Airflow and its storage."""
    access = {
        "SORTLINE_AIRFLOW_URL": home.address,
        "SORTLINE_AIRFLOW_USER": USER,
        "SORTLINE_AIRFLOW_PASSWORD": home.password,
    }
    path = home.root / CLIENT
    write_json(path, {**_sortline_variables(home), **access})
    path.chmod(0o600)


def use_local_airflow(root: Path) -> None:
    """Set what `tell_clients` wrote, where the environment does not say otherwise."""
    path = root / CLIENT
    if path.is_file():
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            os.environ.setdefault(name, value)
