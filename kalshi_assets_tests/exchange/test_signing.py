from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.exchange import Credentials, Signer
from kalshi_assets.exchange.signing import message

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
# RFC 8032, section 7.1, test 1
RFC_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
VECTORS = Path(__file__).resolve().parents[3] / "shared" / "reference" / "kalshi" / "signing_vectors.json"
TEXT = "1703123456789GET/trade-api/v2/portfolio/balance"


def signer(key: Any, now_ms: int = 1703123456789) -> Signer:
    return Signer(Credentials("key-id", key), lambda: now_ms)


def verify(public_key: Any, signature: str, text: str, salt_length: int = 32) -> None:
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt_length)
    public_key.verify(base64.b64decode(signature, validate=True), text.encode(), pss, hashes.SHA256())


def salt_length(public_key: rsa.RSAPublicKey, signature: bytes) -> int:
    """Length of the salt inside an RSA-PSS signature (RFC 8017, 9.1.2), read from the encoded message."""
    numbers = public_key.public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    encoded = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(size, "big")
    assert encoded[-1] == 0xBC
    masked, digest = encoded[: size - 33], encoded[size - 33 : -1]
    mask = b"".join(hashlib.sha256(digest + i.to_bytes(4, "big")).digest() for i in range(len(masked) // 32 + 1))
    block = bytes(a ^ b for a, b in zip(masked, mask, strict=False))
    block = bytes([block[0] & 0x7F]) + block[1:]  # the top bit is not part of a 2048-bit key's message
    padding_end = block.index(b"\x01")
    assert not any(block[:padding_end])
    return len(block) - padding_end - 1


def test_rsa_signs_with_pss_sha256_and_a_salt_of_the_digest_length() -> None:
    signature = signer(RSA_KEY).sign(TEXT)
    verify(RSA_KEY.public_key(), signature, TEXT)
    assert salt_length(RSA_KEY.public_key(), base64.b64decode(signature)) == 32
    for wrong in (0, 20, 222):
        with pytest.raises(InvalidSignature):
            verify(RSA_KEY.public_key(), signature, TEXT, wrong)


def test_the_salt_reader_tells_other_lengths() -> None:
    for length in (0, 20, 222):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=length)
        assert salt_length(RSA_KEY.public_key(), RSA_KEY.sign(b"x", pss, hashes.SHA256())) == length


def test_pss_is_randomised() -> None:
    assert signer(RSA_KEY).sign(TEXT) != signer(RSA_KEY).sign(TEXT)


def test_ed25519_matches_rfc_8032() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(RFC_SEED)
    assert base64.b64decode(signer(key).sign("")) == RFC_SIGNATURE


def test_headers_of_one_request() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    headers = signer(key).headers("get", "/trade-api/v2/markets?limit=5")
    assert set(headers) == {"KALSHI-ACCESS-KEY", "KALSHI-ACCESS-TIMESTAMP", "KALSHI-ACCESS-SIGNATURE"}
    assert headers["KALSHI-ACCESS-KEY"] == "key-id"
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == "1703123456789"
    signed = base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"])
    key.public_key().verify(signed, b"1703123456789GET/trade-api/v2/markets")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/trade-api/v2/portfolio/balance", TEXT),
        ("get", "/trade-api/v2/portfolio/balance?a=b?c", TEXT),
        ("GET", "/trade-api/v2/portfolio/balance#x", TEXT),
        ("POST", "/a%20b", "1703123456789POST/a%20b"),
    ],
)
def test_the_message(method: str, path: str, expected: str) -> None:
    assert message(1703123456789, method, path) == expected


@settings(deadline=None)
@given(path=st.text(st.characters(codec="utf-8", exclude_characters="?#")), query=st.text())
def test_the_query_never_changes_the_message(path: str, query: str) -> None:
    assert message(1, "GET", f"/{path}?{query}") == f"1GET/{path}"


def test_a_repr_holds_no_key() -> None:
    assert repr(signer(RSA_KEY)) == "Signer(RSA)"


def vectors() -> dict[str, Any]:
    if not VECTORS.is_file():
        pytest.skip("the shared signing vectors are not beside the project")
    return json.loads(VECTORS.read_text())  # type: ignore[no-any-return]


@pytest.mark.shared
def test_shared_positive_rsa_vectors() -> None:
    rsa_vectors = vectors()["rsa"]
    public = load_pem_public_key(rsa_vectors["public_key_pem"].encode())
    assert rsa_vectors["positive"]
    for case in rsa_vectors["positive"]:
        text = message(int(case["timestamp_ms"]), case["method"], case["path"])
        assert text == case["message"]
        verify(public, case["signature_b64"], text)
        assert salt_length(public, base64.b64decode(case["signature_b64"])) == 32  # type: ignore[arg-type]


@pytest.mark.shared
def test_shared_negative_rsa_vectors() -> None:
    rsa_vectors = vectors()["rsa"]
    public = load_pem_public_key(rsa_vectors["public_key_pem"].encode())
    assert rsa_vectors["negative"]
    for case in rsa_vectors["negative"]:
        with pytest.raises(InvalidSignature):
            verify(public, case["signature_b64"], case["must_not_verify_against"])


@pytest.mark.shared
def test_shared_ed25519_vectors() -> None:
    cases = vectors()["ed25519"]
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(cases["seed_hex_rfc8032_test1"]))
    assert cases["cases"]
    for case in cases["cases"]:
        assert signer(key).sign(case["message"]) == case["signature_b64"]
