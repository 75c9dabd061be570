"""The manifests in deploy/kubernetes: their rules, and their pods as real processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from conftest import Home, Start, yesterday
from crash_child import until
from dashboard_scraper import __version__
from dashboard_scraper.cli.commands import COMMANDS
from dashboard_scraper.cli.parser import parser_of
from dashboard_scraper.errors import SignInRequired
from dashboard_scraper.exports import github_files
from dashboard_scraper.settings.config import setting_names
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.store import store_at
from exit_codes import final_exit_codes
from pods import FOLDER, Cluster, Document, container_of, pod_of, rendered
from tree import ROOT

OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
SECONDS = 300
SETTINGS_OF_OTHERS = {"HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
SECRETS = {
    "dashboard-scraper-serve": {"token": "made-up-token-of-serve-" + 10 * "x"},
}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def documents_of(overlay: str) -> list[Document]:
    return list(rendered(FOLDER / "overlays" / overlay))


def pods(documents: list[Document]) -> Iterator[tuple[Document, Document]]:
    """Each workload that starts pods, with its pod specification."""
    for document in documents:
        pod = pod_of(document)
        if pod:
            yield document, pod


def nightly(overlay: str) -> Any:
    (spec,) = [each["spec"] for each in documents_of(overlay) if each["kind"] == "CronJob"]
    return spec


def test_image_has_this_version(overlay: str) -> None:
    images = {container_of(pod)["image"] for _, pod in pods(documents_of(overlay))}
    assert images == {f"dashboard-scraper:{__version__}"}


@pytest.mark.parametrize("overlay", ["sqlite", "postgres"], indirect=True)
def test_nights_do_not_overlap_or_go_missing(overlay: str) -> None:
    spec = nightly(overlay)
    job = spec["jobTemplate"]["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Etc/UTC")
    assert job["activeDeadlineSeconds"] < spec["startingDeadlineSeconds"] < 24 * 3600
    assert spec["successfulJobsHistoryLimit"] > 0
    assert spec["failedJobsHistoryLimit"] > 0


@pytest.mark.parametrize("overlay", ["sqlite", "postgres"], indirect=True)
def test_nightly_job_is_repeated_where_that_may_help(overlay: str) -> None:
    job = nightly(overlay)["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    ignored, failed = job["podFailurePolicy"]["rules"]
    codes = failed["onExitCodes"]
    assert {*codes["values"]} == final_exit_codes()
    assert (failed["action"], codes["operator"]) == ("FailJob", "In")
    assert codes["containerName"] == container_of(pod)["name"]
    assert ignored["action"] == "Ignore"
    # The API refuses this policy with any other restart policy.
    assert (pod["restartPolicy"], job["backoffLimit"]) == ("Never", 3)


def test_pods_are_restricted(overlay: str) -> None:
    """They follow Kubernetes' level `restricted`, and some stricter rules."""
    documents = documents_of(overlay)
    (namespace,) = [each for each in documents if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len([*pods(documents)]) == 2
    for document, pod in pods(documents):
        assert document["metadata"]["namespace"] == namespace["metadata"]["name"]
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        kinds = {*(kind for volume in pod["volumes"] for kind in volume)} - {"name"}
        assert kinds <= {"persistentVolumeClaim", "secret", "emptyDir"}
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {10001}
        assert container_of(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        resources = container_of(pod)["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}
        assert "memory" in resources["limits"]


def test_what_is_named_is_there(overlay: str) -> None:
    """No schema checks this: mounts have volumes, selectors find pods, and ports have names."""
    documents = documents_of(overlay)
    components = set()
    for document, pod in pods(documents):
        mounts = {mount["name"] for mount in container_of(pod)["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}
        template = document["spec"].get("jobTemplate", document)["spec"]["template"]
        labels = template["metadata"]["labels"]
        selector = document["spec"].get("selector", {"matchLabels": labels})
        assert selector["matchLabels"] == labels
        components.add(tuple(sorted(labels.items())))
    for document in documents:
        if document["kind"] == "Service":
            assert tuple(sorted(document["spec"]["selector"].items())) in components
        if document["kind"] == "NetworkPolicy":
            wanted = document["spec"]["podSelector"].get("matchLabels", {}).items()
            assert any(wanted <= dict(labels).items() for labels in components)


def test_base_alone_is_incomplete() -> None:
    """Without a store's component, figures would be written to a volume that vanishes."""
    for _, pod in pods(list(rendered(FOLDER / "base"))):
        mounts = {mount["name"] for mount in container_of(pod)["volumeMounts"]}
        assert mounts - {volume["name"] for volume in pod["volumes"]} == {"data"}


def test_pods_start_commands_with_settings(overlay: str, tmp_path: Path) -> None:
    cluster = Cluster(documents_of(overlay), {"dashboard-scraper-store": {"url": ""}}, tmp_path)
    for _, pod in pods(documents_of(overlay)):
        container = container_of(pod)
        words = list(container["args"])
        command = "" if words[0].startswith("-") else words.pop(0)
        assert command in {"", *COMMANDS}
        args = parser_of(command).parse_args(words)
        assert [each["containerPort"] for each in container.get("ports", [])] == (
            [args.port] if command == "serve" else []
        )
        names = cluster.environment(container).keys() - SETTINGS_OF_OTHERS
        assert names <= {*setting_names()}


def test_everything_is_denied_but_what_is_listed(overlay: str) -> None:
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in documents_of(overlay)
        if each["kind"] == "NetworkPolicy"
    }
    assert policies.pop("default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    opened = {
        (way, port["port"])
        for spec in policies.values()
        for way in ("ingress", "egress")
        for rule in spec.get(way, [])
        for port in rule["ports"]
    }
    database = {("egress", 5432)} if overlay == "postgres" else set()
    assert opened == {("ingress", "http"), ("egress", 53), ("egress", 443)} | database


def kustomization(folder: Path, text: str) -> list[Document]:
    """The rendered documents of a kustomization two folders below a copy of deploy/kubernetes."""
    ours = folder / "overlays" / "ours"
    ours.mkdir(parents=True)
    for name in ("base", "components"):
        (folder / name).symlink_to(FOLDER / name)
    (ours / "kustomization.yaml").write_text(text, encoding="utf-8")
    return list(rendered(ours))


PAGE = (ROOT / "docs" / "deploy" / "kubernetes.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", PAGE, re.DOTALL)


def test_example_of_the_documentation_renders(tmp_path: Path) -> None:
    documents = kustomization(tmp_path, EXAMPLE)
    assert {"ServiceMonitor", "Ingress"} <= {each["kind"] for each in documents}
    for _, pod in pods(documents):
        assert container_of(pod)["image"] == f"registry.example.com/dashboard-scraper:{__version__}"


def test_store_before_watch_cannot_be_applied(tmp_path: Path) -> None:
    """Otherwise the pod would write to another store than `serve` reads."""
    text = EXAMPLE.replace("components/ingress", "components/postgres", 1)
    text = "components/watch".join(text.rsplit("components/postgres", 1))
    documents = kustomization(tmp_path, text)
    (watch,) = [pod for each, pod in pods(documents) if each["metadata"]["name"].endswith("watch")]
    assert "data" not in {volume["name"] for volume in watch["volumes"]}


def test_alerts_find_the_job_of_the_monitor(tmp_path: Path) -> None:
    documents = kustomization(tmp_path, EXAMPLE)
    (monitor,) = [each["spec"] for each in documents if each["kind"] == "ServiceMonitor"]
    (service,) = [each for each in documents if each["kind"] == "Service"]
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert [each["port"] for each in monitor["endpoints"]] == [service["spec"]["ports"][0]["name"]]
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    assert {*re.findall(r'job="(.*?)"', alerts)} == {labels[monitor["jobLabel"]]}
    (command,) = re.findall(r"^\((printf .*?)\) \| kubectl", PAGE, re.MULTILINE | re.DOTALL)
    made = subprocess.run(["sh", "-c", command], cwd=ROOT, check=True, capture_output=True)
    rule = yaml.safe_load(made.stdout)
    assert (rule["kind"], rule["spec"]) == ("PrometheusRule", yaml.safe_load(alerts))


def simulated(home: Home) -> dict[str, str]:
    """Settings with the simulator's address and short waits, but without secrets."""
    settings = home.settings | {"FETCH_EDITOR_LANGUAGE": "false"}
    return {name: value for name, value in settings.items() if "TOKEN" not in name}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume as a storage class creates it, owned by root."""
    folder = tmp_path / "volume"
    folder.mkdir(0o755)
    tmp_path.chmod(0o755)
    return folder


def stored_days(store_url: str) -> int:
    with store_at(store_url).reading() as reader:
        return len(reader.ledger("analytics"))


def warnings(log: str) -> list[str]:
    """All warnings except those on what GitHub's reports cannot show."""
    lines = [json.loads(line) for line in log.splitlines()]
    told = [each for each in lines if each["level"] != "INFO"]
    return [each["message"] for each in told if each["logger"] != github_files.__name__]


@pytest.mark.heavy
@pytest.mark.slow
def test_nightly_pod_stores_what_the_serving_pod_answers(
    home: Home, api: Simulator, volume: Path
) -> None:
    secrets = SECRETS | {"dashboard-scraper-source": {"api-token": api.token}}
    cluster = Cluster(documents_of("sqlite"), secrets, volume)
    code, log = cluster.run("CronJob", "dashboard-scraper-nightly", **simulated(home))
    assert code == 0, log
    assert warnings(log) == []
    assert stored_days(f"sqlite:///{volume / 'usage.db'}") == 28
    assert (volume / "latest" / "manifest.json").exists()
    serve = ("Deployment", "dashboard-scraper-serve")
    with cluster.started(*serve, "--port", "0") as container:
        assert container.process.stdout is not None
        port = container.process.stdout.readline().strip().rpartition(":")[2]
        address = f"http://127.0.0.2:{port}"  # like a pod's address, which is not in the settings
        for probe in ("readinessProbe", "livenessProbe"):
            path = container.specification[probe]["httpGet"]["path"]
            assert requests.get(address + path, timeout=SECONDS).status_code == 200
        token = secrets["dashboard-scraper-serve"]["token"]
        report = "/enterprises/any/copilot/metrics/reports/users-1-day"
        answer = requests.get(
            f"http://127.0.0.1:{port}{report}",
            {"day": f"{yesterday()}"},
            headers={"Authorization": f"Bearer {token}", "Host": "dashboard-scraper-serve:8377"},
            timeout=SECONDS,
        )
        assert answer.status_code == 200, answer.text
        assert f'"{yesterday()}"' in answer.text
    assert container.process.returncode == 143


@pytest.mark.heavy
@pytest.mark.slow
def test_nightly_pod_stores_in_the_database_of_the_secret(
    home: Home, api: Simulator, volume: Path, postgres_store_url: str
) -> None:
    secrets = {
        "dashboard-scraper-source": {"api-token": api.token},
        "dashboard-scraper-store": {"url": postgres_store_url},
    }
    cluster = Cluster(documents_of("postgres"), secrets, volume)
    code, log = cluster.run("CronJob", "dashboard-scraper-nightly", **simulated(home))
    assert code == 0, log
    assert stored_days(postgres_store_url) == 28
    assert not (volume / "usage.db").exists()
    assert (
        cluster.environment(
            container_of(pod_of(cluster.named("Deployment", "dashboard-scraper-serve")) or {})
        )["STORE_URL"]
        == postgres_store_url
    )


@pytest.mark.heavy
@pytest.mark.slow
def test_watching_pod_keeps_its_session_when_it_moves(
    home: Home, start: Start, volume: Path
) -> None:
    """A kubelet mounts the volume again, and may change the modes of its files."""
    simulator = start()
    cluster = Cluster(documents_of("watch"), SECRETS, volume)
    watch = ("Deployment", "dashboard-scraper-watch")

    def run_is_over() -> bool:
        return (volume / "watch.json").exists() and beat()["state"] == "waiting"

    def beat() -> Any:
        return json.loads((volume / "watch.json").read_bytes())

    with cluster.started(*watch, **simulated(home)) as container:
        until(run_is_over, SECONDS)
        assert beat()["last_run"]["exit_code"] == SignInRequired.exit_code
        command = container.specification["livenessProbe"]["exec"]["command"]
        assert command[0] == "dashboard-scraper"
        assert container.execute(*command[1:]) == 0
        # Signing in must not start a run yet: interrupted, it would be tried again in an hour.
        container.process.send_signal(signal.SIGSTOP)
        assert container.execute("--auth", stdin=f"{SESSION_COOKIE}={simulator.cookie}\n") == 0
    assert container.process.returncode == 0
    stored = volume / "secrets" / "cookies.json"
    assert stored.stat().st_mode & 0o777 == 0o600
    (volume / "watch.json").unlink()
    with cluster.started(*watch, **simulated(home)) as container:
        until(run_is_over, SECONDS)
        assert beat()["last_run"]["exit_code"] == 0
    assert container.process.returncode == 0
