"""One message at every ending: into the task's log, and to whoever SORTLINE_NOTIFY_URL names."""

import json
import urllib.error
import urllib.request

from sortline.core.errors import ArtifactError, UnreachableError
from sortline.orchestration.plan import place_of
from sortline.orchestration.records import Record, summary
from sortline.orchestration.run_store import RunStore
from sortline.orchestration.settings import Settings

_TIMEOUT_S = 20.0


def _text(record: Record) -> str:
    text = summary(record)
    if record.outcome == "nothing new" and "drift" in record.trigger:
        return f"{text}\nThe predictions drifted, and there is no new data to learn from: look."
    return text


def post(url: str, text: str) -> None:
    """Send a message.

    Raises:
        UnreachableError: it cannot be delivered.
    """
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            pass
    except (urllib.error.URLError, OSError) as error:
        raise UnreachableError(f"SORTLINE_NOTIFY_URL does not take messages: {error}.") from error


def notify(run_id: str, settings: Settings) -> str:
    """Say how a run ended; the text that was said.

    Raises:
        ArtifactError: the run has no record.
        UnreachableError: the message cannot be delivered.
    """
    found = RunStore(settings.run_store).read(f"{place_of(run_id)}/record.json")
    if found is None:
        raise ArtifactError(f"The run {run_id} has no record. Clear record, which was to write it.")
    text = _text(Record(**{**found, "verdicts": tuple(found["verdicts"])}))
    if settings.notify_url:
        post(settings.notify_url, text)
    return text
