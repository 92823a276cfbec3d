"""Opens the lake that the settings name: a folder of the home, or a prefix of an S3-compatible bucket.

What the address and the variables mean is decided here; the environment itself
is read by ``settings``, and what can be done with a lake is ``lake``'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from kalshi_assets.errors import SettingsError
from kalshi_assets.settings import Settings
from kalshi_assets.store.bucket import require_conditional_put
from kalshi_assets.store.lake import Lake

_DEFAULT_TIMEOUT_S = 20.0
_LONGEST_TIMEOUT_S = 600.0
_CONNECT_TIMEOUT_S = 5.0
_RETRIES = 3
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9._=+-]+")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def open_lake(settings: Settings, *, to_write: bool = False) -> Lake:
    """The lake of some settings. Opening a folder touches nothing; nor does a bucket that is only read.

    Args:
        settings: names the home, or the bucket and how to reach it.
        to_write: prove first that the bucket refuses to overwrite an object.

    Raises:
        SettingsError: an impossible address or variable, refused credentials, or no such bucket.
        StoreUnreachable: the bucket gives no answer.
        StoreError: the bucket overwrites what it was told to keep, so commits on it are not safe.
    """
    if settings.lake_address is None:
        return Lake(settings.lake)
    address = bucket_address(settings.lake_address)
    options = storage_options(settings.object_store)
    if to_write:
        require_conditional_put(address, options)
    return Lake(address, storage_options=options, lock_folder=settings.home)


def bucket_address(text: str) -> str:
    """An address ``s3://bucket/prefix`` without a slash at its end.

    Raises:
        SettingsError: for anything else; the text is not repeated where it may hold a secret.
    """
    wanted = "KALSHI_ASSETS_LAKE must be s3://BUCKET/PREFIX"
    scheme, separator, rest = text.strip().partition("://")
    if "@" in text or "?" in text:
        raise SettingsError(f"{wanted}, without credentials or options: give those in the AWS_ variables.")
    if scheme != "s3" or not separator:
        raise SettingsError(f"{wanted}, and {text!r} is not; leave it unset for a folder of the home.")
    bucket, *segments = rest.rstrip("/").split("/")
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(f"{wanted}, and {bucket!r} is no name of a bucket: 3 to 63 of a-z, 0-9, dot and hyphen.")
    for segment in segments:
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise SettingsError(f"{wanted}, and its part {segment!r} is not made of letters, digits and . _ = + -.")
    return "/".join([f"s3://{bucket}", *segments])


def storage_options(variables: Mapping[str, str]) -> dict[str, str]:
    """What delta-rs is told about the object store.

    Args:
        variables: those of ``settings.OBJECT_STORE_VARIABLES`` that are set.

    Raises:
        SettingsError: naming the variable; no value of a key is repeated.
    """
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if name not in variables:
            raise SettingsError(f"{name} is not set: the lake's bucket needs a key and its secret.")
    timeout_s = _timeout(variables.get("KALSHI_ASSETS_LAKE_TIMEOUT_S"))
    options = {
        # A commit is a put that fails where its version is there already; nothing else may be in force.
        "aws_conditional_put": "etag",
        "max_retries": str(_RETRIES),
        "retry_timeout": _milliseconds(2 * timeout_s),
        "timeout": _milliseconds(timeout_s),
        "connect_timeout": _milliseconds(min(timeout_s, _CONNECT_TIMEOUT_S)),
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"):
        if name in variables:
            options[name] = variables[name]
    endpoint = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL")
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
    if endpoint:
        options |= _endpoint(endpoint, allow_http=variables.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes"))
    elif not region:
        raise SettingsError("AWS_REGION is not set: name the region of the lake's bucket, for example us-east-1.")
    # Stores other than Amazon's mostly take any region, but a signature needs one.
    return {**options, "AWS_REGION": region or "us-east-1"}


def _endpoint(text: str, *, allow_http: bool) -> dict[str, str]:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise SettingsError("AWS_ENDPOINT_URL is no address such as https://storage.example.org, without credentials.")
    if parts.scheme == "http" and not (allow_http or parts.hostname in _LOOPBACK):
        raise SettingsError(
            f"AWS_ENDPOINT_URL names {parts.hostname} without TLS: use https, or, on a network that you trust, "
            "set AWS_ALLOW_HTTP=true."
        )
    return {"AWS_ENDPOINT_URL": text.rstrip("/"), "AWS_ALLOW_HTTP": str(parts.scheme == "http").lower()}


def _timeout(text: str | None) -> float:
    if text is None:
        return _DEFAULT_TIMEOUT_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= _LONGEST_TIMEOUT_S:
        raise SettingsError(f"KALSHI_ASSETS_LAKE_TIMEOUT_S is {text!r}: give seconds, 0.1 to {_LONGEST_TIMEOUT_S:g}.")
    return seconds


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
