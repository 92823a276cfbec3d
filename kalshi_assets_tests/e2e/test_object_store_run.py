"""The whole graph with its lake in a bucket, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kalshi_assets.settings import Settings
from kalshi_assets.store.opening import open_lake
from kalshi_assets_tests.e2e.content import CONTENT, content
from kalshi_assets_tests.store.buckets import SECRET, BucketServer, Wire, needs_moto

pytestmark = needs_moto


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


def bucket_content(variables: dict[str, str]):
    lake = open_lake(Settings.from_environment(variables))
    return {name: lake.content_hash(name) for name in CONTENT}


@pytest.mark.soak
def test_a_run_that_loses_its_bucket_ends_in_a_sentence_and_a_rerun_finishes(ka, archive, filled, server) -> None:
    address = server.new_address()
    whole = server.variables(address)
    source = ("run", "--source", f"archive:{archive}")
    with Wire(server.port) as wire:
        wire.cut_at = (b"PUT", b"/distributions/_delta_log/")
        said = ka(*source, **server.variables(address, port=wire.port))
    assert said.returncode == 1, said.stderr
    assert "Traceback" not in said.stderr
    assert said.stderr.count("cannot be used: the connection was ") == 1
    assert SECRET not in said.stderr + said.stdout
    begun = bucket_content(whole)
    assert begun["quotes"]
    assert not begun["distributions"]

    report = ka.json(*source, "--json", **whole)
    assert report["exit_code"] == 0
    assert bucket_content(whole) == content(filled[1].home)
    assert not (ka.home / "lake").exists()

    # The lake is read without anything of the home that filled it.
    count = ("sql", "select count(*) n, count(distinct series_ticker) s from events", "--format", "json")
    elsewhere = {**whole, "KALSHI_ASSETS_HOME": str(ka.home / "nowhere")}
    assert ka.json(*count, **elsewhere) == filled[1].json(*count)
    (finding,) = ka.json("verify", "--json", **elsewhere)
    assert finding["state"] == "verified"
    assert not secrets_below(ka.home)


def test_a_bucket_that_cannot_be_used_is_said_before_anything_is_done(ka, archive, server) -> None:
    address = server.new_address()
    source = ("run", "--source", f"archive:{archive}")
    assert "no bucket elsewhere" in ka.sentence(*source, code=2, **server.variables("s3://elsewhere/lake"))
    assert "must be s3://" in ka.sentence("sql", "select 1 from events", code=2, KALSHI_ASSETS_LAKE="ftp://bucket")
    keyless = {**server.variables(address), "AWS_SECRET_ACCESS_KEY": ""}
    assert "AWS_SECRET_ACCESS_KEY is not set" in ka.sentence(*source, code=2, **keyless)
    server.behave(forbid=True)
    try:
        said = ka.sentence("sql", "from events", code=2, **server.variables(address))
    finally:
        server.behave()
    assert "refused the credentials" in said
    assert SECRET not in said
    with Wire(server.port) as wire:
        gone = wire.port
    quick = server.variables(address, port=gone, KALSHI_ASSETS_LAKE_TIMEOUT_S="0.5")
    assert "the connection was refused" in ka.sentence(*source, code=1, **quick)


def secrets_below(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
