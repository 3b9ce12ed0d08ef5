"""Holds a resource against its kind's schema, strictly: a field that the schema does not know is an error.

Kubernetes' own kinds against its OpenAPI schemas (PyPI's kubernetes-validate), the Prometheus Operator's against models made from
its CRDs (cloudcoil-models-prometheus-operator), KServe's against the classes of its own SDK (kserve), whose parts that are
Kubernetes' go to Kubernetes' schemas again.
"""

import importlib
import json
import re
import sys
import types
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import kubernetes_validate
import pydantic

KUBERNETES = "1.34"


def errors(resource):
    """What is wrong with the resource, as sentences."""
    group = resource["apiVersion"].split("/")[0]
    if group == "monitoring.coreos.com":
        return list(of_prometheus_operator(resource))
    if group == "serving.kserve.io":
        return list(of_kserve(resource, class_of(resource), resource["kind"]))
    return list(of_kubernetes(resource))


def of_kubernetes(resource):
    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield error.message


def of_prometheus_operator(resource):
    models = importlib.import_module("cloudcoil.models.prometheus_operator.v1")
    try:
        getattr(models, resource["kind"]).model_validate(resource, extra="forbid", by_name=False)
    except pydantic.ValidationError as error:
        for one in error.errors():
            yield f"{'.'.join(map(str, one['loc']))}: {one['msg']}"


def class_of(resource):
    version = resource["apiVersion"].split("/")[1]
    return f"{version.capitalize()}{resource['kind']}"


def of_kserve(value, expected, path):
    """Walks the value beside KServe's generated classes, which list their fields and the fields' types."""
    if inner := re.fullmatch(r"list\[(.+)]", expected):
        if not isinstance(value, list):
            yield f"{path}: a list is expected"
            return
        for index, item in enumerate(value):
            yield from of_kserve(item, inner[1], f"{path}[{index}]")
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", expected):
        for key, item in value.items():
            yield from of_kserve(item, inner[1], f"{path}.{key}")
    elif expected in SIMPLE:
        if not isinstance(value, SIMPLE[expected]):
            yield f"{path}: {expected} is expected, and not {value!r}"
    elif kserve_class := kserve_model(expected):
        yield from of_kserve_object(value, kserve_class, path)
    else:
        yield from of_kubernetes_part(value, expected.removeprefix("V1"), path)


SIMPLE = {"str": str, "int": int, "bool": bool, "object": object, "V1ObjectMeta": dict}


def of_kserve_object(value, kserve_class, path):
    names = {json_name: name for name, json_name in kserve_class.attribute_map.items()}
    for key, item in value.items():
        if key in names:
            yield from of_kserve(item, kserve_class.openapi_types[names[key]], f"{path}.{key}")
        else:
            yield f"{path}: there is no field {key}"


@cache
def kserve_model(name):
    """The class of KServe's SDK, or nothing where it is one of Kubernetes'."""
    stand_in_for_packages()
    module = re.sub(r"(?<=[a-z0-9])([A-Z])|([A-Z])(?=[a-z])", r"_\1\2", name).lstrip("_").lower()
    if find_spec(f"kserve.models.{module}") is None:
        return None
    return getattr(importlib.import_module(f"kserve.models.{module}"), name)


@cache
def stand_in_for_packages():
    """Importing the packages themselves would take KServe's whole server along."""
    folder = Path(find_spec("kserve").submodule_search_locations[0])
    for name, path in [("kserve", folder), ("kserve.models", folder / "models")]:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(path)]
    sys.modules["kserve.configuration"] = types.SimpleNamespace(Configuration=object)


def of_kubernetes_part(value, name, path):
    definitions = kubernetes_definitions()
    definition = next(key for key in definitions if key.endswith(f"core.v1.{name}"))
    schema = {"$ref": f"#/$defs/{definition}", "$defs": definitions}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
        yield f"{path}.{'.'.join(map(str, error.path))}: {error.message}"


@cache
def kubernetes_definitions():
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
    return json.loads((folder / "_definitions.json").read_text())["$defs"]
