"""The composition root: Settings in, App out. Nothing else knows which concrete class stands behind a port."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime

from shared import settings as settings_module
from shared import telemetry
from shared.domain.errors import ConfigurationError, InvalidRequest, UnsupportedFeature
from shared.domain.policy import FlowPolicy
from shared.domain.signing import Signing
from shared.notifier import HttpNotifier
from shared.ports import App, SigningProvider, TokenStore
from shared.providers import PROVIDERS
from shared.providers.checks import check_capabilities
from shared.providers.circuit import Circuit, CircuitLimits
from shared.providers.circuit_reports import CircuitReports
from shared.settings import AccountSettings, Settings, StorageSettings
from shared.storage.accounts import TableSubscriptionStore, TableTokenStore
from shared.storage.blobs import BlobDocumentStore
from shared.storage.circuits import TableCircuitBoard
from shared.storage.clients import Endpoints, StorageClients
from shared.storage.letters import TableDeadLetterStore
from shared.storage.pace import TablePaceStore
from shared.storage.queues import StorageMessageQueue, StorageReplyQueues
from shared.storage.signings import TableSigningStore
from shared.verification.address import CallbackAddresses


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Deployment:
    """An App with the things that have to be closed and measured around it."""

    app: App
    clients: StorageClients
    circuit_reports: CircuitReports

    async def aclose(self) -> None:
        await self.circuit_reports.aclose()
        for provider in self.app.providers.values():
            await provider.aclose()
        if isinstance(self.app.notifier, HttpNotifier):
            await self.app.notifier.aclose()
        await self.clients.aclose()


def build(settings: Settings) -> Deployment:
    """Everything real. No network traffic happens here."""
    clients = _clients(settings.storage)
    tokens = TableTokenStore(clients)
    circuits = TableCircuitBoard(clients)
    reports = CircuitReports(circuits, instance=os.urandom(8).hex())
    limits = _circuit_limits(settings.policy)
    providers = {
        name: _provider(account, tokens, Circuit(utc_now, limits, reports.of(name)))
        for name, account in settings.accounts.items()
    }
    app = App(
        providers=providers,
        signings=TableSigningStore(clients),
        documents=BlobDocumentStore(clients),
        queue=StorageMessageQueue(clients),
        replies=StorageReplyQueues(clients, settings.reply_queues),
        dead_letters=TableDeadLetterStore(clients),
        subscriptions=TableSubscriptionStore(clients),
        pace=TablePaceStore(clients),
        circuits=circuits,
        notifier=HttpNotifier(settings.notifier),
        addresses=CallbackAddresses(settings.public_url, settings.callback_keys),
        policy=settings.policy,
        now=utc_now,
        random_bytes=os.urandom,
        who_supports=_who_supports,
    )
    return Deployment(app, clients, reports)


def _who_supports(signing: Signing, field: str) -> list[str]:
    """The providers of the catalogue, configured or not, that would not refuse this very wish."""
    found = []
    for name, entry in PROVIDERS.items():
        try:
            check_capabilities(signing, entry.capabilities)
        except UnsupportedFeature as refusal:
            if refusal.field == field:
                continue
        except InvalidRequest:
            pass  # another complaint, not about this wish
        found.append(name)
    return [name for name in found if name != signing.provider]


def _provider(account: AccountSettings, tokens: TokenStore, circuit: Circuit) -> SigningProvider:
    return PROVIDERS[account.provider].build(account.name, account.config, tokens, utc_now, circuit=circuit)


def _circuit_limits(policy: FlowPolicy) -> CircuitLimits:
    return CircuitLimits(
        policy.circuit_failures,
        policy.circuit_first_seconds,
        policy.circuit_longest_seconds,
        policy.throttle_max_seconds,
    )


def _clients(storage: StorageSettings) -> StorageClients:
    if storage.connection_string:
        return StorageClients.from_settings(connection_string=storage.connection_string)
    if storage.blob_service_uri and storage.queue_service_uri and storage.table_service_uri:
        endpoints = Endpoints(storage.blob_service_uri, storage.queue_service_uri, storage.table_service_uri)
    else:
        endpoints = Endpoints.of_account(storage.account_name or "")
    return StorageClients.from_settings(endpoints=endpoints, client_id=storage.client_id)


_current: Deployment | None = None
_building: asyncio.Lock | None = None


async def current() -> App:
    """The one App of this process, built at the first use. Raises ConfigurationError, each time, while settings are
    wrong: the app keeps its functions, and each of them says what is missing."""
    global _building  # noqa: PLW0603 (the process-wide instance is this module's purpose)
    if _current is None:
        if _building is None:
            _building = asyncio.Lock()
        async with _building:
            await _build_once()
    if _current is None:
        raise ConfigurationError(["the app was closed while it was being built"])
    return _current.app


async def _build_once() -> None:
    global _current  # noqa: PLW0603
    if _current is not None:
        return
    try:
        settings = settings_module.load()
    except ConfigurationError as error:
        for problem in error.problems:
            telemetry.error("configuration_wrong", reason=problem)
        raise
    deployment = build(settings)
    if settings.create_storage_layout:
        await deployment.clients.ensure_layout()
    _current = deployment
