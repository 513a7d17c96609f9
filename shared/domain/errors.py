"""The error tree. An error's class is its verdict; its `code` is what callers and metrics see.

    CountersignError                    code, sentence, next step
    ├── InvalidRequest                  the caller's JSON does not fit (400); carries field errors
    ├── UnsupportedFeature              a wish that this provider cannot express (422), found before any provider call
    ├── NotFound                        no such signing, account or document (404)
    ├── WrongState                      the signing is past (or not yet at) where this can be done (409)
    ├── IdempotencyMismatch             same idempotency key, other body (422)
    ├── ConcurrentUpdate                a conditional write lost the race; reload and decide again
    ├── TooLarge                        a file beyond what this gateway reads (413)
    ├── AlreadyExists                   a create-only write found something there
    ├── LeaseLost                       another worker took this signing over; stop without writing
    ├── VerificationFailed              a callback that must not be believed; reason is for logs only
    ├── NotifyRefused                   a caller's address that we do not call; reason is a stable word
    ├── ReplyRefused                    a queue that we do not answer on, or that is not there; its code says which
    ├── ArchiveNotReady                 what came is not (yet) a whole, expected archive; try again later
    └── ProviderError                   something said by, or about, the provider
        ├── Retryable                   the same call may succeed later
        │   ├── Throttled               429; carries retry_after_seconds
        │   │   ├── BudgetSpent         ... held back by our own call budget: the provider was not asked
        │   │   └── CircuitOpen         ... held back because the account's last calls failed: not asked either
        │   ├── Unavailable             5xx, time-out, connection lost; `sent` says whether it may have been acted upon
        │   └── NotReady                the provider says: not yet (202, 409 on a download)
        └── Permanent                   the same call will fail again
            ├── Rejected                4xx about the content of the call
            ├── OutcomeUnknown          no answer to a call that must not be made twice: somebody has to look first
            ├── ProviderNotFound        404 at the provider
            ├── Unauthorised            401/403 after a fresh token
            └── CreditsExhausted        402

`ConfigurationError` stands outside the tree, so that nothing which handles a `CountersignError` can swallow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ConfigurationError(Exception):
    """The settings are wrong. `problems` lists all of them, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class CountersignError(Exception):
    """Base of every expected failure.

    `code` is a stable machine word, `detail` one sentence for a person, `next_step` what that person can do.
    """

    code = "error"
    next_step = ""

    def __init__(self, detail: str, *, code: str | None = None, next_step: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code
        if next_step is not None:
            self.next_step = next_step


@dataclass(frozen=True)
class FieldError:
    """One thing wrong in the caller's JSON: `field` is a path such as `signers[0].email`."""

    field: str
    message: str


class InvalidRequest(CountersignError):
    code = "invalid_request"
    next_step = "Correct the named fields and send the request again."

    def __init__(self, detail: str, *, fields: Sequence[FieldError] = (), code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.fields = tuple(fields)


class UnsupportedFeature(CountersignError):
    """`field` names the wish, `supported_by` the providers that could grant it."""

    code = "unsupported_feature"

    def __init__(self, detail: str, *, field: str, supported_by: Sequence[str] = ()) -> None:
        others = f"Supported by: {', '.join(supported_by)}." if supported_by else "No configured provider supports it."
        super().__init__(detail, next_step=f"Leave {field} out, or use another account. {others}")
        self.field = field
        self.supported_by = tuple(supported_by)


class NotFound(CountersignError):
    code = "not_found"
    next_step = "Check the id. Ids are returned by the call that starts a signing."


class WrongState(CountersignError):
    code = "wrong_state"
    next_step = "Read the signing: its state says what can still be done."


class IdempotencyMismatch(CountersignError):
    """`signing_id` is that of the signing which was started with this key."""

    code = "idempotency_mismatch"
    next_step = "Use a new idempotency key for a new signing, or repeat the first request unchanged."

    def __init__(self, detail: str, *, signing_id: str, next_step: str | None = None) -> None:
        super().__init__(detail, next_step=next_step)
        self.signing_id = signing_id


class ConcurrentUpdate(CountersignError):
    code = "concurrent_update"
    next_step = "Read the signing again and repeat the call."


class TooLarge(CountersignError):
    code = "too_large"
    next_step = "Use a smaller file, or have the limit raised (Flow__MaxDocumentBytes)."


class AlreadyExists(CountersignError):
    code = "already_exists"


class LeaseLost(CountersignError):
    code = "lease_lost"


class VerificationFailed(CountersignError):
    """A callback that must not be believed.

    `reason` is one stable snake_case word for the log field and the counter. It is never told to the sender, and the
    message carries nothing that the sender wrote. `status` is the bare HTTP answer (spec pkisigning 3.3, issue rules):
    400 malformed, 401 unverifiable.
    """

    code = "verification_failed"

    def __init__(self, reason: str, *, status: int = 401) -> None:
        super().__init__(f"callback not verified: {reason}")
        self.reason = reason
        self.status = status


class NotifyRefused(CountersignError):
    """A caller's address that must not be called. `reason` is a stable snake_case word."""

    code = "notify_refused"
    next_step = "Give an https address on an allowed, public host."

    def __init__(self, reason: str) -> None:
        super().__init__(f"the notification address may not be called: {reason}")
        self.reason = reason


class ReplyRefused(CountersignError):
    """The queue that an order named for its answer. `code`: reply_refused, or reply_queue_missing."""

    code = "reply_refused"
    next_step = "Name a queue that Requests__ReplyQueues allows, and create it before the first order."


class ArchiveNotReady(CountersignError):
    """What the provider sent is not a whole, expected archive. `reason` is a stable snake_case word."""

    code = "archive_not_ready"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ProviderError(CountersignError):
    """Something said by, or about, the provider. `provider_status_code` is their HTTP status, when there was one."""

    code = "provider_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        next_step: str | None = None,
        provider_status_code: int | None = None,
        provider_request_id: str | None = None,
    ) -> None:
        super().__init__(detail, code=code, next_step=next_step)
        self.provider_status_code = provider_status_code
        self.provider_request_id = provider_request_id


class Retryable(ProviderError):
    """`is_outage` is True when nothing is known to be wrong with the call itself: the provider takes no calls now. Such
    failures are waited out, however long it lasts, and count as nobody's attempt."""

    code = "provider_retryable"
    is_outage = False


class Throttled(Retryable):
    code = "provider_throttled"
    next_step = "Nothing to do: the work is repeated when the provider accepts calls again."
    is_outage = True

    def __init__(self, detail: str, *, retry_after_seconds: float, provider_status_code: int | None = None) -> None:
        super().__init__(detail, provider_status_code=provider_status_code)
        self.retry_after_seconds = retry_after_seconds


class BudgetSpent(Throttled):
    code = "call_budget_spent"


class CircuitOpen(Throttled):
    code = "provider_circuit_open"
    next_step = "Nothing to do: calls go out again by themselves. GET /api/accounts shows since when and until when."


class Unavailable(Retryable):
    """5xx, time-out or lost connection. `sent` is False only when the request certainly never left this machine."""

    code = "provider_unavailable"
    next_step = "Nothing to do: the work is repeated. Check the provider's status page if it lasts."

    def __init__(
        self, detail: str, *, sent: bool, provider_status_code: int | None = None, is_outage: bool = True
    ) -> None:
        super().__init__(detail, provider_status_code=provider_status_code)
        self.sent, self.is_outage = sent, is_outage


class NotReady(Retryable):
    code = "provider_not_ready"


class Permanent(ProviderError):
    code = "provider_refused"


class OutcomeUnknown(Permanent):
    """No answer came to a call that may have been carried out, and that does harm when it is carried out twice."""

    code = "outcome_unknown"
    next_step = "Look at the provider whether it was done, before you repeat it."


class Rejected(Permanent):
    code = "provider_rejected"
    next_step = "Correct what the provider objects to and start a new signing."


class ProviderNotFound(Permanent):
    code = "provider_not_found"
    next_step = "The signing does not exist at the provider (any more)."


class Unauthorised(Permanent):
    code = "provider_unauthorised"
    next_step = "Check the account's credentials; a person may have to consent again."


class CreditsExhausted(Permanent):
    code = "credits_exhausted"
    next_step = "Buy credits, or remove unsent requests at the provider (also from its recycle bin), then start again."
