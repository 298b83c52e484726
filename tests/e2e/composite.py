"""`python -m tests.e2e.composite`: the stand-in for Metacontroller as a process, for any API server."""

import argparse
import asyncio
import base64
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from playground.composite.config import composite_config
from playground.composite.controller import CompositeController
from playground.composite.workqueue import TokenBucket
from probe_sidecar.kube.kubeconfig import kubeconfig


def api_client(file: Path, bucket: TokenBucket) -> httpx.AsyncClient:
    """For a kubeconfig. Each request takes a token of the bucket, but for Events."""

    async def limit(request: httpx.Request) -> None:
        if "/events" not in request.url.path:
            await asyncio.sleep(bucket.reserve())

    access = kubeconfig(file)
    return httpx.AsyncClient(
        base_url=access.server,
        verify=access.tls,
        auth=access.auth,
        limits=httpx.Limits(max_connections=50, max_keepalive_connections=50),
        trust_env=False,
        timeout=30,
        event_hooks={"request": [limit]},
    )


async def authorization(api: httpx.AsyncClient, webhook: Mapping[str, Any]) -> dict[str, str]:
    """The header with the token of the Secret that the webhook refers to, read once, as Metacontroller does."""
    if "authorization" not in webhook:
        return {}
    reference = webhook["authorization"]["secretRef"]
    answer = await api.get(f"/api/v1/namespaces/{reference['namespace']}/secrets/{reference['name']}")
    token = base64.b64decode(answer.raise_for_status().json()["data"][reference["key"]]).decode()
    return {"Authorization": f"{webhook['authorization']['type']} {token}"}


async def run(arguments: argparse.Namespace) -> None:
    """Runs until it is interrupted."""
    manifest = yaml.safe_load(arguments.manifest.read_text())
    config = composite_config(manifest)
    bucket = TokenBucket(arguments.qps, arguments.burst)
    async with (
        api_client(arguments.kubeconfig, bucket) as api,
        httpx.AsyncClient(base_url=arguments.hook, trust_env=False) as hook,
    ):
        hook.headers.update(await authorization(api, manifest["spec"]["hooks"]["sync"]["webhook"]))
        await CompositeController(config, api, hook).run()


def main() -> int:
    """Metacontroller's own flags where it has them."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.composite", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--hook", required=True, help="base URL of the hook")
    parser.add_argument("--manifest", type=Path, required=True, help="the CompositeController")
    parser.add_argument("--client-go-qps", dest="qps", type=float, default=5)
    parser.add_argument("--client-go-burst", dest="burst", type=int, default=10)
    logging.basicConfig(stream=sys.stderr, level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
