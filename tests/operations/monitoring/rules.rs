//! Rules and alerts: Prometheus' own tools accept them, and each alert fires, clears, and says what to do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::servers::Tools;
use crate::support::root;

#[test]
fn prometheus_and_alertmanager_take_their_configuration() {
    let Some(tools) = Tools::find() else { return };
    tools.succeed("promtool", &["check", "config", "monitoring/prometheus/prometheus.yml"]);
    tools.succeed("amtool", &["check-config", "monitoring/alertmanager/alertmanager.yml"]);
}

#[test]
fn each_alert_fires_and_clears() {
    let Some(tools) = Tools::find() else { return };
    let files: Vec<String> =
        yaml("prometheus/tests").into_iter().map(|path| path.display().to_string()).collect();
    let arguments: Vec<&str> =
        ["test", "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
    tools.succeed("promtool", &arguments);

    let tests: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for Alert { name, .. } in alerts() {
        // What follows the alert's name says what is expected of it.
        let expected = format!("alertname: {name}\n        exp_alerts:");
        let answers: Vec<&str> = tests.iter().flat_map(|text| text.split(&expected).skip(1)).collect();
        assert!(answers.iter().any(|rest| rest.starts_with(" []")), "no test says that {name} does not fire");
        assert!(answers.iter().any(|rest| rest.starts_with('\n')), "no test says that {name} fires");
    }
}

#[test]
fn each_alert_says_how_urgent_it_is_and_what_to_do() {
    let runbook = std::fs::read_to_string(root().join("monitoring/RUNBOOK.md")).unwrap();
    let sections: Vec<(&str, &str)> =
        runbook.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    for Alert { name, text } in alerts() {
        for part in ["summary: ", "description: ", "severity: "] {
            assert!(text.contains(part), "{name} has no {part}");
        }
        assert!(text.contains("severity: page\n") || text.contains("severity: ticket\n"), "{name}: {text}");
        let link = format!("runbook_url: \"{{{{ $externalLabels.runbook }}}}#{}\"", name.to_lowercase());
        assert!(text.contains(&link), "{name} does not link to its section: {link}");
        let section = sections.iter().find(|(title, _)| *title == name);
        let (_, section) = section.unwrap_or_else(|| panic!("the runbook has no section {name}"));
        for part in
            ["**What it means.**", "**What users see.**", "**Look at.**", "**Do.**", "**Wake somebody.**"]
        {
            assert!(section.contains(part), "the runbook's section {name} has no {part}");
        }
    }
    let named: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    let left = sections.iter().filter(|(title, _)| title.starts_with("Onnward") && !named.contains(*title));
    assert_eq!(left.count(), 0, "the runbook has a section of an alert that is not there");
    let grafana =
        std::fs::read_to_string(root().join("monitoring/grafana/provisioning/alerting/onnward.yml"));
    for link in grafana.unwrap().lines().filter_map(|line| line.split_once("RUNBOOK.md#")) {
        let anchors: Vec<String> =
            sections.iter().map(|(title, _)| title.to_lowercase().replace(' ', "-")).collect();
        assert!(anchors.iter().any(|anchor| anchor == link.1), "no section for {}", link.1);
    }
}

/// An alert, as in Prometheus' file.
struct Alert {
    name: String,
    text: String,
}

fn alerts() -> Vec<Alert> {
    let texts = yaml("prometheus/alerts").into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    let texts: Vec<String> = texts.collect();
    let alerts: Vec<Alert> = texts
        .iter()
        .flat_map(|text| text.split("- alert: ").skip(1))
        .map(|text| Alert { name: text.lines().next().unwrap().to_owned(), text: text.to_owned() })
        .collect();
    assert!(alerts.len() > 10, "the alerts were not found");
    alerts
}

/// Returns the YAML files of a folder of `monitoring/`.
fn yaml(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("monitoring").join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    assert!(!files.is_empty(), "{folder} is empty");
    files
}
