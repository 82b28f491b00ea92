"""`python -m sortline.orchestration.params`: the whole of params.yaml, checked before a run.

Each step checks the sections that it reads; here all of them are checked at once, with what one
section forbids another, so that a mistake in the last one stops a run before the first step.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, model_validator

from sortline.core.entry import exit_code_of
from sortline.core.params import load_params, overlay, parse_params
from sortline.evaluation.gate_settings import GateParams
from sortline.experiments.run import read_recipe, source_of
from sortline.experiments.settings import AuditParams
from sortline.images.view_settings import Augment
from sortline.model.settings import Export, refuse_idle_threshold
from sortline.monitoring.settings import Drift
from sortline.releases.settings import ReleaseParams
from sortline.serving.settings import InfraValidate
from sortline.training.phase_settings import (
    Distribution,
    PhasesParams,
    Train,
    refuse_idle_warm_start,
    refuse_no_phase,
    refuse_soft_targets,
    refuse_two_draws,
)


class Params(PhasesParams, AuditParams, GateParams, ReleaseParams):
    """Every section of params.yaml; one that is not here is a mistake."""

    model_config = ConfigDict(extra="forbid")

    augment: Augment
    train: Train
    distribution: Distribution
    export: Export
    infra_validate: InfraValidate
    drift: Drift

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        refuse_no_phase(self.train_phase1, self.fine_tune_phase2)
        refuse_idle_warm_start(self.train, self.fine_tune_phase2)
        if self.train.warm_start:
            refuse_two_draws(self.train.warm_replay, self.objective)
        refuse_soft_targets(self.objective, [self.train_phase1, *self.fine_tune_phase2.phases])
        refuse_idle_threshold(self.head.activation, self.export)
        return self


def check(values: Mapping[str, Any], source: str = "params.yaml") -> Params:
    """Check the values of the whole file.

    Raises:
        ParamsError: one line a fault; see `parse_params`.
    """
    return parse_params(Params, values, source)


def load(root: Path, recipe: str | None = None) -> Params:
    """The whole of params.yaml with a recipe laid over it.

    Raises:
        ParamsError: the recipe is unknown, or the settings that it makes are wrong.
    """
    return check(overlay(*read_recipe(root, recipe)), source_of(recipe))


def main() -> None:
    """Check params.yaml of the current folder, by the code of the current folder."""
    load_params(Params, Path("params.yaml"))


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
