"""What can be done to a signing at Connective after it was started (spec connective 2.7, 2.11 to 2.13)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.domain.errors import ProviderNotFound, Rejected, UnsupportedFeature
from shared.domain.signing import Signing
from shared.ports import SigningLink
from shared.providers.connective import mapping, operations
from shared.providers.connective.start import read_package
from shared.providers.connective.wire import ExpiryBody, NewStatus, SetStatusBody
from shared.providers.http import ProviderClient


class Manager:
    """Raises ProviderError, and Rejected for what does not fit the state that the package has."""

    def __init__(self, client: ProviderClient) -> None:
        self._client = client

    async def cancel(self, signing: Signing) -> None:
        """Revokes the package. v3 takes no reason."""
        body = SetStatusBody(Status=NewStatus.REVOKED)
        await self._client.call(operations.SET_PACKAGE_STATUS, body=body, Id=id_of(signing))

    async def remind(self, signing: Signing) -> None:
        """Reminds everybody who has not signed; there is no choice. A package that is gone is told by 400 here, like
        any other wrong parameter (spec 2.12), so it is looked for before that is believed."""
        package_id = id_of(signing)
        try:
            await self._client.call(operations.SEND_PACKAGE_REMINDERS, PackageId=package_id)
        except Rejected as error:
            if error.provider_status_code == 400:
                await read_package(self._client, package_id)
            raise

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        """Moves the deadline of the package; one that has expired goes on again (INFERRED, spec 7.1)."""
        body = ExpiryBody(ExpiryTimestamp=deadline)
        await self._client.call(operations.EXPIRY_TIMESTAMP, body=body, id=id_of(signing))

    async def links(self, signing: Signing) -> Sequence[SigningLink]:
        return mapping.links_of(signing, await read_package(self._client, id_of(signing)))

    async def delete(self, signing: Signing) -> None:
        """For good, once the package is over. Absence is fine."""
        if signing.provider_signing_id is None:
            return
        try:
            await self._client.call(operations.DELETE_PACKAGE, id=signing.provider_signing_id)
        except ProviderNotFound:
            return


def refuse(action: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"Connective cannot {action} after a signing was started.", field=action)


def id_of(signing: Signing) -> str:
    if signing.provider_signing_id is None:
        raise ProviderNotFound("The signing has no id at the provider yet.")
    return signing.provider_signing_id
