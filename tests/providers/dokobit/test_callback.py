"""Dokobit's postbacks: which are let through, what they claim, and what tells a repeat from news."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.sandbox.dokobit import CallbackKnobs, DokobitSandbox
from shared.domain.errors import VerificationFailed
from shared.providers.dokobit.callback import MAX_BODY_BYTES, CallbackVerifier, events
from shared.providers.dokobit.provider import DokobitProvider
from shared.verification.raw import RawCallback
from tests.providers.dokobit.samples import order, signing
from tests.providers.stand_ins import MemoryLog, ScriptedServer

NOW = datetime(2030, 5, 4, 12, tzinfo=UTC)
GOOD = {"action": "signing_completed", "token": "t-1", "file": "https://attacker.example/x", "file_digest": "00"}


def raw(
    body: object, *, method: str = "POST", at: datetime = NOW, content_type: str = "application/json"
) -> RawCallback:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawCallback(method, {"content-type": content_type}, content, at)


def test_a_postback_names_its_signing_and_what_happened() -> None:
    callback = CallbackVerifier().verify(raw(GOOD))
    (notice,) = events(callback)
    assert (notice.provider_signing_id, notice.provider_status) == ("t-1", "signing_completed")
    assert (notice.reason, notice.access_key) == (None, None)
    assert callback.verdicts == {"signature": "none", "token": "named"}
    assert callback.headers == {}


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; x=y"]
)
def test_the_content_type_does_not_matter(content_type: str) -> None:
    assert events(CallbackVerifier().verify(raw(GOOD, content_type=content_type)))


def test_a_missing_token_is_no_error() -> None:
    """The address tells which signing it is (spec 2.5)."""
    callback = CallbackVerifier().verify(raw({"action": "signing_created"}))
    assert events(callback)[0].provider_signing_id is None
    assert callback.verdicts["token"] == "absent"


def test_an_unknown_action_is_let_through_and_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert events(CallbackVerifier().verify(raw({"action": "signing_pondered", "token": "t"})))
    assert "signing_pondered" in caplog.text


MALFORMED = [
    (raw(b""), "body_missing", 400),
    (raw(GOOD, method="GET"), "body_missing", 400),
    (raw(b" " * (MAX_BODY_BYTES + 1)), "body_too_large", 413),
    (raw(b"{"), "json_malformed", 400),
    (raw(b"\xff\xfe{}"), "json_malformed", 400),
    (raw(b"{} {}"), "json_malformed", 400),
    (raw(b'{"action": NaN}'), "json_malformed", 400),
    (raw(b"[" * 20_000), "json_malformed", 400),
    (raw(["action"]), "json_not_object", 400),
    (raw(b'"action"'), "json_not_object", 400),
    (raw(b'{"action": "a", "action": "b"}'), "json_duplicate_key", 400),
    (raw({}), "status_malformed", 400),
    (raw({"event": "signing_completed", "token": "t"}), "status_malformed", 400),
    (raw({"action": ""}), "status_malformed", 400),
    (raw({"action": 7}), "status_malformed", 400),
    (raw({"action": " x"}), "status_malformed", 400),
    (raw({"action": "x" * 201}), "status_malformed", 400),
    (raw({"action": "a\nb"}), "status_malformed", 400),
    (raw(b'{"action": "\\ud800"}'), "status_malformed", 400),
    (raw(GOOD | {"token": ""}), "signing_id_malformed", 400),
    (raw(GOOD | {"token": ["t-1"]}), "signing_id_malformed", 400),
    (raw(GOOD | {"token": "x" * 201}), "signing_id_malformed", 400),
]


@pytest.mark.parametrize(("callback", "reason", "status"), MALFORMED)
def test_what_is_malformed_is_refused(callback: RawCallback, reason: str, status: int) -> None:
    with pytest.raises(VerificationFailed) as caught:
        CallbackVerifier().verify(callback)
    assert (caught.value.reason, caught.value.status) == (reason, status)


@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=9), st.text() | st.integers()).map(json.dumps))
def test_any_bytes_are_let_through_or_refused(body: bytes | str) -> None:
    content = body if isinstance(body, bytes) else body.encode()
    try:
        found = len(events(CallbackVerifier().verify(raw(content))))
    except VerificationFailed as failure:
        found = failure.status
    assert found in {1, 400}


def test_a_repeat_is_known_however_it_is_spelled_and_only_once_remembered() -> None:
    verifier = CallbackVerifier()
    first = verifier.verify(raw(GOOD))
    shuffled = raw(json.dumps(dict(reversed(GOOD.items())), indent=1).encode(), at=NOW + timedelta(hours=25))
    assert not verifier.was_replayed(verifier.verify(shuffled))
    verifier.remember(first)
    again = verifier.verify(shuffled)
    assert again.event_key == first.event_key
    assert verifier.was_replayed(again)


@pytest.mark.parametrize(
    "other", [GOOD | {"token": "t-2"}, GOOD | {"action": "signing_archived"}, GOOD | {"file_digest": "11"}]
)
def test_other_content_is_news(other: dict[str, str]) -> None:
    verifier = CallbackVerifier()
    verifier.remember(verifier.verify(raw(GOOD)))
    assert not verifier.was_replayed(verifier.verify(raw(other)))


@pytest.mark.parametrize("body", [{"action": "signing_completed"}, {"action": "signer_signed", "token": "t-1"}])
def test_what_could_be_about_somebody_else_is_never_taken_for_a_repeat(body: dict[str, str]) -> None:
    verifier = CallbackVerifier()
    verifier.remember(verifier.verify(raw(body)))
    assert not verifier.was_replayed(verifier.verify(raw(body, at=NOW + timedelta(seconds=1))))


async def test_each_step_is_told_once_and_bare_bodies_do(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    async with ScriptedServer.start() as receiver:
        for form in ("full", "bare"):
            sandbox.set_knobs(CallbackKnobs.model_validate({"form": form, "foreign_file": True}))
            started = await provider.start(order(signing(), f"{receiver.base_url}/x"), MemoryLog())
            await sandbox.complete(started.provider_signing_id)
            await sandbox.settle()
        told = [(one.method, one.body) for one in receiver.seen]
    before = len(sandbox.calls)
    notices = [
        provider.notices(await provider.verify_callback(RawCallback(method, {}, body, NOW)))[0] for method, body in told
    ]
    assert [one.provider_signing_id is None for one in notices] == [False] * 3 + [True] * 3
    assert sorted(one.provider_status for one in notices[:3]) == sorted(one.provider_status for one in notices[3:])
    assert {one.provider_status for one in notices} == {"signing_created", "signer_signed", "signing_completed"}
    # Nothing was fetched because of what a body says, from the foreign host least of all.
    assert len(sandbox.calls) == before
