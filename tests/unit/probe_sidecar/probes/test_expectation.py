import pytest
from hypothesis import given
from hypothesis import strategies as st

from external_service.core import HTTPGetAction
from probe_sidecar.probes.http import Search
from probe_sidecar.probes.request import KUBELET, Expectation, expectation


def test_default_expectation_is_the_kubelets() -> None:
    assert expectation(HTTPGetAction(port=80)) == KUBELET == Expectation(statuses=(), text=b"", follow=True)
    assert KUBELET.plain


def test_expectation_options() -> None:
    action = HTTPGetAction(
        port=80, expectedStatuses=(401, "200-299", "404"), bodyContains="gr\u00fcn", redirects="Fail"
    )
    assert expectation(action) == Expectation(
        statuses=((401, 401), (200, 299), (404, 404)), text=b"gr\xc3\xbcn", follow=False
    )


@pytest.mark.parametrize(
    ("status", "listed"), [(199, False), (200, True), (250, True), (299, True), (300, False), (401, True), (402, False)]
)
def test_range_includes_its_ends(status: int, listed: bool) -> None:
    assert Expectation(statuses=((200, 299), (401, 401))).lists(status) is listed


@given(body=st.text("ab", max_size=30), text=st.text("ab", max_size=5), cuts=st.lists(st.integers(0, 30), max_size=6))
def test_text_is_found_at_any_split(body: str, text: str, cuts: list[int]) -> None:
    search, data = Search(text.encode()), body.encode()
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        search.feed(data[at:cut])
        at = max(at, cut)
    assert search.found is (text in body)
