"""Answers of the platform as JSON objects (spec pkisigning 1.6), spelled as the contract spells them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.sandbox.pkisigning.lifecycle import document_status
from local.sandbox.pkisigning.wire import JsonObject, Status

if TYPE_CHECKING:
    from local.sandbox.pdf import SignatureFieldFacts
    from local.sandbox.pkisigning.state import Actor, Document, SignRequest, State, Webhook

ISSUER = "Sandbox Issuing CA"


def moment(value: datetime) -> str:
    """UTC with seven fraction digits, as .NET services write it (1.3)."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def request_model(state: State, request: SignRequest, status: Status | None = None) -> JsonObject:
    """RequestModel. `status` overrides the real one (late-status fault)."""
    signatures = [one for document in request.documents for one in _signatures(document)]
    return {
        "id": request.id,
        "dossierName": request.name,
        "documents": [_document_model(request, document) for document in request.documents],
        "status": (status or request.status).value,
        "actors": [actor_model(state, request, actor) for actor in request.actors],
        "signed": bool(signatures),
        "signatures": signatures,
        "dossierType": "PDF" if request.documents else "Incomplete",
        "reasons": request.reasons,
        "signerNote": request.signer_note,
        "recipientNote": request.recipient_note,
        "accorderNote": None,
        "expires": moment(request.expires),
        "emailActivity": _mails(state, request, None),
        "myDossier": request.mine,
        "workgroup": request.workgroup_id,
        "clearancelevel": request.clearance_level,
    }


def document_metadata(state: State, request: SignRequest, document: Document) -> JsonObject:
    """DocumentMetaDataModel. Its status field is `status`, unlike the one inside RequestModel (1.7)."""
    empty = [_field(field) for field in document.facts.empty_fields]
    return {
        "id": document.id,
        "name": document.name,
        "lastUpdate": moment(document.updated),
        "pages": document.facts.pages,
        "created": moment(document.created),
        "status": document_status(request, document).value,
        "signed": bool(document.signatures or document.facts.signatures),
        "signatures": _signatures(document),
        "emptySignatureFields": empty,
        "containsBlankSignatureFields": bool(empty),
        "actors": [actor_model(state, request, actor) for actor in request.actors_of(document.id)],
        "requestId": request.id,
        "isMyDocument": request.mine,
        "dossierIndex": document.index,
        "documentSize": len(document.content),
        "documentType": document.document_type,
    }


def actor_model(state: State, request: SignRequest, actor: Actor) -> JsonObject:
    """ExtendedSignerModel."""
    return _signer_model(actor) | {
        "id": actor.id,
        "signingDate": moment(actor.acted_at) if actor.acted_at else None,
        "hasSigned": actor.has_acted,
        "fullName": actor.full_name,
        "emailActivity": _mails(state, request, actor) or None,
        "documentId": actor.document_id,
    }


def webhook_model(webhook: Webhook) -> JsonObject:
    """WebhookResponseModel: camelCase although the request is PascalCase."""
    return {
        "events": ["status"],
        "config": {"url": webhook.url},
        "active": webhook.active,
        "id": webhook.id,
        "created": moment(webhook.created),
        "lastUpdate": moment(webhook.created),
    }


def _document_model(request: SignRequest, document: Document) -> JsonObject:
    """DocumentModel: `documentstatus`, and actors without id or progress."""
    return {
        "id": document.id,
        "name": document.name,
        "documentType": document.document_type,
        "dossierIndex": document.index,
        "documentstatus": document_status(request, document).value,
        "actors": [_signer_model(actor) for actor in request.actors_of(document.id)],
    }


def _signer_model(actor: Actor) -> JsonObject:
    body = actor.body.model_dump(mode="json", exclude={"deadline"})
    placement = actor.placement
    return body | {
        "deadline": moment(actor.body.deadline),
        "fieldName": placement.fieldName if placement else None,
        "placeholder": placement.placeholder if placement else None,
        "sigFieldX": placement.sigFieldX if placement else 0,
        "sigFieldY": placement.sigFieldY if placement else 0,
        "sigFieldH": placement.sigFieldH if placement else 0,
        "sigFieldW": placement.sigFieldW if placement else 0,
    }


def _signatures(document: Document) -> list[JsonObject]:
    return [
        {
            "subject": [{"key": "CN", "value": actor.full_name}],
            "issuer": [{"key": "CN", "value": ISSUER}],
            "date": moment(at),
            "location": None,
            "reason": None,
            "euQualified": False,
            "advanced": True,
            "eSeal": False,
            "ipAddress": "127.0.0.1",
            "signatureField": field,
            "signatureImage": None,
        }
        for actor, at, field in document.signatures
    ]


def _field(field: SignatureFieldFacts) -> JsonObject:
    return {
        "name": field.name, "page": field.page, "x": field.x, "y": field.y,
        "height": field.height, "width": field.width,
    }  # fmt: skip


def _mails(state: State, request: SignRequest, actor: Actor | None) -> list[JsonObject]:
    addresses = {one.id: one.body.email for one in request.actors}
    return [
        {
            "event": "delivered",
            "reason": "250 OK",
            "timestamp": moment(mail.at),
            "pkisMessageType": mail.kind,
            "pkisInviteId": f"{mail.actor_ids[0]}-{number}",
            "email": addresses.get(mail.actor_ids[0]),
        }
        for number, mail in enumerate(state.invitations)
        if mail.request_id == request.id and (actor is None or actor.id in mail.actor_ids)
    ]
