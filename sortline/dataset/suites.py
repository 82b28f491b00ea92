"""Runs checks through Great Expectations: a suite a table, in an ephemeral context."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sortline.dataset.expectations import Check, Failure, Outcome
from sortline.dataset.manifest_tables import Tables


def run_checks(
    tables: Tables, checks: Sequence[Check]
) -> tuple[list[Outcome], dict[str, dict[str, Any]]]:
    """Ask every check: outcomes in the order of `checks`; and by table, the results as JSON."""
    with warnings.catch_warnings():
        # Imported here: it takes seconds, and warns about modules that it uses.
        warnings.simplefilter("ignore")
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_pandas("manifest")
        outcomes: dict[str, Outcome] = {}
        results: dict[str, dict[str, Any]] = {}
        for name, table in tables.items():
            asked = [check for check in checks if check.table == name]
            validation = _run_suite(gx, context, source, name, table, asked)
            results[name] = validation.to_json_dict()
            by_check = {
                result.expectation_config.meta["check"]: result for result in validation.results
            }
            outcomes |= {check.name: _outcome(check, by_check[check.name]) for check in asked}
    return [outcomes[check.name] for check in checks], results


def _run_suite(
    gx: Any, context: Any, source: Any, name: str, table: pd.DataFrame, checks: Sequence[Check]
) -> Any:
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    suite = context.suites.add(
        gx.ExpectationSuite(name=name, expectations=[_expectation(gx, check) for check in checks])
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[definition],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
    )
    run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table})
    (validation,) = run.run_results.values()
    return validation


def _expectation(gx: Any, check: Check) -> Any:
    return getattr(gx.expectations, check.kind)(
        **check.arguments,
        severity="critical" if check.severity == "error" else "warning",
        description=f"{check.name}: {check.required}",
        meta={"check": check.name},
    )


def _outcome(check: Check, result: Any) -> Outcome:
    if not result.result:
        raise RuntimeError(f"Great Expectations could not ask {check.name}: {result}")
    failures = () if result.success else _failures(result.result)
    return Outcome(check.name, bool(result.success), check.severity, check.required, failures)


def _failures(result: Mapping[str, Any]) -> tuple[Failure, ...]:
    rows = result.get("unexpected_index_list")
    if rows is None:
        return (Failure("data", str(result.get("observed_value"))),)
    failures = [Failure(str(row["path"]), _seen(row)) for row in rows]
    return tuple(sorted(failures, key=lambda failure: failure.path))


def _seen(row: Mapping[str, Any]) -> str:
    values = [value for key, value in row.items() if key != "path"]
    return ", ".join(
        f"{value:.4g}" if isinstance(value, float | np.floating) else str(value) for value in values
    )
