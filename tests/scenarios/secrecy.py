"""What no log may hold, and the check of everything that the app of a stack has logged (design 7)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from local.stack import Stack

# Account settings that open doors, in the words of shared/settings.py.
_CREDENTIALS = ("AccessToken", "ClientSecret", "Password", "RefreshToken", "Username")
# What scenarios say of people, and what people write. Names as whole words: random text may hold their letters.
_OF_PEOPLE = (
    r"\bAda\b|\bBen\b|Jansen|Vries",
    r"@example\.org|%40example",
    r"316000000",
    r"Lease 2026|Overtaken lease|lease\.pdf",
    r"rent is too high|typing error|please sign",
    r"JVBERi0|%PDF-",
    r"dossierStatus|authenticationKey|callbackAuthenticationKey",
    r"access_token=|Bearer |Basic ",
)


def check_log(stack: Stack) -> None:
    """Fails on any secret and any word about a person in what the app wrote so far, and shows the first such lines."""
    log = stack.log_text()
    assert '"event": ' in log
    secrets = {(name, form) for name, secret in _secrets(stack) for form in (secret, quote(secret, safe=""))}
    found = {name for name, form in secrets if form in log}
    found |= {pattern for pattern in _OF_PEOPLE if re.search(pattern, log)}
    forms = [form for name, form in secrets if name in found]
    hits = [
        line
        for line in log.splitlines()
        if any(form in line for form in forms) or any(re.search(one, line) for one in _OF_PEOPLE)
    ]
    assert not found, f"the log holds {sorted(found)}:\n" + "\n".join(hits[:5])


def _secrets(stack: Stack) -> Iterator[tuple[str, str]]:
    yield "function key", stack.function_key
    yield "master key", stack.host.master_key
    for name, value in stack.settings.items():
        if name.rpartition("__")[2] in (*_CREDENTIALS, "CallbackKeys"):
            yield name, value
    yield "storage key", stack.settings["CountersignStorage"].partition("AccountKey=")[2].partition(";")[0]
    for name, sandbox in stack.sandboxes.items():
        for kind, secret in _of_provider(sandbox):
            yield f"{kind} of {name}", secret


def _of_provider(sandbox: Any) -> Iterator[tuple[str, str]]:
    yield from (("callback mac", _mac(one.url)) for one in sandbox.callbacks_sent)
    yield from (("token", one) for one in _tokens(sandbox))
    yield from (("signing link", one) for one in _links(sandbox.state))


def _mac(address: str) -> str:
    return urlsplit(address).path.rpartition("/")[2]


def _tokens(sandbox: Any) -> Iterator[str]:
    """What was issued, whether or not it is good any more."""
    for issuer, kinds in (("identity", ("access_tokens", "refresh_tokens")), ("tokens", ("issued",))):
        for kind in kinds:
            yield from getattr(getattr(sandbox, issuer, None), kind, ())
    if hasattr(sandbox, "password"):
        yield base64.b64encode(f"{sandbox.username}:{sandbox.password}".encode()).decode()


def _links(state: Any) -> Iterator[str]:
    """What an address of a signing page is secret by, and the keys that let a signing be read."""
    for request in getattr(state, "requests", {}).values():
        yield from request.authentication_keys
    for signing in getattr(state, "signings", {}).values():
        yield from (person.token for person in signing.people)
    if hasattr(state, "signings"):
        yield from (mail.person for mail in state.mails)  # of deleted signings too
    yield from getattr(state, "links", {})
    for order in getattr(state, "ever", ()):
        yield from (task.key for task in order.tasks)
