"""The exchange key and FRED's key as configured. Whether a service accepts them is asked elsewhere.

No text made here holds a key, or more than the first characters of a key id.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from kalshi_assets.doctor.check import Check, failure, failure_of, ok, skipped, warning
from kalshi_assets.errors import SettingsError
from kalshi_assets.exchange.credentials import KEY_ID, Credentials, load_credentials
from kalshi_assets.settings import Settings

SHORTEST_RSA_BITS = 2048
UNSIGNED = "unsigned requests work for all market data; forecast percentiles and the account's own budget do not"
_SHOWN = 4
_FRED_FORM = re.compile(r"[0-9a-z]{32}")


def open_key(settings: Settings) -> Credentials | None:
    """The configured exchange key.

    Raises:
        SettingsError: as ``load_credentials``.
    """
    return load_credentials(
        settings.key_id, private_key_path=settings.private_key_path, private_key_pem=settings.private_key_pem
    )


def check_key(settings: Settings) -> list[Check]:
    """The exchange key: there, readable, strong enough and private."""
    try:
        credentials = open_key(settings)
    except SettingsError as error:
        return [failure_of("key.exchange", error)]
    if credentials is None:
        return [skipped("key.exchange", f"No key is configured ({KEY_ID} and a key file): {UNSIGNED}.")]
    key = credentials.private_key
    bits = key.key_size if isinstance(key, RSAPrivateKey) else None
    checks = [judge_strength(credentials.kind, bits, credentials.key_id)]
    if settings.private_key_path is not None:
        path = settings.private_key_path
        checks.append(judge_mode(path, path.stat().st_mode))
    return checks


def judge_strength(kind: str, bits: int | None, key_id: str) -> Check:
    """RSA needs 2048 bits; an Ed25519 key has no size to choose."""
    found = f"{kind} key{f' of {bits} bits' if bits else ''}, id {shown_id(key_id)}"
    if bits is not None and bits < SHORTEST_RSA_BITS:
        return failure(
            "key.exchange",
            f"{found}: the exchange's keys have {SHORTEST_RSA_BITS} bits or more.",
            "Make a new key on the exchange's account page and configure that one.",
        )
    return ok("key.exchange", f"{found}.")


def judge_mode(path: Path, mode: int) -> Check:
    """A key file is its owner's alone."""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warning(
            "key.file",
            f"{path} is open to other users of this machine (mode {stat.S_IMODE(mode):03o}).",
            f"Close it: chmod 600 {path}",
        )
    return ok("key.file", f"{path} is its owner's alone (mode {stat.S_IMODE(mode):03o}).")


def judge_fred_key(key: str | None, *, loopback: bool) -> Check:
    """FRED's key: its form where there is one; without one the packaged facts are used.

    Args:
        key: the configured key.
        loopback: whether the source is an archive, which brings its own FRED.
    """
    name = "key.fred"
    if key is not None and not _FRED_FORM.fullmatch(key):
        return failure(
            name,
            f"FRED_API_KEY has {len(key)} characters that are not 32 lower-case letters and digits.",
            "Copy the key again from your FRED account, or unset it to use the packaged facts.",
        )
    if loopback:
        state = "is not set" if key is None else "is set"
        return ok(name, f"FRED_API_KEY {state}; this source brings its own numbers and needs none.")
    if key is None:
        return ok(
            name,
            "FRED_API_KEY is not set: the packaged facts are used, first prints without revisions or market closes.",
            "Set FRED_API_KEY (free at fred.stlouisfed.org) to have them.",
        )
    return ok(name, "FRED_API_KEY has the right form.")


def shown_id(key_id: str) -> str:
    """Enough of a key id to tell two apart: at most four characters, and never more than half of it."""
    return f"{key_id[: min(_SHOWN, len(key_id) // 2)]}..."
