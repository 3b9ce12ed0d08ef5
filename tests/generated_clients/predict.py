"""Predicts with the client that openapi-python-client generated: predict.py URL, with the folder of the package on PYTHONPATH."""

import importlib
import json
import re
import sys
import urllib.request
from typing import Any

from onnward_client import Client
from onnward_client.api.models import model as model_details
from onnward_client.api.models import models as list_models
from onnward_client.api.predictions import predict
from onnward_client.models import ChurnInstances, ChurnPrediction, ChurnPredictions, ChurnRow, ModelDetails, ModelList, ModelName, Problem
from onnward_client.models.churn_row_contract import ChurnRowContract


def main(url: str) -> None:
    client = Client(base_url=url)
    document = fetch(f"{url}/openapi.json")
    tell_typed(client, example(document, "/predict"))
    paths = [path for path in document["paths"] if re.fullmatch(r"/models/[^/{]+/predict", path)]
    for path in paths:
        predict_generically(client, url, document, path)
    print(f"The client for Python predicts with {len(paths)} models.")


def tell_typed(client: Client, fields: dict[str, Any]) -> None:
    """What a program does that knows its model. mypy checks it."""
    row = ChurnRow.from_dict(fields)
    row.contract = ChurnRowContract.TWO_YEAR
    one = predict.sync(client=client, body=row)
    assert isinstance(one, ChurnPrediction) and 0 <= one.probability <= 1, one
    for body in ([row, row], ChurnInstances(instances=[row, row])):
        several = predict.sync(client=client, body=body)
        assert isinstance(several, ChurnPredictions), several
        assert [score.probability for score in several.predictions] == [one.probability] * 2, several
    refused = predict.sync_detailed(client=client, body=ChurnRow.from_dict({**fields, "tenure": -1}))
    assert refused.status_code == 422 and isinstance(refused.parsed, Problem), refused
    assert refused.parsed.errors and refused.parsed.errors[0].pointer == "/tenure", refused
    listed = list_models.sync(client=client)
    assert isinstance(listed, ModelList) and "churn" in [model.name for model in listed.models], listed
    details = model_details.sync(client=client, name=ModelName.CHURN)
    assert isinstance(details, ModelDetails) and details.serving and details.serving.version == 1, details


def predict_generically(client: Client, url: str, document: dict[str, Any], path: str) -> None:
    """Sends one row and two rows of a model of any names, and holds the answers against those without a client."""
    operation = document["paths"][path]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    types = importlib.import_module("onnward_client.models")
    row_type, instances_type = (getattr(types, body.removesuffix("Request") + part) for part in ("Row", "Instances"))
    send = importlib.import_module(f"onnward_client.api.predictions.{operation['operationId']}").sync
    fields = example(document, path)
    row = row_type.from_dict(fields)
    assert row.to_dict() == fields, f"{path}: {row.to_dict()} is not {fields}"
    expected = fetch(url + path, json.dumps(fields).encode())["probability"]
    one = send(client=client, body=row)
    assert one.probability == expected, f"{path}: {one} is not {expected}"
    several = send(client=client, body=instances_type(instances=[row, row]))
    assert [score.probability for score in several.predictions] == [expected] * 2, f"{path}: {several}"


def example(document: dict[str, Any], path: str) -> dict[str, Any]:
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    if "examples" in body:
        return dict(body["examples"]["one"]["value"])
    # A file of another program without an example: its columns are numbers.
    row = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2].removesuffix("Request") + "Row"]
    names = row["propertyNames"]["enum"] if "propertyNames" in row else row["properties"]
    return {name: 0.25 * place for place, name in enumerate(names)}


def fetch(url: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(url, body, {"content-type": "application/json"} if body else {})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


main(sys.argv[1])
