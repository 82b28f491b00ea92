"""Ask a model server about pictures: `python examples/client.py localhost:8500 PICTURE...`."""

import sys
from pathlib import Path

from sortline.client import Client, ServingError


def main(target: str, *pictures: str) -> int:
    """Print the label of every picture; 1 if some are invalid, 2 if the server fails."""
    paths = [Path(picture) for picture in pictures]
    try:
        # A client connects when it is first asked, tries again when a call is lost, and sends
        # many pictures in calls of a fitting size. Threads may share one.
        with Client(target) as client:
            answers = client.predict(paths, timeout_s=30.0)
    except ServingError as error:
        print(error, file=sys.stderr)
        return 2
    for path, answer in zip(paths, answers, strict=True):
        # A file that is no picture does not stop the others: it is invalid, and says why.
        text = f"{answer.label} {answer.probability:.1%}" if answer.valid else answer.reason
        print(f"{path}: {text}")
    return 0 if all(answer.valid for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
