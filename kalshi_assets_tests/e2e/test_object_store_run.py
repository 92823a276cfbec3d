"""The whole graph with its lake in a bucket, from the command line."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kalshi_assets.settings import Settings
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.opening import open_lake
from kalshi_assets.store.snapshots import published
from kalshi_assets_tests.conftest import CommandLine
from kalshi_assets_tests.e2e.content import CONTENT, content
from kalshi_assets_tests.e2e.test_killed import TAKEN_BACK, contents_by_stage, kill_in
from kalshi_assets_tests.store.buckets import SECRET, BucketServer, Wire, needs_moto

pytestmark = needs_moto

# Of each stage the log of a table that it writes, what it leaves when it begins, and what it ends with.
CUTS = [
    *(f"/{table}/_delta_log/" for table in ("series", "events", "contract_specs", "quotes", "gate_evidence")),
    *(f"/{table}/_delta_log/" for table in ("distributions", "feature_panel", "labels", "folds", "verdicts")),
    "/forecast_scores/_delta_log/",
    "/_snapshots/_delta_log/",
    "/_transaction",
]
# How long a stage of the small archive takes in a bucket.
LONGEST_DELAY_S = 4.0


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


@pytest.fixture(scope="module")
def stages(filled) -> list[dict[str, Any]]:
    """What the tables hold once each stage has ended, in order."""
    return contents_by_stage(filled[1].home)


@pytest.fixture(scope="module")
def uncut(archive, server, tmp_path_factory) -> tuple[str, CommandLine, int]:
    """The address and the home of an uninterrupted run, and the bytes that it sent."""
    address, ka = server.new_address(), CommandLine(tmp_path_factory.mktemp("uncut"))
    with Wire(server.port) as wire:
        variables = server.variables(address, port=wire.port)
        ka.json("run", "--source", f"archive:{archive}", "--json", **variables)
        return address, ka, wire.sent


def opened(variables: dict[str, str]) -> Lake:
    return open_lake(Settings.from_environment(variables))


def bucket_content(variables: dict[str, str], tables=CONTENT) -> dict[str, Any]:
    lake = opened(variables)
    return {name: lake.content_hash(name) for name in tables}


def published_content(variables: dict[str, str]) -> dict[str, Any]:
    """What readers see; the ledgers, which a broken off stage keeps, aside."""
    lake = published(opened(variables))
    return {name: lake.content_hash(name) for name in TAKEN_BACK}


def run_until_cut(ka, archive, server, address, cut: Callable[[Wire], None]) -> str:
    """Run over a wire that is cut; what the command says. Empty where it ended before."""
    with Wire(server.port) as wire:
        cut(wire)
        said = ka("run", "--source", f"archive:{archive}", **server.variables(address, port=wire.port))
    assert (said.returncode, said.stderr.count("cannot be used: ")) in ((0, 0), (1, 1)), said.stderr
    assert "Traceback" not in said.stderr
    assert SECRET not in said.stderr + said.stdout
    return said.stderr if said.returncode else ""


def cut_at(place: str) -> Callable[[Wire], None]:
    """The first put there does not get through, nor does anything after it."""

    def cut(wire: Wire) -> None:
        wire.cut_at = (b"PUT", place.encode())

    return cut


def cut_after(sent: int, *, spare_last: bool) -> Callable[[Wire], None]:
    """Nothing gets through after so many bytes."""

    def cut(wire: Wire) -> None:
        wire.left, wire.spare_last = sent, spare_last

    return cut


def finish(ka, archive, server, address, filled) -> None:
    """The plain run again leaves what an uninterrupted one leaves."""
    whole = server.variables(address)
    assert ka.json("run", "--source", f"archive:{archive}", "--json", **whole)["exit_code"] == 0
    assert bucket_content(whole) == content(filled[1].home)
    assert server.content(address, "_transaction") == b""
    assert not (ka.home / "lake").exists()


def test_a_run_that_loses_its_bucket(ka, archive, filled, stages, server) -> None:
    address = server.new_address()
    whole = server.variables(address)
    said = run_until_cut(ka, archive, server, address, cut_at("/distributions/_delta_log/"))
    assert "cannot be used: the connection was " in said
    begun, seen = opened(whole), published_content(whole)
    assert begun.version("distribution_rungs"), "the stage had not begun"
    assert seen in stages, "half a stage is published"
    assert seen["distribution_rungs"] != begun.content_hash("distribution_rungs")
    finish(ka, archive, server, address, filled)


@pytest.mark.soak
def test_a_bucket_is_read_without_the_home_that_filled_it(filled, server, uncut) -> None:
    address, ka, _ = uncut
    elsewhere = {**server.variables(address), "KALSHI_ASSETS_HOME": str(ka.home / "nowhere")}
    count = ("sql", "select count(*) n, count(distinct series_ticker) s from events", "--format", "json")
    assert ka.json(*count, **elsewhere) == filled[1].json(*count)
    (finding,) = ka.json("verify", "--json", **elsewhere)
    assert finding["state"] == "verified"
    assert not secrets_below(ka.home)


@pytest.mark.soak
@pytest.mark.parametrize("place", CUTS)
def test_a_run_that_loses_its_bucket_at_a_table(ka, archive, filled, stages, server, place) -> None:
    address = server.new_address()
    said = run_until_cut(ka, archive, server, address, cut_at(place))
    assert "cannot be used: the connection was " in said
    assert published_content(server.variables(address)) in stages
    finish(ka, archive, server, address, filled)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_loses_its_bucket_at_any_moment(ka, archive, filled, stages, server, uncut, seed) -> None:
    """Every other time the last request arrives, and only its answer is lost."""
    address, sent = server.new_address(), random.Random(seed).randrange(uncut[2])
    said = run_until_cut(ka, archive, server, address, cut_after(sent, spare_last=seed % 2 == 1))
    print(f"{sent:,} of {uncut[2]:,} bytes: {said.strip().splitlines()[-1:]}")
    assert published_content(server.variables(address)) in stages
    finish(ka, archive, server, address, filled)


@pytest.mark.soak
@pytest.mark.parametrize("stage", [0, 2, 3, 5, 8])
def test_a_killed_run_in_a_bucket(tmp_path, archive, filled, stages, server, stage) -> None:
    """Upkeep right after the kill publishes nothing of the half, and the plain run again finishes."""
    address = server.new_address()
    whole = server.variables(address)

    class InBucket(CommandLine):
        def environment(self, **extra: str) -> dict[str, str]:
            return super().environment(**{**whole, **extra})

    ka = InBucket(tmp_path / "home")
    delay = random.Random(stage).uniform(0.0, LONGEST_DELAY_S)
    fell = kill_in(ka, f"archive:{archive}", tmp_path / "said", stage, delay, warm=False)
    print(f"{delay:.1f} s into stage {stage}: killed in {fell}")
    seen = published_content(whole)
    assert seen in stages
    ka.json("maintain", "--json")
    assert published_content(whole) == bucket_content(whole, TAKEN_BACK) == seen
    finish(ka, archive, server, address, filled)


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
