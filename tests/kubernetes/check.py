"""Checks what kustomize has rendered: python3 check.py REPOSITORY RENDERED.yaml...

Every resource is held against its kind's schema (schemas.py), and what was rendered together against the rest of the repository
(facts.py). Then each of the mistakes below is put into it, to see that it would be found.
"""

import copy
import sys
from pathlib import Path

import facts
import schemas
import yaml

CONTAINER = ["spec", "template", "spec", "containers", 0]

# The kind, where in it, and what to put there.
MISTAKES = [
    ("Deployment", ["spec", "replica"], 3),
    ("Deployment", ["spec", "strategy", "rollingUpdate", "maxUnavailable"], 1),
    ("Deployment", ["spec", "template", "metadata", "labels", "app.kubernetes.io/name"], "other"),
    ("Deployment", ["spec", "template", "spec", "terminationGracePeriodSeconds"], 30),
    ("Deployment", ["spec", "template", "spec", "topologySpreadConstraints", 0, "labelSelector"], {}),
    ("Deployment", [*CONTAINER, "image"], "onnward/engine:latest"),
    ("Deployment", [*CONTAINER, "livenessProbe", "httpGet", "path"], "/healthz"),
    ("Deployment", [*CONTAINER, "readinessProbe", "httpGet", "port"], "web"),
    ("Deployment", [*CONTAINER, "resources", "limits", "cpu"], "500m"),
    ("Deployment", [*CONTAINER, "securityContext", "readOnlyRootFilesystem"], False),
    ("Service", ["spec", "ports", 0, "targetport"], "http"),
    ("Service", ["spec", "ports", 0, "name"], "web"),
    ("Service", ["spec", "selector", "app.kubernetes.io/component"], "trainer"),
    ("PodDisruptionBudget", ["spec", "maxUnavailable"], 3),
    ("NetworkPolicy", ["spec", "policyType"], ["Ingress"]),
    ("HorizontalPodAutoscaler", ["spec", "scaleTargetRef", "name"], "engine"),
    ("HorizontalPodAutoscaler", ["spec", "metrics", 1, "pods", "metric", "name"], "onnward_queue_seconds"),
    ("ServiceMonitor", ["spec", "endpoints", 0, "every"], "15s"),
    ("ServiceMonitor", ["spec", "jobLabel"], "job"),
    ("PrometheusRule", ["spec", "groups", 0, "rules", 0, "expr"], "up"),
    ("PrometheusRule", ["spec", "groups", 0, "rules", 0, "records"], "up"),
    ("Ingress", ["spec", "rules", 0, "http", "paths", 0, "path"], "/metrics"),
    ("Namespace", ["metadata", "labels", "pod-security.kubernetes.io/enforce"], "privileged"),
    ("ServingRuntime", ["spec", "supportedModelFormat"], []),
    ("ServingRuntime", ["spec", "containers", 0, "ports", 0, "containerport"], 8000),
    ("ServingRuntime", ["spec", "containers", 0, "startupProbe", "httpGet", "path"], "/v1/models"),
    ("InferenceService", ["spec", "predictor", "model", "storageURI"], "s3://models"),
    ("InferenceService", ["spec", "predictor", "minReplicas"], "2"),
]


def main():
    root, files = Path(sys.argv[1]), [Path(file) for file in sys.argv[2:]]
    found, caught = [], set()
    for file in files:
        resources = list(yaml.safe_load_all(file.read_text()))
        found += [f"{file.stem}: {error}" for error in errors(resources, root)]
        caught |= {name for name, wrong in plant(resources) if any(errors(wrong, root))}
        print(f"{file.stem}: {len(resources)} resources")
    found += [f"a mistake that was planted is not found: {name}" for name in sorted({str(mistake) for mistake in MISTAKES} - caught)]
    for error in found:
        print(error, file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"All of them fit their schemas and the engine; {len(caught)} planted mistakes were found.")


def errors(resources, root):
    for resource in resources:
        yield from (f"{resource['kind']} {resource['metadata']['name']}: {error}" for error in checked(resource))
    yield from facts.errors(resources, root)


KNOWN = {}


def checked(resource):
    """The errors of its schema, which are worked out once for what is the same in many variants."""
    key = yaml.dump(resource)
    if key not in KNOWN:
        KNOWN[key] = schemas.errors(resource)
    return KNOWN[key]


def plant(resources):
    """The resources with one mistake each, where there is something to make it in."""
    for mistake in MISTAKES:
        kind, path, value = mistake
        index = next((index for index, resource in enumerate(resources) if resource["kind"] == kind), None)
        if index is None:
            continue
        wrong = copy.copy(resources)
        wrong[index] = copy.deepcopy(resources[index])
        place = wrong[index]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        yield str(mistake), wrong


if __name__ == "__main__":
    main()
