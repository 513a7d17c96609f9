"""The flow's times and limits, in seconds unless said otherwise. Settings may change each of them."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Callers count on it: a window that is shorter is refused as a setting.
LEAST_IDEMPOTENCY_WINDOW = 7 * DAY


@dataclass(frozen=True)
class FlowPolicy:
    # The platform cuts an HTTP answer at 230 s and Logic Apps gives up at 120 s (host guide C1, power guide 1.6).
    start_inline_seconds: float = 80.0
    # The safety net on `signing-starts` must come later than the inline budget.
    start_retry_seconds: float = 120.0
    start_lease_seconds: float = 120.0
    # No provider call lasts longer than this, and a marked invitation is sent within it or not at all.
    invite_window_seconds: float = 60.0
    # An uncertain invitation is looked up no sooner than this after its marker.
    invite_proof_after_seconds: float = 180.0
    # ... and a person is told when there is still no proof after this.
    start_uncertain_after_seconds: float = 15 * MINUTE

    # How soon reconcile looks at a signing: a share of its age between these two (domain/schedule.py).
    reconcile_min_seconds: float = 15 * MINUTE
    reconcile_max_seconds: float = 6 * HOUR
    # ... and at most this while our own work on it is not done: being started, being downloaded.
    reconcile_busy_max_seconds: float = HOUR
    reconcile_age_share: float = 0.1
    reconcile_batch: int = 200
    # How long after a deadline the provider is asked what has become of the signing.
    deadline_grace_seconds: float = 5 * MINUTE
    # The share of an account's calls (100 a minute) that reconcile may cause; the rest is for callers and callbacks.
    reconcile_calls_per_minute: int = 60
    # How long reconcile keeps looking at a signing that expired or failed softly.
    soft_end_watch_seconds: float = 14 * 24 * HOUR

    # A started signing that the provider does not know is given up no sooner than this after its invitation: a look
    # right after the start may come before the provider's own copies agree.
    provider_gone_after_seconds: float = 10 * MINUTE

    # A follow-up message that was not acted upon for so long is taken for lost.
    follow_up_grace_seconds: float = 10 * MINUTE

    # Below the host's functionTimeout of 30 minutes, on which it would restart the whole worker (host guide C4).
    download_seconds: float = 25 * MINUTE
    # Pauses between download attempts: doubling from the first to the last.
    download_retry_first_seconds: float = 10.0
    download_retry_last_seconds: float = 30 * MINUTE
    # After so many attempts a person is told (attention seal_late); attempts go on at the longest pause.
    download_attention_after: int = 10

    # Pauses between deliveries of one notification; a queue delay can be at most 7 days.
    notify_retry_seconds: tuple[float, ...] = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR)

    # A provider that throttles is asked again after what it said, but never sooner or later than these.
    throttle_min_seconds: float = 1.0
    throttle_max_seconds: float = 15 * MINUTE
    # A provider that is down: doubling pauses, from the first up to the longest of throttling above.
    outage_retry_seconds: float = 15.0
    # When a signing has waited so long for its provider, a person is told (attention provider_unavailable).
    outage_attention_seconds: float = 4 * HOUR

    # After so many outages in a row an account's calls are held back: doubling pauses, from the first to the longest.
    # One that throttles is left alone for as long as it said, within the limits above.
    circuit_failures: int = 5
    circuit_first_seconds: float = 15.0
    circuit_longest_seconds: float = 5 * MINUTE

    # How long a repeat of a start finds the first one again; after that its key is forgotten once its signing is over.
    idempotency_window_seconds: float = 14 * DAY
    # A staged document that no start needs any more is removed when it is this old.
    staging_seconds: float = 7 * DAY
    # A dead letter that was replayed or discarded is kept this long; one that waits for a person is kept for ever.
    letter_retention_seconds: float = 180 * DAY

    max_documents: int = 20
    max_participants: int = 50
    max_document_bytes: int = 50 * 1024 * 1024

    def download_pause(self, attempts: int) -> float:
        """Seconds before the next attempt, after `attempts` that brought nothing."""
        return float(
            min(self.download_retry_first_seconds * 2 ** max(attempts - 1, 0), self.download_retry_last_seconds)
        )

    def notify_pause(self, attempt: int) -> float | None:
        """Seconds before the delivery after number `attempt`, or None when the schedule is used up."""
        return self.notify_retry_seconds[attempt - 1] if attempt <= len(self.notify_retry_seconds) else None

    def outage_pause(self, attempts: int) -> float:
        """Seconds before the next try, after `attempts` that found the provider unavailable."""
        doublings = min(max(attempts - 1, 0), 30)
        return min(self.outage_retry_seconds * 2.0**doublings, self.throttle_max_seconds)

    def throttle_pause(self, asked_seconds: float) -> float:
        return min(max(asked_seconds, self.throttle_min_seconds), self.throttle_max_seconds)
