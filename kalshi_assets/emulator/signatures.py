"""Checking signed requests: RSA-PSS with a salt of 32 bytes, or Ed25519, within the clock window.

Signing is the client's work. The message is the time in milliseconds, the
method in upper case and the path from the root, without the query.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kalshi_assets.emulator.replies import Reply, nested_error
from kalshi_assets.errors import UsageError

WINDOW_S = 10.0
SALT_LENGTH = 32

KEY, TIMESTAMP, SIGNATURE = "kalshi-access-key", "kalshi-access-timestamp", "kalshi-access-signature"


class SignatureCheck:
    """The keys that the loopback exchange knows."""

    def __init__(self, keys: Mapping[str, str | bytes] | None = None) -> None:
        """Load public keys.

        Args:
            keys: PEM public key, RSA or Ed25519, by key id.

        Raises:
            UsageError: a PEM that holds neither.
        """
        self._keys: dict[str, RSAPublicKey | Ed25519PublicKey] = {}
        for key_id, pem in (keys or {}).items():
            try:
                key = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
            except (ValueError, UnsupportedAlgorithm) as error:
                raise UsageError(f"The public key of {key_id} is not a PEM public key. Register one.") from error
            if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
                raise UsageError(f"The public key of {key_id} is neither RSA nor Ed25519. Register one of these.")
            self._keys[key_id] = key

    def refusal(
        self, method: str, path: str, headers: Mapping[str, str], now: float, *, must_sign: bool
    ) -> Reply | None:
        """The 401 that a request deserves, or None.

        Args:
            method: HTTP method.
            path: path from the root, as sent, without the query.
            headers: request headers, names in lower case.
            now: the exchange's clock, Unix seconds.
            must_sign: True where the endpoint refuses unsigned requests.
        """
        signed = any(name in headers for name in (KEY, TIMESTAMP, SIGNATURE))
        if not must_sign and (not signed or not self._keys):
            return None
        if SIGNATURE not in headers or KEY not in headers or TIMESTAMP not in headers:
            return nested_error(401, "signature_is_missing_from_headers", "signature is missing from headers")
        key = self._keys.get(headers[KEY])
        if key is None:
            return _authentication_error("NOT_FOUND")
        stamp = headers[TIMESTAMP]
        if not stamp.isdecimal() or abs(int(stamp) / 1000 - now) > WINDOW_S:
            return nested_error(401, "header_timestamp_expired", "header timestamp expired")
        message = f"{stamp}{method.upper()}{path}".encode()
        if not _genuine(key, headers[SIGNATURE], message):
            return _authentication_error("INCORRECT_API_KEY_SIGNATURE")
        return None


def _genuine(key: RSAPublicKey | Ed25519PublicKey, signature: str, message: bytes) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
    except binascii.Error:
        return False
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, message)
        else:
            # A verifier told MAX_LENGTH takes any salt, which would let a wrong signer pass.
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=SALT_LENGTH)
            key.verify(raw, message, pss, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _authentication_error(details: str) -> Reply:
    return nested_error(401, "authentication_error", "authentication_error", details)
