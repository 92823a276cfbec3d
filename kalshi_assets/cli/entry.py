"""The group of all commands, and the last door: how whatever went wrong is said."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import click

from kalshi_assets.cli import operating, reading
from kalshi_assets.errors import KalshiAssetsError


class Commands(click.Group):
    """Commands whose reader may have seen enough, which is no failure."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kalshi_assets")
def cli() -> None:
    """Point-in-time research on Kalshi macro event markets."""


for command in (
    operating.run, reading.sql, reading.distribution, reading.scores, reading.asset_panel, reading.verify,
    reading.health, reading.leakcheck, operating.import_reference, operating.maintain, operating.doctor,
    operating.simulate, operating.emulate,
):  # fmt: skip
    cli.add_command(command)


# These only read and answer at once, so neither collecting garbage nor tearing down is worth the wait.
_QUESTIONS = ("sql", "distribution")


def main() -> None:
    """Run the command line; every foreseen error ends as one sentence and its exit code."""
    question = sys.argv[1:2] and sys.argv[1] in _QUESTIONS
    if question:
        gc.disable()
    code = _guarded(lambda: cli.main(standalone_mode=False))
    if question:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _guarded(command: Callable[[], Any]) -> int:
    try:
        command()
    except KalshiAssetsError as error:
        click.echo(f"kalshi-assets: {error}", err=True)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("kalshi-assets: interrupted; what was committed stays, run the same command again.", err=True)
        return 1
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        click.echo(f"kalshi-assets: the system refused{where}: {error.strerror or error}.", err=True)
        return 1
    except Exception as error:  # The last door: a bug ends in a sentence too, and its trace in a file.
        click.echo(f"kalshi-assets: a bug: {type(error).__name__}: {_first_line(error)} {_keep_trace()}", err=True)
        return 1
    return 0


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".") + "."


def _keep_trace() -> str:
    """Write the trace of the error in hand to a temporary file and say where."""
    with tempfile.NamedTemporaryFile("w", prefix="kalshi-assets-", suffix=".trace", delete=False) as file:
        file.write(traceback.format_exc())
    return f"Its trace is in {file.name}; please report it."
