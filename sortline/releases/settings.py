"""Settings of how versions are published and promoted."""

from typing import Annotated

from pydantic import Field, PositiveInt

from sortline.core.params import Section, Sections, Share


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


class ReleaseParams(Sections):
    """What every command that reaches a store of releases depends on."""

    publish: Publish
    promote: Promote
