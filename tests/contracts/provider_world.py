"""What each provider's tests supply so that one contract suite can be run against all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from shared.ports import SigningProvider, StartOrder
from shared.verification.raw import RawCallback


class ProviderWorld(Protocol):
    """A provider built for real, talking HTTP to its running simulator, and the hands of those on the other side.

    `async with` one of these per test: each has a simulator of its own. Ids are the provider's own.
    """

    @property
    def provider(self) -> SigningProvider: ...

    def order(self, **changes: Any) -> StartOrder:
        """An order that this provider takes: one real PDF (`documents=2` for two), one signer (`participants=`
        replaces them), a callback address on a receiver that keeps what arrives. Other `changes` are fields of the
        signing."""

    async def complete(self, provider_signing_id: str) -> None:
        """Everybody does what they were asked for, and the provider finishes sealing."""

    async def sign_next(self, provider_signing_id: str) -> None:
        """Only the participant whose turn it is acts."""

    async def decline(self, provider_signing_id: str, reason: str) -> None: ...

    async def expire(self, provider_signing_id: str) -> None: ...

    async def withdraw(self, provider_signing_id: str) -> None:
        """The sender cancels in the provider's own interface."""

    async def fail(self, provider_signing_id: str) -> None:
        """The provider ends the signing with a technical error. Where it has no such end: NotImplementedError is wrong;
        leave the signing as it is and say so in `ends`."""

    @property
    def ends(self) -> frozenset[str]:
        """Which of declined, expired, cancelled, failed this provider can end in by these hands."""

    def invitations(self, provider_signing_id: str) -> int:
        """How often the provider has invited people to this signing (sent invitations, or opened it for signing)."""

    async def callbacks(self, provider_signing_id: str) -> Sequence[RawCallback]:
        """The callbacks that arrived for this signing so far, oldest first, exactly as they came."""

    def forged(self, callback: RawCallback) -> RawCallback | None:
        """The same with something altered that verification must notice; None where a callback proves nothing and
        only its address and the read-back protect."""

    def throttle(self, operation_id: str, *, times: int = 1, retry_after: int = 1) -> None:
        """The next calls of that operation answer 429."""

    def break_down(self, operation_id: str, *, times: int = 1, status: int = 500) -> None: ...

    def lose_answer(self, operation_id: str) -> None:
        """The next call of that operation acts, and its answer is lost."""

    def hold_answer(self, operation_id: str) -> None:
        """The next call of that operation acts, and is not answered while the test lasts."""

    def late_status(self, *, times: int = 1) -> None:
        """The next reads show the status before the last change."""

    def newest(self) -> str | None:
        """The signing that the provider has made last, whether or not the call that made it was answered."""

    def exhaust_credits(self) -> bool:
        """The account runs out of credits or quota; False where this provider has no such thing."""

    def late_seal(self, *, times: int = 1) -> None:
        """Completed, but the next downloads are refused or not whole yet."""

    @property
    def inviting_operation(self) -> str:
        """The operation that invites people."""

    @property
    def calls_made(self) -> Sequence[str]:
        """Operation ids called so far, in order."""
