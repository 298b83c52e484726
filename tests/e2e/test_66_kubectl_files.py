"""kubectl reads files in the same way as we do: `kubectl create --dry-run=client` on each."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from playground.apiserver import FakeApiServer
from tests.contract.test_kubectl_files import FILES, File, essentials
from tests.e2e.controlplane.build import Binaries
from tests.e2e.controlplane.pin import documents

TOGETHER = 4
SECONDS = 60.0


@pytest.mark.e2e
async def test_kubectl_parses_files_as_recorded(binaries: Binaries, tmp_path: Path) -> None:
    places = asyncio.Semaphore(TOGETHER)
    async with FakeApiServer() as server:
        environment = {
            "HOME": str(tmp_path),
            "KUBECONFIG": str(server.kubeconfig(tmp_path / "kubeconfig")),
            "KUBECACHEDIR": str(tmp_path / "cache"),
        }

        async def read(file: File) -> tuple[str, Any]:
            async with places, asyncio.timeout(SECONDS):
                pipe = asyncio.subprocess.PIPE
                options = ("create", "--dry-run=client", "--validate=false", "--output=json", "--filename=-")
                kubectl = await asyncio.create_subprocess_exec(
                    binaries.kubectl, *options, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
                )
                output, _ = await kubectl.communicate(file.source.encode())
                return file.name, None if kubectl.returncode else [
                    essentials(one) for one in documents(output.decode())
                ]

        found = dict(await asyncio.gather(*map(read, FILES)))
    assert found == {file.name: file.objects for file in FILES}
