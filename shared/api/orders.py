"""An order, from its body to a signing that was taken in: what HTTP and the queue have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.api.start_request import StartBody, blobs_of, receipt_of, to_command
from shared.domain.commands import StartSigning
from shared.domain.errors import FieldError, InvalidRequest, NotFound, TooLarge
from shared.flow import intake
from shared.flow.intake import Intake
from shared.ports import App


@dataclass(frozen=True)
class Taken:
    """`command` is None for a repeat whose documents are not there any more."""

    intake: Intake
    command: StartSigning | None


class _BlobMissingError(InvalidRequest):
    """There is no blob at an address in container `inbox`."""


async def take_in(
    app: App, parsed: StartBody, own_key: str | None, platform_action: str | None = None, *, lease_owner: str | None
) -> Taken:
    """`own_key` names the order beside its body; `platform_action` is which action of which workflow run sent it.

    Raises InvalidRequest, UnsupportedFeature, IdempotencyMismatch, ConcurrentUpdate.
    """
    receipt = receipt_of(parsed, own_key, platform_action)
    try:
        blobs = await _read_blobs(app, blobs_of(parsed))
    except _BlobMissingError:
        # Whoever has its answer may clear the inbox, and a copy of the order may still be on its way.
        earlier = await intake.by_receipt(app, receipt) if receipt is not None else None
        if earlier is None:
            raise
        return Taken(Intake(earlier, is_new=False), None)
    command = to_command(parsed, own_key, blobs, platform_action, receipt)
    return Taken(await intake.run(app, command, lease_owner=lease_owner), command)


async def _read_blobs(app: App, addresses: Mapping[int, str]) -> dict[str, bytes]:
    """What the caller has put into container `inbox`. It stays there: its lifetime is the caller's business."""
    contents: dict[str, bytes] = {}
    if len(addresses) > app.policy.max_documents:
        field = FieldError("documents", f"at most {app.policy.max_documents} documents")
        raise InvalidRequest("The request is larger than this gateway allows.", fields=[field])
    for index, written in addresses.items():
        address = app.documents.inbox_address(written)
        if address is None:
            raise InvalidRequest(_REFUSAL, fields=[_field(index, "lies outside container inbox of this gateway")])
        try:
            contents[written] = await app.documents.read_staged(address, max_bytes=app.policy.max_document_bytes)
        except TooLarge:
            limit = f"larger than {app.policy.max_document_bytes} bytes"
            raise InvalidRequest(_REFUSAL, fields=[_field(index, limit)]) from None
        except NotFound:
            raise _BlobMissingError(_REFUSAL, fields=[_field(index, "there is no such blob")]) from None
    return contents


_REFUSAL = "A document cannot be taken from blob storage."


def _field(index: int, problem: str) -> FieldError:
    return FieldError(f"documents[{index}].blob", problem)
