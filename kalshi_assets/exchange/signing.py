"""The signature of a request; sending it does not belong here.

message = timestamp in ms + METHOD + path, where the path is the URL's from the
root (with ``/trade-api/v2``), as sent, without host, query and fragment.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from kalshi_assets.exchange.credentials import Credentials

# The digest's length, and not padding.PSS.MAX_LENGTH: the exchange documents salt = digest length.
_SALT_BYTES = 32


class Signer:
    """Makes the three authentication headers.

    RSA keys sign with RSA-PSS (SHA-256, MGF1 with SHA-256, salt of 32 bytes), Ed25519
    keys with Ed25519. The kind is the parsed key's, never guessed from the PEM header.

    Args:
        credentials: key id and private key.
        now_ms: milliseconds since the epoch, on a clock that agrees with the server's.
    """

    def __init__(self, credentials: Credentials, now_ms: Callable[[], int]) -> None:
        self._credentials = credentials
        self._now_ms = now_ms

    def __repr__(self) -> str:
        return f"Signer({self._credentials.kind})"

    def headers(self, method: str, path: str) -> dict[str, str]:
        """The headers of one request, stamped with the present moment."""
        timestamp_ms = self._now_ms()
        return {
            "KALSHI-ACCESS-KEY": self._credentials.key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(timestamp_ms),
            "KALSHI-ACCESS-SIGNATURE": self.sign(message(timestamp_ms, method, path)),
        }

    def sign(self, text: str) -> str:
        """Standard base64 of the signature of a message."""
        key = self._credentials.private_key
        data = text.encode()
        if isinstance(key, RSAPrivateKey):
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=_SALT_BYTES)
            return base64.b64encode(key.sign(data, pss, hashes.SHA256())).decode()
        return base64.b64encode(key.sign(data)).decode()


def message(timestamp_ms: int, method: str, path: str) -> str:
    """The text that is signed; a query or fragment on the path is cut off."""
    return f"{timestamp_ms}{method.upper()}{path.partition('#')[0].partition('?')[0]}"
