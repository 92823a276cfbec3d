"""The error tree of the package; nothing else belongs here.

    KalshiAssetsError            exit code 1
    ├── UsageError               exit code 2: a wrong argument, setting, key, series, date or archive
    │   ├── SettingsError        a setting, an environment variable or a key file
    │   └── ArchiveError         a recorded or simulated archive that cannot be read
    ├── ExchangeError            the exchange (or FRED) answered wrongly, or not at all
    │   ├── Unreachable          no answer within the time budget
    │   ├── AuthenticationFailed a 401 or 403 (exit code 2: the key or the clock must change)
    │   ├── NotFound             a 404 on every tier
    │   ├── RequestRefused       another 4xx
    │   └── MalformedResponse    a body that breaks the documented shape
    ├── StoreError               the lake: a damaged table, a schema breach, a lost commit race
    │   ├── RowsRefused          rows that break a table's schema or checks, or contradict what it holds
    │   ├── StoreUnreachable     the bucket that holds the lake gave no usable answer
    │   ├── DiskFull             no room where the home or the lake lies
    │   └── HomeInUse            another process holds the home
    ├── DomainError              data that a stage cannot work with
    └── GateError                a blocking gate failed, or its evidence is absent or stale (exit code 3)

Every message says what happened, where, and what to do; none carries a secret.
"""

from __future__ import annotations


class KalshiAssetsError(Exception):
    """Anything that the platform reports on purpose."""

    exit_code = 1


class UsageError(KalshiAssetsError):
    """What the user asked for cannot be done as asked."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting, an environment variable or a key file is wrong."""


class ArchiveError(UsageError):
    """An archive is missing, unreadable, half-written or of an unknown format."""


class ExchangeError(KalshiAssetsError):
    """A remote service answered wrongly, or not at all."""


class Unreachable(ExchangeError):
    """No usable answer came within the retry budget."""


class AuthenticationFailed(ExchangeError):
    """The service refused the key, the signature or the clock."""

    exit_code = 2


class NotFound(ExchangeError):
    """The service does not know the thing, on any tier."""


class RequestRefused(ExchangeError):
    """The service refused the request itself."""


class MalformedResponse(ExchangeError):
    """A body lacks a required field or holds a value of the wrong kind."""


class StoreError(KalshiAssetsError):
    """The event-time store could not read or commit."""


class RowsRefused(StoreError):
    """Rows that a table cannot take, whoever brings them and however often."""


class StoreUnreachable(StoreError):
    """The object store that holds the lake gave no usable answer within its time."""


class DiskFull(StoreError):
    """The disk that holds the home or the lake has no room left."""


class HomeInUse(StoreError):
    """Another process works on the same home."""


class DomainError(KalshiAssetsError):
    """Data that a stage cannot work with."""


class GateError(KalshiAssetsError):
    """A blocking gate failed, or its evidence is absent or stale."""

    exit_code = 3
