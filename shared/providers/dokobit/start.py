"""Starting a signing at Dokobit: one call, external or internal (spec dokobit 1.3, 4.1, 5.2)."""

from __future__ import annotations

from shared import telemetry
from shared.domain.errors import ProviderNotFound
from shared.domain.signing import Signing
from shared.ports import Started, StartLog, StartOrder, StartProof
from shared.providers.answers import UnreadableAnswer
from shared.providers.dokobit import NAME, Config, Flow, limits, mapping, operations
from shared.providers.dokobit.wire import ExternalCreated, InternalCreated, SigningStatus
from shared.providers.http import ProviderClient, Reply
from shared.providers.operation import Operation

_STATUS = {"external": operations.STATUS_EXTERNAL, "internal": operations.STATUS_INTERNAL}


async def read_status(client: ProviderClient, flow: Flow, token: str) -> SigningStatus:
    """Raises ProviderError."""
    return (await client.call(_STATUS[flow], token=token)).read(SigningStatus)


async def read_status_anywhere(client: ProviderClient, token: str) -> SigningStatus:
    """The same when nothing tells which kind of signing it is: whether the two kinds share their tokens is not known
    (spec 5.2)."""
    try:
        return await read_status(client, "external", token)
    except ProviderNotFound:
        return await read_status(client, "internal", token)


class Starter:
    """Starts of one account, and the search for proof of one that is uncertain."""

    def __init__(self, config: Config, client: ProviderClient) -> None:
        self._config, self._client = config, client

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        if limits.needs_other_language(order.signing):
            telemetry.warning("language_fallback", signing_id=order.signing.id, provider=NAME)
        if limits.flow_of(order.signing, self._config) == "internal":
            return await self._start_internal(order, log)
        return await self._start_external(order, log)

    async def prove(self, order: StartOrder, log: StartLog) -> StartProof:
        """By the status, once a callback has told the token. Before that nothing can be looked up: there is no list,
        and no key that would make a second call harmless (spec 4.1)."""
        flow = limits.flow_of(order.signing, self._config)
        if flow == "internal":
            token = _internal_token(log)
            return StartProof(token is not None, Started(token) if token is not None else None)
        known = _known_token(order.signing, log)
        if known is None:
            return StartProof(None)
        read = await read_status(self._client, flow, known)
        invited = True if mapping.STATUSES.get((read.status or "").lower()) is not None else None
        return StartProof(invited, Started(known, read.status) if invited else None)

    async def _start_external(self, order: StartOrder, log: StartLog) -> Started:
        known = _known_token(order.signing, log)
        if known is not None:
            return Started(known)
        contents = {one.number: await order.read_document(one) for one in order.signing.documents}
        body = mapping.to_wire_external(order.signing, self._config, contents, order.callback_url)
        await log.inviting()
        reply = await self._client.call(operations.CREATE_EXTERNAL, body=body)
        created = reply.read(ExternalCreated)
        token = promised(created.token, operations.CREATE_EXTERNAL, reply)
        facts = mapping.participant_facts(order.signing, created.signers or ())
        return Started(token, facts={limits.FLOW_FACT: "external", **facts})

    async def _start_internal(self, order: StartOrder, log: StartLog) -> Started:
        """Invites nobody: the links go to whoever reads this answer, and to nobody else.

        So there is nothing to mark as inviting, and a creation whose answer was lost is simply made again: what it left
        behind at Dokobit can never be signed, and `mapping.status_of` takes it for a draft.
        """
        known = _internal_token(log)
        if known is not None:
            return Started(known)
        contents = {one.number: await order.read_document(one) for one in order.signing.documents}
        body = mapping.to_wire_internal(order.signing, self._config, contents, order.callback_url)
        reply = await self._client.call(operations.CREATE_INTERNAL, body=body)
        created = reply.read(InternalCreated)
        token = promised(created.token, operations.CREATE_INTERNAL, reply)
        facts = mapping.participant_facts(order.signing, created.signers or ())
        await log.checkpoint(**{"provider_signing_id": token, limits.FLOW_FACT: "internal", **facts})
        return Started(token)


def _known_token(signing: Signing, log: StartLog) -> str | None:
    return log.facts.get("provider_signing_id") or signing.provider_signing_id


def _internal_token(log: StartLog) -> str | None:
    """Of a signing whose links are on record; a token that only a callback told comes without them."""
    return log.facts.get("provider_signing_id") if log.facts.get(limits.FLOW_FACT) == "internal" else None


def promised(token: str | None, operation: Operation, reply: Reply) -> str:
    if not token:
        raise UnreadableAnswer(NAME, operation, reply.status, "it holds no token", is_outage=False)
    return token
