"""The Dagster code location; nothing else belongs here."""

from kalshi_assets.defs.build import build_definitions

defs = build_definitions()
