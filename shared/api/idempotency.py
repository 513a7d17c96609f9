"""What a request says about being a repeat: a key of the caller's own, or the headers of a workflow platform. Pure.

Logic Apps and Power Automate send ids with every call of a built-in HTTP action (power guide 0.10). Their run history
keeps one record, with one action tracking id, for an action and all its retries, and a record of its own for each turn
of a loop. `x-ms-client-request-id`, `x-ms-tracking-id` and `x-ms-correlation-id` are new for each attempt and of no use
here. That the action tracking id really stays the same is an inference from that; the order itself is part of the key
(domain/idempotency), so being wrong costs a repeat that is not recognised, never an order.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.errors import FieldError, InvalidRequest

_MAX_KEY_LENGTH = 255

_WORKFLOW = "x-ms-workflow-id"
_RUN = "x-ms-workflow-run-id"
_OPERATION = "x-ms-workflow-operation-name"
_ACTION = "x-ms-action-tracking-id"


def key_from(header: str | None, field: str | None) -> str | None:
    """The caller's own key. Raises InvalidRequest when header and field differ, or for a header that is too long."""
    header = (header or "").strip() or None
    if header is not None and len(header) > _MAX_KEY_LENGTH:
        too_long = FieldError("Idempotency-Key", f"at most {_MAX_KEY_LENGTH} characters")
        raise InvalidRequest("The idempotency key is too long.", fields=[too_long])
    if header is not None and field is not None and header != field:
        contradiction = FieldError("idempotencyKey", "differs from the header Idempotency-Key")
        raise InvalidRequest("The request names two idempotency keys.", fields=[contradiction])
    return field or header


def platform_action(headers: Mapping[str, str]) -> str | None:
    """Which action of which workflow run sent this, or None when it was no such platform.

    Without the tracking id the name of the action has to do; turns of a loop are then told apart by their orders only.
    """
    run, action = headers.get(_RUN), headers.get(_ACTION) or headers.get(_OPERATION)
    if not run or not action:
        return None
    return "\n".join((headers.get(_WORKFLOW) or "", run, action))
