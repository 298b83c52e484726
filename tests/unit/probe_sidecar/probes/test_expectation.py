import pytest
from hypothesis import given
from hypothesis import strategies as st

from external_service.core import HTTPGetAction
from probe_sidecar.probes.expectation import KUBELET, Expectation, Search, expectation


def test_without_options_it_is_the_kubelets() -> None:
    assert expectation(HTTPGetAction(port=80)) == KUBELET == Expectation(statuses=(), text=b"", follow=True)
    assert KUBELET.plain


def test_the_options_are_read_once() -> None:
    action = HTTPGetAction(
        port=80, expectedStatuses=(401, "200-299", "404"), bodyContains="gr\u00fcn", redirects="Fail"
    )
    assert expectation(action) == Expectation(
        statuses=((401, 401), (200, 299), (404, 404)), text=b"gr\xc3\xbcn", follow=False
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Expectation(statuses=((200, 200),)), id="statuses"),
        pytest.param(Expectation(text=b"ok"), id="text"),
    ],
)
def test_what_judges_an_answer_of_2xx_is_not_plain(options: Expectation) -> None:
    assert not options.plain


@pytest.mark.parametrize(
    ("status", "listed"), [(199, False), (200, True), (250, True), (299, True), (300, False), (401, True), (402, False)]
)
def test_the_ends_of_a_range_belong_to_it(status: int, listed: bool) -> None:
    assert Expectation(statuses=((200, 299), (401, 401))).lists(status) is listed


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7], ids="in pieces of {}".format)
@pytest.mark.parametrize("text", ["a", "ab", "aab", "abaab", "xxabaabxx"])
def test_a_text_that_the_pieces_part(text: str, size: int) -> None:
    body, search = b"xxabaabxx", Search(text.encode())
    for at in range(0, len(body), size):
        search.feed(body[at : at + size])
    assert search.found


@given(body=st.text("ab", max_size=30), text=st.text("ab", max_size=5), cuts=st.lists(st.integers(0, 30), max_size=6))
def test_a_text_is_found_however_the_body_is_cut(body: str, text: str, cuts: list[int]) -> None:
    search, data = Search(text.encode()), body.encode()
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        search.feed(data[at:cut])
        at = max(at, cut)
    assert search.found is (text in body)
