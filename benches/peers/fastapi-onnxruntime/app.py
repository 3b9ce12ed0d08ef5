"""The same pipeline, converted by skl2onnx, in ONNX Runtime behind FastAPI; no pandas, no scikit-learn."""

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI

from customer import Batch, Customer, Prediction

options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
inputs = {node.name: np.float32 if node.type == "tensor(float)" else object for node in session.get_inputs()}
app = FastAPI()


def predict(customers: list[Customer]) -> list[Prediction]:
    rows = [customer.__dict__ for customer in customers]
    # numpy makes NaN of None where it is asked for numbers.
    feeds = {name: np.array([[row[name]] for row in rows], dtype=kind) for name, kind in inputs.items()}
    probabilities = session.run(["probabilities"], feeds)[0][:, 1].tolist()
    return [Prediction(probability=probability, churn=probability >= 0.5) for probability in probabilities]


@app.post("/predict")
async def predict_one(customer: Customer) -> Prediction:
    return predict([customer])[0]


@app.post("/predict/batch")
async def predict_many(customers: list[Customer]) -> Batch:
    return Batch(predictions=predict(customers))
