//! Dashboards: they equal what their source generates, and every panel has a unit and says what to do.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::queries::{dashboards, panels};
use crate::support::root;

#[test]
fn the_dashboards_are_what_their_source_makes() {
    let arguments = ["-B", "monitoring/grafana/source", "--check"];
    let output = Command::new("python3").args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_panel_has_a_unit_and_says_what_to_do() {
    for (file, dashboard) in dashboards() {
        let mut titles = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap();
            assert!(titles.insert(title), "{file} has two panels {title:?}");
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
            assert!(!unit.is_empty(), "{file}, {title:?} has no unit");
            // What it shows, and what to do: two sentences at least.
            let description = panel["description"].as_str().unwrap();
            let sentences =
                description.split_inclusive(['.', ':', ';']).filter(|part| part.len() > 3).count();
            assert!(description.len() > 60 && sentences >= 2, "{file}, {title:?} does not say what to do");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{file}, {title:?} asks nothing");
        }
        assert!(titles.len() > 10, "{file} has lost its panels");
    }
}

#[test]
fn the_dashboards_are_linked_and_share_their_variables() {
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 4);
    for (file, dashboard) in dashboards {
        let link = &dashboard["links"][0];
        assert_eq!((&link["type"], &link["includeVars"]), (&"dashboards".into(), &true.into()), "{file}");
        assert!(dashboard["tags"].as_array().unwrap().contains(&link["tags"][0]), "{file} is not linked to");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
        for name in ["datasource", "instance", "model", "version"] {
            assert!(names.contains(&name), "{file} has no variable {name}");
        }
        let text = dashboard.to_string();
        assert!(text.contains("$version") && text.contains("$model") && text.contains("$instance"), "{file}");
        let of_choice = |panel: &Value| panel["datasource"]["uid"] == "${datasource}";
        assert!(panels(&dashboard).all(of_choice), "{file} has a panel with a data source of its own");
    }
}

#[test]
fn panels_lie_side_by_side() {
    for (file, dashboard) in dashboards() {
        let places: Vec<[i64; 4]> = dashboard["panels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|panel| ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_i64().unwrap()))
            .collect();
        for (index, [x, y, w, h]) in places.iter().enumerate() {
            assert!(x + w <= 24, "{file}: a panel is wider than the page");
            let overlaps = |[other_x, other_y, other_w, other_h]: &[i64; 4]| {
                *x < other_x + other_w && other_x < &(x + w) && *y < other_y + other_h && other_y < &(y + h)
            };
            assert!(!places[index + 1..].iter().any(overlaps), "{file}: panels overlap at {x}, {y}");
        }
    }
}
