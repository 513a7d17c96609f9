"""Starting at the simulated Dokobit: once and only once, whatever is lost or killed in between."""

from __future__ import annotations

import pytest
from aiohttp import web

from local.sandbox.dokobit import CallbackKnobs, DokobitSandbox
from local.sandbox.faults import FaultKind
from shared.domain.errors import (
    LeaseLost,
    ProviderError,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.domain.signing import ResultFormat, Signing
from shared.domain.states import EventKind
from shared.ports import Started
from shared.providers.answers import UnreadableAnswer
from shared.providers.dokobit import operations
from shared.providers.dokobit.provider import DokobitProvider
from tests.providers.dokobit.samples import (
    CALLBACK_URL,
    NOW,
    RETURN_URL,
    document,
    internal,
    observer,
    order,
    placed,
    provider_at,
    signer,
    signing,
)
from tests.providers.stand_ins import MemoryLog, ScriptedServer

EXTERNAL, INTERNAL = operations.CREATE_EXTERNAL.id, operations.CREATE_INTERNAL.id
BIG = signing(
    placed(1),
    signer(2, order=2, phone="+37060000000", language="sv"),
    observer(3, order=2),
    deadline=NOW.replace(year=NOW.year + 1),
    message="Please sign",
    qualified_only=True,
    options={
        "allowed_signing_methods": ["smartid"],
        "annotation_position": "last_top",
        "allow_document_saving": False,
        "participants": {"1": {"code": "39901019999", "country_code": "lt", "company": "Acme"}},
    },
)


async def test_an_external_start_is_one_call_that_invites(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    log = MemoryLog()
    provider.check(BIG)
    started = await provider.start(order(BIG), log)
    assert (log.inviting_calls, log.facts) == (1, {})
    assert [one.operation for one in sandbox.calls] == [EXTERNAL]
    made = sandbox.state.signings[started.provider_signing_id]
    assert (made.type, made.postback_url, made.comment) == ("pdf", CALLBACK_URL, "Please sign")
    assert (made.deadline, made.hard_deadline) == (BIG.deadline, True)
    assert made.policy == {"require_qualified_signatures": True, "allowed_signing_methods": ["smartid"]}
    assert [(one.sequence, one.body.role) for one in made.people] == [(1, "signer"), (2, "signer"), (2, "viewer")]
    tokens = {f"participant_{at}": one.token for at, one in enumerate(made.people, start=1)}
    assert started.facts == {"flow": "external"} | tokens
    # The first in line and the viewer; the second signer is not asked before the first has signed.
    assert [sandbox.invitations_sent(made.token, one.token) for one in made.people] == [1, 0, 1]


async def test_people_arrive_as_they_were_described(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    started = await provider.start(order(BIG), MemoryLog())
    first, second, _ = (one.body for one in sandbox.state.signings[started.provider_signing_id].people)
    assert first.model_dump(exclude_none=True) == {
        "external_id": f"{BIG.id}-1",
        "role": "signer",
        "name": "Ona",
        "surname": "Jonaite1",
        "email": "ona1@example.org",
        "code": "39901019999",
        "country_code": "LT",
        "company": "Acme",
        "sequence": 1,
        "annotation": {"page": "1", "top": "421", "left": "60"},
    }
    assert (second.phone, second.model_dump()["notifications_language"]) == ("+37060000000", "se")


@pytest.mark.parametrize("surface", ["connector", "universal"])
async def test_both_surfaces_take_a_container(sandbox: DokobitSandbox, surface: str) -> None:
    """The simulator refuses a digest on the one and a missing one on the other, and each token in the wrong place."""
    wish = signing(documents=(document(1), document(2)), format=ResultFormat.ASIC_E)
    async with provider_at(sandbox, surface=surface) as provider:
        provider.check(wish)
        started = await provider.start(order(wish), MemoryLog())
    made = sandbox.state.signings[started.provider_signing_id]
    assert (made.type, [one.name for one in made.files]) == ("asice", ["lease-1.pdf", "lease-2.pdf"])


async def test_a_started_signing_is_not_started_again(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    started = await provider.start(order(signing()), MemoryLog())
    log = MemoryLog({"provider_signing_id": started.provider_signing_id})
    assert await provider.start(order(signing()), log) == Started(started.provider_signing_id)
    assert (log.inviting_calls, sandbox.invitations_total) == (0, 1)


class DyingLog(MemoryLog):
    """Dies before its next write took effect, or after."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self.after, self.has_died = after, False

    async def checkpoint(self, **facts: str) -> None:
        await self._write(super().checkpoint(**facts))

    async def inviting(self) -> None:
        await self._write(super().inviting())

    async def _write(self, work: object) -> None:
        if self.has_died or self.after:
            await work  # type: ignore[misc]
        else:
            work.close()  # type: ignore[attr-defined]
        if not self.has_died:
            self.has_died = True
            raise LeaseLost("killed")


@pytest.mark.parametrize("after", [False, True])
async def test_a_worker_that_dies_at_the_mark_has_not_invited(
    sandbox: DokobitSandbox, provider: DokobitProvider, after: bool
) -> None:
    log = DyingLog(after=after)
    with pytest.raises(LeaseLost):
        await provider.start(order(signing()), log)
    assert sandbox.calls == []
    # Which cannot be seen from outside, so where the mark was written, there is no proof either way.
    assert (await provider.prove_start(order(signing()), log)).invited is None


async def test_a_lost_answer_stays_uncertain_until_a_callback_names_the_token(
    sandbox: DokobitSandbox, provider: DokobitProvider
) -> None:
    sandbox.fault(FaultKind.LOST_ANSWER, EXTERNAL)
    log = MemoryLog()
    with pytest.raises(Unavailable) as caught:
        await provider.start(order(signing()), log)
    assert caught.value.sent
    assert (await provider.prove_start(order(signing()), log)).invited is None
    (token,) = sandbox.state.signings
    adopted = signing(provider_signing_id=token)
    proof = await provider.prove_start(order(adopted), log)
    assert (proof.invited, proof.started) == (True, Started(token, "pending"))
    assert await provider.start(order(adopted), log) == Started(token)
    assert sandbox.invitations_total == 1


async def test_the_postback_may_come_before_the_answer(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    sandbox.set_knobs(CallbackKnobs(before_answer=True))
    async with ScriptedServer.start() as receiver:
        started = await provider.start(order(signing(), f"{receiver.base_url}/x"), MemoryLog())
        assert started.provider_signing_id.encode() in receiver.seen[0].body


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Rejected), (401, Unauthorised), (403, Unauthorised), (429, Throttled), (503, Unavailable)],
)
async def test_a_refused_start_invites_nobody(
    sandbox: DokobitSandbox, provider: DokobitProvider, status: int, error: type[ProviderError]
) -> None:
    sandbox.fault(FaultKind.STATUS, EXTERNAL, status=status)
    with pytest.raises(error):
        await provider.start(order(signing()), MemoryLog())
    assert sandbox.invitations_total == 0


@pytest.mark.parametrize(
    "body",
    [
        {"status": "error", "message": "No such country", "errors": [{"message": "bad", "field": "signers[0]"}]},
        {"status": "error", "errors": ["No such country", "bad"], "code": 7},
    ],
)
@pytest.mark.parametrize("status", [200, 400])
async def test_an_error_is_told_in_their_words_with_either_status(
    sandbox: DokobitSandbox, body: dict[str, object], status: int
) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        server.answers(lambda: web.json_response(body, status=status))
        with pytest.raises(Rejected, match="No such country") as caught:
            await provider.start(order(signing()), MemoryLog())
    assert "bad" in caught.value.detail


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>We are sorry</html>", content_type="text/html"),
        web.Response(text="{}", content_type="application/json"),
        web.json_response({"status": "ok", "token": None}),
        web.json_response(["ok"]),
        web.json_response({"status": "ok"}, status=202),
    ],
)
@pytest.mark.parametrize("wish", [signing(), internal()])
async def test_an_answer_without_a_token_is_an_outage_that_may_have_acted(
    sandbox: DokobitSandbox, answer: web.Response, wish: Signing
) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        body, status, kind = answer.body, answer.status, answer.content_type
        server.answers(lambda: web.Response(body=body, status=status, content_type=kind))
        with pytest.raises(UnreadableAnswer) as caught:
            await provider.start(order(wish), MemoryLog())
    assert caught.value.sent


async def test_a_language_that_is_not_spoken_leaves_a_warning(
    provider: DokobitProvider, caplog: pytest.LogCaptureFixture
) -> None:
    await provider.start(order(signing(language="lt")), MemoryLog())
    assert "language_fallback" not in caplog.text
    await provider.start(order(signing(language="pt")), MemoryLog())
    assert "language_fallback" in caplog.text


# ---------------------------------------------------------------------------------------------------- internal


async def test_an_internal_start_keeps_the_links_and_invites_nobody(
    sandbox: DokobitSandbox, provider: DokobitProvider
) -> None:
    log, wish = MemoryLog(), internal(signer(1), signer(2))
    provider.check(wish)
    started = await provider.start(order(wish), log)
    made = sandbox.state.signings[started.provider_signing_id]
    assert (made.flow, made.redirect_uri, sandbox.state.mails) == ("internal", RETURN_URL, [])
    links = {
        f"link_{at}": f"{sandbox.base_url}/sign/{made.token}/{one.token}" for at, one in enumerate(made.people, start=1)
    }
    assert log.facts.items() > links.items()
    assert log.facts["provider_signing_id"] == made.token
    again = await provider.start(order(wish), log)
    assert again.provider_signing_id == made.token
    assert (await provider.prove_start(order(wish), log)).invited is True
    assert [one.operation for one in sandbox.calls].count(INTERNAL) == 1


@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.HANG_UP_BEFORE, FaultKind.STATUS_AFTER])
async def test_an_internal_start_that_was_not_answered_is_made_anew(
    sandbox: DokobitSandbox, provider: DokobitProvider, kind: FaultKind
) -> None:
    sandbox.fault(kind, INTERNAL)
    log, wish = MemoryLog(), internal()
    with pytest.raises(Unavailable):
        await provider.start(order(wish), log)
    assert (await provider.prove_start(order(wish), log)).invited is False
    orphans = set(sandbox.state.signings)
    for token in orphans:
        # A postback may have told its token. Nobody has its links, so it is a draft and not the signing.
        adopted = wish.model_copy(update={"provider_signing_id": token})
        assert (await provider.status(token, signing=adopted)).kind is None
        wish = adopted
    started = await provider.start(order(wish), log)
    assert started.provider_signing_id not in orphans
    assert log.facts["provider_signing_id"] == started.provider_signing_id


@pytest.mark.parametrize("after", [False, True])
async def test_an_internal_start_killed_at_its_checkpoint_ends_with_links(
    sandbox: DokobitSandbox, provider: DokobitProvider, after: bool
) -> None:
    log, wish = DyingLog(after=after), internal()
    with pytest.raises(LeaseLost):
        await provider.start(order(wish), log)
    started = await provider.start(order(wish), log)
    assert log.facts["link_1"].startswith(f"{sandbox.base_url}/sign/{started.provider_signing_id}/")
    assert len(sandbox.state.signings) == (1 if after else 2)


async def test_whom_dokobit_cannot_reach_gets_a_link(sandbox: DokobitSandbox) -> None:
    wish = signing(signer(1, email=""))
    async with provider_at(sandbox, redirect_uri=RETURN_URL) as provider:
        provider.check(wish)
        started = await provider.start(order(wish), MemoryLog())
        assert (await provider.status(started.provider_signing_id)).kind is EventKind.ACCEPTED
    assert sandbox.state.signings[started.provider_signing_id].flow == "internal"
