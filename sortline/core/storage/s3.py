"""Storage in S3: with limits of time and attempts, digests, and conditions.

Credentials and address come from the standard variables and files of AWS, AWS_ENDPOINT_URL among
them.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sortline.core.storage.base import Limits, MakeError, SmallFile, Storage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TakeBytes = Callable[[bytes], object]

_CHUNK_BYTES: Final = 1 << 20
_CONNECTIONS: Final = 16
_ATTEMPTS: Final = 3
# 412: the condition does not hold. 404: If-Match on what is not there.
_CONDITION_FAILED: Final = (404, 412)
_CONFLICT: Final = 409  # Another conditional write was under way: AWS says to try again.


def _status(error: object) -> int:
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: object) -> str:
    # An error of the connection has no answer: None.
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


class S3Storage(Storage):
    """Objects below a prefix of a bucket; a tag is an ETag."""

    def __init__(self, bucket: str, prefix: str, limits: Limits, error: MakeError) -> None:
        self._bucket, self._limits, self._error = bucket, limits, error
        self._prefix = f"{prefix}/" if prefix else ""
        self.address = f"s3://{bucket}/{prefix}".rstrip("/")

    @cached_property
    def client(self) -> "S3Client":
        """The client of boto3, made when it is first needed."""
        import boto3
        from botocore.config import Config

        limits = self._limits
        attempts: dict[str, Any] = {"mode": "standard"}
        if limits.attempts:
            attempts["total_max_attempts"] = limits.attempts
        config = Config(
            connect_timeout=limits.timeout_s,
            read_timeout=limits.timeout_s,
            retries=attempts,  # type: ignore[arg-type]
            max_pool_connections=_CONNECTIONS,
            # Digests are given with each request: other servers than AWS's know no trailers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        # A session of its own: threads must not share the default one while clients are made.
        return boto3.session.Session().client("s3", config=config)

    def close(self) -> None:
        """See Storage."""
        if client := self.__dict__.pop("client", None):
            client.close()

    @property
    def _attempts(self) -> int:
        retries: dict[str, Any] = getattr(self.client.meta.config, "retries", None) or {}
        return int(retries.get("total_max_attempts", _ATTEMPTS))

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: of an address.
            raise self._error(
                f"{self.address}: {what} failed: {str(error).rstrip('.')}. Check the address, the"
                " credentials and, unless it is AWS's own S3, AWS_ENDPOINT_URL; then run the same"
                " command again."
            ) from error

    def _key(self, name: str) -> str:
        return self._prefix + name

    def names(self, folder: str = "") -> list[str]:
        """See Storage; objects that only mark a folder are left out."""
        keys, complete = [], True
        prefix = self._key(f"{folder}/" if folder else "")
        with self._named("listing objects"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            for page in pages:
                keys += [entry["Key"] for entry in page.get("Contents", [])]
                complete = not page.get("IsTruncated", False)
        if not complete:  # botocore takes a cut page without a token for the last one.
            raise self._error(
                f"{self.address}: the listing broke off after {len(keys)} keys. Run the command"
                " again."
            )
        return sorted(key.removeprefix(self._prefix) for key in keys if not key.endswith("/"))

    def _stream(self, name: str, take: TakeBytes) -> str:
        reply = self.client.get_object(Bucket=self._bucket, Key=self._key(name))
        with closing(reply["Body"]) as body:
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                take(chunk)
        return reply["ETag"]

    def _download(self, name: str, restart: Callable[[], TakeBytes]) -> str:
        """Hand over an object in chunks; its ETag.

        Args:
            name: of the object.
            restart: gives what takes the chunks; called anew when an answer breaks off midway.
        """
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        with self._named(f"reading {name}"):
            # botocore's own attempts end where the body begins.
            for _ in range(self._attempts - 1):
                with suppress(HTTPClientError, IncompleteReadError):
                    return self._stream(name, restart())
            return self._stream(name, restart())

    def sha256(self, name: str) -> str:
        """See Storage."""
        digest = hashlib.sha256()

        def restart() -> TakeBytes:
            nonlocal digest
            digest = hashlib.sha256()
            return digest.update

        self._download(name, restart)
        return digest.hexdigest()

    def save(self, name: str, target: Path) -> None:
        """See Storage."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:

            def restart() -> TakeBytes:
                file.seek(0)
                file.truncate()
                return file.write

            self._download(name, restart)

    def read(self, name: str) -> SmallFile | None:
        """See Storage."""
        from botocore.exceptions import ClientError

        data = bytearray()

        def restart() -> TakeBytes:
            data.clear()
            return data.extend

        try:
            tag = self._download(name, restart)
        except Exception as error:
            # Whatever the opener's error is, its cause is boto3's.
            if isinstance(error.__cause__, ClientError) and _code(error.__cause__) == "NoSuchKey":
                return None
            raise
        return SmallFile(bytes(data), tag)

    def _put(self, name: str, body: Any, sha256: str, **condition: str) -> str:
        checksum = {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}
        reply = self.client.put_object(
            Bucket=self._bucket,
            Key=self._key(name),
            Body=body,
            **(checksum if sha256 else {}),  # type: ignore[arg-type]
            **condition,  # type: ignore[arg-type]
        )
        return reply["ETag"]

    def _put_if(self, name: str, data: bytes, tag: str | None) -> str | None:
        """Write an object if it has this tag; the new tag, None when the condition fails."""
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        sha256 = hashlib.sha256(data).hexdigest()
        for attempts_left in reversed(range(self._attempts)):
            try:
                return self._put(name, data, sha256, **condition)
            except ClientError as error:
                if _status(error) in _CONDITION_FAILED and _code(error) != "NoSuchBucket":
                    return None
                if _status(error) != _CONFLICT or not attempts_left:
                    raise
        return None

    def create(self, name: str, data: bytes) -> bool:
        """See Storage."""
        with self._named(f"writing {name}"):
            return self._put_if(name, data, None) is not None

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """See Storage."""
        from botocore.exceptions import ClientError

        with self._named(f"writing {name}"):
            for _ in range(self._attempts):
                try:
                    written = self._put_if(name, data, tag)
                except ClientError as error:
                    if _status(error) != _CONFLICT:
                        raise
                    written = None  # Somebody else's write was under way each time.
                if written:
                    return written
                there = self.read(name)
                # An answer that got lost: the attempt before this one did write.
                if there and there.data == data:
                    return there.tag
                if (there.tag if there else None) != tag:
                    break
            raise self._changed(name)

    def overwrite(self, name: str, data: bytes) -> None:
        """See Storage."""
        with self._named(f"writing {name}"):
            self._put(name, data, hashlib.sha256(data).hexdigest())

    def put(self, name: str, source: Path, sha256: str = "") -> None:
        """See Storage."""
        with self._named(f"writing {name}"), source.open("rb") as body:
            self._put(name, body, sha256)

    def copy(self, name: str, target: str) -> None:
        """See Storage."""
        with self._named(f"copying {name} to {target}"):
            self.client.copy_object(
                Bucket=self._bucket,
                Key=self._key(target),
                CopySource={"Bucket": self._bucket, "Key": self._key(name)},
            )

    def delete(self, name: str) -> None:
        """See Storage."""
        with self._named(f"removing {name}"):
            self.client.delete_object(Bucket=self._bucket, Key=self._key(name))
