use super::*;
use crate::logging::captured_log;

/// Text that means something to a terminal, to JSON, or to a reader of lines.
const HOSTILE: &str =
    "a\n2026-01-01 ERROR forged\r\u{1b}[31m\u{9b}0m\u{0}\u{7f}\u{85}\u{2028}\u{2029}\u{202e}\"\\}";

#[test]
fn nothing_that_a_line_holds_can_forge_one() {
    for format in [LogFormat::Pretty, LogFormat::Json] {
        let (log, guard) = captured_log(format);
        tracing::info!(request_id = HOSTILE, error = %HOSTILE, reason = ?HOSTILE, "{HOSTILE}");
        drop(guard);
        let text = log.text();
        let line = text.strip_suffix('\n').unwrap();
        let breaks = |c: char| c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c);
        assert!(!line.contains(breaks), "{line:?}");
        assert_eq!(line.matches("ERROR forged").count(), 4, "{line}");
    }
}

#[test]
fn a_line_of_json_holds_every_field_as_it_is_under_its_name() {
    let (log, guard) = captured_log(LogFormat::Json);
    let absent = None::<u64>;
    let (rows, ms) = (u64::MAX, 0.001234);
    tracing::warn!(
        request_id = HOSTILE,
        status = 200_u16,
        rows,
        ms,
        one_row_a_run = true,
        step = absent,
        "said {}",
        1
    );
    drop(guard);
    let line: serde_json::Value = serde_json::from_str(log.text().trim_end()).unwrap();
    let expected = serde_json::json!({
        "log.level": "warn", "message": "said 1", "http.request.id": HOSTILE, "http.response.status_code": 200,
        "onnward.rows": u64::MAX, "event.duration": 1234, "onnward.one_row_a_run": true,
        "log.logger": "onnward_telemetry::logging::tests", "event.dataset": "onnward.log", "service.name": "onnward",
        "service.version": env!("CARGO_PKG_VERSION"), "ecs.version": "8.11.0",
    });
    let mut fields = line.as_object().unwrap().clone();
    let timestamp = fields.remove("@timestamp").unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(timestamp.as_str().unwrap()).is_ok(), "{timestamp}");
    assert_eq!(serde_json::Value::Object(fields), expected);
}

#[test]
fn the_fields_of_a_library_are_labels_and_can_stand_for_none_of_ours() {
    let (log, guard) = captured_log(LogFormat::Json);
    tracing::warn!(target: "library", version = "1.2", code = 7, "odd");
    drop(guard);
    let line: serde_json::Value = serde_json::from_str(log.text().trim_end()).unwrap();
    assert_eq!((&line["labels.version"], &line["labels.code"]), (&"1.2".into(), &"7".into()));
    assert!(line.get("onnward.version").is_none(), "{line}");
}

#[test]
fn a_line_for_people_has_short_names_and_quotes_only_where_they_are_needed() {
    let (log, guard) = captured_log(LogFormat::Pretty);
    tracing::info!(
        method = "GET",
        route = "",
        status = 200_u16,
        ms = 0.123456,
        error = "two words",
        "request"
    );
    drop(guard);
    let text = log.text();
    let expected = r#" INFO request method=GET route="" status=200 ms=0.123 error="two words""#;
    assert!(text.trim_end().ends_with(expected), "{text}");
}

#[test]
fn a_name_is_in_the_table_once_and_has_one_type() {
    for (index, field) in FIELDS.iter().enumerate() {
        for other in &FIELDS[index + 1..] {
            assert_ne!(field.short, other.short);
            assert!(field.key != other.key || field.kind == other.kind, "{field:?} and {other:?}");
        }
        assert!(!COMMON_KEYS.contains(&field.key), "{field:?}");
    }
}
