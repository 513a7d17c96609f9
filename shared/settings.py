"""The only reader of the environment: typed, frozen, and all problems reported at once.

Names are grouped with a double underscore, as Azure app settings on Linux want them; case and single underscores inside
a name do not matter (`ClientId` is `client_id`). `local.settings.sample.json` shows every one of them.

    CountersignStorage                    connection string of the data account, or one of:
    CountersignStorage__accountName       ... its name, for access by identity
    CountersignStorage__blobServiceUri    ... with queueServiceUri and tableServiceUri, the same in full
    CountersignStorage__clientId          ... the user-assigned identity to use
    Countersign__PublicUrl                where providers reach this app: https://host, without /api
    Countersign__CallbackKeys             base64 keys (32 bytes or more), newest first, comma-separated
    Countersign__CreateStorageLayout      true: make missing tables, containers and queues at the first use
    Notify__AllowedHosts                  hosts that callers may name, comma-separated; *.suffix and * allowed
    Notify__Secrets                       base64 secrets that sign notifications, newest first, comma-separated
    Notify__UnsafeAllowLoopback           true: http and loopback receivers, for development only
    Requests__ReplyQueues                 queues that orders may name for their answer, comma-separated; * allowed
    Flow__<name>                          any time or limit of shared/domain/policy.py
    Accounts__<account>__Provider         one block per account: the provider's name, and
    Accounts__<account>__<setting>        ... its settings, see the provider's `Config`
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from shared.domain.errors import ConfigurationError
from shared.domain.policy import LEAST_IDEMPOTENCY_WINDOW, FlowPolicy
from shared.domain.reply_queues import DEFAULT_REPLY_QUEUES, is_reply_pattern
from shared.notifier import NotifierConfig
from shared.providers import PROVIDERS

STORAGE = "CountersignStorage"

# The hosts of Logic Apps and Power Automate callback addresses (power guide 1.4).
DEFAULT_NOTIFY_HOSTS = ("*.logic.azure.com", "*.environment.api.powerplatform.com")
_MIN_KEY_BYTES = 32
_ACCOUNT_NAME = re.compile(r"[a-z0-9]([a-z0-9_]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class StorageSettings:
    """Either a connection string, or three service addresses with an identity."""

    connection_string: str | None = None
    account_name: str | None = None
    blob_service_uri: str | None = None
    queue_service_uri: str | None = None
    table_service_uri: str | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class AccountSettings:
    """A named set of credentials at one provider; `config` is that provider's own model."""

    name: str
    provider: str
    config: BaseModel


@dataclass(frozen=True)
class Settings:
    storage: StorageSettings
    public_url: str
    callback_keys: tuple[bytes, ...]
    notifier: NotifierConfig
    policy: FlowPolicy
    accounts: Mapping[str, AccountSettings]
    create_storage_layout: bool = False
    reply_queues: tuple[str, ...] = DEFAULT_REPLY_QUEUES


def load() -> Settings:
    """Settings from the process environment. Raises ConfigurationError with every problem found."""
    return read(os.environ)  # noqa: TID251 (this module is the one that may)


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from any mapping of names to text. Raises ConfigurationError with every problem found."""
    reader = _Reader(environment)
    settings = Settings(
        storage=_storage(reader),
        public_url=_public_url(reader),
        callback_keys=reader.secrets("Countersign", "CallbackKeys", at_least=1),
        notifier=_notifier(reader),
        policy=_policy(reader),
        accounts=_accounts(reader),
        create_storage_layout=reader.flag("Countersign", "CreateStorageLayout"),
        reply_queues=_reply_queues(reader),
    )
    reader.refuse_unread("Countersign", "Notify", "Requests", "Flow", STORAGE)
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return settings


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


class _Reader:
    """Reads groups of settings, remembers what was asked for, and collects problems instead of raising them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self.groups: dict[str, dict[str, tuple[str, str]]] = {}
        self._read: set[tuple[str, str]] = set()
        self.whole = {_plain(name): value for name, value in environment.items() if "__" not in name}
        for name, value in environment.items():
            group, mark, rest = name.partition("__")
            if mark and value.strip():
                self.groups.setdefault(_plain(group), {})[_plain_path(rest)] = (name, value.strip())

    def text(self, group: str, name: str) -> str | None:
        self._read.add((_plain(group), _plain(name)))
        found = self.groups.get(_plain(group), {}).get(_plain(name))
        return found[1] if found else None

    def flag(self, group: str, name: str) -> bool:
        value = (self.text(group, name) or "false").lower()
        if value not in {"true", "false", "1", "0"}:
            self.problems.append(f"{group}__{name} must be true or false")
        return value in {"true", "1"}

    def items(self, group: str, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in (self.text(group, name) or "").split(",") if part.strip())

    def secrets(self, group: str, name: str, *, at_least: int = 0) -> tuple[bytes, ...]:
        found = []
        for position, part in enumerate(self.items(group, name), start=1):
            try:
                key = base64.b64decode(part, validate=True)
            except binascii.Error:
                key = b""
            if len(key) < _MIN_KEY_BYTES:
                self.problems.append(
                    f"{group}__{name}: key {position} must be base64 of {_MIN_KEY_BYTES} bytes or more"
                )
            found.append(key)
        if len(found) < at_least:
            self.problems.append(f"{group}__{name} is missing: base64 of {_MIN_KEY_BYTES} random bytes")
        return tuple(found)

    def refuse_unread(self, *groups: str) -> None:
        """A setting nobody asked for is a typing error that would otherwise be silent."""
        for group in map(_plain, groups):
            for name, (written, _) in self.groups.get(group, {}).items():
                if (group, name) not in self._read:
                    self.problems.append(f"{written} is not a setting")


def _plain_path(rest: str) -> str:
    account, mark, setting = rest.partition("__")
    return f"{account.lower()}__{_plain(setting)}" if mark else _plain(rest)


def _storage(reader: _Reader) -> StorageSettings:
    found = StorageSettings(
        connection_string=reader.whole.get(_plain(STORAGE)) or None,
        account_name=reader.text(STORAGE, "accountName"),
        blob_service_uri=reader.text(STORAGE, "blobServiceUri"),
        queue_service_uri=reader.text(STORAGE, "queueServiceUri"),
        table_service_uri=reader.text(STORAGE, "tableServiceUri"),
        client_id=reader.text(STORAGE, "clientId"),
    )
    # Read by the Functions host for its own connection, and of no meaning here.
    reader.text(STORAGE, "credential")
    in_full = (found.blob_service_uri, found.queue_service_uri, found.table_service_uri)
    if not (found.connection_string or found.account_name or all(in_full)):
        reader.problems.append(
            f"{STORAGE} is missing: a connection string, {STORAGE}__accountName, or all three service addresses"
        )
    return found


def _public_url(reader: _Reader) -> str:
    url = reader.text("Countersign", "PublicUrl") or ""
    parts = urlsplit(url)
    if not parts.hostname:
        reader.problems.append("Countersign__PublicUrl is missing: the https address where providers reach this app")
    elif parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost"}:
        reader.problems.append("Countersign__PublicUrl must be https")
    elif parts.path.strip("/") or parts.query:
        reader.problems.append("Countersign__PublicUrl must be the bare address, without a path")
    return url.rstrip("/")


def _notifier(reader: _Reader) -> NotifierConfig:
    return NotifierConfig(
        allowed_hosts=reader.items("Notify", "AllowedHosts") or DEFAULT_NOTIFY_HOSTS,
        secrets=reader.secrets("Notify", "Secrets"),
        unsafe_allow_loopback=reader.flag("Notify", "UnsafeAllowLoopback"),
    )


def _reply_queues(reader: _Reader) -> tuple[str, ...]:
    found = reader.items("Requests", "ReplyQueues")
    if not all(map(is_reply_pattern, found)):
        reader.problems.append("Requests__ReplyQueues must be names of queues with commas; * stands for anything")
    return found or DEFAULT_REPLY_QUEUES


def _policy(reader: _Reader) -> FlowPolicy:
    default = FlowPolicy()
    changes: dict[str, Any] = {}
    for field in fields(FlowPolicy):
        text = reader.text("Flow", field.name)
        if text is None:
            continue
        try:
            changes[field.name] = _number_like(getattr(default, field.name))(text)
        except ValueError:
            reader.problems.append(
                f"Flow__{field.name} must be a number (or numbers with commas, where it has several)"
            )
    policy = replace(default, **changes)
    if not policy.idempotency_window_seconds >= LEAST_IDEMPOTENCY_WINDOW:
        reader.problems.append(
            f"Flow__idempotency_window_seconds must be at least {LEAST_IDEMPOTENCY_WINDOW:.0f} (7 days)"
        )
    return policy


def _number_like(value: object) -> Callable[[str], object]:
    if isinstance(value, tuple):
        return lambda text: tuple(float(part) for part in text.split(","))
    return int if isinstance(value, int) else float


def _accounts(reader: _Reader) -> Mapping[str, AccountSettings]:
    blocks: dict[str, dict[str, str]] = {}
    for path, (written, value) in reader.groups.get("accounts", {}).items():
        account, mark, setting = path.partition("__")
        if not mark or not _ACCOUNT_NAME.fullmatch(account):
            reader.problems.append(f"{written} must read Accounts__<account>__<setting>")
            continue
        blocks.setdefault(account, {})[setting] = value
    if not reader.groups.get("accounts"):
        reader.problems.append(
            "no account is configured: set Accounts__<account>__Provider and that provider's settings"
        )
    found = {name: _account(reader, name, block) for name, block in sorted(blocks.items())}
    return MappingProxyType({name: account for name, account in found.items() if account is not None})


def _account(reader: _Reader, name: str, block: dict[str, str]) -> AccountSettings | None:
    provider = block.pop("provider", "").lower()
    if provider not in PROVIDERS:
        reader.problems.append(f"Accounts__{name}__Provider must be one of: {', '.join(sorted(PROVIDERS))}")
        return None
    config_type = PROVIDERS[provider].config_type
    names = {_plain(field): field for field in config_type.model_fields}
    unknown = sorted(setting for setting in block if setting not in names)
    reader.problems += [f"Accounts__{name}__{setting} is not a setting of {provider}" for setting in unknown]
    values = {names[setting]: value for setting, value in block.items() if setting in names}
    try:
        return AccountSettings(name, provider, config_type.model_validate(values))
    except ValidationError as error:
        # The messages never repeat the value: it may be a secret.
        reader.problems += [
            f"Accounts__{name}__{'.'.join(map(str, item['loc'])) or provider}: {item['msg']}" for item in error.errors()
        ]
        return None
