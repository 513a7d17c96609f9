"""From a seed to everything that is meant to happen: which signing does what, and what goes wrong when."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from local.sandbox.faults import Fault, FaultKind
from tests.chaos.points import CRASH_POINTS, FAULT_POINTS

Fate = Literal["complete", "decline", "expire", "withdraw", "nothing"]
# Over HTTP until people are invited, over HTTP and no longer than it takes to note the order down, by queue.
Manner = Literal["waiting", "async", "queue"]

# Each account of the local stack with its provider and what can happen to a signing at it. Dokobit tells nobody of a
# deadline that passes, and a signing that its owner deleted is simply gone.
ACCOUNTS: Mapping[str, tuple[str, Sequence[Fate]]] = {
    "pki": ("pkisigning", ("decline", "expire", "withdraw", "nothing")),
    "pki_v1": ("pkisigning", ("decline", "expire", "withdraw", "nothing")),
    "dokobit": ("dokobit", ("decline", "nothing")),
    "dokobit_universal": ("dokobit", ("decline", "nothing")),
    "connective": ("connective", ("decline", "expire", "withdraw", "nothing")),
    "signicat": ("signicat", ("decline", "expire", "withdraw", "nothing")),
}
PROVIDERS = ("pkisigning", "dokobit", "connective", "signicat")

# Longer than any storm lasts.
_GUSTY_SECONDS = 300

QueueTrick = Literal["copy", "delay", "reverse", "drop"]
CallbackTrick = Literal["copies", "drop", "reorder", "delay"]


@dataclass(frozen=True)
class Part:
    """One signing: after which share of the storm its caller asks for it, how, and what its signer does after how
    many seconds."""

    number: int
    account: str
    fate: Fate
    at: float
    waits: float
    manner: Manner

    @property
    def provider(self) -> str:
        return ACCOUNTS[self.account][0]

    @property
    def title(self) -> str:
        return f"Chaos {self.number:04}"

    @property
    def reference(self) -> str:
        return f"chaos-{self.number:04}"


@dataclass(frozen=True)
class Gust:
    """Something that goes wrong for a while: at a provider, with its callbacks, in the queues, or below the SDK."""

    at: float
    seconds: float
    provider: str
    faults: tuple[Fault, ...] = ()
    callbacks: CallbackTrick | None = None
    storage: float = 0.0


@dataclass(frozen=True)
class Plan:
    seed: int
    parts: tuple[Part, ...]
    gusts: tuple[Gust, ...]
    # In this order, one after the other: `kill~{point}`, `fault~{point}`, or `process` for a kill from outside.
    missions: tuple[str, ...]


def make_plan(seed: int, count: int = 200, random_kills: int = 6) -> Plan:
    dice = random.Random(seed)
    parts = tuple(_part(dice, number, count) for number in range(count))
    gusts = tuple(sorted(_gusts(dice), key=lambda gust: gust.at))
    missions = [f"kill~{point}" for point in CRASH_POINTS] + ["process"] * random_kills
    missions += [f"fault~{point}" for point in dice.sample(FAULT_POINTS, k=len(FAULT_POINTS) // 2)]
    dice.shuffle(missions)
    return Plan(seed, parts, gusts, tuple(missions))


def _part(dice: random.Random, number: int, count: int) -> Part:
    account = list(ACCOUNTS)[number % len(ACCOUNTS)]
    others = ACCOUNTS[account][1]
    fate: Fate = "complete" if dice.random() < 0.7 else dice.choice(others)
    manners: Sequence[Manner] = ("waiting", "async", "queue")
    [manner] = dice.choices(manners, (0.6, 0.2, 0.2))
    return Part(number, account, fate, number / count, dice.uniform(0, 3), manner)


def _gusts(dice: random.Random) -> list[Gust]:
    found = []
    for provider in PROVIDERS:
        at = dice.uniform(0, 3)
        while at < _GUSTY_SECONDS:
            lasts = dice.uniform(1.5, 4)
            found.append(_gust(dice, at, lasts, provider))
            at += lasts + dice.uniform(0.5, 3)
    found += [
        Gust(at + dice.uniform(0, 8), dice.uniform(1, 3), "", storage=0.02) for at in range(0, _GUSTY_SECONDS, 12)
    ]
    return found


def _gust(dice: random.Random, at: float, seconds: float, provider: str) -> Gust:
    if dice.random() < 0.4:
        tricks: tuple[CallbackTrick, ...] = ("copies", "drop", "reorder", "delay")
        return Gust(at, seconds, provider, callbacks=dice.choice(tricks))
    return Gust(at, seconds, provider, faults=(_fault(dice),))


def _fault(dice: random.Random) -> Fault:
    kinds: list[dict[str, object]] = [
        {"kind": FaultKind.STATUS, "status": 503},
        {"kind": FaultKind.STATUS, "status": 429, "retry_after": 1},
        {"kind": FaultKind.STATUS_AFTER, "status": 500},
        {"kind": FaultKind.HANG_UP_BEFORE},
        {"kind": FaultKind.LOST_ANSWER},
        {"kind": FaultKind.SLOW_ANSWER, "seconds": 0.7},
        {"kind": FaultKind.SLOW, "seconds": 0.7},
        {"kind": FaultKind.TRUNCATE},
        {"kind": FaultKind.LATE_SEAL, "seal": dice.choice(["conflict", "unsigned", "incomplete"])},
        {"kind": FaultKind.LATE_STATUS},
    ]
    chosen = dice.choice(kinds)
    return Fault.model_validate({**chosen, "times": None, "probability": dice.uniform(0.15, 0.5)})
