"""The only reader of params.yaml and of recipes: frozen models, every key required, none unknown.

There are no defaults in here: what changes a result stands in params.yaml, where a person sees it.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sortline.core.errors import ParamsError

Severity = Literal["error", "warning"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Patience = Annotated[int, Field(ge=1, le=1000)] | None
Mode = Literal[
    "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCCK", "I;16", "LA;16", "RGB;16", "RGBA;16"
]
LiteRt = Literal["float32", "int8"]
# The registry is models/backbones.py; the names stand here so that a wrong one stops at once.
ArchitectureName = Literal[
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "xception_small",
    "baseline_cnn",
    "mnist_convnet",
]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Section(BaseModel):
    """A part of params.yaml: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Images(Section):
    """What counts as an image, everywhere."""

    max_pixels: Annotated[int, Field(ge=1024, le=1_000_000_000)]


class Severities(Section):
    """What happens when an expectation is not met."""

    counts: Severity
    classes: Severity
    min_images: Severity
    leakage: Severity
    two_labels: Severity
    size: Severity
    mode: Severity
    near_duplicates: Severity
    class_drift: Severity
    brightness: Severity
    sharpness: Severity


class Counts(Section):
    """Exact number of images a split."""

    train: PositiveInt
    val: PositiveInt
    test: PositiveInt


class Validate(Section):
    """Expectations on the manifest."""

    expected_counts: Counts | None
    min_images_per_class: PositiveInt
    min_side_px: PositiveInt
    max_side_px: PositiveInt
    modes: list[Mode]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]
    max_near_duplicate_share: Share
    max_class_drift: Share
    outlier_sigmas: Annotated[float, Field(gt=0)]
    max_outlier_share: Share
    severity: Severities


class Augment(Section):
    """Ranges from which the parameters of a view are drawn."""

    views: Annotated[int, Field(ge=0, le=64)]
    balance: bool
    flip_horizontal: bool
    crop_min_area: Annotated[float, Field(gt=0.01, le=1.0)]
    rotation_deg: Annotated[float, Field(ge=0.0, le=180.0)]
    translation: Annotated[float, Field(ge=0.0, le=0.5)]
    brightness: Share
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)]
    saturation: Annotated[float, Field(ge=0.0, le=1.0)]
    preview_images: Annotated[int, Field(ge=1, le=64)]

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        if self.balance and not self.views:
            raise ValueError("balance is ignored when views is 0: set views to 1 or more")
        return self


class Backbone(Section):
    """The pretrained part of the network, and the size of the images it sees."""

    architecture: ArchitectureName
    alpha: Annotated[float, Field(gt=0.0, le=2.0)]
    image_size_px: Annotated[int, Field(ge=8, le=1024)]
    weights: Annotated[str, Field(min_length=1)] | None

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        if self.architecture != "mobilenet_v2" and self.alpha != 1.0:
            raise ValueError(f"alpha is ignored by {self.architecture}: set it to 1.0")
        return self


class Head(Section):
    """What turns features into logits: one a class, or a single one for two classes."""

    pooling: Literal["average", "max", "flatten"]
    batchnorm: bool
    hidden_units: Annotated[int, Field(ge=0, le=65536)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    activation: Literal["softmax", "sigmoid"]


class Objective(Section):
    """What training minimises."""

    loss: Literal["one_hot", "sparse"]
    balance: Literal["none", "class_weights", "sampling"]


class Features(Section):
    """How features of the frozen part are computed and kept."""

    engine: Literal["litert", "keras", "keras_bfloat16"]
    storage: Literal["float16", "float32"]
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    device_gb: Annotated[float, Field(ge=0.0, le=1024.0)]


class Train(Section):
    """Where training starts."""

    warm_start: bool
    warm_epochs: Annotated[int, Field(ge=1, le=10000)]
    warm_learning_rate: Annotated[float, Field(gt=0.0, le=1.0)]
    warm_replay: Annotated[float, Field(ge=0.0, le=1000.0)] | None


class Phase(Section):
    """One run of the training loop."""

    epochs: Annotated[int, Field(ge=1, le=10000)]
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    optimizer: Literal["adam", "adamw"]
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)]
    weight_decay: Share
    schedule: Literal["constant", "cosine"]
    warmup_epochs: NonNegativeInt
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)]
    mixup_alpha: Annotated[float, Field(ge=0.0, le=100.0)]
    ema_momentum: Annotated[float, Field(ge=0.0, lt=1.0)]
    early_stopping_patience: Patience
    plateau_patience: Patience
    plateau_factor: Annotated[float, Field(gt=0.0, lt=1.0)]

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError("weight_decay is ignored by adam: set it to 0.0, or optimizer: adamw")
        if self.schedule == "constant" and self.warmup_epochs:
            raise ValueError("warmup_epochs is ignored by schedule constant: set 0, or cosine")
        if self.schedule == "cosine" and self.plateau_patience is not None:
            raise ValueError("plateau_patience fights schedule cosine: set it to null, or constant")
        if self.schedule == "cosine" and self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be less than epochs")
        if self.ema_momentum and self.early_stopping_patience is not None:
            raise ValueError(
                "early stopping would restore weights that are not the averaged ones: set"
                " early_stopping_patience to null, or ema_momentum to 0.0"
            )
        return self


class Last(Section):
    """The last N layers of the backbone."""

    last: PositiveInt


FromLayer = Literal["all", "default"] | NonNegativeInt | Annotated[str, Field(min_length=1)] | Last


class FineTune(Phase):
    """A phase in which the backbone learns from a layer upwards, and the head."""

    from_layer: FromLayer
    batchnorm: Literal["frozen", "train"]


class FineTunePhase2(FineTune):
    """All that follows phase 1: what its phases have in common, and each of them in order."""

    phases: list[FineTune]

    @model_validator(mode="before")
    @classmethod
    def _complete_phases(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("phases"), list):
            return values
        shared = {key: value for key, value in values.items() if key in FineTune.model_fields}
        complete = [
            {**shared, **each} if isinstance(each, Mapping) else each for each in values["phases"]
        ]
        return {**values, "phases": complete}


class Distribution(Section):
    """On how many devices phase 2 trains."""

    strategy: Literal["single", "mirrored", "workers"]
    timeout_s: Annotated[float, Field(gt=0.0, le=86400.0)]


class Export(Section):
    """What is folded into the SavedModel, and how much of it is proved."""

    temperature: Literal["fit"] | Annotated[float, Field(gt=0.01, le=100.0)]
    threshold: Literal["fit"] | Annotated[float, Field(gt=0.0, lt=1.0)]
    parity_images: Annotated[int, Field(ge=1, le=4096)]
    litert: list[LiteRt]
    litert_images: Annotated[int, Field(ge=1, le=4096)]

    @model_validator(mode="after")
    def _refuse_doubles(self) -> Self:
        if len(set(self.litert)) < len(self.litert):
            raise ValueError("litert names a file twice: name each of float32 and int8 once")
        return self


class Evaluate(Section):
    """How the exported model is measured."""

    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)]
    worst_mistakes: Annotated[int, Field(ge=0, le=200)]
    latency_calls: Annotated[int, Field(ge=5, le=10_000)]


class Gate(Section):
    """What a candidate must reach; null is not asked."""

    min_accuracy: Share | None
    min_macro_f1: Share | None
    min_recall: Share | None
    min_roc_auc: Share | None
    min_pr_auc: Share | None
    max_ece: Share | None
    max_train_test_gap: Share | None
    max_latency_ratio: Annotated[float, Field(gt=0.0)] | None
    max_size_mb: Annotated[float, Field(gt=0.0)] | None
    margin: Share
    waivers: dict[Literal["champion_classes", "champion_signature"], str]


class InfraValidate(Section):
    """How a server is tried on the exported model."""

    images: PositiveInt
    timeout_s: Annotated[float, Field(gt=0.0, le=86400.0)]
    tolerance: Share
    warmup_records: Annotated[int, Field(ge=0, le=1000)]


class Publish(Section):
    """How a version is published, and how a store of releases is reached."""

    serving_version: Annotated[str, Field(pattern=r"^\d+\.\d+(\.\d+)?$")]
    keep: PositiveInt
    timeout_s: Annotated[float, Field(gt=0.0, le=3600.0)]
    attempts: Annotated[int, Field(ge=1, le=20)]
    claim_s: Annotated[float, Field(gt=0.0)]


class Promote(Section):
    """How a version becomes the one that is served, and what it is held to before."""

    model_name: Annotated[str, Field(min_length=1)]
    base_path: Annotated[str, Field(min_length=1)] | None
    reload: bool
    poll_s: Annotated[float, Field(ge=0.0, le=3600.0)]
    deadline_s: Annotated[float, Field(gt=0.0, le=86400.0)]
    call_timeout_s: Annotated[float, Field(gt=0.0, le=600.0)]
    probes: Annotated[int, Field(ge=1, le=1000)]
    soak_s: Annotated[float, Field(ge=0.0, le=86400.0)]
    soak_probes_per_s: Annotated[float, Field(gt=0.0, le=1000.0)]
    max_error_increase: Share
    max_latency_ratio: Annotated[float, Field(gt=0.0)]
    keep_loaded: Annotated[int, Field(ge=0, le=100)]


class Drift(Section):
    """When the answers given in production are no longer those of the test split."""

    threshold: Annotated[float, Field(gt=0.0, le=100.0)]
    min_images: PositiveInt
    confidence_bins: Annotated[int, Field(ge=2, le=100)]
    min_new_labels: PositiveInt


class LabelAudit(Section):
    """How labels are judged."""

    folds: Annotated[int, Field(ge=2, le=100)]
    inverse_regularisation: Annotated[float, Field(gt=0.0, le=1e6)]
    thumbnails: Annotated[int, Field(ge=1, le=240)]


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    images: Images
    validate_: Validate = Field(alias="validate")  # BaseModel has a method of that name.
    augment: Augment
    backbone: Backbone
    head: Head
    features: Features
    objective: Objective
    train: Train
    train_phase1: Phase | None
    fine_tune_phase2: FineTunePhase2
    distribution: Distribution
    export: Export
    evaluate: Evaluate
    gate: Gate
    infra_validate: InfraValidate
    publish: Publish
    promote: Promote
    drift: Drift
    label_audit: LabelAudit

    @model_validator(mode="after")
    def _refuse_ignored_settings(self) -> Self:
        phases = [each for each in (self.train_phase1, *self.fine_tune_phase2.phases) if each]
        if not phases:
            raise ValueError(
                "nothing would train: train_phase1 is null and fine_tune_phase2.phases is []"
            )
        if self.train.warm_start and not self.fine_tune_phase2.phases:
            raise ValueError("train.warm_start runs fine_tune_phase2.phases alone, which is []")
        if (
            self.train.warm_start
            and self.train.warm_replay is not None
            and self.objective.balance == "sampling"
        ):
            raise ValueError("train.warm_replay and objective.balance sampling both draw an epoch")
        soft = any(each.label_smoothing or each.mixup_alpha for each in phases)
        if self.objective.loss == "sparse" and soft:
            raise ValueError(
                "objective.loss sparse has no place for label_smoothing and mixup_alpha: set both"
                " to 0.0, or loss: one_hot"
            )
        if self.head.activation == "softmax" and self.export.threshold != 0.5:
            raise ValueError("export.threshold is of head.activation sigmoid: set it to 0.5")
        return self


def _fields(model: type[BaseModel]) -> dict[int | str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _sections(annotation: Any) -> list[type[Section]]:
    """Every section inside an annotation: in a union, or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [each for part in get_args(annotation) for each in _sections(part)]


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Params
    for part in location:
        inner = _sections(_fields(model)[part]) if part in _fields(model) else []
        model = inner[0] if inner else model  # An index in a list, or a branch of a union.
    return [str(name) for name in _fields(model)]


def _advice(error: Any) -> str:
    *parent, key = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        known = _known_keys(tuple(parent))
        close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return f"is not a setting; {hint}"
    if error["type"] == "missing":
        return "is missing; every setting stands in params.yaml"
    right: str = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(error["input"], Mapping):
        return right
    return f"is {error['input']!r}; it {right}"


def _line(fault: Any) -> str:
    return f"  {'.'.join(str(part) for part in fault['loc'])} {_advice(fault)}".replace("   ", "  ")


def _said_once(faults: Sequence[Any]) -> list[Any]:
    """Faults without those that a phase only has from what all phases have in common."""
    seen = {fault["loc"] for fault in faults}
    return [
        fault
        for fault in faults
        if not ("phases" in fault["loc"] and (fault["loc"][0], *fault["loc"][3:]) in seen)
    ]


def parse_params(values: Mapping[str, Any], source: str = "params.yaml") -> Params:
    """Check every value.

    Raises:
        ParamsError: one line a fault: the key, the value, what would be right, the closest key.
    """
    try:
        return Params.model_validate(dict(values))
    except pydantic.ValidationError as error:
        faults = [_line(fault) for fault in _said_once(error.errors())]
        raise ParamsError("\n".join([f"{source} cannot be used:", *faults])) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ParamsError: it is missing, not YAML, or not a mapping.
    """
    try:
        # ruamel reads YAML 1.2, as DVC does, which writes small numbers as 1e-05: text to PyYAML.
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing. Run in the repository's top folder.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds {type(values).__name__}, not sections of settings.")
    return values


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: see `parse_params` and `read_yaml`.
    """
    return parse_params(read_yaml(path), str(path.name))


def overlay(base: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a recipe's values over params: sections merge key by key, everything else replaces."""
    merged = dict(base)
    for key, value in recipe.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = overlay(old, value) if both else value  # type: ignore[arg-type]
    return merged
