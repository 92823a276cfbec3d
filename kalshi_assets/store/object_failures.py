"""What an object store's refusal or silence means, in one sentence and as one of our errors.

delta-rs and obstore hand these on as text of several lines, with addresses and whole answers in it;
nothing of that text is repeated but the store's own error code. Damage of the lake
itself is ``versions``' to describe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kalshi_assets.errors import KalshiAssetsError, SettingsError, StoreUnreachable

# As S3 words it, and as Arrow's client does.
_CODE = re.compile(r"<Code>(\w{1,64})</Code>|AWS Error (\w{1,64})")
_STATUS = re.compile(r"\b([345]\d\d) [A-Z][A-Za-z-]*|HTTP status ([345]\d\d)")
_REDIRECT = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_IDENTITY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccessDenied"})
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "InternalFailure", "InternalError", "Throttling"})
# Words of the HTTP client below delta-rs, from the innermost cause outwards.
_SILENCES = (
    ("Connection refused", "the connection was refused"),
    ("ould not connect to server", "the connection was refused"),
    ("dns error", "its name cannot be resolved"),
    ("onnection reset", "the connection was reset"),
    ("onnection closed", "the connection was closed in the middle of an answer"),
    ("timed out", "no answer came in time"),
    ("Timeout was reached", "no answer came in time"),
    ("end of file", "an answer broke off"),
    ("error decoding response body", "an answer broke off"),
    ("error reading a body", "an answer broke off"),
    ("error sending request", "a request could not be sent"),
    ("client error (Connect)", "no connection could be made"),
    ("HTTP error", "an answer could not be read"),
    ("AWS Error NETWORK_CONNECTION", "no connection could be made"),
)


def object_failure(error: BaseException, address: str) -> KalshiAssetsError | None:
    """The error to raise for a failure that is the object store's doing; None where it is not.

    Args:
        error: what delta-rs, obstore or Arrow raised.
        address: the lake's address, for the sentence.

    Returns:
        A SettingsError where a setting must change, StoreUnreachable where time may mend it.
    """
    text = str(error)
    named = _CODE.search(text)
    code = _camel(named.group(1) or named.group(2)) if named else ""
    seen = _STATUS.search(text) if "Server returned" in text or code else None
    status = int(seen.group(1) or seen.group(2)) if seen else 0
    bucket = address.removeprefix("s3://").split("/")[0]
    if code == "NoSuchBucket":
        return SettingsError(f"There is no bucket {bucket} there: create it, or correct KALSHI_ASSETS_LAKE.")
    if code in _REDIRECT or status in (301, 307, 308):
        return SettingsError(f"The bucket {bucket} is in another region: set AWS_REGION to its own.")
    if code in _CLOCK:
        return SettingsError("The object store refused this machine's clock: set it right.")
    if code in _IDENTITY or status in (401, 403):
        said = code or status
        return SettingsError(
            f"The object store refused the credentials for the bucket {bucket} ({said}): check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, and that the key may list, read, write and delete there."
        )
    if "CredentialsNotLoaded" in text or "credential provider was not enabled" in text:
        return SettingsError("No credentials for the lake's bucket were found: set AWS_ACCESS_KEY_ID and its secret.")
    if status == 501 or code == "NotImplemented":
        return SettingsError("The object store lacks conditional writes, which commits rest on: use one that has them.")
    if status >= 500 or code in _BUSY or status == 429:
        return _unreachable(address, f"it answered {status or code}")
    for words, meaning in _SILENCES:
        if words in text:
            return _unreachable(address, meaning)
    return None


def _camel(code: str) -> str:
    return "".join(part.capitalize() for part in code.split("_")) if code.isupper() else code


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn what obstore raises into our errors, or into the system's where the store answered and no setting is wrong.

    Raises:
        SettingsError: refused credentials, no such bucket.
        StoreUnreachable: no answer.
        FileNotFoundError: no such object.
        OSError: anything else.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        failure = object_failure(error, address)
        if failure is not None:
            raise failure from error
        # Its own text goes over many lines.
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
        raise kind(f"the object store answered {type(error).__name__}") from error


def _unreachable(address: str, why: str) -> StoreUnreachable:
    return StoreUnreachable(
        f"The object store of the lake {address} cannot be used: {why}. "
        "What was committed stays; run the same command again when the store answers."
    )
