"""Settings of the gates, which every registered gate adds one to."""

from typing import Any, Literal, Self

from sortline.core.params import Section, Share
from sortline.evaluation.gates import GATES
from sortline.evaluation.settings import EvaluateParams


class GateSettings(Section):
    """What a candidate must reach, besides what each registered gate asks."""

    margin: Share
    waivers: dict[Literal["champion_classes", "champion_signature"], str]

    @classmethod
    def completed(cls) -> type[Self]:
        """With a setting for each gate, null where it is not asked.

        Those of the package have to stand in params.yaml; without a line, another one is not asked.
        """
        fields: dict[str, Any] = {
            name: (entry.setting | None, ...)
            if entry.judge.__module__.startswith("sortline.")
            else (entry.setting | None, None)
            for name, entry in GATES.items()
        }
        return cls.with_registered(fields)

    @property
    def asked(self) -> dict[str, Any]:
        """The settings of the gates that are asked, by their names, sorted."""
        return self.of_registered()


class GateParams(EvaluateParams):
    """What decides whether a model may be served."""

    gate: GateSettings
