"""Work on many files in threads, with a progress bar that has a rate and an estimate."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    what: str,
    unit: str = "img",
    threads: int | None = None,
) -> list[Result]:
    """`work` of every item, in their order. The first error stops the rest, and so does Ctrl-C."""
    pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)
    try:
        futures = [pool.submit(work, item) for item in items]
        for done in tqdm(as_completed(futures), desc=what, total=len(items), unit=unit):
            done.result()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
