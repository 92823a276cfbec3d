"""The user's references in a whole run, and panel and labels of a whole run against plain Python."""

from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.e2e.plain_lake import compare_labels, compare_panel

SPX = "symbol,date,iv_30,put_25d,call_25d\n"


def test_panel_and_labels_are_those_of_plain_python(filled):
    lake = Lake(filled[1].home / "lake")
    assert compare_panel(lake) > 10_000
    assert compare_labels(lake) > 500


def test_a_run_goes_on_without_a_bad_reference_and_says_so(archive, ka_filled):
    (event,) = ka_filled.json("sql", "select min(event_date) d from events", "--format", "json")
    day = event["d"]
    days = ("2026-02-05", "2026-02-06", "2026-02-09", "2026-02-10")
    folder = ka_filled.home / "references"
    for kind, text in (
        ("consensus", "series_ticker,period,consensus\nKXU3,2026-01-01,4.1\n"),
        ("option_surfaces", SPX + "".join(f"SPX,{d},0.15,0.2,0.12\n" for d in days) + "SPX,2026-02-11,15,20,12\n"),
    ):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "given.csv").write_text(text)
    report = ka_filled.json("run", "--source", f"archive:{archive}", "--dates", day, "--json")
    assert report["exit_code"] == 0
    partly, refused = report["stages"]["feature_panel"]["notes"]
    assert "consensus/given.csv was refused: it lacks the column known_at" in refused
    assert "option_surfaces/given.csv: 1 rows were put aside, the first on line 6: iv_30 lies outside" in partly
    assert report["stages"]["labels"]["notes"] == [partly, refused]
    query = (
        f"select count(opt_iv_atm_30) options, count(consensus) consensus from feature_panel where event_date = '{day}'"
    )
    (row,) = ka_filled.json("sql", query, "--format", "json")
    assert row["options"] > 0
    assert row["consensus"] == 0
    said = ka_filled.sentence("import", "consensus", str(folder / "consensus" / "given.csv"), code=2)
    assert said.startswith("kalshi-assets: References: consensus/given.csv was refused")
    assert "Usage" not in said
