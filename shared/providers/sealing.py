"""Tokens at rest: readable only with the account's client secret, and only in the row they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_PURPOSE = b"countersign token row v1"


@dataclass(frozen=True)
class HeldTokens:
    """The OAuth state of one account. `seed_digest` tells which configured refresh token it descends from."""

    seed_digest: str
    refresh_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    expires_at: str = "0001-01-01T00:00:00+00:00"

    @classmethod
    def seeded(cls, refresh_token: str) -> HeldTokens:
        return cls(hashlib.sha256(refresh_token.encode()).hexdigest(), refresh_token)

    @property
    def usable_until(self) -> datetime:
        return datetime.fromisoformat(self.expires_at).astimezone(UTC)

    def is_usable(self, now: datetime, refused: str | None) -> bool:
        return self.access_token not in ("", refused) and now < self.usable_until


class TokenSeal:
    """AES-256-GCM under a key derived from the client secret, the account's name authenticated with it."""

    def __init__(self, account: str, client_secret: str) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(client_secret.encode())
        self._cipher, self._account = AESGCM(key), account.encode()

    def close(self, held: HeldTokens) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, json.dumps(asdict(held)).encode(), self._account)
        return base64.b64encode(nonce + sealed).decode()

    def open(self, text: str) -> HeldTokens | None:
        """None when the text was not sealed by this account under this client secret: then it is of no use."""
        try:
            sealed = base64.b64decode(text, validate=True)
            content = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._account)
            return HeldTokens(**json.loads(content))
        except (binascii.Error, InvalidTag, ValueError, TypeError):
            return None
