"""What is known of a contract at any time, against a slow dictionary over random histories of states."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets_tests.core.contract_states import NONE, T0, at, contract, see, told

MICROSECOND = 1 / 3.6e9  # in hours


class Oracle:
    """Versions as a dictionary from time to state for each contract; one sighting is applied at a time."""

    def __init__(self):
        self.versions = {}

    def see(self, received, ticker, state):
        terms, outcome, settled, changed = state
        mine = self.versions.setdefault(ticker, {})
        known = [t for t in mine if t <= received]
        if not known:
            mine[0] = (terms, None, None)
            if outcome:
                mine[settled if settled is not None else max(MICROSECOND, min(40, received))] = (
                    terms,
                    outcome,
                    settled,
                )
            return
        since = max(known)
        before = mine[since]

        def possible(moment):
            return moment if moment is not None and since < moment <= received else max(received, since + MICROSECOND)

        when = {}
        if terms != before[0]:
            when["terms"] = possible(changed)
        if (outcome, settled) != before[1:]:
            if settled is not None and settled > since:
                when["outcome"] = settled
            else:
                due = 40 if outcome and settled is None else settled or 0
                when["outcome"] = possible(max(due, changed or 0))
        for moment in sorted(set(when.values())):
            terms_then = terms if when.get("terms", 1e9) <= moment else before[0]
            outcome_then = (outcome, settled) if when.get("outcome", 1e9) <= moment else before[1:]
            # A settlement that is stated for the future may be held already, and what is held stays.
            while mine.get(moment, (terms_then, *outcome_then)) != (terms_then, *outcome_then):
                moment += MICROSECOND
            mine[moment] = (terms_then, *outcome_then)

    def read(self, ticker, moment):
        known = [t for t in self.versions.get(ticker, {}) if t <= moment]
        return self.versions[ticker][max(known)] if known else None


def read(held, ticker, hours):
    rows = [r for r in held.to_pylist() if r["ticker"] == ticker and r["known_at"] <= at(hours)]
    if not rows:
        return None
    newest = max(rows, key=lambda r: r["known_at"])
    settled = newest["settlement_time"]
    outcome = None if newest["status"] == "active" else newest["status"]
    return newest["rules_primary"], outcome, None if settled is None else (settled - T0) / timedelta(hours=1)


def record(ticker, state):
    terms, outcome, settled, changed = state
    told_at = None if changed is None else at(changed)
    if outcome is None:
        return contract(ticker, text=terms, changed=told_at)
    final = None if settled is None else at(settled)
    return contract(ticker, text=terms, changed=told_at, settled=final, status=outcome)


open_states = st.tuples(st.sampled_from("xyz"), st.none(), st.none(), st.none() | st.integers(1, 90))
ended_states = st.tuples(
    st.sampled_from("xyz"), st.sampled_from(["determined", "disputed", "finalized"]),
    st.none() | st.integers(41, 60), st.none() | st.integers(1, 90),
)  # fmt: skip
histories = st.dictionaries(
    st.integers(1, 100),
    st.dictionaries(st.sampled_from("AB"), open_states | ended_states, min_size=1),
    min_size=1,
    max_size=6,
)


@settings(max_examples=75, deadline=None)
@given(histories)
def test_what_was_known_at_any_time_is_what_a_dictionary_of_versions_says(history):
    held, oracle = NONE, Oracle()
    for received, states in sorted(history.items()):
        records = [record(t, s) for t, s in states.items()]
        before, held = held, see(held, received, *records)
        for ticker, state in states.items():
            oracle.see(received, ticker, state)
        assert held.slice(0, before.num_rows) == before
        assert see(held, received, *records) == held
        keys = [(r["ticker"], r["known_at"]) for r in held.to_pylist()]
        assert len(set(keys)) == len(keys)
    moments = {m for mine in oracle.versions.values() for m in mine} | {0, 30, 45, 70, 200}
    for ticker in "AB":
        for moment in moments:
            assert read(held, ticker, moment) == oracle.read(ticker, moment), (ticker, moment)


@st.composite
def different_states(draw):
    """A contract that is never twice in one state, with the time of each receipt, and some order of arrival."""
    receipts = draw(st.lists(st.integers(1, 100), min_size=2, max_size=6, unique=True).map(sorted))
    records = []
    for i, received in enumerate(receipts):
        since = receipts[i - 1] if i else 0
        changed = draw(st.none() | st.integers(since + 1, received))
        records.append((received, contract(text=f"text {i}", changed=None if changed is None else at(changed))))
    return records, [records[0], *draw(st.permutations(records[1:]))]


@settings(max_examples=50, deadline=None)
@given(different_states())
def test_the_order_of_arrival_alters_no_reading(both):
    ends = []
    for records in both:
        held = NONE
        for received, rows in records:
            held = see(held, received, rows)
        ends.append(told(held))
    assert ends[0] == ends[1]
    assert len(ends[0]) == len(both[0])
