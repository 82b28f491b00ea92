"""The settings of a test: params.yaml as a whole, for every step and every command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

import sortline.core.params
from pipeline_steps import (
    augment,
    evaluate,
    export,
    fine_tune_phase2,
    gate,
    train_phase1,
    validate,
    warm_start,
)
from sortline.core.params import read_yaml
from sortline.orchestration.params import Params as WholeParams


class Params(
    WholeParams,
    validate.Params,
    augment.Params,
    warm_start.Params,
    train_phase1.Params,
    fine_tune_phase2.Params,
    export.Params,
    evaluate.Params,
    gate.Params,
):
    """Every section, so that any step can be run with it."""

    model_config = ConfigDict(extra="forbid")


def parse_params(values: Mapping[str, Any]) -> Params:
    """Check the values of the whole file."""
    return sortline.core.params.parse_params(Params, values)


def load_params(path: Path) -> Params:
    """Read and check the whole file."""
    return parse_params(read_yaml(path))
