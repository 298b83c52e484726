"""The containers of a Pod as processes, with its commands, environment, mounts and probes.

This does what a kubelet would do: ConfigMaps, Secrets and the ServiceAccount's token are read from the API server and
mounted where the Pod mounts them, in a mount namespace of the process. Not done: the image (the code is this checkout),
the user, the read-only root, limits. The network is that of the test; `names` are in place of DNS.
"""

import base64
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from playground.processes import Component, answers
from tests.e2e import accounts
from tests.e2e.controlplane.cluster import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
ONCE_SECONDS = 60

Object = dict[str, Any]


class Pod:
    """One Pod by its spec; `start` its containers in their order, `stop` them all. `names`: addresses by host name."""

    def __init__(
        self, plane: ControlPlane, metadata: Object, spec: Object, directory: Path, names: Mapping[str, str]
    ) -> None:
        self._plane = plane
        self._name: str = metadata["name"]
        self._namespace: str = metadata["namespace"]
        self._spec = spec
        self._directory = directory
        self._names = names
        self.components = {one["name"]: self._component(one) for one in spec["containers"]}

    def start(self) -> None:
        """Returns when the readiness probe of each succeeds."""
        for component in self.components.values():
            component.start()

    def stop(self) -> None:
        """SIGTERM to each."""
        for component in self.components.values():
            component.stop()

    def once(self, container: str) -> str:
        """The output of a container that ends by itself; CalledProcessError has its errors."""
        (found,) = (one for one in self._spec["containers"] if one["name"] == container)
        done = subprocess.run(
            self._mounted(found),
            check=True,
            capture_output=True,
            text=True,
            env=self._environment(found),
            timeout=ONCE_SECONDS,
        )
        return done.stdout

    def _component(self, container: Object) -> Component:
        url = _probe_url(container)
        return Component(
            container["name"],
            self._mounted(container),
            log=self._directory / f"{container['name']}.log",
            ready=(lambda: answers(url)) if url else (lambda: True),
            environment=self._environment(container),
        )

    def _environment(self, container: Object) -> dict[str, str]:
        """The environment as by the kubelet: envFrom, overridden by env; the API server; `python` of the image."""
        host, port = httpx.URL(self._plane.url).host, httpx.URL(self._plane.url).port
        made = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": str(port),
        }
        for source in container.get("envFrom", ()):
            made |= self._read("configmaps", source["configMapRef"]["name"])["data"]
        for one in container.get("env", ()):
            field = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            made[one["name"]] = self._field(field) if field else str(one["value"])
        return made

    def _mounted(self, container: Object) -> list[str]:
        """The command with its volumes mounted; a copy of /etc and an empty /run have the mount points."""
        room = self._directory / f"{self._name}-{container['name']}"
        for top in ("etc", "run", "volumes"):
            (room / top).mkdir(parents=True, exist_ok=True)
        (room / "hosts").write_text("".join(f"{address} {name}\n" for name, address in self._names.items()))
        lines = [f"cd {shlex.quote(str(room))}", "cp -a /etc/. etc", "cp hosts etc/hosts", "mount --make-rprivate /"]
        lines += ["mount --bind etc /etc", "mount --bind run /run"]
        for mount in container.get("volumeMounts", ()):
            place = shlex.quote(mount["mountPath"])
            volume = self._volume(mount["name"], room / "volumes" / mount["name"])
            lines += [f"mkdir -p {place}", f"mount --bind -o ro {shlex.quote(str(volume))} {place}"]
        script = "\n".join(("set -e", *lines, 'exec "$@"'))
        return ["unshare", "--mount", "--", "sh", "-c", script, "sh", *container["command"]]

    def _volume(self, name: str, target: Path) -> Path:
        (volume,) = (one for one in self._spec["volumes"] if one["name"] == name)
        target.mkdir(parents=True, exist_ok=True)
        for file, content in self._files(volume).items():
            (target / file).write_bytes(content)
        return target

    def _files(self, volume: Object) -> dict[str, bytes]:
        if "secret" in volume:
            source = volume["secret"]
            data = self._read("secrets", source["secretName"])["data"]
            return {item["path"]: base64.b64decode(data[item["key"]]) for item in source["items"]}
        files: dict[str, bytes] = {}
        for source in volume["projected"]["sources"]:
            files |= self._projected(source)
        return files

    def _projected(self, source: Object) -> dict[str, bytes]:
        if token := source.get("serviceAccountToken"):
            account = self._spec["serviceAccountName"]
            return {token["path"]: accounts.token(self._plane.admin, (self._namespace, account)).encode()}
        if given := source.get("configMap"):
            data = self._read("configmaps", given["name"])["data"]
            return {item["path"]: data[item["key"]].encode() for item in given["items"]}
        items = source["downwardAPI"]["items"]
        return {item["path"]: self._field(item["fieldRef"]["fieldPath"]).encode() for item in items}

    def _field(self, path: str) -> str:
        return {"metadata.name": self._name, "metadata.namespace": self._namespace}[path]

    def _read(self, plural: str, name: str) -> Object:
        path = f"/api/v1/namespaces/{self._namespace}/{plural}/{name}"
        found: Object = self._plane.admin.get(path).raise_for_status().json()
        return found


def of_deployment(plane: ControlPlane, namespace: str, name: str, directory: Path, names: Mapping[str, str]) -> Pod:
    """One Pod of a Deployment."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    template = plane.admin.get(path).raise_for_status().json()["spec"]["template"]
    metadata = {"name": f"{name}-5d8c9f7b6-x2x4z", "namespace": namespace}
    return Pod(plane, metadata, template["spec"], directory, names)


def _probe_url(container: Object) -> str | None:
    probe = container.get("readinessProbe")
    if probe is None:
        return None
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    return f"http://{HOST}:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
