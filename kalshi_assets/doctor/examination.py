"""Runs every check and puts the answers in order; what is judged, and how, is the themes' work.

Modules that need a compiled library are imported by the probe that uses them:
where such a library is broken, the doctor must still speak.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path

from kalshi_assets.doctor.check import Check, failure, failure_of, guarded, not_asked, ok, skipped
from kalshi_assets.doctor.disk_checks import check_disk
from kalshi_assets.doctor.extension_checks import check_extensions, check_kernels, check_libraries
from kalshi_assets.doctor.run_storage_checks import check_run_storage
from kalshi_assets.doctor.settings_checks import Reading, check_home, check_installation, read_settings
from kalshi_assets.errors import SettingsError, UsageError
from kalshi_assets.settings import FRED_HOST, PROJECT_ROOT, Settings, Source

_OFFLINE = "Not asked, because of --offline."
_NO_HOME = "The home is not known."


def examine(
    environ: Mapping[str, str],
    *,
    source: str | None = None,
    offline: bool = False,
    fred_url: str = FRED_HOST,
    deep: bool | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Check]:
    """Every check, in the order of the report. It never raises: what breaks is a failure in the list.

    Args:
        environ: the environment's variables.
        source: overrides KALSHI_ASSETS_SOURCE.
        offline: ask nothing of other machines.
        fred_url: FRED's address.
        deep: whether to read the lake's data files; None reads those of a lake that is not too large.
        progress: told how many bytes of how many were read of them.
    """
    reading = read_settings(environ, source)
    settings = reading.settings
    loaded = guarded("extensions.package", _load)
    with ThreadPoolExecutor(1) as beside:
        # The services take their time to answer, and the rest need not wait for them.
        remote = beside.submit(_remote, reading, offline=offline, fred_url=fred_url)
        if any(c.state != "ok" for c in loaded):
            wait([remote])  # It fails at its own imports, and threads that fail at one import trip each other up.
        installed = [
            *reading.checks,
            *(guarded("settings.home", lambda: check_home(settings.home)) if reading.home_known else ()),
            *guarded("settings.installation", lambda: check_installation(environ)),
            *_at_home(reading, "disk.space", lambda: check_disk(settings.home, _folder(settings))),
            *guarded("key.exchange", lambda: _keys(settings)),
        ]
        stored = [
            *guarded("extensions", lambda: check_extensions(_dagster_yaml(environ))),
            *guarded("extensions.libraries", check_libraries),
            *guarded("extensions.kernels", check_kernels),
            *_at_home(reading, "lake.tables", lambda: _lake(settings, offline=offline, deep=deep, progress=progress)),
            *_at_home(reading, "lake.downloads", lambda: _journal(settings)),
            *_at_home(reading, "dagster.folder", lambda: check_run_storage(settings.dagster)),
        ]
        return [*installed, *remote.result(), *loaded, *stored]


def _load() -> list[Check]:
    """Import what the thread beside needs: two threads that import at once can see half a module."""
    name = "extensions.package"
    try:
        import kalshi_assets.doctor.fred_checks
        import kalshi_assets.doctor.lake_examination
        import kalshi_assets.sources
        import kalshi_assets.store.opening  # noqa: F401
    except ImportError as error:
        advice = "Install the package and its libraries again: pip install --force-reinstall -c requirements.lock ."
        return [failure(name, f"The package cannot be loaded: {error}.", advice)]
    return [ok(name, "The package loads.")]


def _keys(settings: Settings) -> list[Check]:
    from kalshi_assets.doctor.key_checks import check_key, judge_fred_key

    return [*check_key(settings), judge_fred_key(settings.fred_api_key, loopback=settings.source.loopback)]


def _remote(reading: Reading, *, offline: bool, fred_url: str) -> list[Check]:
    return [
        *guarded("exchange.status", lambda: _exchange(reading, offline=offline)),
        *guarded("fred.reachable", lambda: _fred(reading.settings, offline=offline, fred_url=fred_url)),
    ]


def _exchange(reading: Reading, *, offline: bool) -> list[Check]:
    from kalshi_assets.doctor.exchange_checks import REMOTE, check_exchange
    from kalshi_assets.doctor.key_checks import open_key
    from kalshi_assets.http import is_loopback
    from kalshi_assets.sources import OpenSource

    settings = reading.settings
    if not reading.source_usable:
        return not_asked(REMOTE, "There is no usable source.")
    try:
        credentials, key_wrong = open_key(settings), False
    except SettingsError:
        credentials, key_wrong = None, True
    if settings.source.base_url is not None:
        if offline and not is_loopback(settings.source.base_url):
            return not_asked(REMOTE, _OFFLINE)
        return check_exchange(settings.source.base_url, credentials, recorded=False, key_wrong=key_wrong)
    with tempfile.TemporaryDirectory(prefix="kalshi-assets-doctor-") as scratch:
        try:
            with OpenSource(_served(settings, Path(scratch))) as opened:
                # One clock serves both sides, so it need not be looked at for long.
                return check_exchange(opened.exchange().transport.base_url, None, recorded=True, apart_s=0.0)
        except UsageError as error:
            failed = failure_of("settings.archive", error)
            return [failed, *not_asked(REMOTE, "There is no archive to serve.")]


def _served(settings: Settings, scratch: Path) -> Settings:
    """Settings that serve the source's archive and keep whatever opening it writes out of the home.

    Before a run has made the demo's archive, a small one stands in for it.
    """
    from kalshi_assets.sources import demo_archive

    archive = settings.source.archive
    if archive is None:
        made = made_demo(settings)
        ready = (made / "archive.json").is_file()
        archive = made if ready else demo_archive(Settings(home=scratch), events=1)
    return Settings(home=scratch, source=Source("archive", archive))


def made_demo(settings: Settings) -> Path:
    """Where the demo's archive lies once a run has made it."""
    from kalshi_assets.sources import DEMO_EVENTS, DEMO_SEED

    return settings.archives / f"simulated-seed{DEMO_SEED}-events{DEMO_EVENTS}-edge0"


def _fred(settings: Settings, *, offline: bool, fred_url: str) -> list[Check]:
    from kalshi_assets.doctor.fred_checks import ACCEPTED, REACHED, check_fred
    from kalshi_assets.doctor.key_checks import judge_fred_key
    from kalshi_assets.http import is_loopback

    key = settings.fred_api_key
    why = None
    if settings.source.loopback:
        why = "This source brings its own numbers."
    elif key is None:
        why = "No FRED key is configured: the packaged facts are used."
    elif judge_fred_key(key, loopback=False).state == "failure":
        why = "The configured FRED key cannot be right."
    elif offline and not is_loopback(fred_url):
        why = _OFFLINE
    if key is None or why is not None:
        return not_asked((REACHED, ACCEPTED), why or "")
    return check_fred(fred_url, key, datetime.now(UTC).date())


def _lake(settings: Settings, *, offline: bool, deep: bool | None, progress: Callable[[int, int], None]) -> list[Check]:
    from kalshi_assets.doctor.lake_checks import check_lock
    from kalshi_assets.doctor.lake_examination import LAKE_CHECKS, examine_lake
    from kalshi_assets.store.opening import open_lake

    lock = guarded("lake.lock", lambda: check_lock(settings.home))
    if offline and settings.lake_address is not None:
        return [*not_asked(LAKE_CHECKS, _OFFLINE), *lock]
    try:
        lake = open_lake(settings)
    except SettingsError as error:
        return [failure_of("settings.lake", error), *not_asked(LAKE_CHECKS, "The lake was not opened."), *lock]
    return [*examine_lake(lake, deep=deep, progress=progress), *lock]


def _journal(settings: Settings) -> list[Check]:
    from kalshi_assets.doctor.journal_checks import check_journal

    return check_journal(settings.ingest)


def _folder(settings: Settings) -> Path | None:
    """The lake's folder; None where a bucket holds it."""
    return settings.lake if settings.lake_address is None else None


def _at_home(reading: Reading, name: str, probe: Callable[[], list[Check]]) -> list[Check]:
    return guarded(name, probe) if reading.home_known else [skipped(name, _NO_HOME)]


def _dagster_yaml(environ: Mapping[str, str]) -> Path:
    """The dagster.yaml in force: that of DAGSTER_HOME, else the checkout's."""
    named = environ.get("DAGSTER_HOME", "").strip()
    folder = Path(named).expanduser() if named else PROJECT_ROOT
    return folder / "dagster.yaml"
