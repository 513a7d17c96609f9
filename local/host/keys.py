"""Access keys of HTTP functions (host guide C1)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["anonymous", "function", "admin"]


@dataclass(frozen=True)
class Keys:
    """`function` is a host key: it opens every function of level "function". `master` opens everything."""

    function: str
    master: str

    def allow(self, level: Level, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Checklist:
        1. anonymous functions need no key, and a wrong one does them no harm (OAuth also says `?code=`);
        2. the header `x-functions-key` wins over `?code=`, even when it is the wrong one of the two;
        3. no key, no access;
        4. the master key opens everything;
        5. the host key opens the level "function" only.
        """
        if level == "anonymous":  # 1
            return True
        given = headers.get("x-functions-key", query.get("code", ""))  # 2
        if not given:  # 3
            return False
        if _equal(given, self.master):  # 4
            return True
        return level == "function" and _equal(given, self.function)  # 5


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())
