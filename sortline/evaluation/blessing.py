"""What the gates say of one model, as JSON and as a table in a terminal."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from sortline.core.errors import ArtifactError, GateError
from sortline.core.files import read_json
from sortline.core.paths import Paths
from sortline.evaluation.gates import Value, Verdict
from sortline.model.contract import model_digest

COLUMNS = ("gate", "verdict", "observed", "required", "reason")


@dataclass(frozen=True)
class Blessing:
    """All verdicts on the candidate, by digest; `champion` is null when there was none to beat."""

    candidate: str
    champion: str | None
    verdicts: tuple[Verdict, ...]

    @property
    def blessed(self) -> bool:
        """Whether every gate passed."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def refused_by(self) -> list[str]:
        """Names of the gates that did not pass."""
        return [verdict.gate for verdict in self.verdicts if not verdict.passed]

    def to_json(self) -> dict[str, Any]:
        """What blessing.json holds."""
        return {
            "blessed": self.blessed,
            "candidate": self.candidate,
            "champion": self.champion,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }


def read_blessing(path: Path, made_by: str) -> Blessing:
    """Read what a gate wrote with `Blessing.to_json`.

    Raises:
        ArtifactError: it is missing, not JSON, or not a blessing.
    """
    value = read_json(path, made_by)
    try:
        verdicts = tuple(Verdict(**verdict) for verdict in value["verdicts"])
        blessing = Blessing(value["candidate"], value["champion"], verdicts)
        consistent = bool(verdicts) and value["blessed"] is blessing.blessed
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not a blessing ({error}). Run `{made_by}`.") from error
    if not consistent:
        raise ArtifactError(
            f"{path} says blessed: {value['blessed']}, and its {len(verdicts)} verdicts do not."
            f" Somebody changed it by hand. Run `{made_by}`."
        )
    return blessing


def short(digest: str) -> str:
    """The first twelve digits: enough for a person to tell models apart."""
    return digest[:12]


def headline(blessing: Blessing) -> str:
    """The outcome in one line."""
    champion = f"champion {short(blessing.champion)}" if blessing.champion else "no champion"
    outcome = "blessed" if blessing.blessed else f"refused by {', '.join(blessing.refused_by)}"
    return f"{outcome}: candidate {short(blessing.candidate)}, {champion}"


def _shown(value: Value) -> str:
    """A verdict's value for a person: floats to four digits, lists as words, nothing as a dash."""
    if value is None or value == []:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(value) if isinstance(value, list) else str(value)


def cells(verdict: Verdict) -> list[str]:
    """A verdict as a row of text, in the order of `COLUMNS`."""
    word = "passed" if verdict.passed else "refused"
    return [verdict.gate, word, _shown(verdict.observed), _shown(verdict.required), verdict.reason]


def table(blessing: Blessing) -> Table:
    """The verdicts, for a terminal of 80 columns: without `observed`, which the reasons say."""
    drawn = Table(title=Text(headline(blessing)), title_justify="left", box=SIMPLE_HEAD)
    for column in ("gate", "verdict", "required"):
        drawn.add_column(column, no_wrap=True)
    drawn.add_column("reason", overflow="fold")
    for verdict in blessing.verdicts:
        gate, word, _, required, reason = (Text(cell) for cell in cells(verdict))
        word.stylize("green" if verdict.passed else "red")
        if isinstance(verdict.required, list):
            required = Text("the same")
        drawn.add_row(gate, word, required, reason)
    return drawn


def current_blessing(paths: Paths) -> Blessing:
    """What the gate step said of the exported model.

    Raises:
        ArtifactError: it has said nothing.
        GateError: it has said it of another model than the one that is exported now.
    """
    made_by = "dvc repro gate"
    blessing = read_blessing(paths.reports / "blessing.json", made_by)
    if paths.saved_model.exists() and model_digest(paths.saved_model) != blessing.candidate:
        raise GateError(
            f"reports/blessing.json is of the model {short(blessing.candidate)}, not of the one in"
            f" artifacts/saved_model. Run `{made_by}`."
        )
    return blessing
