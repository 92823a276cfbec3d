"""States, exit codes, and probes that break."""

import errno

import pytest

from kalshi_assets.doctor.check import Check, exit_code, failure, failure_of, guarded, ok, skipped, warning
from kalshi_assets.errors import ExchangeError, SettingsError, StoreError


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([], 0),
        ([ok("lake.tables", ""), warning("key.file", "", ""), skipped("clock.skew", "")], 0),
        ([failure("lake.tables", "", "")], 1),
        ([failure("exchange.status", "", ""), failure("clock.skew", "", "")], 1),
        ([failure("lake.tables", "", ""), failure("key.exchange", "", "")], 2),
        ([failure("settings.home", "", "")], 2),
    ],
)
def test_exit_codes(checks, code):
    assert exit_code(checks) == code


@pytest.mark.parametrize(
    ("words", "found", "advice"),
    [
        (
            "KALSHI_API_KEY_ID is set, but neither A nor B is; set one of the two.",
            "KALSHI_API_KEY_ID is set, but neither A nor B is.",
            "Set one of the two.",
        ),
        (
            "The home /x/y.z is in use. Wait until it ends, or choose another.",
            "The home /x/y.z is in use.",
            "Wait until it ends, or choose another.",
        ),
        (
            "KALSHI_ASSETS_HOME is /etc/hosts, which is a file: name a folder.",
            "KALSHI_ASSETS_HOME is /etc/hosts, which is a file.",
            "Name a folder.",
        ),
        ("It broke", "It broke", "Please report this; the other checks stand."),
    ],
)
def test_an_errors_last_clause_is_the_advice(words, found, advice):
    assert failure_of("a.b", SettingsError(words)) == Check("a.b", "failure", found, advice)


def test_given_advice_leaves_the_words_whole():
    assert failure_of("a.b", StoreError("One; two."), "Do it.") == Check("a.b", "failure", "One; two.", "Do it.")


def breaking(error):
    def probe():
        raise error

    return probe


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ExchangeError("GET / failed; try again."), "GET / failed."),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "refused at /a/b: Permission denied"),
        (ZeroDivisionError("division by zero"), "The check itself broke: ZeroDivisionError: division by zero."),
        (KeyError("x"), "The check itself broke: KeyError: 'x'."),
    ],
)
def test_a_probe_that_raises_is_a_failure_with_advice(error, words):
    (check,) = guarded("a.b", breaking(error))
    assert (check.name, check.state) == ("a.b", "failure")
    assert words in check.found
    assert check.advice


def test_a_library_that_does_not_load_is_no_failure_of_the_key():
    (check,) = guarded("key.exchange", breaking(ImportError("libx.so: no such file")))
    assert (check.state, check.found) == ("skipped", "A library cannot be loaded: libx.so: no such file.")


def test_a_probe_that_answers_is_passed_on():
    assert guarded("a.b", lambda: (ok("a.c", "fine"),)) == [Check("a.c", "ok", "fine")]
