"""Attention: a flag with one place, and some of it is for a person to take back."""

from __future__ import annotations

import pytest

from shared.domain.signing import Attention, AttentionCode, Signing, State
from shared.domain.states import Event, EventKind, Source
from shared.flow.amend import flagged, moved
from tests.domain.make import NOW, signing


def _with(code: AttentionCode) -> Signing:
    return signing(State.COMPLETED, attention=Attention(code=code, detail="why", since=NOW))


@pytest.mark.parametrize("code", [AttentionCode.CONFLICT, AttentionCode.POISON])
def test_what_only_a_person_takes_back_is_not_replaced_by_what_the_next_move_would_clear(code: AttentionCode) -> None:
    assert flagged(_with(code), AttentionCode.NOTIFY_FAILED, "receiver is gone", NOW) is None
    stored = moved(_with(code), Event(EventKind.DOCUMENTS_STORED, NOW, Source.DOWNLOAD))
    assert stored is not None
    assert stored[0].attention is not None
    assert stored[0].attention.code is code


def test_the_newest_of_what_passes_by_itself_is_shown() -> None:
    change = flagged(_with(AttentionCode.SEAL_LATE), AttentionCode.NOTIFY_FAILED, "receiver is gone", NOW)
    assert change is not None
    assert change[0].attention is not None
    assert change[0].attention.code is AttentionCode.NOTIFY_FAILED
