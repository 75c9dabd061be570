"""Render deploy/kubernetes with kubectl, and validate it as a cluster's API would.

    python tools/check_kubernetes.py

Every overlay, and every combination of components with a store, is validated against the schemas of
the oldest and the newest supported Kubernetes. An unknown field is an error, as it would be
silently dropped. ServiceMonitor, and the alerts as a PrometheusRule, are validated against the
Prometheus operator's own types.
"""

from __future__ import annotations

import functools
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

DEPLOY = Path(__file__).parents[1] / "deploy"
FOLDER = DEPLOY / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
VERSIONS = ("1.29", "1.37")
OPERATOR = {"PrometheusRule": PrometheusRule, "ServiceMonitor": ServiceMonitor}
STORES, OTHERS = ("sqlite", "postgres"), ("watch", "prometheus", "ingress")

Document = dict[str, Any]


def render(folder: Path) -> list[Document]:
    """The documents of a kustomization."""
    command = [f"{KUBECTL}", "kustomize", f"{folder}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return list(yaml.safe_load_all(done.stdout))


def kustomizations(scratch: Path) -> Iterator[tuple[str, Path]]:
    """Names and folders of everything that can be applied."""
    for path in sorted(FOLDER.glob("overlays/*")):
        yield path.name, path
    (scratch / "kubernetes").symlink_to(FOLDER)
    switches = itertools.product((True, False), repeat=len(OTHERS))
    for store, chosen in itertools.product(STORES, switches):
        components = [*itertools.compress(OTHERS, chosen), store]
        folder = scratch / "-".join(components)
        folder.mkdir()
        base = Path("..", "kubernetes")
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{base / 'base'}"],
            "components": [f"{base / 'components' / name}" for name in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        yield "base with " + ", ".join(components), folder


def alerts() -> Document:
    """The rules of deploy/prometheus as the operator reads them, made as the documentation says."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    kind = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}
    return kind | {"metadata": {"name": "dashboard-scraper"}, "spec": rules}


def closed(schema: object) -> object:
    """The schema, changed so that no object may have fields that it does not name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    more = {"additionalProperties": False} if "properties" in schema else {}
    return more | {key: closed(value) for key, value in schema.items()}


@functools.cache
def operator_schema(kind: str) -> Any:
    return closed(OPERATOR[kind].model_json_schema(by_alias=True))


def errors_of(document: Document) -> Iterator[str]:
    """Everything that the API would refuse or would not know."""
    if document["kind"] in OPERATOR:
        validator = jsonschema.Draft202012Validator(operator_schema(document["kind"]))
        error = jsonschema.exceptions.best_match(validator.iter_errors(document))
        if error:
            yield f"{error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as wrong:
            place = ".".join(str(step) for step in wrong.path)
            yield f"Kubernetes {version}: {place}: {wrong.message}"
        except kubernetes_validate.SchemaNotFoundError as unknown:
            yield f"Kubernetes {version}: {unknown.message}"


def main() -> int:
    found: dict[str, Document] = {}  # most are the same everywhere
    with tempfile.TemporaryDirectory() as scratch:
        for name, folder in kustomizations(Path(scratch)):
            for document in render(folder):
                found.setdefault(json.dumps(document), document | {"in": name})
    found["alerts"] = alerts() | {"in": "deploy/prometheus"}
    wrong = 0
    for document in found.values():
        name = document.pop("in")
        for error in errors_of(document):
            wrong += 1
            what = f"{document['kind']} {document['metadata']['name']}"
            print(f"{name}: {what}: {error}", file=sys.stderr)
    print(f"Kubernetes {' and '.join(VERSIONS)}: {len(found)} documents, {wrong} errors")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main())
