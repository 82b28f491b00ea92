"""Reference values of what is cached: they hold the number that says how it was computed.

A file holds that number and the values. After an intended change, raise the number and run the test
with SORTLINE_TAKE_REFERENCES=1, which writes the file anew.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def assert_as_before(
    file: Path, number: int, values: Mapping[str, npt.ArrayLike], *, rtol: float, atol: float
) -> None:
    """Fail where values differ from those of `file`, or where they were taken with another number.

    Args:
        file: a JSON file beside the test.
        number: raised by whoever changes the arithmetic.
        values: by name; any shape.
        rtol: of each value. Another machine adds in another order.
        atol: likewise.
    """
    if os.environ.get("SORTLINE_TAKE_REFERENCES"):
        rounded = {
            name: np.round(np.ravel(each).astype(float), 5).tolist()
            for name, each in values.items()
        }
        lines = [f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in rounded.items()]
        body = ",\n".join([f'  "number": {number}', *lines])
        file.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")
    expected: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert number == expected.pop("number"), f"{file.name} was taken with another number."
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_allclose(
            np.ravel(value),
            expected[name],
            rtol,
            atol,
            err_msg=f"{name} is computed otherwise than before: what is cached is stale. Raise the"
            " number beside the code, and take the references again.",
        )
