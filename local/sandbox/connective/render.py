"""The environment's JSON answers, in its own casing (spec connective 2.2, 2.4 to 2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.sandbox.connective.wire import JsonObject, Status

if TYPE_CHECKING:
    from datetime import datetime

    from local.sandbox.connective.platform import Platform
    from local.sandbox.connective.state import Actor, Document, Location, Package, Stakeholder


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def location_model(location: Location) -> JsonObject:
    return {"Id": location.id, "Label": location.label, "PageNumber": location.page}


def document_locations(document: Document) -> JsonObject:
    return {
        "DocumentId": document.id,
        "ExternalDocumentReference": document.reference,
        "Locations": [location_model(one) for one in document.locations],
    }


def package_status(platform: Platform, package: Package, status: Status | None = None) -> JsonObject:
    quirks = platform.options.quirks
    return {
        "PackageName": package.name,
        "Initiator": package.initiator,
        "CreationTimestamp": moment(package.created),
        "ExpiryTimestamp": moment(package.expiry),
        "ExternalPackageReference": package.reference,
        "F2FSigningUrl": f"{platform.base_url}/signinit?packageSignId={package.id}&f2f=True",
        "PackageStatus": (status or package.status).value,
        "PackageDocuments": [_document(one) for one in package.documents],
        "Stakeholders": [_stakeholder(platform, package, one, quirks=quirks) for one in package.stakeholders],
    }


def instant_package(platform: Platform, package: Package) -> JsonObject:
    """Nearly the whole status, with places to sign and what one example misspells (spec connective 2.1)."""
    answer = package_status(platform, package)
    for shown, document in zip(answer["PackageDocuments"], package.documents, strict=True):
        shown["Locations"] = [location_model(one) for one in document.locations]
    return {"PackageId": package.id, **answer, "Warnings": []}


def list_item(package: Package) -> JsonObject:
    """The published example has the status in capitals."""
    return {
        "Id": package.id,
        "PackageStatus": package.status.value.upper(),
        "ExternalPackageReference": package.reference,
    }


def _document(document: Document) -> JsonObject:
    return {
        "DocumentId": document.id,
        "DocumentType": document.media_type,
        "ExternalDocumentReference": document.reference,
        "DocumentName": document.name,
    }


def _stakeholder(platform: Platform, package: Package, person: Stakeholder, *, quirks: bool) -> JsonObject:
    actors = [_actor(platform, package, one, quirks=quirks) for one in person.actors]
    return {
        "Type": person.kind,
        "PersonGroupName": person.group_name,
        "EmailAddress": person.email,
        "ContactGroupCode": person.contact_code,
        "ExternalStakeholderReference": person.reference,
        "StakeholderId": person.id,
        "Actors": actors[0] if quirks and len(actors) == 1 else actors,
    }


def _actor(platform: Platform, package: Package, actor: Actor, *, quirks: bool) -> JsonObject:
    """Receivers carry fewer fields, and in the example an empty status (spec connective 2.6)."""
    urls = [{"EmailAddress": email, "Url": platform.link(token)} for email, token in actor.tokens.items()]
    common = {
        "Type": actor.kind,
        "ActorId": actor.id,
        "ActionUrl": platform.link(actor.token),
        "ActionUrls": urls or (None if quirks else []),
        "ActorStatus": actor.status.value,
    }
    if actor.kind == "Receiver":
        return common | ({"ActorStatus": ""} if quirks else {})
    pairs = [pair for one in actor.location_ids if (pair := package.document_of(one))]
    name = "UserSigningType" if quirks else "UsedSigningType"
    return common | {
        "CompletedBy": actor.completed_by,
        "CompletedTimestamp": moment(actor.completed_at),
        "Reason": actor.reason,
        "Locations": [{"Id": location.id, name: location.used_type} for _, location in pairs],
    }
