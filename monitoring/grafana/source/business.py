"""What the models say of the customers. For a churn model the positive decision is that a customer leaves."""

from panels import RECORDED_VERSION, VERSION, bars, dashboard as whole, graph, now, query, ratio, row, stat, table

PREDICTIONS = f"onnward_predictions_total{{{VERSION}}}"
EXPECTED = f"onnward_expected_positives_total{{{VERSION}}}"
BY_SEGMENT = f"onnward_predictions_by_segment_total{{{VERSION}}}"
EXPECTED_BY_SEGMENT = f"onnward_expected_positives_by_segment_total{{{VERSION}}}"


def dashboard():
    panels = [*_totals(), *_rates(), *_segments(), *_revenue()]
    return whole(
        "onnward-business",
        "Onnward: business",
        "Churn rate, risk bands, segments and revenue at risk, over the chosen time.",
        panels,
    )


def _in_range(counter):
    return f"sum(increase({counter}[$__range]))"


def _totals():
    return [
        row("Over the chosen time. A customer who is scored twice counts twice"),
        stat(
            "Rows scored",
            "Predictions in the chosen time. Far fewer than your customers: a client or a nightly run did not "
            "come through, look at the dashboard of the service.",
            "short",
            now(_in_range(PREDICTIONS)),
            width=4,
        ),
        stat(
            "Churn rate",
            "Share decided to be positive (for a churn model: will leave), at the model's threshold. A jump "
            "without a reason: look at drift before anybody acts on it.",
            "percentunit",
            now(ratio([], f'onnward_predictions_total{{{VERSION},decision="positive"}}', PREDICTIONS, "$__range")),
            width=4,
        ),
        stat(
            "Expected churn rate",
            "Mean probability. Compare it with what really happens later (dashboard on drift and outcomes): apart "
            "means that the probabilities are off.",
            "percentunit",
            now(ratio([], EXPECTED, PREDICTIONS, "$__range")),
            width=4,
        ),
        stat(
            "Expected churners",
            "Sum of the probabilities: how many of the scored rows will turn out positive. Plan a campaign's size "
            "by it.",
            "short",
            now(_in_range(EXPECTED)),
            width=4,
        ),
        stat(
            "Revenue at risk",
            "Sum of probability times the schema's revenue feature, in its own unit. Who to call first: sort your "
            "customers by the same product. No data: the schema names no revenue feature.",
            "short",
            now(_in_range(f"onnward_revenue_at_risk_total{{{VERSION}}}")),
            width=4,
        ),
        stat(
            "Share of revenue at risk",
            "Of the revenue scored. Higher than the churn rate: the customers who pay more are those who leave, "
            "speak to them first.",
            "percentunit",
            now(
                ratio(
                    [],
                    f"onnward_revenue_at_risk_total{{{VERSION}}}",
                    f"onnward_revenue_scored_total{{{VERSION}}}",
                    "$__range",
                )
            ),
            width=4,
        ),
    ]


def _rates():
    return [
        row("Rates and bands"),
        graph(
            "Churn rate over time",
            "Share decided to be positive over the last hour, by version. A step at a swap (blue mark): versions "
            "differ in threshold or in who they find, tell those who act on it.",
            "percentunit",
            query(f"model:onnward_positive_decisions:ratio_rate1h{{{RECORDED_VERSION}}}", "{{model}} {{version}}"),
            top=1,
        ),
        graph(
            "Expected churn rate over time",
            "Mean probability over the last hour, by version. It creeps while the customers are the same: look at "
            "drift.",
            "percentunit",
            query(f"model:onnward_expected_positives:ratio_rate1h{{{RECORDED_VERSION}}}", "{{model}} {{version}}"),
            top=1,
        ),
        graph(
            "Decisions",
            "Rows a second, by decision. None: no client sends rows; all one decision: look at the threshold and at drift.",
            "rowsps",
            query(f"sum by (decision) (rate({PREDICTIONS}[$__rate_interval]))", "{{decision}}"),
            stack=True,
        ),
        graph(
            "Risk bands",
            "Rows a second in each band of probability (the edges are in the engine's configuration). More in the "
            "highest band than your team can reach: raise its edge.",
            "rowsps",
            query(
                f"sum by (band) (rate(onnward_predictions_by_band_total{{{VERSION}}}[$__rate_interval]))", "{{band}}"
            ),
            stack=True,
        ),
    ]


def _segments():
    both = "segment, value"
    return [
        row("Segments: the schema's segment columns"),
        bars(
            "Expected churn rate by segment",
            "Mean probability of each value, the highest first. Far above the rest: that group is where a "
            "campaign pays.",
            "percentunit",
            f"sort_desc(sum by ({both}) (increase({EXPECTED_BY_SEGMENT}[$__range])) / sum by ({both}) (increase({BY_SEGMENT}[$__range])))",
            "{{segment}}: {{value}}",
            top=1,
            height=10,
        ),
        table(
            "Segments",
            "Rows and expected churners of each value. Many `missing` or `unknown`: a client does not send the "
            "column, or has values that the schema does not know; retrain with them.",
            "short",
            [
                ("rows", f"sum by ({both}) (increase({BY_SEGMENT}[$__range]))"),
                ("expected churners", f"sum by ({both}) (increase({EXPECTED_BY_SEGMENT}[$__range]))"),
            ],
            sort_by=("expected churners", True),
            height=10,
        ),
        graph(
            "Rows by segment",
            "A second. A group that vanishes: a client or a branch does not send its rows any more.",
            "rowsps",
            query(f"sum by ({both}) (rate({BY_SEGMENT}[$__rate_interval]))", "{{segment}}: {{value}}"),
        ),
        graph(
            "Expected churn rate by segment, over time",
            "One group alone climbs: ask what happened to it (a price, an outage, a competitor). All climb: look "
            "at drift.",
            "percentunit",
            query(ratio(["segment", "value"], EXPECTED_BY_SEGMENT, BY_SEGMENT), "{{segment}}: {{value}}"),
            top=1,
        ),
    ]


def _revenue():
    return [
        row("Revenue, where the schema names a revenue feature"),
        graph(
            "Share of revenue at risk over time",
            "Over the last hour, by version. It climbs and the churn rate does not: those who pay more have come "
            "to be at risk.",
            "percentunit",
            query(f"model:onnward_revenue_at_risk:ratio_rate1h{{{RECORDED_VERSION}}}", "{{model}} {{version}}"),
            top=1,
        ),
        graph(
            "Revenue scored and at risk",
            "A second, in the feature's own unit. Use the share to compare days; this one follows the traffic.",
            "short",
            query(f"sum(rate(onnward_revenue_scored_total{{{VERSION}}}[$__rate_interval]))", "scored"),
            query(f"sum(rate(onnward_revenue_at_risk_total{{{VERSION}}}[$__rate_interval]))", "at risk"),
        ),
    ]
