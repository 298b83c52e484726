"""How the doors are served; that they open and close is shown on the process itself (test_main)."""

import pytest

from app.guard import Guarded
from app.serving import CannotListen, listen, server_config, url

METACONTROLLER_IDLE_SECONDS = 90  # net/http DefaultTransport IdleConnTimeout


async def nobody(*_: object) -> None:
    """An application that is never asked."""


def test_connections_outlive_those_of_metacontroller() -> None:
    config = server_config(nobody)
    assert config.timeout_keep_alive > METACONTROLLER_IDLE_SECONDS
    assert (config.loop, config.http, config.access_log) == ("uvloop", Guarded, False)


def test_a_taken_port_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"^cannot listen on 127.0.0.1 port {port}: Address already in use$"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "http://127.0.0.1:{}"), ("::1", "http://[::1]:{}")])
def test_the_url_is_one(host: str, shown: str) -> None:
    with listen(host, 0) as listener:
        assert url(listener) == shown.format(listener.getsockname()[1])
