"""Whether predictions are answered, in time, and with how much to spare."""

from panels import (
    ENGINE,
    JOB,
    MODEL,
    PREDICT,
    RECORDED_MODEL,
    VERSION,
    bad_above,
    bad_below,
    dashboard as whole,
    graph,
    heatmap,
    now,
    promotions_not_served,
    quantile,
    query,
    ratio,
    row,
    served,
    stat,
    table,
)

STAGES = f"onnward_inference_stage_duration_seconds_bucket{{{VERSION}}}"


def dashboard():
    panels = [*_healthy(), *_requests(), *_stages(), *_saturation(), *_process()]
    return whole(
        "onnward-service",
        "Onnward: service",
        "Rate, errors, duration and saturation of the engines. The first line says whether all is well.",
        panels,
    )


def _healthy():
    drifts = served(f'onnward_drift_detected{{{VERSION},window="sliding"}}')
    return [
        row("All well? Green is; each field says what to do when it is not"),
        stat(
            "Engines up",
            "Share of the engines that Prometheus reaches. Below 100 %: runbook, OnnwardTargetDown; at 0: "
            "OnnwardServiceDown.",
            "percentunit",
            now(f"sum(up{{{JOB}}}) / count(up{{{JOB}}})"),
            bad_below(0.5, 1),
        ),
        stat(
            "Predictions that fail",
            "5xx and 429 in the last 5 minutes; 0.1 % are allowed over 30 days. Red: runbook, "
            "OnnwardAvailabilityBurnFast, and look at “Errors” below for the status.",
            "percentunit",
            query(f"job:onnward_prediction_errors:ratio_rate5m{{{JOB}}}"),
            bad_above(0.001, 0.0144),
        ),
        stat(
            "Predictions over 100 ms",
            "In the last 5 minutes; 1 % are allowed over 30 days. Red: runbook, OnnwardLatencyBurnFast, and look "
            "at the stages below for the slow one.",
            "percentunit",
            query(f"job:onnward_slow_predictions:ratio_rate5m{{{JOB}}}"),
            bad_above(0.01, 0.144),
        ),
        stat(
            "Errors still allowed",
            "What is left of the failed predictions that 30 days allow. Near 0: no risky change until it "
            "recovers; below 0 the objective is missed.",
            "percentunit",
            now(f"job:onnward_availability_budget:ratio30d{{{JOB}}}"),
            bad_below(0, 0.25),
        ),
        stat(
            "Models served",
            "The fewest models that any engine serves. At 0: runbook, OnnwardNoModelServing; fewer than you have: "
            "GET /models says under `failed` which and why.",
            "short",
            now(f"min(onnward_models_serving{{{ENGINE}}})"),
            bad_below(1, 1),
        ),
        stat(
            "Promotions not served",
            "Models whose promoted version does not serve. Above 0 for minutes: runbook, "
            "OnnwardPromotionNotServed; GET /models/NAME says why under `last_error`.",
            "short",
            now(promotions_not_served()),
            bad_above(1, 1),
        ),
        stat(
            "What drifts",
            "Features and scores that differ from the training data. Above 0: open the dashboard on drift, "
            "nothing fails yet.",
            "short",
            now(f"count(max by (model, version, kind, feature) ({drifts}) == 1) or vector(0)"),
            bad_above(1, 5),
        ),
        stat(
            "Alerts that fire",
            "All alerts of Onnward in Prometheus that fire. Above 0: each has a section of its name in the runbook.",
            "short",
            now('count(ALERTS{alertname=~"Onnward.*",alertstate="firing"}) or vector(0)'),
            bad_above(1, 1),
        ),
    ]


def _requests():
    durations = f"onnward_http_request_duration_seconds_bucket{{{PREDICT}}}"
    return [
        row("Requests"),
        graph(
            "Rate",
            "Requests a second by route. A sudden fall to nothing with all engines up: look at the clients and "
            "the load balancer.",
            "reqps",
            query(f"sum by (route) (rate(onnward_http_requests_total{{{ENGINE}}}[$__rate_interval]))", "{{route}}"),
        ),
        graph(
            "Errors",
            "Answers other than 2xx by status. 5xx: read the log by request id. 429: the queue is full, see "
            "“Saturation”. 422: a client sends rows that do not fit the schema, its `errors` say which field. "
            "499: the client left, is it too slow?",
            "reqps",
            query(
                f'sum by (status) (rate(onnward_http_requests_total{{{ENGINE},status!~"2.."}}[$__rate_interval]))',
                "{{status}}",
            ),
        ),
        graph(
            "Duration of predictions",
            "From a request's head to its answer, of all sizes. If p99 rises and p50 does not: big requests, or a "
            "queue. If both rise: look at the stages below.",
            "s",
            *[
                query(quantile(q, [], durations), name)
                for q, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
            ],
            log=True,
        ),
        heatmap(
            "Durations of predictions",
            "How many predictions took how long. Two bands are two kinds of requests, or one slow engine: choose "
            "instances above, one after another.",
            "s",
            f"sum by (le) (increase({durations}[$__rate_interval]))",
        ),
        graph(
            "In flight",
            "Requests that are not answered yet, by engine. It grows without end: the engine is overloaded or "
            "hangs, compare with the queue and the processors below.",
            "short",
            query(f"sum by (instance) (onnward_http_requests_in_flight{{{ENGINE}}})", "{{instance}}"),
        ),
        graph(
            "Sizes of bodies",
            "Requests and answers of predictions. If they grow, so does the duration: ask the client for smaller "
            "batches, or allow more time.",
            "bytes",
            *[
                query(quantile(q, [], f"onnward_http_{side}_body_bytes_bucket{{{PREDICT}}}"), f"{side} {name}")
                for side in ("request", "response")
                for q, name in ((0.5, "p50"), (0.99, "p99"))
            ],
            log=True,
        ),
    ]


def _stages():
    return [
        row("Where the time goes: encode (JSON to features), queue, assemble, run, respond"),
        graph(
            "99 % are faster, by stage",
            "The stage on top is the one to work on. Queue: more engines. Run: a slower model or backend, see the "
            "dashboard on models. Encode and respond: large requests.",
            "s",
            query(quantile(0.99, ["stage"], STAGES), "{{stage}}"),
            width=8,
            log=True,
        ),
        graph(
            "Half are faster, by stage",
            "What a usual request meets. Compare with p99: far apart means that few requests suffer, look at "
            "their size.",
            "s",
            query(quantile(0.5, ["stage"], STAGES), "{{stage}}"),
            width=8,
            log=True,
        ),
        graph(
            "Mean time of a request, by stage",
            "The whole height is what a request costs on average. If it grows after a swap (blue mark), roll back "
            "and compare the versions.",
            "s",
            query(
                ratio(
                    ["stage"],
                    f"onnward_inference_stage_duration_seconds_sum{{{VERSION}}}",
                    f"onnward_inference_stage_duration_seconds_count{{{VERSION}}}",
                ),
                "{{stage}}",
            ),
            width=8,
            stack=True,
        ),
    ]


def _saturation():
    return [
        row("Saturation"),
        graph(
            "Queue",
            "How full the queue is; at 100 % requests are refused with 429. Full for minutes: runbook, "
            "OnnwardQueueShedding, that is more engines.",
            "percentunit",
            query(f"onnward_queue_rows{{{MODEL}}} / onnward_queue_capacity_rows{{{MODEL}}}", "{{model}} {{instance}}"),
            width=8,
            top=1,
        ),
        graph(
            "Requests that wait",
            "In the queue of each model, not yet taken into a batch. Above 0 all the time: the engine is at its "
            "capacity.",
            "short",
            query(f"onnward_queue_requests{{{MODEL}}}", "{{model}} {{instance}}"),
            width=8,
        ),
        graph(
            "Oldest in the queue",
            "How long the first in line has waited. Beyond your clients' timeouts the work is in vain: more "
            "engines, or a smaller batching.max_queue_rows.",
            "s",
            query(f"onnward_queue_oldest_age_seconds{{{MODEL}}}", "{{model}} {{instance}}"),
            width=8,
        ),
        graph(
            "Refused and given up",
            "Requests whose rows were not scored. queue_full: more engines. too_many_rows: the client's batches "
            "are larger than the queue. timed_out: too slow or too short a timeout. abandoned: the client left.",
            "reqps",
            query(
                f"sum by (model, reason) (rate(onnward_rejected_requests_total{{{MODEL}}}[$__rate_interval]))",
                "{{model}} {{reason}}",
            ),
            query(
                f"sum by (model) (rate(onnward_abandoned_requests_total{{{MODEL}}}[$__rate_interval]))",
                "{{model}} abandoned",
            ),
            width=12,
        ),
        graph(
            "Share that is shed",
            "Requests turned away because more comes than can be scored. Above 1 % for 5 minutes an alert fires: "
            "runbook, OnnwardQueueShedding.",
            "percentunit",
            query(f"model:onnward_shed_requests:ratio_rate5m{{{RECORDED_MODEL}}}", "{{model}}"),
            width=12,
        ),
        graph(
            "Connections",
            "Open ones by listener. Near limits.max_connections those that are idle for longest are closed: raise it, or have "
            "clients keep fewer.",
            "short",
            query(f"onnward_connections{{{ENGINE}}}", "{{listener}} {{instance}}"),
            width=12,
        ),
        graph(
            "Connections ended early",
            "By the engine. made_room, no_room: there are too many. slow: clients that send nothing, or too little. "
            "handshake: clients that do not trust the certificate, have none of their own, or use no TLS. "
            "protocol: clients that break the rules of HTTP/2.",
            "cps",
            query(
                f"sum by (listener, reason) (rate(onnward_connections_ended_early_total{{{ENGINE}}}[$__rate_interval]))",
                "{{listener}} {{reason}}",
            ),
            width=12,
        ),
    ]


def _process():
    allocator = f'{{__name__=~"onnward_allocator_.*_bytes",{ENGINE}}}'
    return [
        row("The process"),
        graph(
            "Processors",
            "Cores in use. At the limit that the engine was given, latency grows next: more cores or more engines.",
            "short",
            query(f"rate(process_cpu_seconds_total{{{ENGINE}}}[$__rate_interval])", "{{instance}}"),
            width=8,
        ),
        graph(
            "Memory",
            "Resident, and what the allocator holds. Grows without end, over swaps: keep a copy of GET /metrics, "
            "restart the engine, and report it.",
            "bytes",
            query(f"process_resident_memory_bytes{{{ENGINE}}}", "{{instance}} resident"),
            query(allocator, "{{instance}} {{__name__}}"),
            width=8,
        ),
        graph(
            "Open files",
            "Of those that the process may open. Near 100 % connections are refused: raise the limit "
            "(LimitNOFILE, ulimit -n).",
            "percentunit",
            query(f"process_open_fds{{{ENGINE}}} / process_max_fds{{{ENGINE}}}", "{{instance}}"),
            width=8,
            top=1,
        ),
        graph(
            "Threads",
            "Of the process. It rises by the workers of a version while one is loaded, and falls again; if it "
            "does not fall, report it.",
            "short",
            query(f"process_threads{{{ENGINE}}}", "{{instance}}"),
            width=8,
        ),
        graph(
            "Disk",
            "Bytes read and written. Much of either while nothing is loaded: the cache, the store of predictions "
            "or the log.",
            "Bps",
            query(f"rate(onnward_process_read_bytes_total{{{ENGINE}}}[$__rate_interval])", "{{instance}} read"),
            query(f"rate(onnward_process_written_bytes_total{{{ENGINE}}}[$__rate_interval])", "{{instance}} written"),
            width=8,
        ),
        graph(
            "Log lines lost",
            "A second; whatever takes the log is too slow. Above 0: runbook, OnnwardLogLinesLost.",
            "cps",
            query(f"rate(onnward_log_lines_lost_total{{{ENGINE}}}[$__rate_interval])", "{{instance}}"),
            width=8,
        ),
        table(
            "Certificates",
            "Time until each ends, the next one first. Under 14 days: renew it, runbook, "
            "OnnwardCertificateExpiresSoon.",
            "s",
            [("ends in", f"sort(onnward_certificate_expiry_timestamp_seconds{{{ENGINE}}} - time())")],
            sort_by=("ends in", False),
            hidden=("job",),
            thresholds={"ends in": bad_below(2 * 86400, 14 * 86400)},
        ),
        table(
            "Engines",
            "What runs where, and for how long. Several versions for longer than a rollout: finish it. A short "
            "time: runbook, OnnwardRestarting.",
            "s",
            [
                (
                    "up for",
                    f"time() - process_start_time_seconds{{{ENGINE}}} + on (job, instance) group_left (version) (0 * onnward_build_info{{{ENGINE}}})",
                )
            ],
            hidden=("job",),
        ),
    ]
