"""What the schemas cannot know: whether the resources fit one another, and the engine that they run."""

import re
import tomllib
from pathlib import Path

import yaml

WORKLOADS = ("Deployment", "StatefulSet")
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def errors(resources, root):
    """What does not fit in what was rendered, as sentences."""
    for check in (
        check_images, check_probes, check_security, check_resources, check_rollout, check_ending, check_cache, check_selectors,
        check_disruption, check_scraping, check_rules, check_queue_wait, check_ingress,
    ):
        yield from check(resources, root)


def of_kind(resources, *kinds):
    return [resource for resource in resources if resource["kind"] in kinds]


def pods(resources):
    """Each pod's specification, with the name of what makes it."""
    for workload in of_kind(resources, *WORKLOADS):
        yield workload["kind"], workload["spec"]["template"]["spec"]
    for runtime in of_kind(resources, "ServingRuntime"):
        yield runtime["kind"], runtime["spec"]


def containers(resources):
    for kind, pod in pods(resources):
        for container in pod["containers"]:
            yield kind, container


def check_images(resources, root):
    for kind, container in containers(resources):
        if not re.search(r":\d+\.\d+\.\d+|@sha256:", container["image"]):
            yield f"{kind}: the image {container['image']} is not of one version"


def routes(root):
    return re.findall(r'\.route\("([^"]+)"', (root / "engine/http/src/router.rs").read_text()) + ["/docs"]


def check_probes(resources, root):
    known = routes(root)
    for kind, container in containers(resources):
        named = {port["name"] for port in container["ports"]} | {port["containerPort"] for port in container["ports"]}
        for name, path in [("startupProbe", "ready"), ("readinessProbe", "ready"), ("livenessProbe", "live")]:
            get = container.get(name, {}).get("httpGet", {})
            if get.get("path") not in known or get["path"] != f"/health/{path}":
                yield f"{kind}: the {name} does not ask for /health/{path}, a route of the engine"
            elif get["port"] not in named:
                yield f"{kind}: the {name} asks a port that the container does not have"


def check_security(resources, root):
    for kind, pod in pods(resources):
        for container in pod["containers"]:
            own = container["securityContext"]
            both = {**pod.get("securityContext", {}), **own}
            restricted = (
                both.get("runAsNonRoot"), both.get("runAsUser") == 65532, both.get("seccompProfile") == {"type": "RuntimeDefault"},
                own.get("readOnlyRootFilesystem"), own.get("allowPrivilegeEscalation") is False,
                own.get("capabilities") == {"drop": ["ALL"]},
            )
            if not all(restricted):
                yield f"{kind}: the container {container['name']} is not restricted"
        if kind in WORKLOADS and pod.get("automountServiceAccountToken") is not False:
            yield f"{kind}: it gets a token of Kubernetes' API, which it does not need"
    for namespace in of_kind(resources, "Namespace"):
        if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "Namespace: it does not enforce the restricted profile"


def check_resources(resources, root):
    for kind, container in containers(resources):
        limits = container["resources"]["limits"]
        if not str(limits["cpu"]).isdigit():
            yield f"{kind}: a quota of {limits['cpu']} is not of whole cores, which the number of workers follows"
        if limits != container["resources"]["requests"]:
            yield f"{kind}: requests and limits differ"


def check_rollout(resources, root):
    for deployment in of_kind(resources, "Deployment"):
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        if rolling["maxUnavailable"] != 0 or rolling["maxSurge"] == 0:
            yield "Deployment: an update takes an engine away before the next one is ready"


def engine_configuration(resources):
    for configuration in of_kind(resources, "ConfigMap"):
        if "engine.toml" in configuration["data"]:
            return tomllib.loads(configuration["data"]["engine.toml"])
    return None


def check_ending(resources, root):
    shutdown = (engine_configuration(resources) or {}).get("shutdown", {"grace_ms": 10000, "drain_timeout_ms": 25000})
    takes = (shutdown["grace_ms"] + shutdown["drain_timeout_ms"]) / 1000
    ends = [(kind, pod) for kind, pod in pods(resources) if kind in WORKLOADS]
    ends += [("InferenceService", service["spec"]["predictor"]) for service in of_kind(resources, "InferenceService")]
    for kind, pod in ends:
        if pod.get("terminationGracePeriodSeconds", 30) <= takes:
            yield f"{kind}: it is killed before the engine has ended what is in flight, which may take {takes:.0f} s"


def size(text):
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi)", text).groups()
    return int(number) * UNITS[unit]


def check_cache(resources, root):
    for kind, pod in pods(resources):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for volume in volumes.values():
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{kind}: the volume {volume['name']} may fill the node's disk"
        environment = {one["name"]: one.get("value") for one in pod["containers"][0].get("env", [])}
        holds = environment.get("ONNWARD_CACHE__MAX_BYTES") or engine_configuration(resources)["cache"]["max_bytes"]
        if int(holds) >= size(volumes["cache"]["emptyDir"]["sizeLimit"]):
            yield f"{kind}: the cache may grow beyond its volume, and the pod is evicted"


def check_selectors(resources, root):
    for workload in of_kind(resources, *WORKLOADS):
        labels = workload["metadata"]["labels"] | workload["spec"]["template"]["metadata"]["labels"]
        for resource in of_kind(resources, "Service", "PodDisruptionBudget", "NetworkPolicy", *WORKLOADS):
            spec = resource["spec"]
            selector = spec.get("selector", spec.get("podSelector"))
            wanted = selector.get("matchLabels", {}) if resource["kind"] != "Service" else selector
            if not wanted.items() <= labels.items():
                yield f"{resource['kind']} {resource['metadata']['name']}: it does not select the engines"
        for constraint in workload["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            wanted = constraint.get("labelSelector", {}).get("matchLabels")
            if not wanted or not wanted.items() <= labels.items():
                yield f"{workload['kind']}: the spread over {constraint['topologyKey']} counts other pods than the engines"


def fewest(resources):
    """How many engines there are at least."""
    for autoscaler in of_kind(resources, "HorizontalPodAutoscaler"):
        return autoscaler["spec"]["minReplicas"]
    return of_kind(resources, *WORKLOADS)[0]["spec"]["replicas"]


def check_disruption(resources, root):
    for budget in of_kind(resources, "PodDisruptionBudget"):
        if budget["spec"]["maxUnavailable"] >= fewest(resources):
            yield "PodDisruptionBudget: it lets all engines go at once"
    for workload in of_kind(resources, *WORKLOADS):
        for autoscaler in of_kind(resources, "HorizontalPodAutoscaler"):
            target = autoscaler["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) != (workload["kind"], workload["metadata"]["name"]):
                yield "HorizontalPodAutoscaler: what it scales is not there"
            if "replicas" in workload["spec"]:
                yield f"{workload['kind']}: it sets the number of engines, as the autoscaler does"


def check_scraping(resources, root):
    prometheus = yaml.safe_load((root / "monitoring/prometheus/prometheus.yml").read_text())
    job = prometheus["scrape_configs"][0]["job_name"]
    for monitor in of_kind(resources, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        selected = [service for service in of_kind(resources, "Service") if wanted <= service["metadata"].get("labels", {}).items()]
        ports = [port["name"] for service in selected for port in service["spec"]["ports"]]
        for endpoint in monitor["spec"]["endpoints"]:
            if ports.count(endpoint["port"]) != 1:
                yield f"ServiceMonitor: the port {endpoint['port']} is that of {ports.count(endpoint['port'])} services, not of one"
            if endpoint["path"] not in routes(root):
                yield f"ServiceMonitor: {endpoint['path']} is no route of the engine"
        for service in selected:
            if service["metadata"].get("labels", {}).get(monitor["spec"].get("jobLabel")) != job:
                yield f"ServiceMonitor: the rules and dashboards know the engines as job {job}"


def check_rules(resources, root):
    folder = root / "monitoring/prometheus"
    files = [*sorted((folder / "rules").glob("*.yml")), *sorted((folder / "alerts").glob("*.yml"))]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    for rule in of_kind(resources, "PrometheusRule"):
        if rule["spec"]["groups"] != groups:
            yield "PrometheusRule: it is not what monitoring/prometheus says; run docker/kubernetes/components/prometheus-operator/rules"


def check_queue_wait(resources, root):
    values = yaml.safe_load((root / "docker/kubernetes/components/autoscaling/prometheus-adapter.yaml").read_text())
    served = {rule["name"]["as"]: rule for rule in values["rules"]["custom"]}
    source = (root / "engine/telemetry/src/metrics/inference.rs").read_text()
    for autoscaler in of_kind(resources, "HorizontalPodAutoscaler"):
        metrics = autoscaler["spec"]["metrics"]
        if {metric["type"] for metric in metrics} != {"ContainerResource", "Pods"}:
            yield "HorizontalPodAutoscaler: it does not follow both CPU and queue wait"
        for name in [metric["pods"]["metric"]["name"] for metric in metrics if metric["type"] == "Pods"]:
            if name not in served:
                yield f"HorizontalPodAutoscaler: prometheus-adapter does not serve {name}"
                continue
            text = served[name]["seriesQuery"] + served[name]["metricsQuery"]
            for series in set(re.findall(r"onnward_[a-z_]+?(?=_count|_sum)", text)):
                if f'"{series}"' not in source:
                    yield f"prometheus-adapter: the engine has no {series}"


def check_ingress(resources, root):
    known = [route.split("{")[0].rstrip("/") or "/" for route in routes(root)]
    for ingress in of_kind(resources, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in [path["path"] for path in rule["http"]["paths"]]:
                if path not in known:
                    yield f"Ingress: {path} is no route of the engine"
        prefixes = [path["path"] for path in rule["http"]["paths"] if path["pathType"] == "Prefix"]
        exact = [path["path"] for path in rule["http"]["paths"]]
        if "/" in prefixes or {"/metrics", "/admin", "/admin/reload"} & set(exact):
            yield "Ingress: what is for operators is open to everybody"
