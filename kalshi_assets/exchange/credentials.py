"""Reads an API key from settings; signing with it does not belong here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kalshi_assets.errors import SettingsError

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

KEY_ID = "KALSHI_API_KEY_ID"
KEY_PATH = "KALSHI_PRIVATE_KEY_PATH"
KEY_PEM = "KALSHI_PRIVATE_KEY"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key id and its private key; neither shows in a repr.

    Attributes:
        key_id: the id that the exchange gave the key.
        private_key: RSA or Ed25519, as parsed.
    """

    key_id: str = field(repr=False)
    private_key: PrivateKey = field(repr=False)

    @property
    def kind(self) -> str:
        """``RSA`` or ``Ed25519``."""
        return "RSA" if isinstance(self.private_key, RSAPrivateKey) else "Ed25519"


def load_credentials(
    key_id: str | None, *, private_key_path: Path | None = None, private_key_pem: str | None = None
) -> Credentials | None:
    """The configured key, or None where nothing is configured.

    Args:
        key_id: value of ``KALSHI_API_KEY_ID``.
        private_key_path: value of ``KALSHI_PRIVATE_KEY_PATH``, an unencrypted PEM file.
        private_key_pem: value of ``KALSHI_PRIVATE_KEY``, the PEM itself; a backslash and an n may stand for a line end.

    Raises:
        SettingsError: only half of a key is configured, or the file or the PEM is unusable.
            The message names the setting and never quotes the key.
    """
    key_id = (key_id or "").strip()
    pem = (private_key_pem or "").strip()
    if not key_id and not pem and private_key_path is None:
        return None
    if not key_id:
        given = KEY_PEM if pem else KEY_PATH
        raise SettingsError(f"{given} is set, but {KEY_ID} is not; set both, or neither for public market data.")
    if not pem and private_key_path is None:
        raise SettingsError(f"{KEY_ID} is set, but neither {KEY_PATH} nor {KEY_PEM} is; set one of the two.")
    if pem and private_key_path is not None:
        raise SettingsError(f"Both {KEY_PATH} and {KEY_PEM} are set; keep one, so that it is clear which key is used.")
    if private_key_path is not None:
        return Credentials(key_id, _parse(_read(private_key_path), f"{KEY_PATH} ({private_key_path})"))
    text = pem if "\n" in pem else pem.replace("\\n", "\n")
    return Credentials(key_id, _parse(text.encode(), KEY_PEM))


def _read(path: Path) -> bytes:
    problem = ""
    try:
        return path.expanduser().read_bytes()
    except FileNotFoundError:
        problem = "does not exist"
    except IsADirectoryError:
        problem = "is a directory"
    except OSError as error:
        problem = f"cannot be read ({error.strerror or type(error).__name__})"
    raise SettingsError(f"{KEY_PATH}: the file {path} {problem}; name a readable PEM file.")


def _parse(pem: bytes, setting: str) -> PrivateKey:
    # Raised after the except blocks: a parser's own words must not travel along as context.
    problem = ""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        problem = "is encrypted; store the key without a passphrase"
    except (ValueError, UnsupportedAlgorithm):
        if b"OPENSSH" in pem:
            problem = "is in OpenSSH's format; convert it to PKCS#8 PEM"
        elif b"PUBLIC KEY" in pem:
            problem = "holds a public key; the private key is needed"
        else:
            problem = "is not a private key in PEM format; download or paste it again, with its BEGIN and END lines"
    else:
        if isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            return key
        problem = f"holds a {type(key).__name__.lstrip('_')}; the exchange takes RSA and Ed25519 keys only"
    raise SettingsError(f"{setting} {problem}.")
