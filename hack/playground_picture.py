"""Writes docs/img/playground.svg, the playground's live view as rich draws it: `python -m hack.playground_picture`."""

import asyncio
import io
import re
from pathlib import Path

from rich.console import Console

from playground.backends import Mode
from playground.journal import Journal
from playground.manifests import complex_example
from playground.show import _following
from playground.snapshot import snapshot
from playground.stack import Playground
from playground.until import until
from playground.view import live

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "img" / "playground.svg"
ADDRESS = "10.0.100.10"
SETTLED_SECONDS = 15.0
QUICK_PROBE = {"periodSeconds": 1, "timeoutSeconds": 1}


async def main() -> None:
    """Draws the view a second after an address has become not ready."""
    async with Playground() as playground:
        journal = Journal()
        async with _following(playground, journal):
            manifest = complex_example()
            manifest["spec"]["readinessProbe"] |= QUICK_PROBE
            await playground.apply(manifest)
            await asyncio.sleep(SETTLED_SECONDS)
            await playground.set_backend(ADDRESS, Mode.ERROR)

            async def dead() -> bool:
                return any(not row.ready for row in (await snapshot(playground)).addresses)

            await until(dead, "an address is not ready", seconds=10)
            await asyncio.sleep(1)
            console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
            console.print(live(await snapshot(playground), journal.entries, 0, "/tmp/eso-playground/kubeconfig"))
    drawn = console.export_svg(title="make playground", unique_id="playground")
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))


if __name__ == "__main__":
    asyncio.run(main())
