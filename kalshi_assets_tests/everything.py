"""Imports all that the command may import, for processes that are to have it before they are asked for anything."""

import pkgutil
from importlib import import_module

import kalshi_assets

for _module in pkgutil.walk_packages(kalshi_assets.__path__, "kalshi_assets."):
    if not _module.name.endswith("__main__"):
        import_module(_module.name)
