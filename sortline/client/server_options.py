"""What a command line says of a model server: light, so that every command may import it."""

from dataclasses import dataclass
from pathlib import Path

from sortline.core.errors import ParamsError


@dataclass(frozen=True)
class Server:
    """What the command line says of a server; None where it says nothing.

    Attributes:
        target: HOST:PORT.
        model_name: on the server.
        version: the only one that may answer.
        version_label: the version with this label.
        contract: the model's contract.json: labels, and the pixels that an image may have.
        authority: certificates that are trusted.
        certificate: of this client.
        key: of this client.
        timeout_s: for each 32 files.
    """

    target: str | None = None
    model_name: str | None = None
    version: int | None = None
    version_label: str | None = None
    contract: Path | None = None
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout_s: float | None = None

    def require_none(self) -> None:
        """Check that nothing is said of a server when there is none.

        Raises:
            ParamsError: something is.
        """
        if names := [name for name, value in vars(self).items() if value is not None]:
            raise ParamsError(
                f"Of a server the {names[0].replace('_', ' ')} is given, and not where it is: add"
                " --target HOST:PORT, or leave it out."
            )
