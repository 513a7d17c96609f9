"""Capability addresses: who knows the address may knock (design 7). The mac says for whom an address was made.

`{public url}/api/callbacks/{provider}/{account}/{subject}/{mac}`, mac = HMAC-SHA256 over the three names, base64url
without padding. The subject is a signing id, or `ACCOUNT_SUBJECT` for an address that serves a whole account.
Keys rotate: the first of the set signs, every one of them verifies.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote

ACCOUNT_SUBJECT = "account"
_MIN_KEY_BYTES = 32


class CallbackAddresses:
    """`keys` are raw secrets of at least 32 bytes, newest first. Raises ValueError for none or a short one."""

    def __init__(self, public_url: str, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < _MIN_KEY_BYTES for key in keys):
            raise ValueError("callback keys must be at least 32 bytes each, and there must be one")
        self._base = public_url.rstrip("/")
        self._keys = tuple(keys)

    def for_signing(self, provider: str, account: str, signing_id: str) -> str:
        """The address that is given to the provider for one signing. A secret: never logged."""
        mac = _mac(self._keys[0], provider, account, signing_id)
        path = "/".join(quote(part, safe="") for part in (provider, account, signing_id, mac))
        return f"{self._base}/api/callbacks/{path}"

    def for_account(self, provider: str, account: str) -> str:
        """The address for webhooks that a provider can only register for a whole organisation."""
        return self.for_signing(provider, account, ACCOUNT_SUBJECT)

    def subject_of(self, provider: str, account: str, token: str) -> str | None:
        """The subject that `token` (`subject/mac`, as it stands in the path) was made for.

        None when the mac is not one of ours. Every key is tried in constant time, so that an answer's delay says
        nothing about which key or which byte was wrong.
        """
        subject, _, mac = token.partition("/")
        given = mac.encode("utf-8", "surrogatepass")
        genuine = [hmac.compare_digest(_mac(key, provider, account, subject).encode(), given) for key in self._keys]
        return subject if any(genuine) else None


def _mac(key: bytes, provider: str, account: str, subject: str) -> str:
    # Each part is preceded by its length, so that no two triples share the bytes that are signed.
    parts = [part.encode("utf-8", "surrogatepass") for part in (provider, account, subject)]
    signed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    digest = hmac.new(key, b"countersign callback v1" + signed, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
