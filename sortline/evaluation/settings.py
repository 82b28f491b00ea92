"""Settings of how a model is measured and judged."""

from typing import Annotated

from pydantic import Field

from sortline.core.params import Section, Sections, Seed
from sortline.images.settings import Images


class Evaluate(Section):
    """How the exported model is measured."""

    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)]
    worst_mistakes: Annotated[int, Field(ge=0, le=200)]
    latency_calls: Annotated[int, Field(ge=5, le=10_000)]


class EvaluateParams(Sections):
    """What decides how a model is scored and how sure the scores are."""

    seed: Seed
    images: Images
    evaluate: Evaluate
