"""Route templates and their precedence."""

from __future__ import annotations

import pytest

from local.host.routes import Route, RouteError, RouteTable, Template


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("api/a", "/api/a", {}),
        ("api/a", "/API/A/", {}),
        ("api/a", "/api/a/b", None),
        ("api/a", "/api/ab", None),
        ("api/a.b", "/api/axb", None),
        ("{x}", "/1", {"x": "1"}),
        ("{x}", "/", None),
        ("{x}", "//", None),
        ("a/{x?}", "/a", {}),
        ("a/{x?}", "/a/1", {"x": "1"}),
        ("a/{x?}", "/a/1/2", None),
        ("a/{x}/{y?}/{z?}", "/a/1", {"x": "1"}),
        ("a/{x}/{y?}/{z?}", "/a/1/2/3", {"x": "1", "y": "2", "z": "3"}),
        ("a/{x=7}", "/a", {"x": "7"}),
        ("a/{x:int=7}", "/a", {"x": "7"}),
        ("a/{x=7}", "/a/8", {"x": "8"}),
        ("a/{*rest}", "/a", {}),
        ("a/{*rest}", "/a/1/2", {"rest": "1/2"}),
        ("{*rest}", "/", {}),
        ("a/{x}-{y}.json", "/a/1-2.json", {"x": "1", "y": "2"}),
        ("a/{x}-{y}.json", "/a/1.json", None),
        ("a/{x:int}", "/a/-12", {"x": "-12"}),
        ("a/{x:int}", "/a/1.5", None),
        ("a/{x:int}", "/a/99999999999", None),
        ("a/{x:long}", "/a/99999999999", {"x": "99999999999"}),
        ("a/{x:int?}", "/a", {}),
        ("a/{x:int?}", "/a/b", None),
        ("a/{x:guid}", "/a/0190163d-8694-739b-aea5-966c26f8ad91", {"x": "0190163d-8694-739b-aea5-966c26f8ad91"}),
        ("a/{x:guid}", "/a/0190163d", None),
        ("a/{x:bool}", "/a/True", {"x": "True"}),
        ("a/{x:alpha:length(2,3)}", "/a/abc", {"x": "abc"}),
        ("a/{x:alpha:length(2,3)}", "/a/a1", None),
        ("a/{x:length(2)}", "/a/abc", None),
        ("a/{x:minlength(2)}", "/a/a", None),
        ("a/{x:maxlength(2)}", "/a/abc", None),
        ("a/{x:range(1,5)}", "/a/5", {"x": "5"}),
        ("a/{x:range(1,5)}", "/a/6", None),
        ("a/{x:min(3)}", "/a/2", None),
        ("a/{x:max(3)}", "/a/2", {"x": "2"}),
        ("a/{x:decimal}", "/a/1.5", {"x": "1.5"}),
        ("a/{x:regex(^(ab|c/d:e)$)}", "/a/AB", {"x": "AB"}),
        ("a/{x:regex(^v=1$)}", "/a/v=1", {"x": "v=1"}),
        ("a/{x:regex(^ab$)}", "/a/abc", None),
    ],
)
def test_match(template: str, path: str, values: dict[str, str] | None) -> None:
    assert Template.parse(template).match(path) == values


@pytest.mark.parametrize(
    "template",
    [
        "a/{x",
        "a/x}",
        "a/{}",
        "a/{1x}",
        "a/*",
        "a?b",
        "a/{*rest}/b",
        "a/{x?}/b",
        "a/{x}/{X}",
        "a/{x:odd}",
        "a/{x:length(a)}",
        "a/{x:regex([)}",
        "a/v{x?}",
    ],
)
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(RouteError):
        Template.parse(template)


def table(*templates: str, methods: frozenset[str] | None = None) -> RouteTable[str]:
    return RouteTable(Route(Template.parse(text), methods, text) for text in templates)


@pytest.mark.parametrize(
    ("path", "winner"),
    [
        ("/a/b", "a/b"),
        ("/a/5", "a/{x:int}"),
        ("/a/v5", "a/v{x}"),
        ("/a/c", "a/{x}"),
        ("/a/b/c", "a/{x}/c"),
        ("/a/b/d", "a/{*rest}"),
        ("/a", "a"),
        ("/b", "{*all}"),
    ],
)
def test_precedence_does_not_depend_on_order(path: str, winner: str) -> None:
    templates = ["{*all}", "a/{*rest}", "a/{x}", "a/{x}/c", "a/v{x}", "a/{x:int}", "a/b", "a"]
    for order in (templates, templates[::-1]):
        found = table(*order).match("GET", path)
        assert found is not None
        assert found[0] == winner


def test_an_encoded_slash_stays_inside_its_segment() -> None:
    assert table("a/{x}").match("GET", "/a/1%2f2%20%253") == ("a/{x}", {"x": "1%2f2 %3"})


def test_the_method_is_part_of_the_route() -> None:
    routes = RouteTable(
        [
            Route(Template.parse("a/b"), frozenset({"GET"}), "literal"),
            Route(Template.parse("a/{x}"), frozenset({"POST"}), "parameter"),
            Route(Template.parse("c"), None, "any"),
        ]
    )

    assert routes.match("POST", "/a/b") == ("parameter", {"x": "b"})
    assert routes.match("DELETE", "/a/b") is None
    assert routes.match("DELETE", "/c") == ("any", {})


def test_two_functions_may_share_a_route_but_not_a_method() -> None:
    get, post = (Route(Template.parse("a"), frozenset({method}), method) for method in ("GET", "POST"))
    assert RouteTable([get, post]).match("POST", "/a") == ("POST", {})
    with pytest.raises(RouteError, match="same route"):
        RouteTable([get, post, Route(Template.parse("A"), frozenset({"POST"}), "again")])
