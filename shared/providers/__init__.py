"""The catalogue: every provider there is, by name. Light to import: clients and operation tables come when needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from shared.domain.capabilities import Capabilities
from shared.providers import connective, dokobit, pkisigning, signicat

if TYPE_CHECKING:
    from shared.ports import SigningProvider
    from shared.providers.operation import Operation


@dataclass(frozen=True)
class Catalogued:
    """What a provider's package offers. `build(account, config, tokens, now)` gives one account's provider; `config`
    must be an instance of `config_type`."""

    config_type: type[BaseModel]
    build: Callable[..., SigningProvider]
    capabilities: Capabilities


PROVIDERS: Mapping[str, Catalogued] = {
    package.NAME: Catalogued(package.Config, package.build, package.CAPABILITIES)
    for package in (pkisigning, dokobit, connective, signicat)
}


def operations_of(name: str) -> Mapping[str, Operation]:
    """The complete table of a provider's documented API, by operation id."""
    table: Mapping[str, Operation] = importlib.import_module(f"shared.providers.{name}.operations").OPERATIONS
    return table
