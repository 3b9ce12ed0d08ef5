"""A scikit-learn pipeline behind FastAPI, as its documentation shows: pydantic checks the rows, pandas carries them."""

import os

import joblib
import pandas as pd
from fastapi import FastAPI

from customer import Batch, Customer, Prediction

model = joblib.load(os.environ["MODEL"])
app = FastAPI()


def predict(customers: list[Customer]) -> list[Prediction]:
    table = pd.DataFrame([customer.__dict__ for customer in customers])
    probabilities = model.predict_proba(table)[:, 1].tolist()
    return [Prediction(probability=probability, churn=probability >= 0.5) for probability in probabilities]


# The loop would wait for a thread that computes as long as it computes itself: there is one core.
@app.post("/predict")
async def predict_one(customer: Customer) -> Prediction:
    return predict([customer])[0]


@app.post("/predict/batch")
async def predict_many(customers: list[Customer]) -> Batch:
    return Batch(predictions=predict(customers))
