"""What a comparison grants every recipe alike: seeds, epochs, resolution, width."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sortline.core.params import overlay


@dataclass(frozen=True)
class Budget:
    """Limits laid over each recipe; None leaves the recipe its own.

    Attributes:
        seeds: runs of each recipe, with the seeds 0 to `seeds` - 1.
        epochs: at most so many in each phase.
        image_size_px: side of what every network sees.
        alpha: width of every MobileNetV2.
    """

    seeds: int
    epochs: int | None = None
    image_size_px: int | None = None
    alpha: float | None = None

    def laid_over(self, recipe: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe with the budget over it.

        Args:
            recipe: its values.
            settings: params.yaml with the recipe over it, whose phases are cut short.
        """
        limits: dict[str, Any] = {"validate": {"expected_counts": None}}  # Whatever the dataset.
        if self.epochs is not None:
            limits = overlay(limits, _shortened(settings, self.epochs) or {})
        if self.image_size_px is not None:
            limits = overlay(limits, {"backbone": {"image_size_px": self.image_size_px}})
        if self.alpha is not None and settings["backbone"]["architecture"] == "mobilenet_v2":
            limits = overlay(limits, {"backbone": {"alpha": self.alpha}})
        return overlay(recipe, limits)

    def described(self) -> str:
        """The budget in a sentence."""
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        epochs = "the recipes' own epochs"
        if self.epochs is not None:
            epochs = f"at most {self.epochs} epoch{'s' if self.epochs > 1 else ''} a phase"
        size = "the recipes' own resolution"
        if self.image_size_px is not None:
            size = f"{self.image_size_px} x {self.image_size_px} px"
        width = "" if self.alpha is None else f", MobileNetV2 of width {self.alpha:g}"
        return f"{seeds}, {epochs}, {size}{width}"


def _shortened(settings: Any, epochs: int) -> Any:
    """The part of settings that changes when no phase may take more epochs; None if none does.

    A phase is whatever has epochs, wherever it stands: alone, or in a list.
    """
    if isinstance(settings, list):
        parts = [_shortened(each, epochs) for each in settings]
        if all(part is None for part in parts):
            return None
        # A list replaces a list: every element is given whole.
        pairs = zip(settings, parts, strict=True)
        return [each if part is None else overlay(each, part) for each, part in pairs]
    if not isinstance(settings, Mapping):
        return None
    changed = _cut(settings, epochs)
    for key, value in settings.items():
        if (part := _shortened(value, epochs)) is not None:
            changed[key] = part
    return changed or None


def _cut(phase: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    asked = phase.get("epochs")
    if not isinstance(asked, int) or asked <= epochs:
        return {}
    warmup = phase.get("warmup_epochs")
    shorter = isinstance(warmup, int) and warmup >= epochs
    return {"epochs": epochs, **({"warmup_epochs": epochs - 1} if shorter else {})}
