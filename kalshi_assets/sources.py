"""Opens the chosen source: a real host, or a loopback exchange over an archive.

All of them are read through the same client, limiter and paging; only base
URL and key differ. This is the one place beside the command line that starts
the emulator. What is done with the data is the stages' business.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from kalshi_assets.core.series import SERIES_FACTS
from kalshi_assets.emulator.process import ServedArchive
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.errors import SettingsError, UsageError
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.credentials import load_credentials
from kalshi_assets.exchange.findings import Finding
from kalshi_assets.http import RequestEvent, Transport
from kalshi_assets.macro.fred import Fred
from kalshi_assets.macro.source import FactsSource, FredSource, MacroSource
from kalshi_assets.settings import FRED_HOST, Settings, facts_folder
from kalshi_assets.stages.listing import Catalog, fetch_catalog
from kalshi_assets.store.journal import DownloadJournal

REAL_SERIES = ("KXCPIYOY", "KXU3", "KXPAYROLLS")
SIMULATED = "(simulated)"
DEMO_SEED = 7
DEMO_EVENTS = 96
# FRED wants 32 lower-case letters or digits; the loopback one checks the form and nothing else.
_LOOPBACK_FRED_KEY = "loopback" * 4


class OpenSource:
    """A source that is opened on first use and closed with the context.

    Attributes:
        settings: what it was opened from.
        requests: how many requests were sent so far.
        journal: keeps what was received of downloads that are under way.
    """

    def __init__(self, settings: Settings, *, on_request: Callable[[RequestEvent], None] | None = None) -> None:
        self.settings = settings
        self.requests = 0
        self._on_request = on_request
        self._stack = ExitStack()
        self._exchange: Exchange | None = None
        self._macro: MacroSource | None = None
        self._simulated = False
        self._catalogs: dict[tuple[str, ...], Catalog] = {}
        self.journal = DownloadJournal(settings.ingest, _identity(settings))
        self._stack.callback(self.journal.close)

    def __enter__(self) -> OpenSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def exchange(self) -> Exchange:
        """The exchange's client."""
        return self._open()[0]

    def macro(self) -> MacroSource:
        """Prints and release calendar."""
        return self._open()[1]

    def findings(self) -> list[Finding]:
        """What the exchange sent beyond its documentation so far; nothing where it was not asked yet."""
        return self._exchange.findings.summary() if self._exchange else []

    def provenance(self) -> str:
        """Where prints and dates come from, for reports."""
        if self.settings.source.loopback:
            return f"the {'simulated' if self.simulated() else 'recorded'} archive, dates from packaged public facts"
        return self.macro().provenance

    def simulated(self) -> bool:
        """Whether the prices are simulated: an archive says so, and so do the titles of a series elsewhere."""
        exchange = self.exchange()
        if self.settings.source.kind == "url":
            return any(SIMULATED in (s.title or "") for s in exchange.series_list())
        return self._simulated

    def default_series(self) -> tuple[str, ...]:
        """What is read when nobody names a series: all supported ones of an archive, three of the real exchange."""
        if not self.settings.source.loopback:
            return REAL_SERIES
        listed = [s.ticker for s in self.exchange().series_list() if s.ticker in SERIES_FACTS]
        return tuple(sorted(t for t in listed if self.exchange().events(t)))

    def catalog(self, series: tuple[str, ...]) -> Catalog:
        """The catalog of some series (all default ones for an empty tuple), fetched once."""
        wanted = tuple(sorted(series)) or self.default_series()
        if wanted not in self._catalogs:
            self._catalogs[wanted] = fetch_catalog(self.exchange(), self.macro(), wanted, simulated=self.simulated())
        return self._catalogs[wanted]

    def _open(self) -> tuple[Exchange, MacroSource]:
        if self._exchange is None or self._macro is None:
            credentials = load_credentials(
                self.settings.key_id,
                private_key_path=self.settings.private_key_path,
                private_key_pem=self.settings.private_key_pem,
            )
            base_url, fred_url = self._addresses()
            exchange = connect(base_url, credentials, journal=self.journal, on_request=self._count)
            exchange.learn_limits()
            self._exchange, self._macro = exchange, self._open_macro(fred_url)
        return self._exchange, self._macro

    def _open_macro(self, fred_url: str | None) -> MacroSource:
        key = _LOOPBACK_FRED_KEY if fred_url else self.settings.fred_api_key
        if key is None:
            return FactsSource(facts_folder())
        return FredSource(Fred(Transport(fred_url or FRED_HOST, on_request=self._count), key), facts_folder())

    def _addresses(self) -> tuple[str, str | None]:
        source = self.settings.source
        if source.base_url is not None:
            return source.base_url, None
        served = self._stack.enter_context(ServedArchive(source.archive or demo_archive(self.settings)))
        self._simulated = served.simulated
        return served.base_url, served.fred_url

    def _count(self, event: RequestEvent) -> None:
        self.requests += 1
        if self._on_request:
            self._on_request(event)


def _identity(settings: Settings) -> str:
    """Names what a source serves: an archive that was recorded anew is another one."""
    folder = settings.source.archive
    head = folder / "archive.json" if folder else None
    made = head.stat().st_mtime_ns if head and head.is_file() else ""
    return f"{settings.source} {made}".strip()


def demo_archive(settings: Settings, *, seed: int = DEMO_SEED, events: int = DEMO_EVENTS, edge: float = 0.0) -> Path:
    """The simulated archive of the demo, generated once per home.

    It is written aside and renamed, so that a kill in the middle leaves nothing that looks complete.
    """
    folder = settings.archives / f"simulated-seed{seed}-events{events}-edge{edge:g}"
    if (folder / "archive.json").is_file():
        return folder
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        simulate(aside, facts=facts_folder(), seed=seed, events=events, edge=edge)
        aside.rename(folder)
    except OSError as error:
        raise SettingsError(f"The demo archive could not be written to {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def check_series(known: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a series that the source does not list.

    Raises:
        UsageError: naming the first unknown one and what there is.
    """
    for ticker in wanted:
        if ticker not in known:
            listed = ", ".join(sorted(known)[:12]) + (" ..." if len(known) > 12 else "")
            raise UsageError(f"The series {ticker} is not listed by this source. It lists: {listed}.")
