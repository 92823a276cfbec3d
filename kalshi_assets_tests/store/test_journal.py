"""The journal of downloads: what was kept survives a kill, and nothing else is in the way."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kalshi_assets.errors import StoreError
from kalshi_assets.exchange.journal import Download
from kalshi_assets.store.journal import Checkpoint, DownloadJournal

TRADES = Download("/markets/trades", "CPI-24SEP-T2.4", 1_700_000_000, 1_700_086_400)
CANDLES = Download("/markets/candlesticks", "A,B@60", 1_700_000_000, 1_700_086_400)


@pytest.fixture
def journal(tmp_path):
    made = DownloadJournal(tmp_path / "ingest", "demo")
    yield made
    made.close()


def test_pages_come_back_in_order_with_their_checkpoint(journal):
    journal.keep(TRADES, 1, b'{"trades":[1,2]}', rows=2, cursor="c1")
    journal.keep(TRADES, 2, b'{"trades":[3]}', rows=1, cursor=None)
    journal.keep(CANDLES, 1, b"{}", rows=0, cursor=None)
    assert journal.pages(TRADES) == [b'{"trades":[1,2]}', b'{"trades":[3]}']
    assert journal.checkpoints() == [
        Checkpoint("/markets/candlesticks", "A,B@60", 1_700_000_000, 1_700_086_400, 1, 0, None),
        Checkpoint("/markets/trades", "CPI-24SEP-T2.4", 1_700_000_000, 1_700_086_400, 2, 3, None),
    ]
    assert all(c.complete for c in journal.checkpoints())


def test_a_download_under_way_says_where_it_goes_on(journal):
    journal.keep(TRADES, 1, b"{}", rows=1000, cursor="c1")
    (checkpoint,) = journal.checkpoints()
    assert (checkpoint.cursor, checkpoint.complete) == ("c1", False)


def test_reading_makes_no_file(journal):
    assert journal.pages(TRADES) == []
    assert journal.checkpoints() == []
    journal.clear()
    assert not journal.path.exists()


def test_pages_behind_a_missing_one_are_not_used(journal):
    for page in (1, 3, 4):
        journal.keep(TRADES, page, b"%d" % page, rows=1, cursor="c")
    assert journal.pages(TRADES) == [b"1"]


def test_a_forgotten_download_is_gone_and_others_stay(journal):
    journal.keep(TRADES, 1, b"t", rows=1, cursor=None)
    journal.keep(CANDLES, 1, b"c", rows=1, cursor=None)
    journal.forget(TRADES)
    assert journal.pages(TRADES) == []
    assert journal.pages(CANDLES) == [b"c"]


def test_clearing_drops_what_was_used_and_keeps_what_another_run_left(tmp_path):
    left = DownloadJournal(tmp_path, "demo")
    left.keep(CANDLES, 1, b"c", rows=1, cursor=None)
    left.close()
    journal = DownloadJournal(tmp_path, "demo")
    journal.keep(TRADES, 1, b"t", rows=1, cursor=None)
    assert [c.endpoint for c in journal.checkpoints()] == ["/markets/trades"]
    journal.clear()
    assert journal.pages(TRADES) == []
    assert journal.pages(CANDLES) == [b"c"]
    journal.close()


def test_sources_do_not_see_each_other(tmp_path):
    demo, real = DownloadJournal(tmp_path, "demo"), DownloadJournal(tmp_path, "kalshi")
    demo.keep(TRADES, 1, b"simulated", rows=1, cursor=None)
    assert real.pages(TRADES) == []
    demo.close()
    real.close()


def test_a_month_later_nothing_is_left(tmp_path):
    young = DownloadJournal(tmp_path, "demo", now_s=lambda: 1e9)
    young.keep(TRADES, 1, b"t", rows=1, cursor=None)
    young.close()
    old = DownloadJournal(tmp_path, "demo", now_s=lambda: 1e9 + 31 * 86_400)
    assert old.pages(TRADES) == []
    old.close()


def test_space_is_given_back(journal):
    for page in range(1, 40):
        journal.keep(TRADES, page, os.urandom(100_000), rows=1, cursor="c")
    journal.clear()
    journal.close()
    assert journal.path.stat().st_size < 100_000


def test_threads_share_it(journal):
    def work(i):
        mine = Download("/markets/trades", f"T{i}", 0, 1)
        for page in range(1, 6):
            journal.keep(mine, page, b"%d-%d" % (i, page), rows=1, cursor="c")
        return journal.pages(mine)

    with ThreadPoolExecutor(8) as pool:
        for i, pages in enumerate(pool.map(work, range(16))):
            assert pages == [b"%d-%d" % (i, page) for page in range(1, 6)]
    assert len(journal.checkpoints()) == 16


WRITER = """
import sys
from pathlib import Path
from kalshi_assets.exchange.journal import Download
from kalshi_assets.store.journal import DownloadJournal
journal = DownloadJournal(Path(sys.argv[1]), "demo")
for page in range(1, 100_000):
    journal.keep(Download("/markets/trades", "T", 0, 1), page, b"page %d " % page * 50, rows=1, cursor=str(page))
    print(page, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    for round_ in range(5):
        folder = tmp_path / str(round_)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(20 + 30 * round_):
                said = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        journal = DownloadJournal(folder, "demo")
        pages = journal.pages(Download("/markets/trades", "T", 0, 1))
        journal.close()
        assert len(pages) >= said
        assert pages == [b"page %d " % page * 50 for page in range(1, len(pages) + 1)]


def test_a_damaged_file_is_one_sentence(tmp_path):
    (tmp_path / "downloads.sqlite").write_bytes(b"this is no database at all" * 100)
    journal = DownloadJournal(tmp_path, "demo")
    with pytest.raises(StoreError, match=r"downloads\.sqlite cannot be used .* delete the file"):
        journal.pages(TRADES)


def test_a_damaged_page_is_one_sentence(journal):
    journal.keep(TRADES, 1, b"t" * 100, rows=1, cursor=None)
    with sqlite3.connect(journal.path) as db:
        db.execute("update pages set body = x'00'")
    db.close()
    with pytest.raises(StoreError, match="delete the file"):
        journal.pages(TRADES)
