"""What the stand-in server adds to the model's own time, and whether it holds under load.

    python bench/serving.py [--root runs/demo] [--minutes 10] [--swaps 100]

Serves the exported model below the root (`make demo` leaves one in runs/demo) and sends test images
to it: as fast as 16 clients can, in turns with the model called in this process; for ten minutes at
70 % of that rate, found anew every 20 s, since a shared machine's own speed changes; at three
times that rate. Then versions are swapped under load. Each part
prints what was promised and what was measured as soon as it is over; all of it is written as JSON
when the whole was asked for. 1 when a promise is missed. It takes the minutes and seven more.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from serving_load import MODEL, Load, Seen, request_for
from swaps import swap_under_load

from sortline.core.files import write_json
from sortline.core.quiet import quiet_libraries
from sortline.serving.die_with_parent import dying_with_parent
from sortline.standin.model_server import LISTENING

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench/results/serving.json"
CLIENTS = 16
ROUND_S = 10.0
DEADLINE_S = 5.0
OVERLOAD = {"times": 3.0, "seconds": 20.0, "deadline_s": 1.0}
REFUSALS = {"OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
RECOVERY_S = 5.0
SHARE = 0.7
PEAK_S, STEADY_S = 2.0, 20.0


@dataclass(frozen=True)
class Server:
    """A running stand-in."""

    target: str
    process: psutil.Process

    def resident_mib(self) -> float:
        """Resident memory."""
        return float(self.process.memory_info().rss) / 2**20


@contextmanager
def serving(*flags: str) -> Iterator[Server]:
    """The stand-in with these flags, until the block ends."""
    command = [sys.executable, "-m", "sortline.standin.model_server", "--port=0", *flags]
    process = subprocess.Popen(dying_with_parent(command), stderr=subprocess.PIPE, text=True)
    try:
        if process.stderr is None:
            raise SystemExit("The server has no stderr.")
        line = next((each for each in process.stderr if LISTENING in each), None)
        if line is None:
            raise SystemExit(f"The server did not start: {process.wait()}.")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        target = line.split("grpc=")[1].split()[0]
        yield Server(target, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


def test_images(root: Path, count: int) -> list[bytes]:
    """Some files of the test split, by the list of the evaluation."""
    import pandas as pd

    listed = pd.read_parquet(root / "reports/evaluation/predictions.parquet")["path"]
    chosen = listed.sample(min(count, len(listed)), random_state=0)
    try:
        return [(ROOT / path).read_bytes() for path in chosen]
    except FileNotFoundError as error:
        raise SystemExit(
            f"{error.filename} is missing: `make demo` brings the data back."
        ) from error


def in_process_rate(folder: Path, images: list[bytes], seconds: float) -> float:
    """Images a second of the model called in this process, with the best number of threads."""
    from sortline.model.local_model import load_model

    model = load_model(folder)
    for image in images:
        model.predict_bytes([image])
    return max(_threads_rate(model, images, threads, seconds) for threads in (1, 2, 4, CLIENTS))


def _threads_rate(model: Any, images: list[bytes], threads: int, seconds: float) -> float:
    done, end = [0] * threads, time.monotonic() + seconds

    def work(index: int) -> None:
        turn = index
        while time.monotonic() < end:
            model.predict_bytes([images[turn % len(images)]])
            done[index] += 1
            turn += threads

    started = time.monotonic()
    running = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(done) / (time.monotonic() - started)


def _in_process_once(folder: Path, root: Path) -> float:
    """The same in a process of its own, which is gone when the server is asked."""
    command = [sys.executable, __file__, "--in-process", str(folder), "--root", str(root)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(said.splitlines()[-1])


async def peak(server: Server, images: list[bytes], seconds: float) -> Seen:
    """As fast as all clients can."""
    load = Load(server.target, DEADLINE_S)
    try:
        return await load.closed([request_for(each) for each in images], CLIENTS, seconds)
    finally:
        await load.close()


async def steadily(server: Server, images: list[bytes], minutes: float) -> list[dict[str, Any]]:
    """Rounds at 70 % of what the server can give just then; what was seen in each of them."""
    load, requests = Load(server.target, DEADLINE_S), [request_for(each) for each in images]
    found = []
    try:
        for _ in range(max(2, round(60 * minutes / STEADY_S))):
            most = (await load.closed(requests, CLIENTS, PEAK_S)).codes["OK"] / PEAK_S
            seen = await load.steady(requests, SHARE * most, STEADY_S)
            found.append(
                {
                    "rate": SHARE * most,
                    "codes": dict(seen.codes),
                    "p50_ms": 1000 * seen.quantile_s(0.5),
                    "p99_ms": 1000 * seen.quantile_s(0.99),
                    "resident_mib": server.resident_mib(),
                }
            )
            print(json.dumps(found[-1]), flush=True)
    finally:
        await load.close()
    return found


async def overloaded(server: Server, images: list[bytes], rate: float) -> tuple[Seen, float]:
    """Far more than can be answered; what was seen, and after how long calls were normal again."""
    requests = [request_for(each) for each in images]
    load = Load(server.target, OVERLOAD["deadline_s"])
    try:
        seen = await load.steady(requests, OVERLOAD["times"] * rate, OVERLOAD["seconds"])
        started = time.monotonic()
        answered = 0
        while answered < 5 and time.monotonic() - started < 10 * RECOVERY_S:
            probe = Seen()
            await load.call(requests[answered], probe)
            answered = answered + 1 if probe.codes["OK"] else 0
        return seen, time.monotonic() - started
    finally:
        await load.close()


def _verdict(held: bool, said: str) -> str:
    return f"{'ok' if held else 'MISSED'}: {said}"


def _throughput(folder: Path, root: Path, server: Server, images: list[bytes]) -> dict[str, float]:
    """Medians of three rounds."""
    asyncio.run(peak(server, images, ROUND_S))  # Everybody has traced and connected now.
    own, served = [], []
    for number in range(1, 4):
        own.append(_in_process_once(folder, root))
        served.append(asyncio.run(peak(server, images, ROUND_S)).codes["OK"] / ROUND_S)
        rates = f"{own[-1]:.1f} images/s in process, {served[-1]:.1f} from the server"
        print(f"round {number} of 3: {rates}", flush=True)
    return {"in_process": statistics.median(own), "server": statistics.median(served)}


@dataclass(frozen=True)
class Report:
    """Figures and verdicts so far; whatever comes after them, they were printed."""

    figures: dict[str, Any]
    verdicts: list[str]

    def add(self, name: str, figures: dict[str, Any], said: str) -> None:
        """One part is over."""
        self.figures[name] = figures
        self.verdicts.append(said)
        print(json.dumps({name: figures}), said, sep="\n", flush=True)


def _on_rates(rates: dict[str, float]) -> str:
    share = rates["server"] / rates["in_process"]
    return _verdict(
        share >= 0.9,
        f"{CLIENTS} clients get {rates['server']:.1f} images/s, {share:.2f} of the"
        f" {rates['in_process']:.1f} of the model called in process; at least 0.9",
    )


def _on_steady(steady: dict[str, Any]) -> str:
    tails, growth = steady["tails"], steady["memory_growth"]
    (low, tail, high), errors = statistics.quantiles(tails, n=4), steady["errors"]
    return _verdict(
        tail <= 3 and not errors and growth < 0.02,
        f"{steady['minutes']:g} minutes at {SHARE:.0%} of the peak just before,"
        f" {steady['calls']:,} calls: p99 is {tail:.1f} times p50 in the median of {len(tails)}"
        f" rounds, at most 3 (half of them {low:.1f} to {high:.1f});"
        f" {errors or 'no'} errors; memory {growth:+.1%}, under 2 %",
    )


def _on_overload(flood: dict[str, Any]) -> str:
    return _verdict(
        set(flood["codes"]) <= REFUSALS and flood["recovery_s"] <= RECOVERY_S,
        f"at three times the peak {flood['codes']}, recovered after"
        f" {flood['recovery_s']:.1f} s; at most {RECOVERY_S:g}",
    )


def _on_swaps(swaps: dict[str, Any]) -> str:
    return _verdict(
        not swaps["failed"] and not swaps["wrong"],
        f"{swaps['swaps']} swaps under load: {swaps['answers']:,} answers,"
        f" {swaps['failed']} failed, {swaps['wrong']} of another version than the one pinned",
    )


def _steady(server: Server, images: list[bytes], minutes: float) -> dict[str, Any]:
    found = asyncio.run(steadily(server, images, minutes))
    codes = sum((Counter(each["codes"]) for each in found), Counter())
    # After some rounds arenas and caches have grown.
    growth = found[-1]["resident_mib"] / found[min(3, len(found) // 2)]["resident_mib"] - 1
    return {
        "minutes": minutes,
        "rounds": found,
        "tails": [each["p99_ms"] / each["p50_ms"] for each in found],
        "calls": codes.total(),
        "errors": {code: count for code, count in codes.items() if code != "OK"},
        "memory_growth": growth,
    }


def _overload(server: Server, images: list[bytes], rate: float) -> dict[str, Any]:
    seen, recovery_s = asyncio.run(overloaded(server, images, rate))
    return {"codes": dict(seen.codes), "recovery_s": recovery_s}


def measure(root: Path, minutes: float, swaps: int) -> Report:
    """Everything, part by part."""
    images, folder, report = test_images(root, 64), root / "artifacts/saved_model", Report({}, [])
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "1").symlink_to(folder.resolve())
        with serving(f"--model_base_path={base}", f"--model_name={MODEL}") as server:
            rates = _throughput(folder, root, server, images)
            report.add("images_per_s", rates, _on_rates(rates))
            steady = _steady(server, images, minutes)
            report.add("steady", steady, _on_steady(steady))
            flood = _overload(server, images, rates["server"])
            report.add("overload", flood, _on_overload(flood))
    swapped = swap_under_load(serving, swaps)
    report.add("swaps", swapped, _on_swaps(swapped))
    return report


def main() -> int:
    """Measure, print, write; 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT / "runs/demo")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--in-process", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    quiet_libraries()
    if not (asked.root / "artifacts/saved_model").is_dir():
        raise SystemExit(f"There is no exported model below {asked.root}: run `make demo` first.")
    if asked.in_process:
        print(in_process_rate(asked.in_process, test_images(asked.root, 64), ROUND_S / 4))
        return 0
    report = measure(asked.root, asked.minutes, asked.swaps)
    if asked.minutes >= 10 and asked.swaps >= 100:
        write_json(RESULT, {**report.figures, "verdicts": report.verdicts})
    return int(any(line.startswith("MISSED") for line in report.verdicts))


if __name__ == "__main__":
    sys.exit(main())
