"""What can be done to a signing at PKIsigning after it was started. All of it goes through V2 (spec pkisigning 6.1)."""

from __future__ import annotations

from datetime import datetime

from shared.domain.errors import ProviderNotFound, Rejected, UnsupportedFeature
from shared.domain.signing import Signing
from shared.providers.http import ProviderClient
from shared.providers.operation import Operation
from shared.providers.pkisigning import mapping, operations
from shared.providers.pkisigning.start import read_request


class Manager:
    """Raises ProviderError, and Rejected for what does not fit the state that the signing has at the platform."""

    def __init__(self, client: ProviderClient) -> None:
        self._client = client

    async def cancel(self, signing: Signing) -> None:
        """Withdraws the invitation of the actor in line, which ends the request (INFERRED, spec 6.1). A reason cannot
        be given."""
        await self._act(operations.ACTORS_WITHDRAW_CURRENT_INVITE, signing)

    async def remind(self, signing: Signing) -> None:
        """Invites the actor in line again; there is no choice of actor."""
        await self._act(operations.ACTORS_RESEND_CURRENT_INVITE, signing)

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        """Gives those who still have to act more time. Their order is kept: the last one gets `deadline` itself."""
        request = await read_request(self._client, _id_of(signing))
        waiting = [one for one in request.actors or () if not one.hasSigned and one.id is not None]
        if not waiting:
            raise Rejected("Nobody has anything left to do, so no deadline can be moved.")
        last = max(one.deadline for one in waiting)
        # The order follows the deadlines (spec 1.7) and must hold at every moment in between.
        for actor in sorted(waiting, key=lambda one: one.deadline, reverse=deadline > last):
            ids = {"requestId": request.id, "documentId": actor.documentId, "actorId": actor.id}
            changed = mapping.to_wire_changed(actor, deadline - (last - actor.deadline))
            await self._client.call(operations.ACTORS_UPDATE, ids, body=changed)

    async def delete(self, signing: Signing) -> None:
        """For good. Absence is fine."""
        if signing.provider_signing_id is None:
            return
        try:
            await self._act(operations.REQUESTS_DELETE, signing)
        except ProviderNotFound:
            return

    async def _act(self, operation: Operation, signing: Signing) -> None:
        await self._client.call(operation, requestId=_id_of(signing))


def refuse(action: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"PKIsigning cannot {action} after a signing was started.", field=action)


def _id_of(signing: Signing) -> str:
    if signing.provider_signing_id is None:
        raise ProviderNotFound("The signing has no id at the provider yet.")
    return signing.provider_signing_id
