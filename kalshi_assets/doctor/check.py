"""What one check yields, and what a list of them amounts to; what is examined does not belong here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kalshi_assets.errors import KalshiAssetsError

State = Literal["ok", "warning", "failure", "skipped"]

# A failure of these themes is mended by changing a setting or a key.
_SETTING_THEMES = frozenset({"settings", "key"})
# Our errors end with what to do, behind the last of these.
_ADVICE = re.compile(r"^(?P<found>.*\S)(?:; |\. |: )(?P<advice>.+?)\.?$", re.DOTALL)
_REPORT = "Please report this; the other checks stand."


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: ``theme.subject``.
        state: ``ok``, ``warning`` (works, or works for now), ``failure`` (a run would fail) or
            ``skipped`` (not examined, and ``found`` says why).
        found: what was found, in words; never a secret.
        advice: what to do; always there with a failure.
    """

    name: str
    state: State
    found: str
    advice: str | None = None

    @property
    def theme(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]


def ok(name: str, found: str, note: str | None = None) -> Check:
    """All well."""
    return Check(name, "ok", found, note)


def warning(name: str, found: str, advice: str) -> Check:
    """Works, or works for now."""
    return Check(name, "warning", found, advice)


def failure(name: str, found: str, advice: str) -> Check:
    """A run would fail."""
    return Check(name, "failure", found, advice)


def skipped(name: str, why: str, note: str | None = None) -> Check:
    """Not examined."""
    return Check(name, "skipped", why, note)


def not_asked(names: Sequence[str], why: str) -> list[Check]:
    """One skipped check a name, all for the same reason."""
    return [skipped(name, why) for name in names]


def failure_of(name: str, error: KalshiAssetsError, advice: str | None = None) -> Check:
    """A failure in an error's own words, whose last clause is its advice where none is given."""
    words = str(error)
    parts = None if advice else _ADVICE.match(words)
    if parts is None:
        return failure(name, words, advice or _REPORT)
    return failure(name, f"{parts['found']}.", f"{_sentence(parts['advice'])}.")


def guarded(name: str, probe: Callable[[], Sequence[Check]]) -> list[Check]:
    """The checks of a probe; one that raises becomes a failure, because the rest must still be examined.

    A library that does not load is a failure of its own check, and here the reason to skip.
    """
    try:
        return list(probe())
    except KalshiAssetsError as error:
        return [failure_of(name, error)]
    except ImportError as error:
        return [skipped(name, f"A library cannot be loaded: {_first_line(error)}.", "See extensions.package.")]
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        return [
            failure(
                name,
                f"The system refused{where}: {error.strerror or type(error).__name__}.",
                "Give this user access to it, or choose another place.",
            )
        ]
    except Exception as error:  # A defect of one check must not hide the others.
        words = f"The check itself broke: {type(error).__name__}: {_first_line(error)}."
        return [failure(name, words, _REPORT)]


def exit_code(checks: Sequence[Check]) -> int:
    """0 without a failure, 2 where a setting or key must change, 1 for other failures."""
    failed = {c.theme for c in checks if c.state == "failure"}
    return 2 if failed & _SETTING_THEMES else int(bool(failed))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
