"""The wrong answers that were given with the most confidence, as photographs."""

import pandas as pd
from matplotlib.figure import Figure

from sortline.reporting.drawing import draw_mistakes
from sortline.reporting.figures import Evaluated, figure


def worst_mistakes(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The wrong answers given with the most confidence, at most `count`, the surest first."""
    wrong = rows[rows["valid"] & ~rows["correct"]]
    return wrong.sort_values(["probability", "path"], ascending=[False, True]).head(count)


@figure(
    "mistakes",
    title="Worst mistakes: the surest of the wrong answers",
    section="mistakes",
    alt="Thumbnails of wrongly classified test images, each with its true class, the class the"
    " model said and the probability it gave.",
    caption="Look for wrong labels among them first.",
)
def mistakes(evaluated: Evaluated, drawing: Figure) -> None:
    """Draw as many as evaluate.worst_mistakes says."""
    worst = worst_mistakes(evaluated.predictions, evaluated.worst_mistakes)
    captions = zip(worst["label"], worst["predicted"], worst["probability"], strict=True)
    draw_mistakes(
        drawing,
        [evaluated.thumbnail(path) for path in worst["path"]],
        [(true, predicted, float(probability)) for true, predicted, probability in captions],
    )
