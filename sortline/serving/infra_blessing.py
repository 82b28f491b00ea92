"""What a server said of one version, as JSON: infra validation writes it, publishing reads it."""

from pydantic import BaseModel, ConfigDict, ValidationError

from sortline.core.errors import ArtifactError
from sortline.core.files import read_json
from sortline.core.paths import Paths


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Server(_Part):
    """Who judged: the kind of server, and its version if it says one."""

    kind: str
    version: str | None


class WarmUp(_Part):
    """How many requests the version brings, and whether the server has played them all."""

    records: int
    ran: bool | None


class InfraBlessing(_Part):
    """The contents of infra_blessing.json.

    Attributes:
        images: that were asked about, through each of gRPC and REST.
        max_difference: of a probability; None when the server did not answer all of them.
        reason: in words, also when blessed.
    """

    blessed: bool
    model_digest: str
    version_digest: str
    server: Server
    warmup: WarmUp
    images: int
    max_difference: float | None
    reason: str


def read_infra_blessing(paths: Paths) -> InfraBlessing:
    """What `infra_validate.run` wrote.

    Raises:
        ArtifactError: it is missing, or not such a file.
    """
    made_by, path = "sortline infra-validate", paths.reports / "infra_blessing.json"
    try:
        return InfraBlessing.model_validate(read_json(path, made_by))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ArtifactError(f"{path}: {where}: {fault['msg']}. Run `{made_by}`.") from error
