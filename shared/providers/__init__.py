"""The catalogue: every provider there is, by name, with the shape of its settings and the way to build an account."""

from __future__ import annotations

from shared.providers import pkisigning

PROVIDERS = {
    pkisigning.NAME: (pkisigning.Config, pkisigning.build),
}
