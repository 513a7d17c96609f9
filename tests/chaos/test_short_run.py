"""One seeded run of the whole harness; `make chaos SEEDS=20` does more of them."""

from __future__ import annotations

from tests.chaos.plan import make_plan
from tests.chaos.run import run

SEED = 4


async def test_everything_ends_right_whatever_goes_wrong() -> None:
    report = await run(make_plan(SEED))
    text = "\n".join(report.lines())
    print(f"{text}\nagain: python -m tests.chaos --seed {SEED}")
    assert report.problems == [], text
