"""Which ExternalServices an installation handles, and which installations share them."""

import pytest

from external_service.scope import Scope, canonical
from playground.apiserver.selectors import label_selector


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param("", "", id="everything"),
        pytest.param("  ", "", id="blanks"),
        pytest.param("shard=a", "shard=a", id="equal"),
        pytest.param("shard == a", "shard=a", id="equal-twice"),
        pytest.param("shard!=a", "shard!=a", id="unequal"),
        pytest.param("shard=", "shard=", id="an-empty-value"),
        pytest.param("example.com/shard", "example.com/shard", id="there"),
        pytest.param("! shard", "!shard", id="not-there"),
        pytest.param("b=2, a in (y,x , x)", "a in (x,y),b=2", id="order-does-not-matter"),
        pytest.param("a notin ( x, ),b", "a notin (,x),b", id="not-in"),
        pytest.param("a=1,a=1", "a=1", id="twice-the-same"),
    ],
)
def test_selector_has_a_canonical_form(written: str, read: str) -> None:
    assert canonical(written) == read
    assert canonical(read) == read
    label_selector(read)  # which the stand-in's API server reads


@pytest.mark.parametrize(
    "written",
    [
        "=a",
        "a=b=c",
        "a in b",
        "a in ()x",
        "in (a)",
        "!a=b",
        "!a in (b)",
        "a,,b",
        ",",
        "a>5",
        "-a=b",
        "A.com/x=y",
        "a b",
    ],
)
def test_invalid_selector_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no requirement of a label selector"):
        canonical(written)


def test_namespaces_limit_the_scope() -> None:
    assert Scope().covers("shop")
    assert Scope(("bank", "shop")).covers("shop")
    assert not Scope(("bank",)).covers("shop")


def test_replica_group_depends_on_the_scope() -> None:
    scopes = [
        Scope(),
        Scope(("shop",)),
        Scope(("bank", "shop")),
        Scope((), "shard=a"),
        Scope(("shop",), "shard=a"),
        Scope(("shop",), "shard=b"),
    ]
    groups = [scope.group for scope in scopes]
    assert groups[:2] == ["All", "shop"]
    assert len(set(groups)) == len(groups)
    assert all(len(group) <= 63 for group in groups)
    assert Scope((), "shard=a").group == groups[3] == "Scope-35d10441a4a45692"
