"""Rendezvous hashing: owners, their shares, and what moves when replicas change."""

from collections import Counter
from math import sqrt
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe_sidecar.replicas import owner, weights

MEMBERS = [f"probe-sidecar-external-service-operator-5d8c9f7b6-{number:05x}" for number in range(16)]
UIDS = [str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)) for number in range(20_000)]

names = st.text(min_size=1, max_size=20)
groups = st.sets(names, min_size=2, max_size=16)


def test_every_replica_computes_the_same_owner() -> None:
    """A fixed result, because replicas of different versions must agree during a rollout."""
    replicas = ["probe-sidecar-a", "probe-sidecar-b", "probe-sidecar-c"]
    uids = [f"00000000-0000-0000-0000-00000000000{digit}" for digit in range(10)]
    assert "".join(owner(uid, weights(replicas))[-1] for uid in uids) == "acaababbab"


@given(uids=st.lists(names, max_size=50), replicas=groups, data=st.data())
def test_leaving_replica_moves_only_its_own_share(uids: list[str], replicas: set[str], data: st.DataObject) -> None:
    leaver = data.draw(st.sampled_from(sorted(replicas)))
    before = {uid: owner(uid, weights(replicas)) for uid in uids}
    after = {uid: owner(uid, weights(replicas - {leaver})) for uid in uids}
    assert {uid for uid in uids if before[uid] != after[uid]} == {uid for uid in uids if before[uid] == leaver}


@pytest.mark.parametrize("count", [2, 3, 7, 16])
def test_shares_of_1000_have_the_expected_spread(count: int) -> None:
    """Shares are binomially distributed (ADR 10)."""
    of_count = weights(MEMBERS[:count])
    shares = Counter(owner(uid, of_count) for uid in UIDS[:1_000])
    share = 1 / count
    deviation = sqrt(1_000 * share * (1 - share))
    assert max(abs(shares[name] - 1_000 * share) for name in MEMBERS[:count]) < 4 * deviation
