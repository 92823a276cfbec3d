"""The loopback exchange as a process of its own, so that server and client do not share one core.

It lives exactly as long as the process that started it: the child ends when the
pipe to its parent closes, however the parent ended. What is served is ``server``'s work.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from kalshi_assets.emulator.archive import load_archive
from kalshi_assets.emulator.fault_plan import FaultPlan
from kalshi_assets.emulator.server import serve
from kalshi_assets.errors import ArchiveError, KalshiAssetsError, Unreachable


class ServedArchive:
    """An archive served by a child process; a context manager that ends it.

    Attributes:
        base_url: the exchange's address.
        fred_url: FRED's address.
        simulated: whether the archive's prices are simulated.
        pid: the child's process id.
    """

    def __init__(self, folder: Path, plan: Path | None = None) -> None:
        """Start serving a folder, with a fault plan if one is named.

        Raises:
            ArchiveError: the folder is no readable archive.
            UsageError: the plan is no fault plan.
            Unreachable: the child ended without a word.
        """
        if plan is not None:
            FaultPlan.load(plan)
        told = [str(folder), *([str(plan)] if plan is not None else [])]
        self._child = subprocess.Popen(  # noqa: S603 (this very module, with this very interpreter)
            [sys.executable, "-m", __name__, *told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._child.pid
        assert self._child.stdout is not None
        said = self._child.stdout.readline()
        if not said:
            self.close()
            raise Unreachable(
                f"The loopback exchange over {folder} did not start (exit code {self._child.returncode})."
            )
        answer = json.loads(said)
        if "error" in answer:
            self.close()
            raise ArchiveError(answer["error"])
        self.base_url: str = answer["base_url"]
        self.fred_url: str = answer["fred_url"]
        self.simulated: bool = answer["simulated"]

    def close(self) -> None:
        """End the child and wait for it. Calling it again does nothing."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._child.wait()

    def __enter__(self) -> ServedArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _serve_until_parent_ends(folder: Path, plan: Path | None) -> None:
    try:
        archive = load_archive(folder)
        faults = None if plan is None else FaultPlan.load(plan)
    except KalshiAssetsError as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return
    with serve(archive, plan=faults) as server:
        answer = {"base_url": server.base_url, "fred_url": server.fred_url, "simulated": archive.simulated}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    try:
        _serve_until_parent_ends(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
    except (KeyboardInterrupt, BrokenPipeError):  # whoever started it has gone
        sys.exit(1)
