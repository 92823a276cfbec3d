"""Typed settings, and the only place that reads the environment.

What a run does (dates, series, strategy) is an argument, not a setting. Keys
are held here unread; ``exchange.credentials`` opens them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kalshi_assets.errors import SettingsError

KALSHI_HOSTS = {
    "kalshi": "https://external-api.kalshi.com/trade-api/v2",
    "kalshi-demo": "https://external-api.demo.kalshi.co/trade-api/v2",
}
FRED_HOST = "https://api.stlouisfed.org/fred"
OBJECT_STORE_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ALLOW_HTTP",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "KALSHI_ASSETS_LAKE_TIMEOUT_S",
)
PROJECT_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Source:
    """Where exchange data comes from.

    Attributes:
        kind: ``demo`` (the simulated archive), ``archive`` (a recorded one), ``kalshi-demo``, ``kalshi`` or ``url``.
        archive: the archive's folder, for ``archive``.
        url: the base URL of an exchange, for ``url``.
    """

    kind: str
    archive: Path | None = None
    url: str | None = None

    @property
    def loopback(self) -> bool:
        """True where this process serves the data itself, on 127.0.0.1."""
        return self.kind in ("demo", "archive")

    @property
    def base_url(self) -> str | None:
        """The exchange's address; None where this process serves the data itself."""
        return self.url or KALSHI_HOSTS.get(self.kind)

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read ``demo``, ``archive:DIR``, ``kalshi-demo``, ``kalshi`` or the base URL of an exchange.

        A URL without TLS is taken for this machine only: signatures must not cross a network in the clear.

        Raises:
            SettingsError: for anything else.
        """
        if text in ("demo", *KALSHI_HOSTS):
            return cls(text)
        if text.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            return cls("url", url=text.rstrip("/"))
        kind, _, rest = text.partition(":")
        if kind == "archive" and rest:
            return cls("archive", Path(rest).expanduser().resolve())
        raise SettingsError(
            f"The source {text!r} is not known: use demo, archive:DIR, kalshi-demo, kalshi or the https "
            "address of an exchange (--source or KALSHI_ASSETS_SOURCE)."
        )

    def __str__(self) -> str:
        return f"archive:{self.archive}" if self.archive else self.url or self.kind


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides.

    Attributes:
        home: the folder that holds all state.
        source: where exchange data comes from.
        key_id: the exchange key's id, if one is configured.
        private_key_path: file of the exchange key.
        private_key_pem: the exchange key itself; never shown.
        fred_api_key: FRED's key; never shown.
        traded_series: series whose distributions rest on trades; all others rest on quotes.
        lake_address: the bucket that holds the lake, unread; None for a folder of the home.
        object_store: variables that say how to reach the bucket, unread (``store.opening`` opens them); never shown.
    """

    home: Path
    source: Source = field(default_factory=lambda: Source("demo"))
    key_id: str | None = None
    private_key_path: Path | None = None
    private_key_pem: str | None = field(default=None, repr=False)
    fred_api_key: str | None = field(default=None, repr=False)
    traded_series: tuple[str, ...] = ()
    lake_address: str | None = field(default=None, repr=False)
    object_store: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    @property
    def lake(self) -> Path:
        """Root of the event-time store, where no bucket holds it."""
        return self.home / "lake"

    @property
    def dagster(self) -> Path:
        """Root of Dagster's own storage."""
        return self.home / "dagster"

    @property
    def ingest(self) -> Path:
        """Where downloads that are under way are kept."""
        return self.home / "ingest"

    @property
    def archives(self) -> Path:
        """Where simulated archives are generated."""
        return self.home / "archives"

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, *, home: Path | None = None, source: str | None = None
    ) -> Settings:
        """Build the settings from environment variables, with arguments taking precedence.

        Args:
            environ: the variables; the process environment when None.
            home: overrides KALSHI_ASSETS_HOME.
            source: overrides KALSHI_ASSETS_SOURCE.

        Raises:
            SettingsError: when a variable holds something impossible.
        """
        env = os.environ if environ is None else environ

        def text(name: str) -> str | None:
            return env.get(name, "").strip() or None

        chosen_home = home or Path(text("KALSHI_ASSETS_HOME") or _default_home())
        resolved = chosen_home.expanduser().resolve()
        if resolved.exists() and not resolved.is_dir():
            raise SettingsError(f"KALSHI_ASSETS_HOME is {resolved}, which is a file: name a folder.")
        key_path = text("KALSHI_PRIVATE_KEY_PATH")
        return cls(
            home=resolved,
            source=Source.parse(source or text("KALSHI_ASSETS_SOURCE") or "demo"),
            key_id=text("KALSHI_API_KEY_ID"),
            private_key_path=Path(key_path).expanduser() if key_path else None,
            private_key_pem=text("KALSHI_PRIVATE_KEY"),
            fred_api_key=text("FRED_API_KEY"),
            traded_series=_tickers(text("KALSHI_ASSETS_TRADED_SERIES") or ""),
            lake_address=text("KALSHI_ASSETS_LAKE"),
            object_store={name: value for name in OBJECT_STORE_VARIABLES if (value := text(name))},
        )


def _tickers(text: str) -> tuple[str, ...]:
    """Series tickers from a list with commas.

    Raises:
        SettingsError: for something that is no ticker.
    """
    names = tuple(dict.fromkeys(name.strip().upper() for name in text.split(",") if name.strip()))
    odd = [name for name in names if not re.fullmatch(r"[A-Z0-9][A-Z0-9.-]*", name)]
    if odd:
        raise SettingsError(f"KALSHI_ASSETS_TRADED_SERIES names {odd[0]!r}, which is no series: write KXU3,KXGDP.")
    return names


def _default_home() -> Path:
    """``data`` beside the checkout, or under the working folder for an installed package."""
    root = PROJECT_ROOT if (PROJECT_ROOT / "pyproject.toml").is_file() else Path.cwd()
    return root / "data"


def facts_folder() -> Path:
    """The folder of packaged public facts (release calendar, first prints).

    Raises:
        SettingsError: when the installation lacks it.
    """
    for folder in (Path(__file__).resolve().parent / "facts", PROJECT_ROOT / "data" / "facts"):
        if (folder / "release_calendar.csv").is_file():
            return folder
    raise SettingsError("The packaged public facts (data/facts) are missing from this installation: reinstall it.")
