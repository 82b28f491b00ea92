"""Settings of how a model is measured and judged."""

from typing import Annotated, Literal

from pydantic import Field

from sortline.core.params import Section, Sections, Seed, Share
from sortline.images.settings import Images


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


class EvaluateParams(Sections):
    """What decides how a model is scored and how sure the scores are."""

    seed: Seed
    images: Images
    evaluate: Evaluate


class GateParams(EvaluateParams):
    """What decides whether a model may be served."""

    gate: Gate
