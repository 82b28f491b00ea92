"""Gates on what the model costs whoever serves it."""

from typing import Annotated

from pydantic import Field

from sortline.evaluation.gates import Candidate, Verdict, at_most, gate

Positive = Annotated[float, Field(gt=0.0)]


@gate("max_latency_ratio", setting=Positive)
def max_latency_ratio(cap: float, candidate: Candidate) -> Verdict:
    """The cap on the median latency, as a ratio to a reference model timed in the same process."""
    latency = candidate.latency
    reason = (
        f"p50 {latency['p50_ms']:.1f} ms (p95 {latency['p95_ms']:.1f}) against"
        f" {latency['reference']['p50_ms']:.1f} ms of the reference, {latency['calls']} calls of"
        f" each in turns on {latency['machine']['cpu']}"
    )
    return at_most("max_latency_ratio", latency["ratio"], cap, reason)


@gate("max_size_mb", setting=Positive)
def max_size_mb(cap: float, candidate: Candidate) -> Verdict:
    """The cap on the size of the model's files, 10^6 bytes each."""
    size = candidate.size_mb
    return at_most("max_size_mb", size, cap, f"{size:.1f} MB of files in artifacts/saved_model")
