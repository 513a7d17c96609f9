"""Route templates and their precedence, as ASP.NET Core reads them for the Functions host (host guide C1).

A method that a route does not list is no match at all, so it ends as 404 and never as 405.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")


class RouteError(ValueError):
    """The template is not one that the host accepts (or that this host imitates)."""


_Check = Callable[[str], bool]

_SPLIT_SEGMENTS = re.compile(r"/(?![^{]*\})")
_PARAMETER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_CONSTRAINT = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_GUID = re.compile(r"\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    name: str
    optional: bool
    catch_all: bool
    default: str | None
    checks: tuple[_Check, ...]


@dataclass(frozen=True)
class Template:
    text: str
    parameters: tuple[Parameter, ...]
    pattern: re.Pattern[str]
    # One digit per segment: literal 1, constrained or mixed 2, parameter 3, catch-all 4 or 5. Lower wins.
    precedence: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises RouteError."""
        parameters: list[Parameter] = []
        pattern, precedence = "", []
        for segment in filter(None, _SPLIT_SEGMENTS.split(text)):
            if parameters and parameters[-1].catch_all:
                raise RouteError(f"{text!r}: nothing can follow a catch-all.")
            piece, digit, found = _segment(segment)
            if parameters and parameters[-1].optional and not (found and found[0].optional):
                raise RouteError(f"{text!r}: only the last parameters can be optional.")
            pattern += piece
            precedence.append(digit)
            parameters.extend(found)
        _refuse_repeated(text, parameters)
        return cls(text, tuple(parameters), re.compile(pattern, re.IGNORECASE | re.DOTALL), tuple(precedence))

    def match(self, path: str) -> dict[str, str] | None:
        """The values in a decoded `path`, or None. An absent optional parameter is absent from the values."""
        found = self.pattern.fullmatch(path.rstrip("/"))
        if found is None:
            return None
        values: dict[str, str] = {}
        for parameter, given in zip(self.parameters, found.groups(), strict=True):
            value = given or parameter.default
            if not value:
                continue
            if not all(check(value) for check in parameter.checks):
                return None
            values[parameter.name] = value
        return values


@dataclass(frozen=True)
class Route(Generic[T]):
    template: Template
    methods: frozenset[str] | None
    target: T


class RouteTable(Generic[T]):
    def __init__(self, routes: Iterable[Route[T]]) -> None:
        """Raises RouteError when two routes have the same template and share a method."""
        self._routes = sorted(routes, key=lambda route: route.template.precedence)
        seen: dict[str, list[Route[T]]] = {}
        for route in self._routes:
            others = seen.setdefault(route.template.text.lower(), [])
            if any(_share_method(route, other) for other in others):
                raise RouteError(f"Two functions answer the same route and method: {route.template.text!r}.")
            others.append(route)

    def match(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """The best route for a still percent-encoded path, with its parameter values."""
        path = _decode(raw_path)
        for route in self._routes:
            if route.methods is not None and method.upper() not in route.methods:
                continue
            values = route.template.match(path)
            if values is not None:
                return route.target, values
        return None


def _segment(segment: str) -> tuple[str, int, list[Parameter]]:
    """A segment's pattern, precedence digit and parameters."""
    found = [_parameter(inner) for inner in _PARAMETER.findall(segment)]
    if not found:
        if set(segment) & set("{}*?"):
            raise RouteError(f"{segment!r} is not a route segment.")
        return "/" + re.escape(segment), 1, []
    if _PARAMETER.fullmatch(segment):
        return (*_lone_parameter(found[0]), found)
    if any(parameter.optional or parameter.catch_all for parameter in found):
        raise RouteError(f"{segment!r}: a mixed segment cannot hold an optional or catch-all parameter.")
    literals = _PARAMETER.sub("{}", segment).split("{}")
    return "/" + "([^/]+)".join(re.escape(literal) for literal in literals), 2, found


def _lone_parameter(parameter: Parameter) -> tuple[str, int]:
    if parameter.catch_all:
        return "(?:/(.*))?", 4 if parameter.checks else 5
    digit = 2 if parameter.checks else 3
    return ("(?:/([^/]+))?" if parameter.optional else "/([^/]+)"), digit


def _parameter(inner: str) -> Parameter:
    """`{x}`, `{x?}`, `{x=default}`, `{*rest}`, and constraints after colons."""
    stars = len(inner) - len(inner.lstrip("*"))
    body = inner[stars:]
    optional = body.endswith("?") and not stars
    head, *constraints = _split_constraints(body.removesuffix("?"))
    last = constraints[-1] if constraints else head
    before, equals, default = last.partition("=")
    if equals and "(" not in before:
        head, constraints = (head, [*constraints[:-1], before]) if constraints else (before, [])
    else:
        equals = ""
    if not _NAME.fullmatch(head) or stars > 2:
        raise RouteError(f"{{{inner}}} is not a route parameter.")
    checks = tuple(_check(constraint) for constraint in constraints)
    return Parameter(head, optional or bool(equals), bool(stars), default if equals else None, checks)


def _split_constraints(body: str) -> list[str]:
    """Split at colons that are not inside parentheses."""
    return re.split(r":(?![^(]*\))", body)


def _check(constraint: str) -> _Check:
    match = _CONSTRAINT.fullmatch(constraint)
    if match is None:
        raise RouteError(f"{constraint!r} is not a route constraint.")
    name, argument = match[1].lower(), match[2]
    try:
        return _simple_check(name) if argument is None else _check_with_argument(name, argument)
    except (KeyError, ValueError, re.error) as error:
        raise RouteError(f"The route constraint {constraint!r} is not known here.") from error


def _simple_check(name: str) -> _Check:
    checks: dict[str, _Check] = {
        "int": lambda value: _is_integer(value, 31),
        "long": lambda value: _is_integer(value, 63),
        "bool": lambda value: value.lower() in {"true", "false"},
        "guid": lambda value: _GUID.fullmatch(value) is not None,
        "alpha": lambda value: value.isascii() and value.isalpha(),
        "decimal": lambda value: _NUMBER.fullmatch(value) is not None,
        "double": lambda value: _NUMBER.fullmatch(value) is not None,
        "float": lambda value: _NUMBER.fullmatch(value) is not None,
        "required": bool,
    }
    return checks[name]


def _check_with_argument(name: str, argument: str) -> _Check:
    if name == "regex":
        expression = re.compile(argument, re.IGNORECASE)
        return lambda value: expression.search(value) is not None
    low, high = (int(argument.split(",", maxsplit=1)[0]), int(argument.rsplit(",", maxsplit=1)[-1]))
    checks: dict[str, _Check] = {
        "length": lambda value: low <= len(value) <= high,
        "minlength": lambda value: len(value) >= low,
        "maxlength": lambda value: len(value) <= low,
        "min": lambda value: _is_integer(value, 63) and int(value) >= low,
        "max": lambda value: _is_integer(value, 63) and int(value) <= low,
        "range": lambda value: _is_integer(value, 63) and low <= int(value) <= high,
    }
    return checks[name]


def _is_integer(value: str, bits: int) -> bool:
    return _INTEGER.fullmatch(value) is not None and -(2**bits) <= int(value) < 2**bits


def _refuse_repeated(text: str, parameters: list[Parameter]) -> None:
    names = [parameter.name.lower() for parameter in parameters]
    if len(set(names)) != len(names):
        raise RouteError(f"{text!r} uses one parameter name twice.")


def _share_method(one: Route[T], other: Route[T]) -> bool:
    return one.methods is None or other.methods is None or not one.methods.isdisjoint(other.methods)


def _decode(raw_path: str) -> str:
    """Percent-decode as Kestrel does: everything except an encoded slash, which stays inside its segment."""
    parts = re.split("(%2F)", raw_path, flags=re.IGNORECASE)
    return "".join(part if part.upper() == "%2F" else unquote(part) for part in parts)
