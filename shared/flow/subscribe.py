"""Account-level webhooks: registered once, by whichever instance comes first, and remembered.

A provider that can only call back for a whole organisation needs this (PKIsigning V2). Failing is not fatal: reconcile
finds what callbacks would have told, so a signing is never held up by it.
"""

from __future__ import annotations

import hashlib

from shared import telemetry
from shared.domain.errors import CountersignError
from shared.ports import App, SigningProvider

# A worker that died between its claim and the provider's answer is overtaken after this. A second registration at the
# provider costs duplicate callbacks, which are harmless; none at all costs speed.
STALE_CLAIM_SECONDS = 300.0


async def ensure(app: App, provider: SigningProvider) -> None:
    """Registers the account's webhook unless that was done. Remembered per process, so usually free."""
    if not provider.account_webhook_wanted:
        return
    url = app.addresses.for_account(provider.name, provider.account)
    digest = hashlib.sha256(url.encode()).hexdigest()
    if digest in app.registered_webhooks:
        return
    try:
        if await _register(app, provider, url, digest):
            app.registered_webhooks.add(digest)
    except CountersignError as error:
        telemetry.warning("webhook_not_registered", account=provider.account, code=error.code)


async def _register(app: App, provider: SigningProvider, url: str, digest: str) -> bool:
    known = await app.subscriptions.claim(provider.account, digest, app.now(), STALE_CLAIM_SECONDS)
    if known == "":
        return False
    if known is None:
        webhook_id = await provider.subscribe(url)
        await app.subscriptions.record(provider.account, digest, webhook_id, app.now())
        telemetry.info("webhook_registered", account=provider.account, provider=provider.name)
    return True
