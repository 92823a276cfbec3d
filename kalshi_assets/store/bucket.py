"""Connections to the bucket that holds a lake, and the proof that commits on it are safe.

Commits on a bucket rest on a put that fails where its version is there already.
A store that ignores the condition would let two writers both believe in a
version that one of them has lost. delta-rs looks before it puts, so that a table
cannot show the difference but in a race; one object can.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from kalshi_assets.errors import SettingsError, StoreError
from kalshi_assets.store.object_failures import explained

if TYPE_CHECKING:
    from obstore.store import S3Store

PROOF = "_conditional_put"
_ALLOW_HTTP = "AWS_ALLOW_HTTP"
_ARROW_TIMEOUTS = {"timeout": "request_timeout", "connect_timeout": "connect_timeout"}


def open_bucket(address: str, options: Mapping[str, str]) -> S3Store:
    """Connect to the prefix of a bucket; nothing is asked of it yet.

    Args:
        address: the lake's address, ``s3://bucket/prefix``.
        options: as delta-rs takes them (see ``opening.storage_options``).

    Raises:
        SettingsError: the package that talks to buckets is not installed.
    """
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise SettingsError(
            "A lake in a bucket needs the package obstore: pip install -c requirements.lock '.[s3]'."
        ) from error
    client: dict[str, Any] = {"allow_http": options.get(_ALLOW_HTTP) == "true"}
    client |= {n: _duration(options[n]) for n in ("timeout", "connect_timeout") if n in options}
    retries: dict[str, Any] = {"max_retries": int(options["max_retries"])} if "max_retries" in options else {}
    retries |= {"retry_timeout": _duration(options["retry_timeout"])} if "retry_timeout" in options else {}
    return S3Store.from_url(
        address,
        config={n.lower(): text for n, text in options.items() if n.startswith("AWS_") and n != _ALLOW_HTTP},  # type: ignore[arg-type]
        client_options=client,  # type: ignore[arg-type]
        retry_config=retries,  # type: ignore[arg-type]
    )


def scannable_bucket(address: str, options: Mapping[str, str]) -> pafs.FileSystem:
    """The bucket through Arrow's own client, for scans.

    A scan reads in threads of Arrow's. Were they to call Python for each read, a scan that is
    dropped before its end could wait for them while they wait for the interpreter.

    Args:
        address: the lake's address.
        options: as delta-rs takes them.
    """
    endpoint = urlsplit(options.get("AWS_ENDPOINT_URL", ""))
    seconds = {name: _duration(options[key]).total_seconds() for key, name in _ARROW_TIMEOUTS.items() if key in options}
    native = pafs.S3FileSystem(
        access_key=options["AWS_ACCESS_KEY_ID"],
        secret_key=options["AWS_SECRET_ACCESS_KEY"],
        session_token=options.get("AWS_SESSION_TOKEN"),
        region=options["AWS_REGION"],
        endpoint_override=endpoint.netloc + endpoint.path or None,
        scheme=endpoint.scheme or "https",
        force_virtual_addressing=options.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true",
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1 + int(options.get("max_retries", "3"))),
        **seconds,
    )
    return pafs.SubTreeFileSystem(address.removeprefix("s3://"), native)


def require_conditional_put(address: str, options: Mapping[str, str]) -> None:
    """Put one small object twice and see the second put refused; where it is there already, one put tells.

    Args:
        address: the lake's address.
        options: as delta-rs takes them.

    Raises:
        StoreError: the object was overwritten, or the store cannot be used.
        SettingsError: the bucket is not there, its credentials are wrong, or a package is missing.
    """
    bucket = open_bucket(address, options)
    from obstore.exceptions import AlreadyExistsError

    with explained(address):
        try:
            for _ in range(2):
                bucket.put(PROOF, b"This object is never overwritten.", mode="create")
        except AlreadyExistsError:
            return
    raise StoreError(
        f"The object store of the lake {address} overwrites an object that it was told to keep, so two "
        "writers could lose each other's commits: use a store with conditional writes, or a folder."
    )


def _duration(text: str) -> timedelta:
    return timedelta(milliseconds=int(text.removesuffix("ms")))
