"""Keeps secret query parameters out of the log records of the HTTP library; nothing else belongs here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "urllib3.connection")
_MASK = "[secret]"


class _Masking(logging.Filter):
    """Replaces registered values in every record; the library logs full URLs at debug level."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()
        self._lock = threading.Lock()

    def add(self, values: Iterable[str]) -> None:
        with self._lock:
            for value in values:
                self._secrets |= {value, quote(value, safe=""), quote_plus(value)}

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = mask(message, self._secrets)
        if clean != message:
            record.msg, record.args = clean, None
        return True


_MASKING = _Masking()


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with each secret replaced."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _MASK)
    return text


def keep_out_of_logs(values: Iterable[str]) -> None:
    """Mask these values in the HTTP library's records from now on."""
    _MASKING.add(v for v in values if v)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _MASKING not in logger.filters:
            logger.addFilter(_MASKING)
