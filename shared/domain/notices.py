"""What a callback claims, in our words. A claim moves nothing by itself: flow/apply reads the provider back first."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class StatusNotice:
    """A provider says that a signing has a new status.

    `provider_signing_id` is None when the callback does not say which one: then the address it came to has to.
    `provider_status` is their word, unmapped. `access_key` is a secret that some providers send along for reading the
    signing back (PKIsigning's authenticationKey), kept out of `repr` so that it cannot reach a log. `claims_end` is
    True when that word means that the signing is over: a read-back that does not show it yet is then asked again soon.
    """

    provider_signing_id: str | None
    provider_status: str
    reason: str | None = None
    access_key: str | None = field(default=None, repr=False)
    claims_end: bool = False
