"""No key, key id or signature outlives a run, wherever one looks."""

import gzip
import json
import sqlite3
import subprocess
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from kalshi_assets.emulator import signatures
from kalshi_assets.emulator.archive import load_archive
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests import warm_runs
from kalshi_assets_tests.conftest import CommandLine
from kalshi_assets_tests.e2e.leaks import documents, leaks, needles_of

IDS = {"rsa": "7d1c4f0e-aaaa-4b1d-9c55-0123456789ab", "ed25519": "0e9b8a77-bbbb-4c2e-8d66-ba9876543210"}
KEYS = {"rsa": rsa.generate_private_key(65537, 2048), "ed25519": ed25519.Ed25519PrivateKey.generate()}
STRANGER = rsa.generate_private_key(65537, 2048)
PASSPHRASE = b"open sesame, little lake"
FRED_KEY = "f5ed0f5ed1f5ed2f5ed3f5ed4f5ed5f5"
SERIES = ("--series", "KXU3")
TABLES = ("quotes", "ingest_log")

# A defect in the signer after some honest signatures; its words are whatever the owners of the key say of themselves.
BROKEN = """
import itertools, os
from kalshi_assets.cli import main
from kalshi_assets.exchange.signing import Signer
honest, signatures = Signer.sign, itertools.count()
def sign(self, text):
    signature = honest(self, text)
    if next(signatures) >= int(os.environ["HONEST_SIGNATURES"]):
        raise KeyError(self, self._credentials, self._credentials.private_key)
    return signature
Signer.sign = sign
main()
"""


def private(key, layout=PrivateFormat.PKCS8, cipher=None):
    return key.private_bytes(Encoding.PEM, layout, cipher or NoEncryption())


def public(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Sessions:
    """Commands on one home, with a HOME and a folder for temporary files of their own; keeps all that they print."""

    def __init__(self, root):
        self.ka = CommandLine(root / "home")
        self.elsewhere = root / "elsewhere"
        self.printed = []
        for name in ("tmp", "user"):
            (self.elsewhere / name).mkdir(parents=True)

    def __call__(self, *arguments, codes=(0,), program=(), **environment):
        places = {"TMPDIR": str(self.elsewhere / "tmp"), "HOME": str(self.elsewhere / "user")}
        given = self.ka.environment(**places, **environment)
        if program:
            command = [*program, *arguments]
            done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=300)
        else:
            done = warm_runs.run(given, *arguments, timeout=300)
        self.printed.append((f"what {' '.join(arguments[:3])} printed", (done.stdout + done.stderr).encode()))
        assert done.returncode in codes, (arguments, done.stderr[-2000:])
        return done.stdout

    def documents(self):
        """Everything that is there now, by name."""
        return [*self.printed, *documents(self.ka.home), *documents(self.elsewhere)]


@pytest.fixture(scope="module")
def after(archive, tmp_path_factory):
    """The documents after sessions that succeeded and failed with both kinds of keys, and the headers sent."""
    root = tmp_path_factory.mktemp("secrets")
    session, seen = Sessions(root), []
    files = {
        "ed25519": private(KEYS["ed25519"]),
        "stranger": private(STRANGER),
        "encrypted": private(KEYS["rsa"], cipher=BestAvailableEncryption(PASSPHRASE)),
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    text = private(KEYS["rsa"], PrivateFormat.TraditionalOpenSSL).decode()
    by_text = {"KALSHI_API_KEY_ID": IDS["rsa"], "KALSHI_PRIVATE_KEY": text}
    by_path = {"KALSHI_API_KEY_ID": IDS["ed25519"], "KALSHI_PRIVATE_KEY_PATH": str(root / "ed25519")}
    honest = signatures.SignatureCheck.refusal

    def recording(self, method, path, headers, now, *, must_sign):
        refusal = honest(self, method, path, headers, now, must_sign=must_sign)
        seen.append(({n: v for n, v in headers.items() if n.startswith("kalshi-access-")}, refusal))
        return refusal

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(signatures.SignatureCheck, "refusal", recording)
        with serve(load_archive(archive), public_keys={IDS[kind]: public(KEYS[kind]) for kind in KEYS}) as server:
            run = ("run", "--source", server.base_url, *SERIES)
            last = json.loads(session(*run, "--json", **by_text))["event_dates"][-1]
            one = ("--dates", f"{last}:{last}")
            session(*run, *one, **by_path)
            session("doctor", "--source", server.base_url, "--json", codes=(0, 1), **by_path)
            for name in ("stranger", "encrypted"):
                environment = {"KALSHI_API_KEY_ID": IDS["rsa"], "KALSHI_PRIVATE_KEY_PATH": str(root / name)}
                session(*run, codes=(2,), **environment)
            spoilt = text.replace("BEGIN", "BEG1N")
            session(*run, codes=(2,), KALSHI_API_KEY_ID=IDS["rsa"], KALSHI_PRIVATE_KEY=spoilt)
            for number in ("0", "12"):
                program = (sys.executable, "-c", BROKEN)
                session(*run, *one, codes=(1,), program=program, HONEST_SIGNATURES=number, **by_text)
        session("run", "--source", f"archive:{archive}", *SERIES, *one, FRED_API_KEY=FRED_KEY, **by_path)
    for table in TABLES:
        session("sql", f"select * from {table}", "--format", "json", **by_path)
    return session.documents(), seen


def test_the_sessions_were_signed_and_refused(after):
    _, seen = after
    ids = {kind: [h for h, refusal in seen if h.get(signatures.KEY) == IDS[kind] and refusal is None] for kind in IDS}
    assert len(ids["rsa"]) > 40
    assert len(ids["ed25519"]) > 10
    assert any(refusal is not None for _, refusal in seen)


@pytest.mark.parametrize("kind", KEYS)
def test_no_part_of_a_private_key_is_anywhere(after, kind):
    found, _ = after
    assert leaks(found, needles_of(KEYS[kind])) == []


def test_no_part_of_the_wrong_key_and_no_passphrase_is_anywhere(after):
    found, _ = after
    assert leaks(found, needles_of(STRANGER) | {"passphrase": PASSPHRASE}) == []


def test_no_key_id_and_no_signature_is_anywhere(after):
    found, seen = after
    sent = {h[signatures.SIGNATURE] for h, _ in seen if signatures.SIGNATURE in h}
    needles = {f"signature {i}": signature[:40].encode() for i, signature in enumerate(sorted(sent)[::5])}
    needles |= {f"key id of {kind}": key_id[9:].encode() for kind, key_id in IDS.items()}
    assert len(needles) > 30
    assert leaks(found, needles) == []


def test_no_fred_key_is_anywhere(after):
    found, _ = after
    assert leaks(found, {"FRED key": FRED_KEY.encode()}) == []


def test_the_search_finds_what_is_there(after):
    """The series is in the lake, and the words of the signer's defect are wherever a defect leaves its words."""
    found, _ = after
    series = {said.removeprefix("series is in ") for said in leaks(found, {"series": b"KXU3"})}
    defect = {said.removeprefix("defect is in ") for said in leaks(found, {"defect": b"Signer(RSA)"})}
    assert any(name.startswith("lake") and name.endswith(".parquet (cells)") for name in series)
    assert any("_delta_log" in name for name in series)
    assert {name for name in series if name.startswith("what sql ")}
    assert any(name.startswith("dagster") and name.endswith(".db (cells)") for name in defect)
    assert any(name.endswith(".trace") for name in defect)
    assert any(name.startswith("what run ") for name in defect)
    assert len(found) > 100


def test_the_search_finds_a_key_wherever_it_is_hidden(tmp_path):
    """Each hiding place holds another piece of the key, packed as such a place packs it."""
    pieces = needles_of(KEYS["rsa"])
    hidden = iter(sorted(name for name in pieces if "piece" in name))
    planted = {}

    def piece(place):
        planted[place] = next(hidden)
        return pieces[planted[place]]

    pq.write_table(
        pa.table({"a": [[{"b": piece("t.parquet (cells)").decode()}]]}), tmp_path / "t.parquet", compression="zstd"
    )
    with sqlite3.connect(tmp_path / "s.db") as db:
        db.execute("create table t (a blob)")
        db.execute("insert into t values (?)", [zlib.compress(b"x" * 500 + piece("s.db (cells)"))])
    db.close()
    (tmp_path / "z.gz").write_bytes(gzip.compress(piece("z.gz (unpacked)")))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "plain.log").write_bytes(b"\xff\x00" + piece("deep/plain.log") + b"tail")
    found = leaks(documents(tmp_path), pieces)
    for place in ("t.parquet (cells)", "s.db (cells)", "z.gz (unpacked)", "deep/plain.log"):
        assert f"{planted[place]} is in {place}" in found
    assert leaks([("", json.dumps({"d": str(KEYS["rsa"].private_numbers().d)}).encode())], pieces) == []
