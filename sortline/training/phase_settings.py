"""Settings of how a network is trained. Keras is not imported for them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from sortline.core.params import Section, Share
from sortline.training.network_settings import NetworkParams

Patience = Annotated[int, Field(ge=1, le=1000)] | None


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
            {**shared, **phase} if isinstance(phase, Mapping) else phase
            for phase in values["phases"]
        ]
        return {**values, "phases": complete}


class Distribution(Section):
    """On how many devices phase 2 trains."""

    strategy: Literal["single", "mirrored", "workers"]
    timeout_s: Annotated[float, Field(gt=0.0, le=86400.0)]


class TrainingParams(NetworkParams):
    """What every phase of training depends on."""

    features: Features
    objective: Objective


class PhasesParams(TrainingParams):
    """All phases at once: what computes features before any of them asks for them."""

    train_phase1: Phase | None
    fine_tune_phase2: FineTunePhase2


def refuse_no_phase(first: Phase | None, rest: FineTunePhase2) -> None:
    """Raise ValueError where no phase is left that would train."""
    if first is None and not rest.phases:
        raise ValueError(
            "nothing would train: train_phase1 is null and fine_tune_phase2.phases is []"
        )


def refuse_idle_warm_start(train: Train, rest: FineTunePhase2) -> None:
    """Raise ValueError where training would start from the champion, and no phase would run."""
    if train.warm_start and not rest.phases:
        raise ValueError("train.warm_start runs fine_tune_phase2.phases alone, which is []")


def refuse_two_draws(replay: float | None, objective: Objective) -> None:
    """Raise ValueError where two settings decide which images an epoch has."""
    if replay is not None and objective.balance == "sampling":
        raise ValueError("train.warm_replay and objective.balance sampling both draw an epoch")


def refuse_soft_targets(objective: Objective, phases: Sequence[Phase | None]) -> None:
    """Raise ValueError where targets are class ids, and a phase would mix or smooth them."""
    soft = any(phase and (phase.label_smoothing or phase.mixup_alpha) for phase in phases)
    if objective.loss == "sparse" and soft:
        raise ValueError(
            "objective.loss sparse has no place for label_smoothing and mixup_alpha: set both"
            " to 0.0, or loss: one_hot"
        )
