"""The command line: arguments in, one call, an exit code out.

Exit codes: 0 all well, 2 a wrong argument or setting, 3 a blocking gate failed,
1 anything else. Errors are one sentence on standard error, never a traceback.
"""

from kalshi_assets.cli.entry import cli, main

__all__ = ["cli", "main"]
