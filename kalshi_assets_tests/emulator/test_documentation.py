"""The page on the emulator names tests, faults and switches; each must be there."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from kalshi_assets.emulator.fault_plan import FaultPlan
from kalshi_assets.emulator.faults import FaultName
from kalshi_assets_tests.emulator.conftest import PROJECT

PAGE = PROJECT / "docs" / "emulator.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text("utf-8")


def test_every_named_test_exists(page: str) -> None:
    written = "\n".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 40
    assert named - set(re.findall(r"^def (test_\w+)\(", written, re.MULTILINE)) == set()


def test_every_fault_and_switch_is_described(page: str) -> None:
    wanted = {*get_args(FaultName), *(f.name for f in fields(FaultPlan))}
    assert {name for name in wanted if f"| `{name}` |" not in page} == {"seed", "rules"}


def test_the_example_is_a_plan(page: str) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    plan = FaultPlan.parse(json.loads(example))
    assert len(plan.rules) == 4
