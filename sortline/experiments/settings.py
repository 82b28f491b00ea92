"""Settings of how labels are judged."""

from typing import Annotated

from pydantic import Field

from sortline.core.params import Section
from sortline.dataset.settings import Validate
from sortline.images.settings import Images
from sortline.training.network_settings import NetworkParams
from sortline.training.phase_settings import Features


class LabelAudit(Section):
    """How labels are judged."""

    folds: Annotated[int, Field(ge=2, le=100)]
    inverse_regularisation: Annotated[float, Field(gt=0.0, le=1e6)]
    thumbnails: Annotated[int, Field(ge=1, le=240)]


class AuditParams(NetworkParams):
    """What an audit of labels depends on."""

    images: Images
    validate_: Validate = Field(alias="validate")  # BaseModel has a method of that name.
    features: Features
    label_audit: LabelAudit
