"""Step gate: say whether the exported model may be served, and why.

Reads: artifacts/saved_model, reports/evaluation/{metrics.json,latency.json,predictions.parquet},
champion/, and the raw files of the test split when there is a champion to score.
Writes: reports/blessing.json and reports/blessing.md. A refusal is a result: the step succeeds.
Refuses: an empty list of gates, figures that are of another model than the exported one, a champion
that cannot be read.
"""

import pandas as pd
from rich.console import Console

from sortline.core.entry import step_main
from sortline.core.errors import GateError
from sortline.core.files import read_json, require, tree_bytes, write_json, write_text
from sortline.core.paths import Paths
from sortline.evaluation.blessing import COLUMNS, Blessing, cells, headline, short, table
from sortline.evaluation.champion import read_champion
from sortline.evaluation.gate_settings import GateParams
from sortline.evaluation.gates import Candidate
from sortline.evaluation.verdicts import champion_verdicts, own_verdicts
from sortline.model.contract import model_digest
from sortline.reporting.pages import markdown_table

_MADE_BY = "dvc repro evaluate"


class Params(GateParams):
    """The sections of params.yaml that this step reads: seed, images, evaluate and gate."""


def read_candidate(paths: Paths) -> Candidate:
    """Gather what is known of the exported model.

    Raises:
        GateError: the figures are of another model than the one that would be served.
    """
    folder = require(paths.saved_model, "dvc repro export")
    report = paths.reports / "evaluation"
    figures = read_json(report / "metrics.json", _MADE_BY)
    digest, scored = model_digest(folder), figures["model_digest"]
    if digest != scored:
        raise GateError(
            f"{report / 'metrics.json'} is of the model {short(scored)}; the one in {folder} is"
            f" {short(digest)}. Only what was scored may be gated: run `{_MADE_BY}`."
        )
    return Candidate(
        folder,
        digest,
        size_mb=round(tree_bytes(folder) / 1e6, 3),
        metrics=figures,
        latency=read_json(report / "latency.json", _MADE_BY),
        rows=pd.read_parquet(require(report / "predictions.parquet", _MADE_BY)),
    )


def decide(params: Params, paths: Paths) -> Blessing:
    """All verdicts on the exported model.

    Raises:
        GateError: nothing is asked of it; see also `read_candidate` and `read_champion`.
    """
    champion, candidate = read_champion(paths.champion), read_candidate(paths)
    verdicts = own_verdicts(params.gate, candidate)
    if champion is not None:
        verdicts += champion_verdicts(candidate, champion, params, paths.root)
    if not verdicts:
        raise GateError(
            "There is an empty list of gates: every gate in params.yaml is null, and there is no"
            " champion to beat. Set at least one, or name a champion: `sortline champion use URI`."
        )
    return Blessing(candidate.digest, champion.digest if champion else None, tuple(verdicts))


def markdown(blessing: Blessing) -> str:
    """The verdicts, as a Markdown document of one heading and one table."""
    models = f"Candidate `{blessing.candidate}`, champion `{blessing.champion or 'none'}`."
    verdicts = markdown_table(COLUMNS, map(cells, blessing.verdicts))
    return f"# {headline(blessing)}\n\n{models}\n\n{verdicts}\n"


def run(params: Params, paths: Paths) -> Blessing:
    """Run the step."""
    blessing = decide(params, paths)
    write_text(paths.reports / "blessing.md", markdown(blessing))
    write_json(paths.reports / "blessing.json", blessing.to_json())
    Console().print(table(blessing))
    return blessing


def main() -> None:
    """Run the step in the current folder."""
    step_main("gate", Params, run)


if __name__ == "__main__":
    main()
