from __future__ import annotations

from local.matrix import README, written


def test_the_capability_matrix_in_the_readme_is_the_one_of_the_code() -> None:
    """`python -m local.matrix` brings it up to date."""
    readme = README.read_text(encoding="utf-8")
    assert readme == written(readme)
