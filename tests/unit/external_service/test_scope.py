"""Which ExternalServices an installation handles, and which installations share them."""

import pytest

from external_service.scope import Scope, canonical
from playground.apiserver.selectors import label_selector
from tests.cases import cases


@cases(
    "written read",
    ("everything", "", ""),
    ("blanks", ("  "), ""),
    ("equal", "shard=a", "shard=a"),
    ("equal-twice", "shard == a", "shard=a"),
    ("unequal", "shard!=a", "shard!=a"),
    ("an-empty-value", "shard=", "shard="),
    ("there", "example.com/shard", "example.com/shard"),
    ("not-there", "! shard", "!shard"),
    ("order-does-not-matter", "b=2, a in (y,x , x)", "a in (x,y),b=2"),
    ("not-in", "a notin ( x, ),b", "a notin (,x),b"),
    ("twice-the-same", "a=1,a=1", "a=1"),
)
def test_selector_has_a_canonical_form(written: str, read: str) -> None:
    assert canonical(written) == read
    assert canonical(read) == read
    label_selector(read)  # which the stand-in's API server reads


NO_SELECTORS = "=a; a=b=c; a in b; a in ()x; in (a); !a=b; !a in (b); a,,b; ,; a>5; -a=b; A.com/x=y; a b"


@pytest.mark.parametrize("written", NO_SELECTORS.split("; "))
def test_invalid_selector_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no requirement of a label selector"):
        canonical(written)


def test_replica_group_depends_on_the_scope() -> None:
    scopes = [Scope(), Scope(("shop",)), Scope(("bank", "shop")), Scope((), "shard=a")]
    scopes += [Scope(("shop",), "shard=a"), Scope(("shop",), "shard=b")]
    groups = [scope.group for scope in scopes]
    assert groups[:2] == ["All", "shop"]
    assert len(set(groups)) == len(groups)
    assert all(len(group) <= 63 for group in groups)
    assert Scope((), "shard=a").group == groups[3] == "Scope-35d10441a4a45692"
