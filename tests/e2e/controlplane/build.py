"""Build the control plane, its consumers and kubectl: `python -m tests.e2e.controlplane.build [RELEASE...]`.

The release is that of go.mod. The API server of each further RELEASE is built too; ESO_E2E_KUBERNETES selects one.
Built once: the cache directory of the binaries is named by a digest of their sources, so only a changed go.mod builds
again. Never touches the network itself: Go fetches the modules.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.controlplane import pin

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("ESO_E2E_CACHE") or HERE.parents[2] / ".cache" / "controlplane")
RELEASES = ("1.31.14", "1.32.13", "1.33.13", "1.34.4", "1.35.4", "1.36.3", "1.37.2")
"""A release of each Kubernetes minor that is supported, the oldest first. One of them is that of go.mod."""
WANTED = "ESO_E2E_KUBERNETES"
API_SERVER = "k8s.io/kubernetes/cmd/kube-apiserver"
GO_BUILD = ("go", "build", "-trimpath", "-buildvcs=false")
PINNED = ("-mod=readonly",)
GENERATED = ("-mod=mod", "-gcflags=all=-dwarf=false -l")
"""For a module that pin.py has written. Without inlining the compiler needs a third less time."""
STRIPPED = "-s -w"
TRAEFIK = "github.com/traefik/traefik/v3"
TRAEFIK_MANIFESTS = {
    "gateway-api.yaml": ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_[!v]*.yaml"),
    "rbac.yaml": (TRAEFIK, "docs/content/reference/dynamic-configuration/kubernetes-[cg]*-rbac.yml"),
}
"""File beside the binary -> module and files in it, as one YAML stream; without `vap_*`, a policy for upgrades."""


class GoMissing(Exception):
    """No usable Go on this machine; the text says which is needed."""


class BuildFailed(Exception):
    """The build failed; the text has Go's output."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Absolute paths of executables. `release` is that of the API server, for example "v1.36.3"."""

    release: str
    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_proxy: Path
    kubectl: Path
    coredns: Path
    traefik: Path
    """TRAEFIK_MANIFESTS are beside it."""


def build(wanted: str = "", cache: Path = CACHE) -> Binaries:
    """Build what the cache lacks, one printed line for each; raises GoMissing or BuildFailed.

    wanted: the API server's release or its minor, "1.31"; the default is $ESO_E2E_KUBERNETES, then that of go.mod.
    """
    pinned = kubernetes_release((HERE / "go.mod").read_text())
    release = release_of(wanted or os.environ.get(WANTED) or pinned)
    flags = version_flags(pinned)
    kubernetes = cache / f"kubernetes-{pinned}-{key(HERE, flags)}"
    coredns = cache / f"coredns-{key(HERE / 'coredns', STRIPPED)}"
    return Binaries(
        release=release,
        etcd=tool(HERE, "go.etcd.io/etcd/server/v3", flags, kubernetes / "etcd"),
        kube_apiserver=(
            tool(HERE, API_SERVER, flags, kubernetes / "kube-apiserver")
            if release == pinned
            else other_api_server(release, cache)
        ),
        kube_controller_manager=tool(
            HERE, "k8s.io/kubernetes/cmd/kube-controller-manager", flags, kubernetes / "kube-controller-manager"
        ),
        kube_proxy=tool(HERE, "k8s.io/kubernetes/cmd/kube-proxy", flags, kubernetes / "kube-proxy"),
        kubectl=tool(HERE, "k8s.io/kubernetes/cmd/kubectl", flags, kubernetes / "kubectl"),
        coredns=tool(HERE / "coredns", ".", STRIPPED, coredns / "coredns"),
        traefik=_traefik(cache),
    )


def release_of(wanted: str) -> str:
    """ "v1.31.14" of "1.31", "1.31.14" or "v1.31.14"; BuildFailed for a release that is not in RELEASES."""
    name = wanted.removeprefix("v")
    for release in RELEASES:
        if name in (release, release.rpartition(".")[0]):
            return f"v{release}"
    raise BuildFailed(f"{WANTED}: {wanted} is not one of {', '.join(RELEASES)}")


def other_api_server(release: str, cache: Path) -> Path:
    """kube-apiserver of a release that go.mod does not name, built from a module that pin.py writes into the cache."""
    flags = version_flags(release)
    made_of = (release, flags, Path(pin.__file__).read_text(), _go_version(HERE), *GO_BUILD, *GENERATED)
    directory = cache / f"kubernetes-{release}-{hashlib.sha256(' '.join(made_of).encode()).hexdigest()[:16]}"
    target = directory / "kube-apiserver"
    if not target.exists():
        try:
            pin.write_module(release.removeprefix("v"), directory / "module")
        except (LookupError, subprocess.CalledProcessError) as problem:
            raise BuildFailed(f"Kubernetes {release} cannot be had: {problem}") from problem
    return tool(directory / "module", API_SERVER, flags, target, GENERATED)


def _traefik(cache: Path) -> Path:
    module = HERE / "traefik"
    directory = cache / f"traefik-{key(module, STRIPPED)}"
    for name, (source, pattern) in TRAEFIK_MANIFESTS.items():
        if not (directory / name).exists():
            directory.mkdir(parents=True, exist_ok=True)
            found = sorted(_downloaded(module, source).glob(pattern))
            unfinished = directory / f"{name}.{os.getpid()}"
            unfinished.write_text("\n---\n".join(file.read_text() for file in found))
            unfinished.replace(directory / name)
    return tool(module, f"{TRAEFIK}/cmd/traefik", STRIPPED, directory / "traefik")


def _downloaded(module: Path, required: str) -> Path:
    """Directory of a module that another requires, in the required version; fetched if it is missing."""
    command = ("go", "mod", "download", "-json", required)
    done = subprocess.run(command, check=False, cwd=module, env=_go_env(), capture_output=True, text=True)
    if done.returncode:
        raise BuildFailed(f"{required} cannot be fetched:\n{done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def kubernetes_release(go_mod: str) -> str:
    """The version that go.mod requires of k8s.io/kubernetes, with its v."""
    found = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise BuildFailed("go.mod requires no k8s.io/kubernetes: write it with pin.py")
    return found[1]


def version_flags(release: str) -> str:
    """Linker flags: no debug symbols, and the version that a module from a registry does not know of itself."""
    major, minor = release.removeprefix("v").split(".")[:2]
    values = {"gitVersion": release, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    settings = (f"-X {package}.{name}={value}" for package in packages for name, value in values.items())
    return " ".join((STRIPPED, *settings))


def key(module: Path, linker_flags: str) -> str:
    """Digest of a module's files, the Go release and the flags."""
    digest = hashlib.sha256(" ".join((_go_version(module), *GO_BUILD, *PINNED, linker_flags)).encode())
    sources = (*sorted(module.glob("*.go")), *sorted(module.glob("stand-ins/**/*.go")))
    for source in (*sources, module / "go.mod", module / "go.sum"):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _go_version(module: Path) -> str:
    wanted = re.search(r"^go (\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    needed = f"Go {wanted[1] if wanted else ''} or newer is needed to build the control plane for tests/e2e"
    if shutil.which("go") is None:
        raise GoMissing(f"{needed}: no `go` in PATH")
    command = ("go", "env", "GOVERSION", "GOOS", "GOARCH")
    done = subprocess.run(command, check=False, cwd=module, env=_go_env(), capture_output=True, text=True)
    if done.returncode:
        raise GoMissing(f"{needed}: {done.stderr.strip()}")
    return done.stdout


def _go_env() -> dict[str, str]:
    """Environment of Go: no C compiler, no foreign go.work, and the Go release that a module requires."""
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "auto"}


def tool(module: Path, package: str, linker_flags: str, target: Path, options: tuple[str, ...] = PINNED) -> Path:
    """One binary of a module; built if it is not there."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    started = time.monotonic()
    command = (*GO_BUILD, *options, "-ldflags", linker_flags, "-o", str(unfinished), package)
    done = subprocess.run(command, check=False, cwd=module, env=_go_env(), stderr=subprocess.PIPE, text=True)
    if done.returncode:
        unfinished.unlink(missing_ok=True)
        raise BuildFailed(f"{package} does not build:\n{done.stderr}")
    unfinished.replace(target)
    sys.stdout.write(f"{target.name}: built in {time.monotonic() - started:.0f} s\n")
    sys.stdout.flush()
    return target


if __name__ == "__main__":
    try:
        for wanted in ("", *sys.argv[1:]):
            sys.stdout.write(f"{build(wanted)}\n")
    except (GoMissing, BuildFailed) as problem:
        sys.exit(str(problem))
