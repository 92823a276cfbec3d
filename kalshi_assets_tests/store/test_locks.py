from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from kalshi_assets.errors import HomeInUse, StoreError
from kalshi_assets.store.locks import hold_home
from kalshi_assets_tests.store import writers

SPAWN = multiprocessing.get_context("spawn")


def test_a_home_has_one_holder_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ready = SPAWN.Event()
    child = SPAWN.Process(target=writers.sit_on, args=(str(home), ready))
    child.start()
    try:
        assert ready.wait(60)
        with pytest.raises(HomeInUse, match=f"in use by process {child.pid};"), hold_home(home):
            pytest.fail("two holders")
    finally:
        child.kill()
        child.join()
    assert (home / ".lock").read_text() == f"{child.pid}\n"
    with hold_home(home):
        pass


def test_the_lock_goes_with_the_block_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), hold_home(tmp_path):
        raise ValueError("inside")
    with hold_home(tmp_path), pytest.raises(HomeInUse), hold_home(tmp_path):
        pytest.fail("two holders in one process")
    with hold_home(tmp_path):
        pass


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be locked"), hold_home(tmp_path / "file"):
        pytest.fail("no home there")
