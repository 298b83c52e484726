"""A CompositeController's manifest, with Metacontroller's defaults."""

from typing import Any

from playground.composite.config import composite_config
from tests.cases import cases


def manifest(**spec: Any) -> dict[str, Any]:
    parent = {"apiVersion": "example.com/v1", "resource": "things"}
    hooks = {"sync": {"webhook": {"url": "http://hook.example:8080/sync/it"}}}
    return {"spec": {"parentResource": parent, "hooks": hooks, "childResources": []} | spec}


def test_composite_controller_defaults() -> None:
    config = composite_config(manifest())
    assert (config.hook_path, config.hook_timeout) == ("/sync/it", 10)
    assert (config.resync_seconds, config.generate_selector) == (None, False)
    assert composite_config(manifest(resyncPeriodSeconds=0)).resync_seconds == 1
    assert config.selects({"metadata": {}})


@cases(
    "text seconds",
    ("seconds", "2s", 2),
    ("milliseconds", "250ms", 0.25),
    ("minutes", "1m", 60),
    ("zero is the default", "0s", 10),
    ("none is the default", None, 10),
)
def test_webhook_timeout_is_parsed(text: str | None, seconds: float) -> None:
    webhook = {"path": "/sync", "timeout": text}
    assert composite_config(manifest(hooks={"sync": {"webhook": webhook}})).hook_timeout == seconds
