"""Whatever is wrong: one clear sentence, the right exit code, nothing lost."""

import os
import shutil
import signal
import socket
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kalshi_assets.emulator.archive import load_archive
from kalshi_assets.emulator.process import ServedArchive
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.conftest import COMMAND
from kalshi_assets_tests.e2e.content import content


def private_pem(key, passphrase=None):
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(65537, 2048)


def test_unknown_series(ka, archive):
    said = ka.sentence("run", "--source", f"archive:{archive}", "--series", "KXNOPE", code=2)
    assert "KXNOPE" in said
    assert "KXCPIYOY" in said


def test_unknown_source(ka):
    assert "use demo, archive:DIR" in ka.sentence("run", "--source", "kalshi-live", code=2)


def test_dates_in_the_wrong_order(ka, archive):
    said = ka.sentence("run", "--source", f"archive:{archive}", "--dates", "2024-02-01:2024-01-01", code=2)
    assert "wrong order" in said


def test_dates_without_events(ka, archive):
    said = ka.sentence("run", "--source", f"archive:{archive}", "--dates", "1999-01-01:1999-12-31", code=2)
    assert "they cover" in said


@pytest.mark.parametrize("dates", ["2024-01-01:", ":2024-01-01"])
def test_half_a_range_of_dates_is_none(ka, dates):
    assert "is no range of days" in ka("run", "--dates", dates).stderr


def test_a_reader_who_has_seen_enough_is_no_failure(ka):
    query = "select * from range(200000)"
    line = f"set -o pipefail; {COMMAND} sql '{query}' --format csv | head -1"
    done = subprocess.run(["bash", "-c", line], env=ka.environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "range\n", "")


def test_dates_that_are_none(ka, archive):
    done = ka("run", "--source", f"archive:{archive}", "--dates", "yesterday")
    assert done.returncode == 2
    assert "is no range of days" in done.stderr


def test_no_archive_there(ka, tmp_path):
    assert str(tmp_path / "nowhere") in ka.sentence("run", "--source", f"archive:{tmp_path / 'nowhere'}", code=2)


@pytest.mark.parametrize("name", ["archive.json", "markets.parquet", "candlesticks.parquet"])
def test_a_half_written_archive(ka, archive, tmp_path, name):
    broken = shutil.copytree(archive, tmp_path / "broken")
    whole = (broken / name).read_bytes()
    (broken / name).write_bytes(whole[: len(whole) // 2])
    assert name in ka.sentence("run", "--source", f"archive:{broken}", code=2)


def test_an_exchange_that_is_not_there(ka):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = ka.sentence("run", "--source", f"http://127.0.0.1:{port}/trade-api/v2", "--series", "KXU3", code=1)
    assert f"127.0.0.1:{port}" in said


def test_an_exchange_that_dies_in_the_middle_loses_nothing(ka_filled, archive):
    before = content(ka_filled.home)
    with (
        ServedArchive(archive) as server,
        subprocess.Popen(
            [str(COMMAND), "run", "--source", server.base_url, "--series", "KXCPIYOY,KXPAYROLLS,KXU3"],
            env=ka_filled.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as run,
    ):
        assert run.stderr is not None
        while "quotes: 0/" not in run.stderr.readline():
            assert run.poll() is None
        os.kill(server.pid, signal.SIGKILL)
        said = run.stderr.read().strip().splitlines()[-1]
        assert run.wait(60) == 1
    assert "127.0.0.1" in said
    # Prints came from another source than the first time, so only what the dead exchange serves is compared.
    tables = ["contracts", "contract_specs", "quotes", "trades", "distributions"]
    assert content(ka_filled.home, tables) == {name: before[name] for name in tables}


def test_a_wrong_key_is_the_exchanges_word(ka, archive, key, tmp_path):
    other = rsa.generate_private_key(65537, 2048)
    (tmp_path / "key.pem").write_bytes(private_pem(other))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with serve(load_archive(archive), public_keys={"me": public}) as server:
        said = ka.sentence(
            "run", "--source", server.base_url, "--series", "KXU3", code=2,
            KALSHI_API_KEY_ID="me", KALSHI_PRIVATE_KEY_PATH=str(tmp_path / "key.pem"),
        )  # fmt: skip
    assert "SIGNATURE" in said.upper()


@pytest.mark.parametrize("kind", ["missing", "garbage", "encrypted", "half"])
def test_a_key_that_cannot_be_used_names_its_setting(ka, archive, key, tmp_path, kind):
    path = tmp_path / "key.pem"
    if kind == "garbage":
        path.write_text("no key at all")
    elif kind == "encrypted":
        path.write_bytes(private_pem(key, b"secret"))
    elif kind == "half":
        path.write_bytes(private_pem(key)[:300])
    said = ka.sentence(
        "run", "--source", f"archive:{archive}", code=2,
        KALSHI_API_KEY_ID="me", KALSHI_PRIVATE_KEY_PATH=str(path),
    )  # fmt: skip
    assert "KALSHI_PRIVATE_KEY_PATH" in said


HOLD = """
import pathlib, sys, time
from kalshi_assets.store.locks import hold_home
with hold_home(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_home_that_another_process_uses(ka, archive):
    ka.home.mkdir()
    command = [str(COMMAND.with_name("python")), "-c", HOLD, str(ka.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = ka.sentence("run", "--source", f"archive:{archive}", code=1)
        holder.kill()
    assert str(holder.pid) in said
    assert ka("sql", "select 1").returncode == 0


def test_a_home_that_cannot_be_written(ka, archive):
    ka.home.parent.mkdir(exist_ok=True)
    ka.home.write_text("a file")
    assert "is a file" in ka.sentence("run", "--source", f"archive:{archive}", code=2)


def test_unknown_event(filled, ka):
    assert "There is no event NOPE-1" in filled[1].sentence("distribution", "NOPE-1", "--as-of", "2024-01-01", code=2)
    assert "the lake is empty" in ka.sentence("distribution", "NOPE-1", "--as-of", "2024-01-01", code=2)


def test_times_need_a_zone(filled):
    done = filled[1]("distribution", "X", "--as-of", "2024-01-01T04:00")
    assert done.returncode == 2
    assert "no time zone" in done.stderr


def test_sql_that_is_wrong_or_writes(filled):
    ka = filled[1]
    assert ka.sentence("sql", "select nonsense from quotes", code=2)
    assert ka.sentence("sql", "create table x as select 1", code=2)
    assert ka.sentence("sql", "copy (select 1) to '/tmp/x.csv'", code=2)
