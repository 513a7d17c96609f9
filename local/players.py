"""The providers of a local stack: how each simulator is started, which accounts it gives the app, and what a signing
at it has to look like."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from local.sandbox.connective import ConnectiveSandbox
from local.sandbox.dokobit import DokobitSandbox
from local.sandbox.pkisigning import PkisigningSandbox
from local.sandbox.signicat import SignicatSandbox

# Account names of the local stack. PKIsigning has one for each of its APIs.
V2_ACCOUNT = "pki"
V1_ACCOUNT = "pki_v1"

Account = Mapping[str, str]


class Sandbox(Protocol):
    """What the stack and the demo need of any simulator."""

    base_url: str

    async def complete(self, provider_signing_id: str, /) -> None:
        """Everybody does what they were asked for."""

    def invitations_sent(self, provider_signing_id: str, /) -> int: ...

    async def settle(self) -> None:
        """Waits until every callback on its way has been delivered or given up."""


@dataclass(frozen=True)
class Player:
    """One provider. `accounts` are app settings by account name, without their prefix; `participant` is what the signer
    of a demo signing needs beside name and e-mail address."""

    name: str
    account: str
    start: Callable[[int], AbstractAsyncContextManager[Any]]
    accounts: Callable[[Any], Mapping[str, Account]]
    callback_answers: Callable[[Any, str], Sequence[int]]
    participant: Mapping[str, Any] = field(default_factory=dict)


def _pkisigning(sandbox: PkisigningSandbox) -> Mapping[str, Account]:
    def account(api: str) -> Account:
        return {
            "Provider": "pkisigning",
            "Api": api,
            "ApiUrl": sandbox.base_url,
            "IdentityUrl": sandbox.base_url,
            "ClientId": sandbox.client_id,
            "ClientSecret": sandbox.client_secret,
            "Grant": "refresh_token",
            "RefreshToken": sandbox.consent(),
            "TrustAnchors": base64.b64encode(sandbox.trust_bundle_pem).decode(),
        }

    return {V2_ACCOUNT: account("v2"), V1_ACCOUNT: account("v1")}


def _dokobit(sandbox: DokobitSandbox) -> Mapping[str, Account]:
    return {
        "dokobit": {"Provider": "dokobit", "ApiUrl": sandbox.connector_url, "AccessToken": sandbox.access_token},
        "dokobit_universal": {
            "Provider": "dokobit",
            "Surface": "universal",
            "ApiUrl": sandbox.universal_url,
            "AccessToken": sandbox.access_token,
        },
    }


def _connective(sandbox: ConnectiveSandbox) -> Mapping[str, Account]:
    account = {
        "Provider": "connective",
        "Host": sandbox.base_url,
        "PathPrefix": sandbox.options.prefix,
        "Username": sandbox.username,
        "Password": sandbox.password,
        "Initiator": "sender@example.org",
    }
    return {"connective": account}


def _signicat(sandbox: SignicatSandbox) -> Mapping[str, Account]:
    account = {
        "Provider": "signicat",
        "ApiUrl": sandbox.api_url,
        "TokenUrl": sandbox.token_url,
        "ClientId": sandbox.client_id,
        "ClientSecret": sandbox.client_secret,
        "SignatureMethods": "nbid-sign:SIGNED_STATEMENT, sbid-sign:THIRD_PARTY",
    }
    return {"signicat": account}


def _answers(id_field: str) -> Callable[[Any, str], Sequence[int]]:
    """HTTP statuses that callbacks about one signing were answered with; simulators name its id differently."""

    def of(sandbox: Any, provider_signing_id: str) -> Sequence[int]:
        about = [one for one in sandbox.callbacks_sent if getattr(one, id_field) == provider_signing_id]
        return [status for one in about for status in one.answers]

    return of


_BY_TEXT = {"phone": "+31600000001", "placements": [{"text": "_signer1_"}]}

PLAYERS: Mapping[str, Player] = {
    one.name: one
    for one in (
        Player(
            "pkisigning",
            V2_ACCOUNT,
            lambda port: PkisigningSandbox.start(port=port),
            _pkisigning,
            _answers("request_id"),
            _BY_TEXT,
        ),
        Player("dokobit", "dokobit", lambda port: DokobitSandbox.start(port=port), _dokobit, _answers("token")),
        Player(
            "connective",
            "connective",
            lambda port: ConnectiveSandbox.start(port=port),
            _connective,
            _answers("package_id"),
            _BY_TEXT,
        ),
        Player("signicat", "signicat", lambda port: SignicatSandbox.start(port=port), _signicat, _answers("order_id")),
    )
}
