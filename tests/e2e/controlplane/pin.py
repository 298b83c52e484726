"""Name another Kubernetes release in go.mod: `python tests/e2e/controlplane/pin.py 1.36.4`.

All else follows from that release's own go.mod: which staging modules there are (published as v0.MINOR.PATCH), the
etcd it is built against, the Go language version. Needs Go and its module proxy.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KUBERNETES = "k8s.io/kubernetes"
ETCD = "go.etcd.io/etcd/server/v3"
TOOLS = (
    ETCD,
    f"{KUBERNETES}/cmd/kube-apiserver",
    f"{KUBERNETES}/cmd/kube-controller-manager",
    f"{KUBERNETES}/cmd/kube-proxy",
    f"{KUBERNETES}/cmd/kubectl",
)


def released(release: str) -> tuple[Path, dict[str, Any]]:
    """The directory of a Kubernetes release ("1.36.3"), and its go.mod as `go mod edit -json` prints it."""
    found = json.loads(_go("mod", "download", "-json", f"{KUBERNETES}@v{release}"))
    parsed: dict[str, Any] = json.loads(_go("mod", "edit", "-json", found["GoMod"]))
    return Path(found["Dir"]), parsed


def published(release: str, modules: list[str]) -> dict[str, str]:
    """The version of each staging module for a release: v0.MINOR.PATCH, or the newest patch before that is served.

    A proxy may serve a module without its last patches. Raises LookupError for one without any patch of this minor.
    """
    minor, _, patch = ("v0." + release.partition(".")[2]).rpartition(".")
    versions: dict[str, str] = {}
    for candidate in range(int(patch), -1, -1):
        missing = [module for module in modules if module not in versions]
        if not missing:
            return versions
        listed = _go("list", "-m", "-e", "-json", *(f"{module}@{minor}.{candidate}" for module in missing))
        versions |= {one["Path"]: one["Version"] for one in documents(listed) if "GoMod" in one}
    if missing := [module for module in modules if module not in versions]:
        raise LookupError(f"the module proxy serves no {minor} of {', '.join(missing)}")
    return versions


def documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON documents of a text, one after the other."""
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].lstrip()


def go_mod(release: str, parsed: dict[str, Any]) -> str:
    """The text of our go.mod before `go mod tidy` adds the indirect requirements."""
    versions = {require["Path"]: require["Version"] for require in parsed["Require"]}
    tools = ["tool (", *TOOLS, ")"]
    return _go_mod(release, parsed, tools, [f"{ETCD} {versions['go.etcd.io/etcd/client/v3']}"])


def write_module(release: str, directory: Path) -> None:
    """A module in `directory` of which kube-apiserver of `release` can be built with `-mod=mod`.

    Its go.sum begins as the release's own, so the hashes of all modules but Kubernetes' own are the release's.
    """
    source, parsed = released(release)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "go.mod").write_text(_go_mod(release, parsed, [], []))
    (directory / "go.sum").write_bytes((source / "go.sum").read_bytes())


def _go_mod(release: str, parsed: dict[str, Any], tools: list[str], more: list[str]) -> str:
    versions = published(release, [replace["Old"]["Path"] for replace in parsed["Replace"]])
    lines = [
        "// Written by pin.py: another Kubernetes release is `python pin.py RELEASE`, never an edit by hand.",
        "module eso.crowdfox.com/tests/e2e/controlplane",
        f"go {parsed['Go']}",
        *(f"godebug {setting['Key']}={setting['Value']}" for setting in parsed.get("GoDebug") or []),
        *tools,
        "require (",
        *more,
        f"{KUBERNETES} v{release}",
        ")",
        "replace (",
        *(f"{module} => {module} {version}" for module, version in sorted(versions.items())),
        ")",
    ]
    return "\n".join(lines) + "\n"


def _go(*arguments: str) -> str:
    """Run Go outside of any foreign go.work or go.mod; its stderr goes to ours."""
    environment = {**os.environ, "GOWORK": "off", "GOTOOLCHAIN": "auto"}
    done = subprocess.run(("go", *arguments), cwd=HERE, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or not re.fullmatch(r"1\.\d+\.\d+", arguments[0]):
        sys.exit("usage: pin.py RELEASE, a Kubernetes release without the v, for example 1.36.3")
    release = arguments[0]
    (HERE / "go.mod").write_text(go_mod(release, released(release)[1]))
    (HERE / "go.sum").unlink(missing_ok=True)
    _go("mod", "tidy")


if __name__ == "__main__":
    main(sys.argv[1:])
