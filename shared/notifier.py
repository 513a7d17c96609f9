"""Delivers CloudEvents to callers' addresses over HTTPS, and refuses to be made a tool against others.

A caller chooses the address, so the checklist for each delivery is:
 1. https only
 2. no user name in the address, and a host that is on the allow-list
 3. every address that the host resolves to is a public one
 4. the connection goes to an address that was checked (no second look-up that could answer differently)
 5. redirects are not followed; the answer's body is not read
`unsafe_allow_loopback` (local development only) lets http and loopback addresses through steps 1 and 3.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from shared.domain.errors import FieldError, InvalidRequest, NotifyRefused, Unavailable

_TIMEOUT_SECONDS = 15.0
# As it goes over the wire: a name (international ones are in punycode by then) or an IP address.
_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


@dataclass(frozen=True)
class NotifierConfig:
    """`allowed_hosts` are exact names, or `*.suffix` for everything below a suffix, or `*` for every public host.

    `secrets` sign the deliveries (Standard Webhooks), newest first; empty means unsigned.
    """

    allowed_hosts: tuple[str, ...]
    secrets: tuple[bytes, ...] = ()
    unsafe_allow_loopback: bool = False


class HttpNotifier:
    """Implements ports.Notifier."""

    def __init__(self, config: NotifierConfig, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the platform's trusted roots."""
        self._config = config
        self._tls = tls
        self._client: httpx.AsyncClient | None = None

    def check_url(self, url: str) -> None:
        """Steps 1 and 2, for an early answer to the caller. Raises InvalidRequest."""
        try:
            self._parsed(url)
        except NotifyRefused as refusal:
            raise InvalidRequest(
                f"The notification address may not be called: {refusal.reason}.",
                fields=[FieldError("notify.url", refusal.reason)],
            ) from None

    async def deliver(self, url: str, event: Mapping[str, Any], now: datetime) -> int:
        """POSTs one event; returns the receiver's HTTP status. Raises NotifyRefused, Unavailable."""
        parsed = self._parsed(url)
        body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {
            "content-type": "application/cloudevents+json; charset=utf-8",
            "host": parsed.netloc.decode("ascii"),
            **signature_headers(self._config.secrets, str(event["id"]), now, body),
        }
        address = await self._public_address(parsed)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                request = self._http().build_request(
                    "POST",
                    parsed.copy_with(host=address),  # 4.
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": parsed.host},
                )
                answer = await self._http().send(request, stream=True, follow_redirects=False)  # 5.
                await answer.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(f"no answer from the receiver: {type(error).__name__}", sent=True) from error
        return answer.status_code

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            # A kept connection is found again by its address, which hosts with other names may share: so none is kept.
            self._client = httpx.AsyncClient(
                timeout=_TIMEOUT_SECONDS,
                trust_env=False,
                verify=self._tls if self._tls is not None else True,
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        return self._client

    def _parsed(self, url: str) -> httpx.URL:
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError):
            raise NotifyRefused("not_an_address") from None
        # 1.
        if parsed.scheme != "https" and not (self._config.unsafe_allow_loopback and parsed.scheme == "http"):
            raise NotifyRefused("not_https")
        # 2.
        if parsed.userinfo or not _HOST.fullmatch(parsed.raw_host):
            raise NotifyRefused("not_an_address")
        if not is_allowed_host(parsed.host, self._config.allowed_hosts):
            raise NotifyRefused("host_not_allowed")
        return parsed

    async def _public_address(self, parsed: httpx.URL) -> str:
        # 3.
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(parsed.host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Unavailable("the receiver's host name does not resolve", sent=False) from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._may_connect(address):
                raise NotifyRefused("private_address")
        return addresses[0]

    def _may_connect(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if self._config.unsafe_allow_loopback and parsed.is_loopback:
            return True
        return parsed.is_global and not parsed.is_multicast


def is_allowed_host(host: str, allowed: Sequence[str]) -> bool:
    """Exact, or below a `*.suffix` on a label boundary, or anything when `*` is listed."""
    name = host.lower().rstrip(".")
    return any(
        pattern in {"*", name} or (pattern.startswith("*.") and name.endswith(pattern[1:]))
        for pattern in (entry.lower() for entry in allowed)
    )


def signature_headers(secrets: Sequence[bytes], event_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The Standard Webhooks headers; the signature is over id, timestamp and body, one for each secret in rotation."""
    timestamp = str(int(now.timestamp()))
    headers = {"webhook-id": event_id, "webhook-timestamp": timestamp}
    if secrets:
        signed = f"{event_id}.{timestamp}.".encode() + body
        digests = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets]
        headers["webhook-signature"] = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return headers
