from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.server import serve
from kalshi_assets.emulator.signatures import KEY, SIGNATURE, TIMESTAMP, SignatureCheck
from kalshi_assets.errors import UsageError
from kalshi_assets_tests.emulator.conftest import SHARED, Client

BALANCE = "/trade-api/v2/portfolio/balance"
NOW = 1_703_123_456.789
STAMP = "1703123456789"


def pem_of(public: object) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()  # type: ignore[attr-defined]


def ed25519_pair() -> tuple[Ed25519PrivateKey, str]:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return private, pem_of(private.public_key())


def ed25519_headers(private: Ed25519PrivateKey, key_id: str, path: str, skew_s: float = 0.0) -> dict[str, str]:
    stamp = str(int((time.time() + skew_s) * 1000))
    signature = private.sign(f"{stamp}GET/trade-api/v2{path}".encode())
    return {
        "KALSHI-ACCESS-KEY": key_id,
        "KALSHI-ACCESS-TIMESTAMP": stamp,
        "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
    }


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def rsa_headers(key: rsa.RSAPrivateKey, message: str, salt: int) -> dict[str, str]:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    signature = key.sign(message.encode(), pss, hashes.SHA256())
    return {KEY: "id", TIMESTAMP: STAMP, SIGNATURE: base64.b64encode(signature).decode()}


def refused(check: SignatureCheck, headers: dict[str, str], now: float = NOW) -> str | None:
    reply = check.refusal("GET", BALANCE, headers, now, must_sign=True)
    if reply is None:
        return None
    assert reply.status == 401
    error = json.loads(reply.body)["error"]
    return str(error.get("details") or error["code"])


@pytest.mark.parametrize("salt", [0, 20, 31, 222])
def test_only_a_salt_of_32_passes(rsa_key: rsa.RSAPrivateKey, salt: int) -> None:
    check = SignatureCheck({"id": pem_of(rsa_key.public_key())})
    message = f"{STAMP}GET{BALANCE}"
    assert refused(check, rsa_headers(rsa_key, message, 32)) is None
    assert refused(check, rsa_headers(rsa_key, message, salt)) == "INCORRECT_API_KEY_SIGNATURE"


@pytest.mark.parametrize(
    "message",
    [
        f"{STAMP}GET{BALANCE}?limit=1",
        f"{STAMP}GET/portfolio/balance",
        f"{STAMP}get{BALANCE}",
        f"{STAMP}POST{BALANCE}",
        f"1703123456788GET{BALANCE}",
    ],
)
def test_another_message_fails(rsa_key: rsa.RSAPrivateKey, message: str) -> None:
    check = SignatureCheck({"id": pem_of(rsa_key.public_key())})
    assert refused(check, rsa_headers(rsa_key, message, 32)) == "INCORRECT_API_KEY_SIGNATURE"


@pytest.mark.parametrize(("skew", "answer"), [(10.0, None), (-10.0, None), (10.5, "x"), (-10.5, "x")])
def test_clock_window(rsa_key: rsa.RSAPrivateKey, skew: float, answer: str | None) -> None:
    check = SignatureCheck({"id": pem_of(rsa_key.public_key())})
    said = refused(check, rsa_headers(rsa_key, f"{STAMP}GET{BALANCE}", 32), NOW + skew)
    assert said == (None if answer is None else "header_timestamp_expired")


def test_unknown_key_missing_signature_and_rubbish(rsa_key: rsa.RSAPrivateKey) -> None:
    check = SignatureCheck({"id": pem_of(rsa_key.public_key())})
    good = rsa_headers(rsa_key, f"{STAMP}GET{BALANCE}", 32)
    assert refused(check, {**good, KEY: "other"}) == "NOT_FOUND"
    assert refused(check, {}) == "signature_is_missing_from_headers"
    assert refused(check, {KEY: "id", TIMESTAMP: STAMP}) == "signature_is_missing_from_headers"
    assert refused(check, {**good, SIGNATURE: "%%%"}) == "INCORRECT_API_KEY_SIGNATURE"
    assert refused(check, {**good, TIMESTAMP: "now"}) == "header_timestamp_expired"
    with pytest.raises(UsageError, match="PEM"):
        SignatureCheck({"id": "no key"})


@pytest.fixture(scope="module")
def guarded(tiny: Archive) -> Iterator[Client]:
    with serve(tiny, public_keys={"ed": ed25519_pair()[1]}) as server:
        made = Client(server)
        yield made
        made.session.close()


def test_ed25519_over_http(guarded: Client) -> None:
    private, _ = ed25519_pair()
    assert (
        guarded.get("/portfolio/balance", headers=ed25519_headers(private, "ed", "/portfolio/balance"))["balance"] == 0
    )
    stale = ed25519_headers(private, "ed", "/portfolio/balance", skew_s=-60)
    assert guarded.get("/portfolio/balance", 401, headers=stale)["error"]["code"] == "header_timestamp_expired"
    # The query is not signed, and public endpoints take signed requests.
    guarded.get("/markets", headers=ed25519_headers(private, "ed", "/markets"), limit=1)
    wrong = ed25519_headers(private, "ed", "/events")
    assert guarded.get("/markets", 401, headers=wrong)["error"]["details"] == "INCORRECT_API_KEY_SIGNATURE"


@pytest.mark.parametrize(
    "path", ["/portfolio/balance", "/account/limits", "/series/S/events/E/forecast_percentile_history"]
)
def test_member_endpoints_refuse_unsigned(client: Client, guarded: Client, path: str) -> None:
    for c in (client, guarded):
        assert c.get(path, 401)["error"]["code"] == "signature_is_missing_from_headers"
    headers = ed25519_headers(ed25519_pair()[0], "ed", path)
    assert client.get(path, 401, headers=headers)["error"]["details"] == "NOT_FOUND"


@pytest.mark.shared
def test_published_vectors() -> None:
    path = SHARED / "reference" / "kalshi" / "signing_vectors.json"
    if not path.exists():
        pytest.skip("the signing vectors are not beside the project (../shared)")
    vectors = json.loads(path.read_text())
    check = SignatureCheck({"id": vectors["rsa"]["public_key_pem"]})

    def said(vector: dict[str, str]) -> object:
        headers = {KEY: "id", TIMESTAMP: vector["timestamp_ms"], SIGNATURE: vector["signature_b64"]}
        now = int(vector["timestamp_ms"]) / 1000
        return check.refusal(vector["method"], vector["path"], headers, now, must_sign=True)

    assert vectors["rsa"]["positive"]
    assert all(said(v) is None for v in vectors["rsa"]["positive"])
    negatives = [v for v in vectors["rsa"]["negative"] if {"timestamp_ms", "method", "path", "signature_b64"} <= set(v)]
    assert all(said(v) is not None for v in negatives)
