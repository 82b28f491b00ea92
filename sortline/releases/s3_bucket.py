"""Requests to a bucket: with limits of time and attempts, digests, conditions, and errors of ours.

Credentials and address come from the standard variables of AWS, AWS_ENDPOINT_URL among them.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sortline.core.errors import ReleaseError
from sortline.releases.store import Limits, Small

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Take = Callable[[bytes], object]

_CHUNK_BYTES: Final = 1 << 20
# 412: the condition does not hold. 409: another conditional write was under way. 404: If-Match on
# what is not there.
_NOT_SO: Final = (404, 409, 412)


def _status(error: object) -> int:
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: object) -> str:
    # An error of the connection has no answer: None.
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


class Bucket:
    """What lies below a prefix of a bucket; names are relative to it.

    All methods raise ReleaseError when S3 does not do what it is asked.
    """

    def __init__(self, name: str, prefix: str, limits: Limits) -> None:
        self._name, self._limits = name, limits
        self._prefix = f"{prefix}/" if prefix else ""
        self.address = f"s3://{name}/{prefix}".rstrip("/")

    @cached_property
    def client(self) -> "S3Client":
        """The client of boto3, made when it is first needed."""
        import boto3
        from botocore.config import Config

        limits = self._limits
        config = Config(
            connect_timeout=limits.timeout_s,
            read_timeout=limits.timeout_s,
            retries={"total_max_attempts": limits.attempts, "mode": "standard"},
            # Digests are given with each request: other servers than AWS's know no trailers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        # A session of its own: threads must not share the default one while clients are made.
        return boto3.session.Session().client("s3", config=config)

    def close(self) -> None:
        """Close the connections; what comes later opens new ones."""
        if client := self.__dict__.pop("client", None):
            client.close()

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: of an address.
            raise ReleaseError(
                f"{self.address}: {what} failed: {str(error).rstrip('.')}. Check the address, the"
                " credentials and, unless it is AWS's own S3, AWS_ENDPOINT_URL; then run the same"
                " command again."
            ) from error

    def _key(self, name: str) -> str:
        return self._prefix + name

    def names(self, below: str = "") -> list[str]:
        """Names of all objects that begin like this."""
        names, complete = [], True
        with self._named("listing objects"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._key(below)
            )
            for page in pages:
                names += [entry["Key"] for entry in page.get("Contents", [])]
                complete = not page.get("IsTruncated", False)
        if not complete:  # botocore takes a cut page without a token for the last one.
            raise ReleaseError(f"{self.address}: the listing broke off. Run the command again.")
        return [name.removeprefix(self._prefix) for name in names]

    def _stream(self, name: str, take: Take) -> str:
        reply = self.client.get_object(Bucket=self._name, Key=self._key(name))
        with closing(reply["Body"]) as body:
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                take(chunk)
        return reply["ETag"]

    def download(self, name: str, restart: Callable[[], Take]) -> str:
        """Hand over an object in chunks; its ETag.

        Args:
            name: of the object.
            restart: gives what takes the chunks; called anew when an answer breaks off midway.
        """
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        with self._named(f"reading {name}"):
            # botocore's own attempts end where the body begins.
            for _ in range(self._limits.attempts - 1):
                with suppress(HTTPClientError, IncompleteReadError):
                    return self._stream(name, restart())
            return self._stream(name, restart())

    def sha256(self, name: str) -> str:
        """SHA-256 of an object's bytes, in hex, computed here."""
        digest = hashlib.sha256()

        def restart() -> Take:
            nonlocal digest
            digest = hashlib.sha256()
            return digest.update

        self.download(name, restart)
        return digest.hexdigest()

    def save(self, name: str, target: Path) -> None:
        """Write an object's bytes into a file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:

            def restart() -> Take:
                file.seek(0)
                file.truncate()
                return file.write

            self.download(name, restart)

    def read(self, name: str) -> Small | None:
        """A small object; its tag is its ETag. None when there is none."""
        data = bytearray()

        def restart() -> Take:
            data.clear()
            return data.extend

        try:
            tag = self.download(name, restart)
        except ReleaseError as error:
            if _code(error.__cause__) == "NoSuchKey":
                return None
            raise
        return Small(bytes(data), tag)

    def _put(self, name: str, body: Any, sha256: str, **condition: str) -> str:
        reply = self.client.put_object(
            Bucket=self._name,
            Key=self._key(name),
            Body=body,
            ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
            **condition,  # type: ignore[arg-type]
        )
        return reply["ETag"]

    def put_file(self, name: str, source: Path, sha256: str) -> None:
        """Upload a file; S3 compares the digest, too."""
        with self._named(f"writing {name}"), source.open("rb") as body:
            self._put(name, body, sha256)

    def put_if(self, name: str, data: bytes, tag: str | None) -> str | None:
        """Write a small object if it has this tag (None: if there is none).

        Returns:
            The new tag; None when the condition does not hold, or could not be looked at.
        """
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with self._named(f"writing {name}"):
            try:
                return self._put(name, data, hashlib.sha256(data).hexdigest(), **condition)
            except ClientError as error:
                if _status(error) not in _NOT_SO or _code(error) == "NoSuchBucket":
                    raise
        return None

    def copy(self, name: str, target: str) -> None:
        """Copy an object, inside S3."""
        with self._named(f"copying {name} to {target}"):
            self.client.copy_object(
                Bucket=self._name,
                Key=self._key(target),
                CopySource={"Bucket": self._name, "Key": self._key(name)},
            )

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        with self._named(f"removing {name}"):
            self.client.delete_object(Bucket=self._name, Key=self._key(name))
