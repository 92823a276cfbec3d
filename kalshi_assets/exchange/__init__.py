"""Kalshi's Trade API over HTTP: keys, signatures, response models, paging, tiers, and the client that joins them.

Storing what comes back, and what it means for research, do not belong here.
"""

from kalshi_assets.exchange.catalog import MarketCatalog
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.credentials import Credentials, load_credentials
from kalshi_assets.exchange.findings import Finding, Findings
from kalshi_assets.exchange.models import (
    AccountLimits,
    Cutoff,
    EventFeeChange,
    EventRecord,
    ExchangeStatus,
    MarketRecord,
    Milestone,
    SeriesFeeChange,
    SeriesRecord,
)
from kalshi_assets.exchange.routing import MarketRef
from kalshi_assets.exchange.seam import Seam
from kalshi_assets.exchange.signing import Signer

__all__ = [
    "AccountLimits",
    "Credentials",
    "Cutoff",
    "EventFeeChange",
    "EventRecord",
    "Exchange",
    "ExchangeStatus",
    "Finding",
    "Findings",
    "MarketCatalog",
    "MarketRecord",
    "MarketRef",
    "Milestone",
    "Seam",
    "SeriesFeeChange",
    "SeriesRecord",
    "Signer",
    "connect",
    "load_credentials",
]
