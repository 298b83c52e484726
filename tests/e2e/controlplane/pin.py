"""Name another Kubernetes release in go.mod: `python tests/e2e/controlplane/pin.py 1.36.4`.

All else follows from that release's own go.mod: which staging modules there are (published as v0.MINOR.PATCH), the
etcd it is built against, the Go language version. Needs Go and its module proxy; nothing of this runs in a test.
"""

import json
import re
import subprocess
import sys
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


def released_go_mod(release: str) -> dict[str, Any]:
    """The go.mod of a Kubernetes release ("1.36.3"), as `go mod edit -json` prints it."""
    found = json.loads(_go("mod", "download", "-json", f"{KUBERNETES}@v{release}"))
    parsed: dict[str, Any] = json.loads(_go("mod", "edit", "-json", found["GoMod"]))
    return parsed


def go_mod(release: str, released: dict[str, Any]) -> str:
    """The text of our go.mod before `go mod tidy` adds the indirect requirements."""
    versions = {require["Path"]: require["Version"] for require in released["Require"]}
    staging = [replace["Old"]["Path"] for replace in released["Replace"]]
    published = "v0." + release.partition(".")[2]
    lines = [
        "// Written by pin.py: another Kubernetes release is `python pin.py RELEASE`, never an edit by hand.",
        "module eso.crowdfox.com/tests/e2e/controlplane",
        f"go {released['Go']}",
        *(f"godebug {setting['Key']}={setting['Value']}" for setting in released.get("GoDebug") or []),
        "tool (",
        *TOOLS,
        ")",
        "require (",
        f"{ETCD} {versions['go.etcd.io/etcd/client/v3']}",
        f"{KUBERNETES} v{release}",
        ")",
        "replace (",
        *(f"{module} => {module} {published}" for module in staging),
        ")",
    ]
    return "\n".join(lines) + "\n"


def _go(*arguments: str) -> str:
    """Run Go away from any go.work or go.mod of a bystander; its stderr goes to ours."""
    done = subprocess.run(("go", *arguments), cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or not re.fullmatch(r"1\.\d+\.\d+", arguments[0]):
        sys.exit("usage: pin.py RELEASE, a Kubernetes release without the v, for example 1.36.3")
    release = arguments[0]
    (HERE / "go.mod").write_text(go_mod(release, released_go_mod(release)))
    (HERE / "go.sum").unlink(missing_ok=True)
    _go("mod", "tidy")


if __name__ == "__main__":
    main(sys.argv[1:])
