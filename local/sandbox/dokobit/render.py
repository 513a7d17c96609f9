"""Answers of the service as JSON objects, spelled as the definition spells them (spec dokobit 1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.sandbox.dokobit.containers import MEDIA_TYPES, SUFFIXES

if TYPE_CHECKING:
    from datetime import datetime

    from local.sandbox.dokobit.options import Options
    from local.sandbox.dokobit.state import Delivery, Person, Signing
    from local.sandbox.dokobit.wire import JsonObject


def moment(value: datetime) -> str:
    return value.astimezone().isoformat(timespec="seconds")


def signing_link(base_url: str, signing: Signing, person: Person) -> str:
    return f"{base_url}/sign/{signing.token}/{person.token}"


def external_created(signing: Signing) -> JsonObject:
    people = [{"external_id": one.body.external_id} | _shown(one) for one in signing.people]
    return {"status": "ok", "token": signing.token, "signers": people}


def internal_created(signing: Signing, base_url: str) -> JsonObject:
    people = [
        {
            "external_id": one.body.external_id,
            "token": one.token,
            "redirect_uri": signing_link(base_url, signing, one),
        }
        for one in signing.people
    ]
    return {"status": "ok", "token": signing.token, "signers": people}


def added(person: Person) -> JsonObject:
    """The names of the request here, unlike anywhere else."""
    names = ("name", "surname", "email", "code", "country_code", "role", "company", "position", "phone")
    late = ("notifications_language",) if hasattr(person.body, "notifications_language") else ()
    shown = {name: getattr(person.body, name, None) for name in (*names, *late)}
    return {"external_id": person.body.external_id, "token": person.token} | _given(shown)


def signing_status(signing: Signing, state: str, options: Options, base_url: str) -> JsonObject:
    """`status` is the state here, no acknowledgement. No `external_id` comes back."""
    people = [_shown(one) | {"type": "qes", "status": one.state} for one in signing.people]
    if options.omit_optional:
        people = [{"token": one["token"], "status": one["status"]} for one in people]
        return {"status": state, "signers": people}
    if options.unknown_signer_status and people:
        people[0]["status"] = "pondering"
    kind = MEDIA_TYPES[signing.type]
    url = f"{base_url}/api/signing-{signing.flow}/{signing.token}/download"
    deadline = {"deadline": moment(signing.deadline)} if signing.deadline is not None else {}
    return {
        "status": state,
        "name": signing.name,
        "type": signing.type,
        "date_created": moment(signing.created),
        **deadline,
        "filename": f"{signing.name}.{SUFFIXES.get(signing.type, signing.type)}",
        "files": [{"name": one.name, "url": url, "mime_type": kind} for one in signing.files],
        "signers": people,
    }


def delivery_created(delivery: Delivery) -> JsonObject:
    people = [
        {"external_id": one.external_id, "token": token, "code": one.code, "country": one.country_code}
        | ({"email": one.email} if one.email else {})
        for token, one in delivery.recipients
    ]
    return {"status": "ok", "token": delivery.token, "recipients": people}


def _shown(person: Person) -> JsonObject:
    body = person.body
    facts = {
        "first_name": getattr(body, "name", None),
        "last_name": getattr(body, "surname", None),
        "code": body.code,
        "country": body.country_code,
        "email": getattr(body, "email", None),
    }
    return {"token": person.token} | _given(facts)


def _given(facts: JsonObject) -> JsonObject:
    return {name: value for name, value in facts.items() if value is not None}
