"""Looks for secrets in everything that a run left behind; running things is the tests' business.

A document is a file as it is, and once more each way its content can be packed: the cells of a
Parquet file, the cells of a SQLite file (blobs unpacked where they are zlib or gzip), gzip.
"""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_SQLITE = b"SQLite format 3\x00"
_PARQUET = b"PAR1"
_GZIP = b"\x1f\x8b"
# A quarter of a line of PEM: so much of a key in one piece is no coincidence.
_PIECE = 16


def needles_of(key: RSAPrivateKey | Ed25519PrivateKey) -> dict[str, bytes]:
    """Everything by which a private key could be recognised, by a name for messages."""
    layouts = {"PKCS#8": PrivateFormat.PKCS8}
    if isinstance(key, RSAPrivateKey):
        layouts["PKCS#1"] = PrivateFormat.TraditionalOpenSSL
    found: dict[str, bytes] = {}
    for name, layout in layouts.items():
        pem = key.private_bytes(Encoding.PEM, layout, NoEncryption()).decode().splitlines()
        der = key.private_bytes(Encoding.DER, layout, NoEncryption())
        # Pieces of a line, so that neither another wrapping nor a cut hides one.
        lines = [line[at : at + _PIECE] for line in pem[1:-1] for at in range(0, len(line) - _PIECE + 1, _PIECE)]
        found |= {f"{name} PEM, piece {i}": piece.encode() for i, piece in enumerate(lines)}
        found |= {f"{name} BEGIN": pem[0].strip("-").encode(), **_forms(f"{name} DER", der)}
    for name, raw in _raw(key).items():
        found |= _forms(name, raw)
    return found


def _raw(key: RSAPrivateKey | Ed25519PrivateKey) -> dict[str, bytes]:
    if isinstance(key, Ed25519PrivateKey):
        return {"seed": key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())}
    numbers = key.private_numbers()
    parts = {name: getattr(numbers, name) for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp")}
    return {name: number.to_bytes((number.bit_length() + 7) // 8, "big") for name, number in parts.items()}


def _forms(name: str, raw: bytes) -> dict[str, bytes]:
    # The first half is enough: a whole one cut short is as bad.
    raw = raw[: max(12, len(raw) // 2 // 3 * 3)]
    return {
        f"{name}, bytes": raw,
        f"{name}, hex": raw.hex().encode(),
        f"{name}, HEX": raw.hex().upper().encode(),
        f"{name}, base64": base64.b64encode(raw),
        f"{name}, URL base64": base64.urlsafe_b64encode(raw),
        f"{name}, decimal": str(int.from_bytes(raw, "big")).encode(),
    }


def documents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of everything under a folder, packed content also unpacked."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        whole = path.read_bytes()
        yield name, whole + b"\n" + name.encode()
        if whole.startswith(_SQLITE):
            yield f"{name} (cells)", b"\n".join(_cells(path))
        elif whole.startswith(_PARQUET):
            yield f"{name} (cells)", json.dumps(pq.read_table(path).to_pydict(), default=str).encode()
        elif whole.startswith(_GZIP):
            yield f"{name} (unpacked)", gzip.decompress(whole)


def _cells(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        tables = [t.decode() for (t,) in db.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in db.execute(f'select * from "{table}"'):
                yield from (_unpacked(cell) for cell in row)


def _unpacked(cell: Any) -> bytes:
    if not isinstance(cell, bytes):
        return str(cell).encode()
    try:
        return zlib.decompress(cell, zlib.MAX_WBITS | 32)
    except zlib.error:
        return cell


def leaks(haystack: Iterable[tuple[str, bytes]], needles: dict[str, bytes]) -> list[str]:
    """A sentence for each needle found, which does not quote it."""
    return [
        f"{needle} is in {name}"
        for name, content in haystack
        for needle, secret in needles.items()
        if secret in content
    ]
