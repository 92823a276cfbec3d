"""Keys as configured."""

from pathlib import Path

import pytest

from kalshi_assets.doctor.key_checks import check_key, judge_fred_key, judge_mode, judge_strength, shown_id
from kalshi_assets.settings import Settings, Source
from kalshi_assets_tests.doctor.keys import ED, KEY_ID, RSA, SHORT_RSA, private_pem

HOME = Path("/nowhere")


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "key.pem"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_no_key_is_no_fault():
    (check,) = check_key(Settings(home=HOME))
    assert check.state == "skipped"
    assert "forecast percentiles" in check.found


@pytest.mark.parametrize(("key", "words"), [(ED, "Ed25519 key, id 4f85..."), (RSA, "RSA key of 2048 bits, id 4f85...")])
def test_a_key_in_a_closed_file(key, words, tmp_path):
    path = key_file(tmp_path, private_pem(key))
    exchange, file = check_key(Settings(home=HOME, key_id=KEY_ID, private_key_path=path))
    assert (exchange.state, file.state) == ("ok", "ok")
    assert words in exchange.found


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_open(mode, tmp_path):
    path = key_file(tmp_path, private_pem(ED), mode)
    exchange, file = check_key(Settings(home=HOME, key_id=KEY_ID, private_key_path=path))
    assert (exchange.state, file.state) == ("ok", "warning")
    assert f"mode {mode:o}" in file.found
    assert f"chmod 600 {path}" in file.advice


def test_a_mode_is_judged_by_its_permission_bits():
    assert judge_mode(Path("k"), 0o100600).state == "ok"
    assert judge_mode(Path("k"), 0o100400).state == "ok"
    assert judge_mode(Path("k"), 0o100644).state == "warning"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"key_id": KEY_ID}, "neither KALSHI_PRIVATE_KEY_PATH nor KALSHI_PRIVATE_KEY"),
        ({"private_key_pem": private_pem(ED)}, "KALSHI_API_KEY_ID is not"),
        ({"key_id": KEY_ID, "private_key_path": Path("/no/such/key.pem")}, "does not exist"),
        ({"key_id": KEY_ID, "private_key_pem": private_pem(ED, b"word")}, "is encrypted"),
        ({"key_id": KEY_ID, "private_key_pem": "nonsense"}, "is not a private key in PEM format"),
        ({"key_id": KEY_ID, "private_key_pem": private_pem(SHORT_RSA)}, "RSA key of 1024 bits"),
    ],
)
def test_an_unusable_key_is_a_failure_that_names_the_setting(settings, words):
    (check,) = check_key(Settings(home=HOME, **settings))
    assert (check.name, check.state) == ("key.exchange", "failure")
    assert words in check.found
    assert check.advice


@pytest.mark.parametrize(
    ("kind", "bits", "state"),
    [("RSA", 2047, "failure"), ("RSA", 2048, "ok"), ("RSA", 4096, "ok"), ("Ed25519", None, "ok")],
)
def test_strength(kind, bits, state):
    assert judge_strength(kind, bits, KEY_ID).state == state


@pytest.mark.parametrize(("key_id", "shown"), [(KEY_ID, "4f85..."), ("abcdef", "abc..."), ("ab", "a..."), ("a", "...")])
def test_an_id_is_never_shown_whole(key_id, shown):
    assert shown_id(key_id) == shown


@pytest.mark.parametrize("key", [ED, RSA, SHORT_RSA])
def test_no_part_of_a_key_is_ever_said(key, tmp_path):
    text = private_pem(key)
    lines = [line for line in text.splitlines() if not line.startswith("-")]
    path = key_file(tmp_path, text, 0o644)
    for settings in (
        Settings(home=HOME, key_id=KEY_ID, private_key_path=path),
        Settings(home=HOME, key_id=KEY_ID, private_key_pem=text),
        Settings(home=HOME, key_id=KEY_ID, private_key_pem=text.replace("BEGIN", "BEGUN")),
    ):
        said = repr(check_key(settings))
        assert KEY_ID not in said
        assert KEY_ID[:5] not in said
        assert not any(line in said for line in lines)


@pytest.mark.parametrize(
    ("key", "loopback", "state"),
    [
        (None, True, "ok"),
        (None, False, "ok"),
        ("0123456789abcdef0123456789abcdef", False, "ok"),
        ("0123456789ABCDEF0123456789abcdef", False, "failure"),
        ("0123456789abcdef0123456789abcde", False, "failure"),
        ("short", True, "failure"),
    ],
)
def test_freds_key_has_a_form(key, loopback, state):
    check = judge_fred_key(key, loopback=loopback)
    assert check.state == state
    assert key is None or key not in repr(check)


def test_without_freds_key_the_facts_are_named_where_they_matter():
    assert "packaged facts" in judge_fred_key(None, loopback=False).found
    assert "FRED_API_KEY" in (judge_fred_key(None, loopback=False).advice or "")
    assert judge_fred_key(None, loopback=True).advice is None
    assert Source("demo").loopback
