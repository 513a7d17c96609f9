from __future__ import annotations

import pytest

from shared.domain.messages import Queue
from shared.domain.reply_queues import DEFAULT_REPLY_QUEUES, is_reply_pattern, may_be_replied_to


@pytest.mark.parametrize("name", ["signing-replies", "erp", "erp-2-answers", "a" * 63])
def test_a_queue_that_a_pattern_covers_may_be_replied_to(name: str) -> None:
    assert may_be_replied_to(name, ["nothing", "*"])
    assert may_be_replied_to(name, [name])
    assert not may_be_replied_to(name, ["nothing", "x*"])
    assert not may_be_replied_to(name, [])


@pytest.mark.parametrize("name", ["", "ab", "Erp", "erp--x", "-erp", "erp-", "erp_x", "a" * 64, "é-replies", "erp\n"])
def test_what_is_no_name_of_a_queue_may_not(name: str) -> None:
    assert not may_be_replied_to(name, ["*", name])


@pytest.mark.parametrize("queue", Queue)
def test_no_setting_makes_our_own_queues_reply_queues(queue: Queue) -> None:
    for name in (queue.value, f"{queue.value}-poison", "others-poison", "azure-webjobs-x"):
        assert not may_be_replied_to(name, ["*", name])


def test_patterns_are_names_with_stars() -> None:
    assert all(map(is_reply_pattern, (*DEFAULT_REPLY_QUEUES, "*", "erp-*", "*-replies")))
    assert not any(map(is_reply_pattern, ("", "erp[ab]", "erp?", "Erp", "erp replies")))
