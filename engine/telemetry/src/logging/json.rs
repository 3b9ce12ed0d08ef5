//! Formats events as JSON, one object a line, in one pass: a map in between would cost a request more than
//! its metrics.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::escape::Escaped;
use super::fields::{self, Kind, LABELS};
use super::{ACCESS, is_engine_target};
use crate::audit::AUDIT;

/// The end of every line: the service, and the version of the Elastic Common Schema whose names it uses.
const LINE_END: &str = concat!(
    ",\"service.name\":\"onnward\",\"service.version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"ecs.version\":\"8.11.0\"}\n"
);

/// `{"@timestamp": …, "log.level": …, "message": …, each field, "log.logger": …, "event.dataset": …, …}`; see
/// [`super::fields`].
pub struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let target = event.metadata().target();
        line.write_str("{\"@timestamp\":\"")?;
        SystemTime.format_time(&mut line)?;
        line.write_str("\",\"log.level\":\"")?;
        line.write_str(name(*event.metadata().level()))?;
        line.write_char('"')?;
        let mut fields = Fields { line, is_of_engine: is_engine_target(target), result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        let mut line = fields.line;
        line.write_str(",\"log.logger\":")?;
        write_string(&mut line, target)?;
        let dataset = match target {
            ACCESS => "onnward.access",
            AUDIT => "onnward.audit",
            _ => "onnward.log",
        };
        line.write_str(",\"event.dataset\":\"")?;
        line.write_str(dataset)?;
        line.write_char('"')?;
        line.write_str(LINE_END)
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

struct Fields<'a> {
    line: Writer<'a>,
    /// Whether the line is the engine's and not a library's.
    is_of_engine: bool,
    result: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>, Option<Kind>) -> fmt::Result) {
        let known = if self.is_of_engine { fields::find_field(field.name()) } else { None };
        let line = &mut self.line;
        let write = || {
            line.write_str(",\"")?;
            match (known, field.name()) {
                (Some(known), _) => line.write_str(known.key)?,
                (None, "message") => line.write_str("message")?,
                (None, other) => {
                    line.write_str(LABELS)?;
                    Escaped(line).write_str(other)?;
                }
            }
            line.write_str("\":")?;
            value(line, known.map(|known| known.kind))
        };
        self.result = self.result.and_then(|()| write());
    }
}

/// Writes a number. Values of a library's fields are written as strings, because `labels` takes keywords
/// only.
fn write_number(line: &mut Writer<'_>, kind: Option<Kind>, digits: &str) -> fmt::Result {
    match kind {
        Some(_) => line.write_str(digits),
        None => write_string(line, digits),
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, |line, kind| match kind {
            // The cast saturates, and makes 0 of what is no number.
            Some(Kind::Milliseconds) => {
                line.write_str(itoa::Buffer::new().format((value * 1e6).round() as u64))
            }
            _ if !value.is_finite() => line.write_str("null"),
            _ => write_number(line, kind, &value.to_string()),
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |line, kind| write_number(line, kind, itoa::Buffer::new().format(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |line, kind| write_number(line, kind, itoa::Buffer::new().format(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, |line, kind| write_number(line, kind, if value { "true" } else { "false" }));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |line, _| write_string(line, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |line, _| {
            line.write_char('"')?;
            write!(Escaped(line), "{value:?}")?;
            line.write_char('"')
        });
    }
}

fn write_string(line: &mut Writer<'_>, text: &str) -> fmt::Result {
    line.write_char('"')?;
    Escaped(line).write_str(text)?;
    line.write_char('"')
}
