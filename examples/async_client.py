"""Ask about several folders at once: `python examples/async_client.py localhost:8500 FOLDER...`."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

from sortline.client import AsyncClient


async def count_labels(client: AsyncClient, folder: Path) -> Counter[str]:
    """How many files of a folder have each label; those that are no picture count as invalid."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    answers = await client.predict(files, timeout_s=60.0)
    return Counter(answer.label if answer.valid else "invalid" for answer in answers)


async def main(target: str, *folders: str) -> None:
    """Print a line for every folder."""
    # One client for all tasks of the event loop: they share its connection.
    async with AsyncClient(target) as client:
        tasks = [count_labels(client, Path(folder)) for folder in folders]
        counts = await asyncio.gather(*tasks)
    for folder, labels in zip(folders, counts, strict=True):
        print(
            f"{folder}: " + ", ".join(f"{count} {label}" for label, count in labels.most_common())
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
