"""What an OpenAPI document cannot say about the requests that Schemathesis generates for schemathesis.sh.

No check is switched off. These hooks change valid requests that must not be sent.
"""

import schemathesis
from hypothesis import strategies as st

TIMEOUT = "x-request-timeout-ms"
# A client that allows a prediction a millisecond has asked for the 408 or 504 that it may get, and neither would tell anything
# of the engine. The engine's own tests let such a time run out.
LONG_ENOUGH_MS = 30_000

# A JSON schema cannot express "in the past", and an outcome with a time in the future is rejected with 422.
schemathesis.openapi.format(
    "date-time",
    st.builds(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}".format,
        st.integers(1900, 2025),
        st.integers(1, 12),
        st.integers(1, 28),
        st.integers(0, 23),
        st.integers(0, 59),
        st.integers(0, 59),
        st.sampled_from(["Z", "+00:00", "-11:30", ".5Z", ".123456+14:00"]),
    ),
)


# A label is checked against the model of its prediction, which only the engine can look up.
LABELS = ["Yes", "No"]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Allows enough time where a request says how much, and has outcomes say what the model can be told."""
    headers = case.headers or {}
    value = str(headers.get(TIMEOUT, ""))
    if value.isdecimal() and 0 < int(value) < LONG_ENOUGH_MS:
        headers[TIMEOUT] = str(LONG_ENOUGH_MS)
    if case.path == "/outcomes":
        for outcome in outcomes_of(case.body):
            label = outcome.get("label")
            if isinstance(label, (str, int, float)) and not isinstance(label, bool):
                outcome["label"] = LABELS[len(str(label)) % len(LABELS)]


def outcomes_of(body):
    """The outcomes of a body, whichever of its three forms it has."""
    if isinstance(body, dict):
        body = body.get("outcomes", [body])
    return [outcome for outcome in body if isinstance(outcome, dict)] if isinstance(body, list) else []
