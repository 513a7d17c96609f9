"""Starting a signing at Connective: a draft in several calls that can be resumed, or one instant call (spec connective
7.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from shared import telemetry
from shared.domain.errors import Rejected
from shared.ports import Started, StartLog, StartOrder, StartProof
from shared.providers.connective import NAME, Config, mapping, operations
from shared.providers.connective.limits import Wishes
from shared.providers.connective.wire import (
    AddedDocument,
    CreatedPackage,
    InstantPackage,
    ListedPackage,
    LocatedDocument,
    NewStatus,
    PackageLocations,
    PackagePage,
    PackageStatus,
    SetStatusBody,
)
from shared.providers.http import ProviderClient

_PAGE = 100
# A search that goes on for longer than this proves nothing.
_MAX_PAGES = 50
# Their clock and ours may differ, and the format and zone of the list's date are not published (spec 2.2).
_SEARCH_SLACK = timedelta(days=1)
_CREATE_TRIED = "create_tried"


async def read_package(client: ProviderClient, package_id: str) -> PackageStatus:
    """Raises ProviderError."""
    return (await client.call(operations.GET_PACKAGE_STATUS, Id=package_id)).read(PackageStatus)


class Starter:
    """Starts of one account, and the search for proof of one that is uncertain."""

    def __init__(self, config: Config, client: ProviderClient) -> None:
        self._config, self._client = config, client

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        if mapping.needs_other_language(order.signing):
            telemetry.warning("language_fallback", signing_id=order.signing.id, provider=NAME)
        wishes = Wishes(order.signing, self._config)
        if wishes.is_instant:
            return await self._start_instant(wishes, order, log)
        return await self._start_classic(wishes, order, log)

    async def prove(self, order: StartOrder, log: StartLog) -> StartProof:
        """By the status of the package, which is found by our signing id when theirs is not known."""
        package_id = _known_id(order, log)
        if package_id is not None:
            status = (await read_package(self._client, package_id)).PackageStatus
        else:
            found, is_certain = await self._find(order)
            if found is None:
                return StartProof(False if is_certain else None)
            package_id, status = found.Id, found.PackageStatus
        invited = mapping.was_sent(status)
        return StartProof(invited, Started(package_id, mapping.canonical(status)) if invited else None)

    async def _find(self, order: StartOrder) -> tuple[ListedPackage | None, bool]:
        """The package that carries our signing id, and whether its absence is certain.

        The list cannot be filtered by reference, so it is read from the day before the signing was created. It ends
        with a page that has no token or no items, or that repeats a token (INFERRED, spec 2.2). How the date is read
        and how the list ends is not published, so absence counts as proof only when the list ended by itself, was not
        empty, and as many packages were seen as it says there are: it decides whether people are invited (again).
        """
        since = order.signing.created_at - _SEARCH_SLACK
        token, seen, count = "", set[str](), 0
        for _ in range(_MAX_PAGES):
            seen.add(token)
            parameters = {"ContinuationToken": token or None, "MaxQuantity": _PAGE, "createdAfterDate": since}
            page = (await self._client.call(operations.PACKAGE_LIST, parameters)).read(PackagePage)
            for item in page.Items:
                if item.ExternalPackageReference == order.signing.id:
                    return item, True
            count += len(page.Items)
            token = page.ContinuationToken or ""
            if not token or not page.Items or token in seen:
                return None, not token and page.Total is not None and count >= max(page.Total, 1)
        return None, False

    # ------------------------------------------------------------------------------------------------ instant

    async def _start_instant(self, wishes: Wishes, order: StartOrder, log: StartLog) -> Started:
        known = _known_id(order, log)
        if known is not None:
            return Started(known)
        content = await order.read_document(wishes.signing.documents[0])
        body = mapping.to_wire_instant(wishes, content, order.callback_url)
        await log.inviting()
        package = (await self._client.call(operations.CREATE_INSTANT_PACKAGE, body=body)).read(InstantPackage)
        # The declared answer has two fields only; the status comes with the first read-back then (spec 2.1).
        status = mapping.canonical(package.PackageStatus) if package.PackageStatus else None
        return Started(package.PackageId, status)

    # ------------------------------------------------------------------------------------------------ classic

    async def _start_classic(self, wishes: Wishes, order: StartOrder, log: StartLog) -> Started:
        """Carries on from what the provider has, not from what we think it has: an answer may have been lost.

        Nothing is visible to participants before the last call.
        """
        package_id = await self._draft(order, log)
        if package_id is None:
            package_id = await self._create(wishes, order, log)
            there = mapping.documents_there(order.signing, ())
        else:
            package = await read_package(self._client, package_id)
            if mapping.was_sent(package.PackageStatus):
                return Started(package_id, mapping.canonical(package.PackageStatus))
            there = await self._documents(order, package_id)
        await self._upload_missing(wishes, order, log, package_id, there)
        located = await self._one_of_each(order, package_id)
        await self._set_process(wishes, package_id, located)
        await log.inviting()
        return await self._send(package_id)

    async def _draft(self, order: StartOrder, log: StartLog) -> str | None:
        """The draft of an earlier attempt, also when the answer to its creation was lost."""
        known = _known_id(order, log)
        if known is not None or _CREATE_TRIED not in log.facts:
            return known
        try:
            found, _ = await self._find(order)
        except Rejected:
            # How the list wants its date is not published. An empty draft may stay behind, which nobody sees.
            telemetry.warning("draft_search_refused", signing_id=order.signing.id, provider=NAME)
            return None
        if found is None:
            return None
        await log.checkpoint(provider_signing_id=found.Id)
        return found.Id

    async def _create(self, wishes: Wishes, order: StartOrder, log: StartLog) -> str:
        if _CREATE_TRIED not in log.facts:
            await log.checkpoint(**{_CREATE_TRIED: "yes"})
        body = mapping.to_wire_package(wishes, order.callback_url)
        created = (await self._client.call(operations.CREATE_PACKAGE, body=body)).read(CreatedPackage)
        await log.checkpoint(provider_signing_id=created.PackageId)
        return created.PackageId

    async def _documents(self, order: StartOrder, package_id: str) -> dict[int, list[LocatedDocument]]:
        reply = await self._client.call(operations.GET_SIGNING_LOCATIONS, Id=package_id)
        return mapping.documents_there(order.signing, reply.read(PackageLocations).Documents)

    async def _upload_missing(
        self,
        wishes: Wishes,
        order: StartOrder,
        log: StartLog,
        package_id: str,
        there: Mapping[int, list[LocatedDocument]],
    ) -> None:
        for document in order.signing.documents:
            if there[document.number]:
                continue
            await log.alive()
            body = mapping.to_wire_document(wishes, document, await order.read_document(document))
            reply = await self._client.call(operations.ADD_DOCUMENT_TO_PACKAGE, body=body, PackageId=package_id)
            del body
            await log.checkpoint(**{f"document_{document.number}": reply.read(AddedDocument).DocumentId})

    async def _one_of_each(self, order: StartOrder, package_id: str) -> dict[int, LocatedDocument]:
        """Every document once. A second copy comes from an upload that took effect after its answer was given up."""
        kept = {}
        for number, copies in (await self._documents(order, package_id)).items():
            if not copies:
                raise Rejected(f"{NAME} does not list document {number} that was uploaded to it.")
            kept[number] = copies[0]
            for surplus in copies[1:]:
                ids = {"packageId": package_id, "documentId": surplus.DocumentId}
                await self._client.call(operations.DELETE_DOCUMENT_FROM_PACKAGE, ids)
        return kept

    async def _set_process(self, wishes: Wishes, package_id: str, located: Mapping[int, LocatedDocument]) -> None:
        """Replaces whatever an earlier attempt said (spec 2.14)."""
        try:
            locations = mapping.locations_of(wishes.signing, located)
        except LookupError as error:
            raise Rejected(f"{NAME} has {error}.") from error
        operation = operations.PROCESS_OPERATIONS[wishes.config.process]
        await self._client.call(operation, body=mapping.to_wire_process(wishes, locations), id=package_id)

    async def _send(self, package_id: str) -> Started:
        try:
            reply = await self._client.call(
                operations.SET_PACKAGE_STATUS, body=SetStatusBody(Status=NewStatus.PENDING), Id=package_id
            )
        except Rejected:
            # Perhaps sent before: then the answer to that was lost, and this is the proof.
            package = await read_package(self._client, package_id)
            if not mapping.was_sent(package.PackageStatus):
                raise
            return Started(package_id, mapping.canonical(package.PackageStatus))
        status = reply.read(PackageStatus).PackageStatus
        return Started(package_id, mapping.canonical(status) if status else None)


def _known_id(order: StartOrder, log: StartLog) -> str | None:
    return log.facts.get("provider_signing_id") or order.signing.provider_signing_id
