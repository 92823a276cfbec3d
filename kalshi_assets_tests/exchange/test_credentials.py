from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from kalshi_assets.errors import SettingsError
from kalshi_assets.exchange import load_credentials

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PLAIN = NoEncryption()


def pem(key: object, layout: PrivateFormat = PrivateFormat.PKCS8, cipher: object = PLAIN) -> str:
    return key.private_bytes(Encoding.PEM, layout, cipher).decode()  # type: ignore[attr-defined]


def test_nothing_configured_is_no_key() -> None:
    assert load_credentials(None, private_key_path=None, private_key_pem=None) is None
    assert load_credentials("  ", private_key_pem=" ") is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (pem(RSA_KEY, PrivateFormat.TraditionalOpenSSL), "RSA"),
        (pem(RSA_KEY), "RSA"),
        (pem(ED_KEY), "Ed25519"),
        (pem(RSA_KEY).replace("\n", "\\n"), "RSA"),
        ("\n\n" + pem(ED_KEY) + "\n", "Ed25519"),
    ],
)
def test_the_kind_is_the_parsed_keys(text: str, kind: str, tmp_path: Path) -> None:
    credentials = load_credentials("id-1", private_key_pem=text)
    assert credentials is not None
    assert (credentials.key_id, credentials.kind) == ("id-1", kind)
    if "\\n" not in text:
        file = tmp_path / "key.pem"
        file.write_text(text)
        from_file = load_credentials("id-1", private_key_path=file)
        assert from_file is not None
        assert from_file.kind == kind


def test_neither_id_nor_key_shows_in_a_repr() -> None:
    credentials = load_credentials("the-key-id", private_key_pem=pem(ED_KEY))
    assert "the-key-id" not in repr(credentials)
    assert "PRIVATE" not in repr(credentials)


@pytest.mark.parametrize(
    ("key_id", "path", "text", "said"),
    [
        ("id", None, None, "KALSHI_PRIVATE_KEY_PATH"),
        (None, Path("x.pem"), None, "KALSHI_API_KEY_ID"),
        ("", None, "pem", "KALSHI_API_KEY_ID"),
        ("id", Path("x.pem"), "pem", "keep one"),
        ("id", Path("/nowhere/x.pem"), None, "does not exist"),
        ("id", Path("/"), None, "is a directory"),
    ],
)
def test_half_a_key_names_the_setting(key_id: str | None, path: Path | None, text: str | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_credentials(key_id, private_key_path=path, private_key_pem=text)


EC_KEY = ec.generate_private_key(ec.SECP256R1())
BROKEN = pem(RSA_KEY)[:200] + "!!!!" + pem(RSA_KEY)[204:]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (pem(RSA_KEY, cipher=BestAvailableEncryption(b"pass")), "encrypted"),
        (pem(ED_KEY, PrivateFormat.OpenSSH), "RSA|OpenSSH"),
        (pem(EC_KEY), "RSA and Ed25519 keys only"),
        (RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), "public key"),
        (BROKEN, "not a private key"),
        ("c2VjcmV0LXNlY3JldA==", "not a private key"),
        (pem(RSA_KEY).replace("-----BEGIN PRIVATE KEY-----\n", ""), "not a private key"),
    ],
    ids=["encrypted", "openssh", "ec", "public", "damaged", "no-pem", "no-header"],
)
def test_an_unusable_key_is_named_and_never_quoted(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(text)
    for arguments, setting in (
        ({"private_key_pem": text}, "KALSHI_PRIVATE_KEY"),
        ({"private_key_path": file}, "KALSHI_PRIVATE_KEY_PATH"),
    ):
        if said == "RSA|OpenSSH":
            said = "OpenSSH"
        with pytest.raises(SettingsError, match=said) as caught:
            load_credentials("id", **arguments)  # type: ignore[arg-type]
        message = str(caught.value)
        assert setting in message
        assert caught.value.__context__ is None
        for line in text.splitlines():
            assert len(line) < 12 or line.startswith("-----") or line not in message
