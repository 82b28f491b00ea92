"""The manifest as tables, and the checks of them: a suite of Great Expectations a table.

What Great Expectations cannot compute is a column already. Four tables: a row an image, a row a
split and class, a row a split, a row a class. `path` is in all of them: the file or the folder that
a failing row is about.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from sortline.core.errors import ArtifactError
from sortline.core.files import read_json
from sortline.core.params import SPLITS
from sortline.dataset.duplicates import components, near_pairs
from sortline.dataset.expectations import Check, Failure, Outcome
from sortline.dataset.settings import Validate

Tables = Mapping[str, pd.DataFrame]

WITHOUT: Final = {
    "splits": "counts: validate.expected_counts is null",
    "classes": "class drift: there is no champion whose data could be compared",
}
"""By table that may not be there: what is not asked then, and why."""
_CHAMPION_MADE_BY: Final = "sortline champion use URI"


def read_champion_counts(champion: Path) -> dict[str, int] | None:
    """Training images a class of the champion; None when there is no champion that says.

    Raises:
        ArtifactError: there are several, or its contract cannot be read.
    """
    contracts = sorted(champion.glob("**/assets.extra/contract.json"))
    if len(contracts) > 1:
        raise ArtifactError(
            f"{champion} holds {len(contracts)} models; wanted one."
            f" Run `{_CHAMPION_MADE_BY}` again."
        )
    contract = read_json(contracts[0], _CHAMPION_MADE_BY) if contracts else {}
    counts = contract.get("train_class_counts") or {}
    if not any(counts.values()):
        return None
    return {str(label): int(count) for label, count in counts.items()}


def build_tables(
    frame: pd.DataFrame, settings: Validate, champion_counts: Mapping[str, int] | None
) -> Tables:
    """Tables by name: images, folders, and where they can be had splits and classes.

    Args:
        frame: the manifest.
        settings: `validate` of params.yaml.
        champion_counts: training images a class of the last accepted model; None: there is none.
    """
    tables = {
        "images": image_table(frame, settings.near_duplicate_bits),
        "folders": folder_table(frame),
    }
    if settings.expected_counts is not None:
        tables["splits"] = split_table(frame, settings.expected_counts.model_dump())
    if champion_counts is not None:
        tables["classes"] = drift_table(frame, champion_counts)
    return tables


def image_table(frame: pd.DataFrame, bits: int) -> pd.DataFrame:
    """The manifest, and for each image a path to what it equals or is like (None: to nothing)."""
    contents = pd.factorize(frame["sha256"])[0].tolist()
    codes, hashes = pd.factorize(frame["perceptual_hash"])
    looks = codes.tolist()
    # Equal hashes are one look: a thousand copies of one picture are not half a million pairs.
    alike = near_pairs(list(hashes), bits)
    sides = frame[["width", "height"]]
    columns = {
        "same_in_other_split": _partners(frame, contents, [], "split"),
        "like_in_other_split": _partners(frame, looks, alike, "split"),
        "same_in_other_class": _partners(frame, contents, [], "label"),
        "duplicate_of": _earlier(frame, looks, alike),
    }
    return frame.assign(
        short_side_px=sides.min(axis=1),
        long_side_px=sides.max(axis=1),
        log_sharpness=np.log1p(frame["sharpness"]),
        **{name: pd.Series(values, frame.index, dtype=object) for name, values in columns.items()},
    )


def folder_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Images a split and class."""
    counts = Counter(zip(frame["split"], frame["label"], strict=True))
    rows = [
        (f"data/{split}/{label}", split, label, counts[split, label])
        for split in SPLITS
        for label in sorted(frame["label"].unique())
    ]
    return pd.DataFrame(rows, columns=["path", "split", "label", "images"])


def split_table(frame: pd.DataFrame, expected: Mapping[str, int]) -> pd.DataFrame:
    """Images a split, and how many are pinned."""
    counts = Counter(frame["split"])
    rows = [(f"data/{split}", counts[split], expected[split]) for split in SPLITS]
    return pd.DataFrame(rows, columns=["path", "images", "expected_images"])


def drift_table(frame: pd.DataFrame, champion: Mapping[str, int]) -> pd.DataFrame:
    """Shares of the training images a class, here and in the champion's data."""
    own = Counter(frame.loc[frame["split"] == "train", "label"])
    own_total, champion_total = sum(own.values()), sum(champion.values())
    rows = [
        (f"data/train/{label}", own[label] / own_total, champion.get(label, 0) / champion_total)
        for label in sorted({*own, *champion})
    ]
    table = pd.DataFrame(rows, columns=["path", "share", "champion_share"])
    return table.assign(drift=(table["share"] - table["champion_share"]).abs())


def _partners(
    frame: pd.DataFrame, keys: Sequence[int], pairs: Sequence[tuple[int, int]], column: str
) -> list[str | None]:
    """For each row the path of one whose key is its own or paired with it, and `column` is not."""
    near: dict[int, list[int]] = defaultdict(list)
    for left, right in pairs:
        near[left].append(right)
        near[right].append(left)
    values = frame[column].tolist()
    first: dict[int, dict[str, str]] = defaultdict(dict)
    for key, value, path in zip(keys, values, frame["path"], strict=True):
        first[key].setdefault(value, path)
    return [
        next(
            (
                path
                for other in (key, *near[key])
                for its_value, path in first[other].items()
                if its_value != value
            ),
            None,
        )
        for key, value in zip(keys, values, strict=True)
    ]


def _earlier(
    frame: pd.DataFrame, keys: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> list[str | None]:
    """For each row the first path of its group of like images, None for that one itself."""
    group = components(max(keys) + 1, pairs)
    first: dict[int, str] = {}
    leaders = [
        first.setdefault(group[key], path) for key, path in zip(keys, frame["path"], strict=True)
    ]
    return [
        None if leader == path else leader
        for leader, path in zip(leaders, frame["path"], strict=True)
    ]


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
