"""What each stage does while its provider takes no calls: wait with growing pauses, count nobody's attempt, give up
nothing, and tell a person when it lasts."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.domain.errors import Retryable, Throttled
from shared.domain.policy import FlowPolicy
from shared.domain.signing import AttentionCode, Outage, Signing
from shared.flow.amend import Change, flagged


def prolonged(before: Outage | None, error: Retryable, now: datetime) -> Outage:
    """The outage after one more failure."""
    if before is None:
        return Outage(since=now, count=1, code=error.code)
    return Outage(since=before.since, count=before.count + 1, code=error.code)


def pause_after(outage: Outage, error: Retryable, policy: FlowPolicy) -> float:
    """Seconds until it is worth asking again: as long as the provider or our own circuit said, else a guess."""
    if isinstance(error, Throttled):
        return policy.throttle_pause(error.retry_after_seconds)
    return policy.outage_pause(outage.count)


def flagged_if_long(signing: Signing, outage: Outage, now: datetime, policy: FlowPolicy) -> Change | None:
    """The signing with its attention raised when the outage has lasted; None before that, or when a person has
    something else to look at already."""
    if signing.attention is not None or now - outage.since < timedelta(seconds=policy.outage_attention_seconds):
        return None
    detail = f"For hours the provider could not be called ({outage.code}). The work goes on by itself when it can."
    return flagged(signing, AttentionCode.PROVIDER_UNAVAILABLE, detail, now)


def is_flagged(signing: Signing) -> bool:
    return signing.attention is not None and signing.attention.code is AttentionCode.PROVIDER_UNAVAILABLE
