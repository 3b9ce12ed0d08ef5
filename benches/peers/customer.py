"""The rows of the sample table and the answer to them, for the services that are written by hand with FastAPI."""

from typing import Literal

from pydantic import BaseModel, Field

YesNo = Literal["No", "Yes"]
Internet = Literal["No", "Yes", "No internet service"]


class Customer(BaseModel):
    gender: Literal["Female", "Male"]
    SeniorCitizen: Literal["0", "1"]
    Partner: YesNo
    Dependents: YesNo
    tenure: int = Field(ge=0, le=120)
    PhoneService: YesNo
    MultipleLines: Literal["No", "Yes", "No phone service"]
    InternetService: Literal["DSL", "Fiber optic", "No"]
    OnlineSecurity: Internet
    OnlineBackup: Internet
    DeviceProtection: Internet
    TechSupport: Internet
    StreamingTV: Internet
    StreamingMovies: Internet
    Contract: Literal["Month-to-month", "One year", "Two year"]
    PaperlessBilling: YesNo
    PaymentMethod: Literal[
        "Electronic check", "Mailed check", "Bank transfer (automatic)", "Credit card (automatic)"
    ]
    MonthlyCharges: float = Field(ge=0)
    TotalCharges: float | None = Field(default=None, ge=0)


class Prediction(BaseModel):
    probability: float
    churn: bool


class Batch(BaseModel):
    predictions: list[Prediction]
