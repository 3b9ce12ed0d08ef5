//! A real Prometheus scrapes a real engine under load: every query has data, and an alert arrives.

use onnward_harness::wait::DEADLINE;
use serde_json::Value;

use super::engine::Busy;
use super::queries::{self, Query, QueryKind};
use super::runbook;
use super::servers::{self, Server, Tools};
use crate::support::wait::eventually;

#[test]
fn every_query_has_data_and_an_alert_arrives() {
    let Some(tools) = Tools::find() else { return };
    let busy = Busy::start();
    let (receiver, received) = servers::receiver();
    let alertmanager = servers::alertmanager(&tools, &receiver);
    let engine = busy.engine.url.strip_prefix("http://").unwrap().to_owned();
    let prometheus = servers::prometheus(&tools, &engine, &alertmanager);

    let load = busy.load();
    let scraped = r#"onnward_http_requests_total{status="200"}"#.to_owned();
    await_data(&prometheus, &[Query { place: "a scrape".to_owned(), kind: QueryKind::Instant(scraped) }]);
    busy.swap();
    let rules = queries::of_rules(&prometheus.get("/api/v1/rules", &[]));
    let queries = [queries::of_dashboards(), queries::of_grafana_alerts(), rules].into_iter().flatten();
    await_data(&prometheus, &queries.collect::<Vec<_>>());
    load.stop();
    let (_, page) = busy.engine.get("/metrics");
    assert_eq!(tools.problems_of_metrics(&page), "");
    runbook::try_commands(&busy.engine.url, &busy.engine.admin_url, &busy.repository, || busy.swap());

    // Before its first scrape Prometheus had no engine, and the alert fired.
    while received.try_recv().is_ok() {}
    busy.stop();
    let page = std::iter::from_fn(|| received.recv_timeout(DEADLINE).ok()).find(|(path, message)| {
        path == "/pagerduty" && message["payload"]["summary"] == "[FIRING 1] OnnwardServiceDown"
    });
    let (_, page) = page.expect("the alert does not arrive");
    assert_eq!(page["routing_key"], servers::PAGERDUTY_KEY);
    let text = page["payload"]["custom_details"]["alerts"].as_str().unwrap();
    assert!(text.starts_with("No engine answers\n"), "{text}");
    assert!(text.contains("\nDo: https://") && text.contains("/RUNBOOK.md#onnwardservicedown\n"), "{text}");
    // What follows from it disturbs nobody.
    eventually("the engine's own alert is inhibited", || {
        let alerts = alertmanager.get("/api/v2/alerts", &[("filter", "alertname=OnnwardTargetDown")]);
        if alerts[0]["status"]["state"] == "suppressed" { Ok(()) } else { Err(alerts.to_string()) }
    });
}

/// Waits until every query has data.
#[track_caller]
fn await_data(prometheus: &Server, queries: &[Query]) {
    let mut missing: Vec<&Query> = queries.iter().collect();
    eventually("every query has data", || {
        missing.retain(|query| !prometheus.has_data(&query.kind));
        let missing: Vec<String> = missing.iter().map(|query| query.to_string()).collect();
        let targets = || targets(prometheus);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("no data for\n{}\n{}", missing.join("\n"), targets()))
        }
    });
}

/// Returns the errors of Prometheus' scrapes.
fn targets(prometheus: &Server) -> Value {
    let targets = prometheus.get("/api/v1/targets", &[])["data"]["activeTargets"].clone();
    targets.as_array().unwrap().iter().map(|target| target["lastError"].clone()).collect()
}
