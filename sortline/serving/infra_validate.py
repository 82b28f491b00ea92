"""Infra validation: a real server serves the candidate, and says what evaluation has said.

Reads: artifacts/saved_model, reports/evaluation (predictions.parquet, metrics.json), and the raw
files of the test split.
Writes: artifacts/version (the model and the requests that warm it up, assembled anew) and
reports/infra_blessing.json.
Refuses: a server that does not start, does not load the model in time, or answers something else.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from sortline.core.errors import ArtifactError, RefusedError
from sortline.core.files import (
    digest_tree,
    exclusive,
    read_json,
    read_verified,
    require,
    write_json,
)
from sortline.core.params import Params, load_params
from sortline.core.paths import Paths
from sortline.model.contract import verify
from sortline.serving.assembly import assemble
from sortline.serving.server_choice import Program, choose_program
from sortline.serving.trial import Expected, Outcome, Trial, try_out

_EVALUATED: Final = "dvc repro evaluate"


@dataclass(frozen=True)
class InfraBlessing:
    """The contents of infra_blessing.json.

    Attributes:
        server: kind and version of the one that judged.
        warmup: how many requests the version brings, and whether the server has played them all.
        images: that were asked about, through each of gRPC and REST.
        max_difference: of a probability; None when the server did not answer all of them.
        reason: in words, also when blessed.
    """

    blessed: bool
    model_digest: str
    version_digest: str
    server: dict[str, str]
    warmup: dict[str, Any]
    images: int
    max_difference: float | None
    reason: str


def spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, evenly spaced: every class has its turn, as paths begin with it."""
    at = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))
    return rows.iloc[at]


def read_evaluated(paths: Paths) -> pd.DataFrame:
    """Rows of predictions.parquet that have an answer, sorted by path.

    Raises:
        ArtifactError: they are missing, or of another model than the exported one, or none is left.
    """
    folder = paths.reports / "evaluation"
    table = require(folder / "predictions.parquet", _EVALUATED)
    measured = read_json(folder / "metrics.json", _EVALUATED)["model_digest"]
    if measured != (exported := verify(paths.saved_model)):
        raise ArtifactError(
            f"{folder} is of the model {measured[:12]}, not of {exported[:12]} in"
            f" {paths.saved_model}. Run `{_EVALUATED}`."
        )
    rows = pd.read_parquet(table)
    valid = rows[rows["valid"]].sort_values("path", ignore_index=True)
    if valid.empty:
        raise ArtifactError(f"{table} has no image that the model can read. Run `{_EVALUATED}`.")
    return valid


def _expected(rows: pd.DataFrame, data: Path) -> list[Expected]:
    columns = [name for name in rows.columns if name.startswith("p_")]
    return [
        Expected(
            row["path"],
            read_verified(data / row["path"], row["sha256"], was="evaluated", command=_EVALUATED),
            row["predicted"],
            tuple(float(row[name]) for name in columns),
        )
        for row in rows.to_dict("records")
    ]


def _reason(outcome: Outcome, program: Program, images: int) -> str:
    if outcome.fault:
        return outcome.fault
    return (
        f"{images} images, each through gRPC and REST of {program.kind}: the labels that evaluation"
        f" gave, no probability further off than {outcome.max_difference:.2g}"
    )


def run(params: Params, paths: Paths, data: Path | None = None) -> InfraBlessing:
    """Assemble the version, have it tried, and write what came of it.

    Args:
        params: the section infra_validate, and under which name the model is served.
        paths: of the run that is validated.
        data: the folder that holds data/; that of `paths` if None.

    Raises:
        ArtifactError: evaluation has not seen the exported model.
        DataError: a file of the test split is not the one that was evaluated.
    """
    wanted, rows = params.infra_validate, read_evaluated(paths)
    root = data or paths.root
    warmup = [each.image for each in _expected(spread(rows, wanted.warmup_records), root)]
    expected = _expected(spread(rows, wanted.images), root)
    model, version = params.promote.model_name, paths.root / "artifacts" / "version"
    digest = assemble(paths.saved_model, warmup, version, model)
    program = choose_program(f"tensorflow/serving:{params.publish.serving_version}")
    trial = Trial(version, len(warmup), model, wanted.timeout_s, wanted.tolerance)
    outcome = try_out(program, trial, expected)
    blessing = InfraBlessing(
        blessed=not outcome.fault,
        model_digest=digest,
        version_digest=digest_tree(version),
        server={"kind": program.kind, "version": program.version},
        warmup={"records": len(warmup), "ran": outcome.warmed_up},
        images=len(expected),
        max_difference=outcome.max_difference,
        reason=_reason(outcome, program, len(expected)),
    )
    write_json(paths.reports / "infra_blessing.json", asdict(blessing))
    return blessing


def command(root: Path, images: int | None, timeout_s: float | None) -> None:
    """`sortline infra-validate`; settings are those of the folder it is called in.

    Args:
        root: what to validate: the repository, or runs/NAME, which has no data of its own.
        images: instead of the setting.
        timeout_s: instead of the setting.

    Raises:
        RefusedError: the server does not serve this model as it was evaluated.
    """
    params = load_params(Path.cwd() / "params.yaml")
    given = {"images": images, "timeout_s": timeout_s}
    changed = {name: value for name, value in given.items() if value is not None}
    section = params.infra_validate.model_copy(update=changed)
    paths = Paths(root)
    data = root if paths.data.is_dir() else Path.cwd()
    with exclusive(root / ".sortline" / "infra_validate.lock", "Infra validation"):
        blessing = run(params.model_copy(update={"infra_validate": section}), paths, data)
    if not blessing.blessed:
        raise RefusedError(f"not blessed: {blessing.reason}")
    print(f"infra_validate: blessed: {blessing.reason}")
