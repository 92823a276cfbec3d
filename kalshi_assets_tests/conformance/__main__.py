"""Does the exchange's own SDK read the loopback exchange as our client does?

Serves archives, lets both read the same, and prints a table. Exit code 0 where all
measures are equal or the SDK cannot be installed ("skipped"), 1 where one differs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kalshi_assets.emulator.archive import Archive, load_archive
from kalshi_assets.emulator.fault_plan import FaultPlan
from kalshi_assets.emulator.server import serve
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.settings import facts_folder
from kalshi_assets_tests.conformance import client_reader
from kalshi_assets_tests.conformance.questions import questions
from kalshi_assets_tests.conformance.sdk_environment import PACKAGE, NotInstallable, interpreter

PROJECT = Path(__file__).resolve().parents[2]
RECORDED = PROJECT.parent / "shared" / "archive" / "macro-run"
_WIDTH = 46


@dataclass(frozen=True)
class Case:
    """An archive, and the instant of its replay (Unix seconds) or None."""

    name: str
    archive: Archive
    now: int | None = None


def main(environment: Path = PROJECT / ".venv-sdk") -> int:
    """Run every case; the exit code."""
    try:
        python, version = interpreter(environment)
    except NotInstallable as reason:
        print(f"conformance: skipped, the official SDK {PACKAGE} cannot be installed here ({reason})")
        return 0
    print(f"{PACKAGE} {version} against our client, on the loopback exchange")
    with tempfile.TemporaryDirectory() as folder:
        keys, public = _keys(Path(folder))
        different = sum(_compared(case, python, keys, public) for case in _cases(Path(folder)))
    print(f"conformance: {f'{different} measures differ' if different else 'all equal'}")
    return 1 if different else 0


def differences(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> list[str]:
    """The measures that one side has otherwise, or not at all."""
    return [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]


def table(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> Iterator[str]:
    """One line a measure; both values where they differ."""
    different = differences(ours, theirs)
    for name in {**theirs, **ours}:
        verdict = "DIFFERENT" if name in different else "equal"
        yield f"  {verdict:<10}{name:<{_WIDTH}}{' '.join(theirs.get(name, ['nothing']))}"
        if name in different:
            yield f"  {'':<10}{'':<{_WIDTH}}{' '.join(ours.get(name, ['nothing']))}  (our client)"


def _cases(folder: Path) -> Iterator[Case]:
    simulated = load_archive(simulate(folder / "simulated", facts=facts_folder(), events=4))
    yield Case("simulated archive", simulated)
    closes = max(m["close_time"] for m in simulated.tables["markets"].to_pylist())
    yield Case("simulated archive, replayed an hour before the last close", simulated, int(closes.timestamp()) - 3600)
    if RECORDED.is_dir():
        yield Case("recorded archive", load_archive(RECORDED))


def _compared(case: Case, python: Path, keys: dict[str, Any], public: dict[str, str]) -> int:
    """Serve a case and print its table; how many measures differ."""
    plan = FaultPlan(now=datetime.fromtimestamp(case.now, UTC) if case.now else None, public_keys=public)
    with serve(case.archive, plan=plan) as server:
        # In a replay the server's clock is long ago, and the SDK signs by the present one.
        asked = {
            **questions(case.archive, until=case.now),
            "base_url": server.base_url,
            "keys": {} if case.now else keys,
        }
        reader = Path(__file__).with_name("sdk_reader.py")
        done = subprocess.run(
            [str(python), str(reader)], input=json.dumps(asked), capture_output=True, text=True, timeout=600
        )
        print(f"\n{case.name}")
        if done.returncode:
            print(f"  the SDK failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
            return 1
        theirs, ours = json.loads(done.stdout), client_reader.answers(asked)
    for line in table(ours, theirs):
        print(line)
    return len(differences(ours, theirs))


def _keys(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """An RSA and an Ed25519 key: (where the readers find the private ones, the public ones)."""
    made = {
        "RSA": (generate_private_key(65537, 2048), PrivateFormat.TraditionalOpenSSL),
        "Ed25519": (Ed25519PrivateKey.generate(), PrivateFormat.PKCS8),
    }
    private, public = {}, {}
    for kind, (key, form) in made.items():
        file = folder / f"{kind}.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
        private[kind] = {"id": f"key-{kind}", "pem": str(file)}
        public[f"key-{kind}"] = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private, public


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
