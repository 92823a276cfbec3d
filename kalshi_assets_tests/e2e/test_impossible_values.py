"""An exchange that says what cannot be: the run ends with a sentence, and the lake keeps nothing of it."""

import shutil
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_assets_tests.e2e.content import content


def test_a_value_that_breaks_a_law_of_its_table_ends_the_run(ka, archive, tmp_path):
    broken = shutil.copytree(archive, tmp_path / "broken")
    markets = pq.read_table(broken / "markets.parquet")
    place = markets.schema.get_field_index("volume")
    negative = pa.array([Decimal(-1)] * markets.num_rows, markets.schema.field(place).type)
    pq.write_table(markets.set_column(place, markets.schema.field(place), negative), broken / "markets.parquet")
    said = ka.sentence("run", "--source", f"archive:{broken}", "--series", "KXU3", code=1)
    assert "for table contracts, key (ticker=KXU3-" in said
    assert "breaks the check volume_contracts_in_range: volume_contracts must be at least 0 and is -1.00;" in said
    assert content(ka.home) == content(tmp_path / "no home")
