"""Pods of deploy/kubernetes, run as a kubelet would: the program as it is here in place of the
image's, in a root of its own that is read-only, with real mounts, as user 10001.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import dashboard_scraper
from mounts import mounted_secrets
from tree import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
Document = dict[str, Any]


def kubectl() -> str:
    """The kubectl of the packages for releases, or else the machine's; skips if there is none."""
    own = ROOT / ".venv-release" / "bin" / "kubectl"
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        assert "CI" not in os.environ, "CI provides kubectl"
        pytest.skip("kubectl is not there: make .venv-release/.ready")
    return found


@functools.cache
def rendered(folder: Path) -> Sequence[Document]:
    """The documents that `kubectl apply -k` would send."""
    done = subprocess.run(
        [kubectl(), "kustomize", folder], check=True, stdout=subprocess.PIPE, text=True
    )
    return list(yaml.safe_load_all(done.stdout))


def pod_of(document: Document) -> Document | None:
    """The pod's specification in a workload; None for every other kind."""
    spec = document.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    pod = spec.get("template", {}).get("spec")
    return pod or None


def container_of(pod: Document) -> Document:
    (container,) = pod["containers"]
    assert isinstance(container, dict)
    return container


def image_environment() -> dict[str, str]:
    """What the last stage of the Dockerfile sets, except for the paths of programs."""
    stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    assert '\nENTRYPOINT ["dashboard-scraper"]\n' in stage
    assert "\nUSER 10001:10001\nWORKDIR /data\n" in stage
    (lines,) = re.findall(r"^ENV ((?:.*\\\n)*.*)", stage, re.MULTILINE)
    words = dict(word.split("=", 1) for word in shlex.split(lines.replace("\\\n", " ")))
    return {name: value for name, value in words.items() if name != "PATH"}


@dataclass(frozen=True)
class Container:
    """A running container: its specification, its process, and words to start the program in it."""

    specification: Document
    process: subprocess.Popen[str]
    program: list[str]

    def execute(self, *words: str, stdin: str = "") -> int:
        """Run the program as `kubectl exec -i` does; returns its exit code."""
        enter = ["nsenter", f"--target={self.process.pid}", "--mount", "--root"]
        done = subprocess.run([*enter, *self.program, *words], input=stdin, text=True, check=False)
        return done.returncode


@dataclass(frozen=True)
class Cluster:
    """What a kustomization creates, with its owner's Secrets and one volume."""

    documents: Sequence[Document]
    secrets: dict[str, dict[str, str]]
    volume: Path

    def named(self, kind: str, name: str) -> Document:
        found = [
            each
            for each in self.documents
            if (each["kind"], each["metadata"]["name"]) == (kind, name)
        ]
        assert len(found) == 1, f"{kind} {name}"
        return found[0]

    def environment(self, container: Document) -> dict[str, str]:
        """As a kubelet builds it: from the image, then `envFrom`, then `env`."""
        given = image_environment()
        for source in container.get("envFrom", []):
            given |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for entry in container.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            value = self.secrets[reference["name"]][reference["key"]] if reference else None
            given[entry["name"]] = entry["value"] if value is None else value
        return given

    @contextlib.contextmanager
    def started(self, kind: str, name: str, *words: str, **settings: str) -> Iterator[Container]:
        """The container of a workload, with additional words and settings, such as a simulator's
        address. It is stopped by SIGTERM, as a kubelet does, even if a test has made it wait.
        """
        pod = pod_of(self.named(kind, name))
        assert pod is not None
        container = container_of(pod)
        environment = self.environment(container) | settings
        program = [*_as_its_user(pod), *(f"{name}={value}" for name, value in environment.items())]
        program += [sys.executable, "-W", "error", "-m", "dashboard_scraper"]
        with contextlib.ExitStack() as stack:
            root = _in_its_root(container, list(self._mounts(stack, pod, container)))
            process = stack.enter_context(
                subprocess.Popen(
                    [*root, *program, *container["args"], *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            try:
                yield Container(container, process, program)
            finally:
                process.terminate()
                process.send_signal(signal.SIGCONT)
                process.communicate(timeout=300)

    def run(self, kind: str, name: str, **settings: str) -> tuple[int, str]:
        """The exit code and the log of a container that ends by itself."""
        with self.started(kind, name, **settings) as container:
            _, log = container.process.communicate(timeout=300)
            return container.process.returncode, log

    def _mounts(
        self, stack: contextlib.ExitStack, pod: Document, container: Document
    ) -> Iterator[tuple[str, str]]:
        """Where each volume is mounted, and from which folder: none for an empty volume."""
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            volume, place = volumes[mount["name"]], mount["mountPath"]
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                self.named("PersistentVolumeClaim", claim)
                as_mounted(self.volume, pod["securityContext"])
                yield place, str(self.volume)
            elif "secret" in volume:
                secret, group = volume["secret"], pod["securityContext"]["fsGroup"]
                content = self.secrets.get(secret["secretName"])
                assert content is not None or secret.get("optional"), secret["secretName"]
                files = {key: value.encode() for key, value in (content or {}).items()}
                mode = secret["defaultMode"] | 0o040  # kubelets let a group read it in any case
                yield place, str(stack.enter_context(mounted_secrets(files, mode, group)))
            else:
                assert "emptyDir" in volume
                yield place, ""


def as_mounted(volume: Path, context: Document) -> None:
    """Give a volume to a group as kubelets do: the group owns everything and may write to it."""
    group = context["fsGroup"]
    state = volume.stat()
    if context["fsGroupChangePolicy"] == "OnRootMismatch" and (
        state.st_gid == group and state.st_mode & 0o2770 == 0o2770
    ):
        return
    for path in (volume, *volume.rglob("*")):
        if path.is_symlink():
            continue
        os.chown(path, -1, group)
        path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))


def _as_its_user(pod: Document) -> list[str]:
    """Words to put before a program's environment and name, so that it may do what the pod says."""
    context = pod["securityContext"]
    user, group = context["runAsUser"], context["runAsGroup"]
    return [
        "setpriv",
        f"--reuid={user}",
        f"--regid={group}",
        f"--groups={context['fsGroup']}",
        "--no-new-privs",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "env",
        "-i",
        "--chdir=/data",
    ]


def _in_its_root(container: Document, mounts: list[tuple[str, str]]) -> list[str]:
    """Words to put before those, so that they see only the program and the mounts."""
    lines = ["set -e", "root=$(mktemp -d)", 'mount -t tmpfs -o mode=0755 none "$root"']
    program = {sys.prefix, sys.base_prefix, str(Path(dashboard_scraper.__file__).parents[1])}
    for place, folder in mounts:
        source = f'--bind "{folder}"' if folder else "-t tmpfs -o mode=0777 none"
        lines += [f'mkdir -p "$root{place}"', f'mount {source} "$root{place}"']
    # After the pod's own mounts, one of which is on /tmp: the program may be below it.
    for place in ["/usr", "/bin", "/lib", "/lib64", "/etc", "/dev", "/proc", *sorted(program)]:
        if Path(place).exists():
            lines += [f'mkdir -p "$root{place}"', f'mount --rbind "{place}" "$root{place}"']
    if container["securityContext"]["readOnlyRootFilesystem"]:
        lines.append('mount -o remount,bind,ro "$root"')
    shell = ["sh", "-c", "\n".join([*lines, 'exec chroot "$root" "$@"']), "pod"]
    return ["unshare", "--mount", "--propagation", "private", *shell]
