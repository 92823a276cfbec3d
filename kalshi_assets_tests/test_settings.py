"""Settings from the environment."""

from pathlib import Path

import pytest

from kalshi_assets.errors import SettingsError
from kalshi_assets.settings import Settings, Source, facts_folder


def test_the_environment_decides_and_arguments_win(tmp_path):
    env = {"KALSHI_ASSETS_HOME": str(tmp_path / "a"), "KALSHI_ASSETS_SOURCE": "kalshi"}
    settings = Settings.from_environment(env)
    assert (settings.home, settings.source.kind) == (tmp_path / "a", "kalshi")
    assert settings.lake == tmp_path / "a" / "lake"
    settings = Settings.from_environment(env, home=tmp_path / "b", source=f"archive:{tmp_path}")
    assert settings.home == tmp_path / "b"
    assert settings.source == Source("archive", tmp_path)


def test_defaults_need_no_environment():
    settings = Settings.from_environment({})
    assert settings.home.name == "data"
    assert settings.source.kind == "demo"
    assert settings.key_id is None


@pytest.mark.parametrize("text", ["", "archive", "archive:", "kalshi-prod", "http://x"])
def test_an_unknown_source_is_named(text):
    with pytest.raises(SettingsError, match="use demo, archive:DIR"):
        Source.parse(text)


def test_a_file_is_no_home(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(SettingsError, match="is a file"):
        Settings.from_environment({}, home=tmp_path / "x")


def test_secrets_are_not_shown():
    env = {"KALSHI_PRIVATE_KEY": "PEM-SECRET", "FRED_API_KEY": "FRED-SECRET"}
    settings = Settings.from_environment(env)
    assert settings.private_key_pem == "PEM-SECRET"
    assert "SECRET" not in repr(settings)


def test_the_public_facts_are_found():
    assert isinstance(facts_folder(), Path)
    assert (facts_folder() / "first_prints.csv").is_file()


def test_traded_series_are_a_list_of_tickers():
    settings = Settings.from_environment({"KALSHI_ASSETS_TRADED_SERIES": " kxu3, KXGDP,KXU3,"})
    assert settings.traded_series == ("KXU3", "KXGDP")
    with pytest.raises(SettingsError, match="names 'U 3', which is no series"):
        Settings.from_environment({"KALSHI_ASSETS_TRADED_SERIES": "U 3"})
