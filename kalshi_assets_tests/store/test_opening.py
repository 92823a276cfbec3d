"""Addresses and variables of a lake in a bucket, before any of them is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalshi_assets.errors import SettingsError, StoreUnreachable
from kalshi_assets.settings import Settings
from kalshi_assets.store.object_failures import object_failure
from kalshi_assets.store.opening import bucket_address, open_lake, storage_options

SECRET = "wJalrXUtnSECRET"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": SECRET}
AMAZON = {**KEYS, "AWS_REGION": "eu-west-1"}


def test_without_an_address_the_lake_is_a_folder_of_the_home(tmp_path: Path) -> None:
    settings = Settings.from_environment(AMAZON, home=tmp_path)
    assert open_lake(settings).root == str(tmp_path / "lake")
    assert not list(tmp_path.iterdir()), "opening writes nothing"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://my.bucket-1/research/lake/", "s3://my.bucket-1/research/lake"),
        ("s3://bucket/year=2024/a_b+c.d", "s3://bucket/year=2024/a_b+c.d"),
    ],
)
def test_an_address_names_a_bucket_and_a_prefix(text: str, address: str) -> None:
    assert bucket_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "bucket/lake", "/data/lake", "gs://bucket/lake", "s3:/bucket", "s3://", "s3://B/lake", "s3://ab/x", "s3://Bucket/x",
        "s3://bucket//lake", "s3://bucket/../other", "s3://bucket/a b", "s3://bucket/ä", "s3://bucket/lake?versionId=1",
        "s3://bucket/lake#x", "s3://bucket/%2e%2e",
    ],
)  # fmt: skip
def test_another_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="KALSHI_ASSETS_LAKE must be s3://BUCKET/PREFIX"):
        bucket_address(text)


def test_a_secret_in_the_address_is_not_repeated() -> None:
    for text in (f"s3://key:{SECRET}@bucket/lake", f"s3://bucket/lake?secret={SECRET}"):
        with pytest.raises(SettingsError) as e:
            bucket_address(text)
        assert SECRET not in str(e.value)
    with pytest.raises(SettingsError) as e:
        storage_options({**KEYS, "AWS_ENDPOINT_URL": f"https://key:{SECRET}@storage.example.org"})
    assert SECRET not in str(e.value)


def test_amazon_needs_a_region_and_others_an_endpoint() -> None:
    assert storage_options(AMAZON)["AWS_REGION"] == "eu-west-1"
    assert storage_options({**KEYS, "AWS_DEFAULT_REGION": "eu-west-2"})["AWS_REGION"] == "eu-west-2"
    with pytest.raises(SettingsError, match="AWS_REGION is not set"):
        storage_options(KEYS)
    other = storage_options({**KEYS, "AWS_ENDPOINT_URL": "https://storage.example.org/"})
    assert (other["AWS_ENDPOINT_URL"], other["AWS_ALLOW_HTTP"]) == ("https://storage.example.org", "false")
    assert other["AWS_REGION"]
    special = {"AWS_ENDPOINT_URL": "https://a.example.org", "AWS_ENDPOINT_URL_S3": "https://b.example.org"}
    assert storage_options({**KEYS, **special})["AWS_ENDPOINT_URL"] == "https://b.example.org"


def test_commits_are_conditional_and_waiting_is_bounded() -> None:
    options = storage_options(AMAZON)
    assert options["aws_conditional_put"] == "etag"
    assert options["timeout"] == "20000ms"
    assert options["retry_timeout"] == "40000ms"
    assert storage_options({**AMAZON, "KALSHI_ASSETS_LAKE_TIMEOUT_S": "0.5"})["timeout"] == "500ms"


def test_http_is_for_this_machine_unless_allowed() -> None:
    plain = {**KEYS, "AWS_ENDPOINT_URL": "http://storage.example.org:9000"}
    with pytest.raises(SettingsError, match=r"storage\.example\.org without TLS"):
        storage_options(plain)
    assert storage_options({**plain, "AWS_ALLOW_HTTP": "TRUE"})["AWS_ALLOW_HTTP"] == "true"
    assert storage_options({**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9000"})["AWS_ALLOW_HTTP"] == "true"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "key"}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "AWS_ACCESS_KEY_ID is not set"),
        ({}, "AWS_ACCESS_KEY_ID is not set"),
        ({**KEYS, "AWS_ENDPOINT_URL": "storage.example.org"}, "AWS_ENDPOINT_URL is no address"),
        ({**KEYS, "KALSHI_ASSETS_LAKE_TIMEOUT_S": "soon"}, "KALSHI_ASSETS_LAKE_TIMEOUT_S is 'soon'"),
        ({**KEYS, "KALSHI_ASSETS_LAKE_TIMEOUT_S": "0"}, "KALSHI_ASSETS_LAKE_TIMEOUT_S is '0'"),
        ({**KEYS, "KALSHI_ASSETS_LAKE_TIMEOUT_S": "nan"}, "KALSHI_ASSETS_LAKE_TIMEOUT_S is 'nan'"),
    ],
)
def test_an_impossible_variable_is_named(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as e:
        storage_options({"AWS_REGION": "us-east-1", **variables})
    assert SECRET not in str(e.value)


def test_keys_and_address_are_not_shown() -> None:
    environ = {**AMAZON, "KALSHI_ASSETS_LAKE": f"s3://k:{SECRET}@bucket", "AWS_SESSION_TOKEN": "SECRET-token"}
    settings = Settings.from_environment(environ)
    assert settings.object_store["AWS_SECRET_ACCESS_KEY"] == SECRET
    assert "SECRET" not in repr(settings)
    assert "SECRET" not in repr(open_lake(Settings.from_environment({**AMAZON, "KALSHI_ASSETS_LAKE": "s3://bucket"})))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("Server returned non-2xx status code 404 Not Found <Code>NoSuchBucket</Code>", SettingsError, "no bucket b "),
        ("Server returned non-2xx status code 403 Forbidden", SettingsError, r"credentials .* \(403\)"),
        ("status 403 <Code>ExpiredToken</Code>", SettingsError, "ExpiredToken"),
        ("status 403 <Code>RequestTimeTooSkewed</Code>", SettingsError, "clock"),
        ("Server returned 301 Moved <Code>PermanentRedirect</Code>", SettingsError, "another region"),
        ("Server returned non-2xx status code 501 Not <Code>NotImplemented</Code>", SettingsError, "conditional"),
        ("Server returned non-2xx status code 503 Slow <Code>SlowDown</Code>", StoreUnreachable, "it answered 503"),
        ("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", SettingsError, "AccessDenied"),
        ("AWS Error UNKNOWN (HTTP status 403) during HeadObject operation", SettingsError, "credentials"),
        ("AWS Error SLOW_DOWN during GetObject operation", StoreUnreachable, "it answered SlowDown"),
        ("AWS Error UNKNOWN (HTTP status 500) during HeadObject", StoreUnreachable, "it answered 500"),
        ("AWS Error NETWORK_CONNECTION: curlCode: 28, Timeout was reached", StoreUnreachable, "came in time"),
        ("AWS Error NETWORK_CONNECTION: curlCode: 7, Could not connect to server", StoreUnreachable, "was refused"),
        ("error sending request: dns error: no name", StoreUnreachable, "cannot be resolved"),
        ("error sending request: Connection reset by peer", StoreUnreachable, "was reset"),
        ("error sending request: operation timed out", StoreUnreachable, "no answer came in time"),
    ],
)
def test_what_an_object_store_says_becomes_a_sentence(text: str, kind: type[Exception], said: str) -> None:
    error = object_failure(OSError(f"Generic S3 error\n  https://b.example.org/{SECRET}\n {text}"), "s3://b/lake")
    assert type(error) is kind
    with pytest.raises(kind, match=said):
        raise error
    assert SECRET not in str(error)
    assert "\n" not in str(error)


def test_damage_is_not_taken_for_the_store() -> None:
    for text in ("Invalid JSON in log record, version=3", "Parquet magic bytes not found in footer", "404 Not Found"):
        assert object_failure(OSError(text), "s3://b/lake") is None
