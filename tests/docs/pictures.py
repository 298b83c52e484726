"""The pictures in docs/img: `python -m tests.docs.pictures` (a minute and a half; needs Prometheus in PATH).

playground.svg is the playground's own live view, as rich draws it. dashboard.svg is no screenshot: Grafana is not among
what we may use. It is each panel of the shipped dashboard, with the answers of a real Prometheus that scraped a
playground, drawn by `tests.docs.panels`.
"""

import asyncio
import io
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from playground.__main__ import quick_example
from playground.backends import Mode
from playground.journal import Journal
from playground.show import _following
from playground.snapshot import snapshot
from playground.stack import Playground
from playground.until import until
from playground.view import live
from tests.docs.panels import Answer, draw
from tests.e2e.controlplane.component import free_ports

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "img"
DASHBOARD = ROOT / "helm" / "external-service-operator" / "files" / "dashboard.json"
HOST = "127.0.0.1"
RATE, STEP = "10s", 1.0
ALL = {"$namespace": ".*", "$name": ".*", "$job": ".*", "$__rate_interval": RATE}

# seconds after the start: (address, what becomes of its backend)
PLAY = (
    (15, "10.0.100.10", Mode.ERROR),
    (30, "10.0.100.10", Mode.HEALTHY),
    (40, "10.0.100.11", Mode.REFUSE),
    (45, "10.0.100.10", Mode.REFUSE),
    (55, "10.0.100.10", Mode.HEALTHY),
    (60, "10.0.100.11", Mode.HEALTHY),
)
SECONDS = 75.0

Object = dict[str, Any]


async def main() -> None:
    """Both pictures, from one playground."""
    hook, sidecar, prometheus = free_ports(3)
    environment = {"ESO_METRICS_LISTEN_PORT": str(hook), "ESO_HEALTH_LISTEN_PORT": str(sidecar)}
    async with Playground(environment=environment) as playground, _scraped(prometheus, hook, sidecar) as client:
        journal = Journal()
        async with _following(playground, journal):
            began = time.time()
            await playground.apply(quick_example())
            for at, address, mode in PLAY:
                await asyncio.sleep(max(0.0, began + at - time.time()))
                await playground.set_backend(address, mode)
                if mode is Mode.ERROR:
                    await _screenshot(playground, journal)
            await asyncio.sleep(max(0.0, began + SECONDS - time.time()))
        board = json.loads(DASHBOARD.read_text())
        answers = [await _answers(client, panel, began - 5, time.time()) for panel in board["panels"]]
    (PICTURES / "dashboard.svg").write_text(draw(board, answers))


async def _screenshot(playground: Playground, journal: Journal) -> None:
    async def dead() -> bool:
        return any(not row.ready for row in (await snapshot(playground)).addresses)

    await until(dead, "an address is not ready", seconds=10)
    await asyncio.sleep(1)
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(live(await snapshot(playground), journal.entries, 0, "/tmp/eso-playground/kubeconfig"))
    drawn = console.export_svg(title="make playground", unique_id="playground")
    (PICTURES / "playground.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))


@asynccontextmanager
async def _scraped(port: int, hook: int, sidecar: int) -> AsyncIterator[httpx.AsyncClient]:
    """A Prometheus that asks both processes each second, with the labels that the chart's ServiceMonitor gives."""
    binary = shutil.which("prometheus")
    if binary is None:
        sys.exit("no `prometheus` in PATH: install Debian's package of that name, or unpack it")
    jobs = [
        {
            "job_name": f"external-service-operator-{container}",
            "honor_labels": True,
            "static_configs": [{"targets": [f"{HOST}:{asked}"], "labels": {"pod": "eso-0", "container": container}}],
        }
        for container, asked in (("hook", hook), ("sidecar", sidecar))
    ]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        config = Path(folder) / "prometheus.yml"  # JSON is YAML
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
        command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
        listen = f"--web.listen-address={HOST}:{port}"
        process = await asyncio.create_subprocess_exec(*command, listen, stdout=log, stderr=log)
        try:
            async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as client:
                yield client
        finally:
            process.terminate()
            await process.wait()


async def _answers(client: httpx.AsyncClient, panel: Object, begin: float, end: float) -> list[Answer]:
    """What Prometheus says to each question of a panel."""
    found = []
    for target in panel.get("targets", ()):
        expression = target["expr"]
        for variable, value in ALL.items():
            expression = expression.replace(variable, value)
        question = {"query": expression, "start": begin, "end": end, "step": STEP}
        answer = (await client.get("/api/v1/query_range", params=question)).raise_for_status().json()
        for series in answer["data"]["result"]:
            points = [(float(at), float(value)) for at, value in series["values"]]
            found.append(Answer(_legend(target.get("legendFormat", ""), series["metric"]), series["metric"], points))
    return found


def _legend(form: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), "" if form == "__auto" else form)


if __name__ == "__main__":
    asyncio.run(main())
