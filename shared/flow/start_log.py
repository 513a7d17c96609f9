"""The start's memory: every method is one conditional save under this worker's lease (design 6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.domain.errors import ConcurrentUpdate, LeaseLost, Unavailable
from shared.domain.history import EntryKind, record
from shared.domain.signing import Signing, StartProgress, State
from shared.flow.amend import Change, amend
from shared.ports import App, Loaded

# Provider facts that mean something to the flow as well.
PROVIDER_SIGNING_ID = "provider_signing_id"


class LeasedStartLog:
    """Implements ports.StartLog. `loaded` is always the newest state this worker knows."""

    def __init__(self, app: App, loaded: Loaded, owner: str) -> None:
        self._app = app
        self._owner = owner
        self.loaded = loaded

    @property
    def facts(self) -> Mapping[str, str]:
        return self.loaded.signing.start.facts

    async def checkpoint(self, **facts: str) -> None:
        """Remembers what a provider call brought, and extends the lease. Raises LeaseLost."""
        new_id = facts.get(PROVIDER_SIGNING_ID)
        if new_id is not None:
            await claim_provider_signing_id(self._app, self.loaded.signing, new_id)

        def remember(signing: Signing) -> Change:
            progress = self._renewed(signing, facts={**signing.start.facts, **facts})
            updates: dict[str, object] = {"start": progress}
            if new_id is not None:
                updates["provider_signing_id"] = new_id
            checkpoint = {"checkpoints": str(len(progress.facts)), PROVIDER_SIGNING_ID: new_id}
            changed, entry = record(
                signing.model_copy(update=updates), EntryKind.CHECKPOINT, self._app.now(), checkpoint
            )
            return changed, [entry]

        self.loaded = (await amend(self._app, self.loaded, remember)).loaded

    async def alive(self) -> None:
        """Extends the lease once half of it is gone. Raises LeaseLost."""
        until, half = self.loaded.signing.start.lease_until, self._app.policy.start_lease_seconds / 2
        if until is not None and until - self._app.now() > timedelta(seconds=half):
            return

        def renew(signing: Signing) -> Change:
            return signing.model_copy(update={"start": self._renewed(signing)}), []

        self.loaded = (await amend(self._app, self.loaded, renew)).loaded

    async def inviting(self) -> None:
        """Marks that the next call invites people. Raises LeaseLost, and Unavailable when the marker took so long to
        write that its call could come after another worker's look at the provider."""
        marked_at = self._app.now()

        def mark(signing: Signing) -> Change:
            progress = self._renewed(signing, inviting_at=marked_at, invited_at=None)
            changed, entry = record(signing.model_copy(update={"start": progress}), EntryKind.INVITING, marked_at, {})
            return changed, [entry]

        self.loaded = (await amend(self._app, self.loaded, mark)).loaded
        if self._app.now() - marked_at > timedelta(seconds=self._app.policy.invite_window_seconds):
            raise Unavailable("the invitation was not sent: saving its marker took too long", sent=False)

    def _renewed(self, signing: Signing, **updates: object) -> StartProgress:
        self._require_lease(signing, self._app.now())
        until = self._app.now() + timedelta(seconds=self._app.policy.start_lease_seconds)
        return signing.start.model_copy(update={"lease_until": until, **updates})

    def _require_lease(self, signing: Signing, now: datetime) -> None:
        if signing.state is not State.REQUESTED or signing.start.lease_owner != self._owner:
            raise LeaseLost(f"another worker moved signing {signing.id} on")
        if signing.start.is_uncertain:
            raise LeaseLost(f"an invitation for signing {signing.id} is already under way")
        if signing.start.lease_until is None or signing.start.lease_until <= now:
            raise LeaseLost(f"the lease on signing {signing.id} ran out")


class IdTaken(ConcurrentUpdate):
    """The provider's id leads to another signing of ours already."""


async def claim_provider_signing_id(app: App, signing: Signing, provider_signing_id: str) -> None:
    """Makes the signing findable by the provider's id. Raises IdTaken when the id leads to another one."""
    key = lookup_key(signing.account, provider_signing_id)
    earlier = await app.signings.claim(PROVIDER_SIGNING_ID, key, signing.id, {})
    if earlier is not None and earlier["signing_id"] != signing.id:
        raise IdTaken(f"provider signing id {provider_signing_id} belongs to another signing")


def lookup_key(account: str, provider_signing_id: str) -> str:
    return f"{account}\n{provider_signing_id}"
