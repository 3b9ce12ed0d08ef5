use onnward_quality::drift::{DriftReport, VariableReport, WindowKind};
use prometheus::{Encoder, GaugeVec, IntGaugeVec, Registry, TextEncoder};

use super::{MetricsError, float_gauges, gauges, to_i64};

/// The comparison of a loaded version's latest windows with training.
#[derive(Debug)]
pub struct VersionDrift<'a> {
    /// The model.
    pub model: &'a str,
    /// Its version.
    pub version: u64,
    /// The comparison.
    pub report: DriftReport<'a>,
}

/// Renders the drift metrics of these versions in the Prometheus text format. They are computed on request,
/// so nothing is stored between scrapes.
///
/// # Errors
/// [`MetricsError`] if a metric cannot be written down.
pub fn render_drift(versions: &[VersionDrift<'_>]) -> Result<Vec<u8>, MetricsError> {
    let registry = Registry::new();
    let vecs = DriftVecs::new(&registry)?;
    for version in versions {
        vecs.set(version);
    }
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

struct DriftVecs {
    psi: GaugeVec,
    js_distance: GaugeVec,
    p_value: GaugeVec,
    detected: IntGaugeVec,
    window_rows: IntGaugeVec,
    min_rows: IntGaugeVec,
}

impl DriftVecs {
    fn new(r: &Registry) -> prometheus::Result<Self> {
        let subject = &["model", "version", "window", "kind", "feature"];
        Ok(Self {
            psi: float_gauges(
                r,
                "onnward_drift_psi",
                "Population stability index of a window against training; absent below the minimum of rows.",
                subject,
            )?,
            js_distance: float_gauges(
                r,
                "onnward_drift_js_distance",
                "Jensen-Shannon distance (base 2, from 0 to 1) of a window against training.",
                subject,
            )?,
            p_value: float_gauges(
                r,
                "onnward_drift_p_value",
                "p-value of the difference between the window and training.",
                subject,
            )?,
            detected: gauges(
                r,
                "onnward_drift_detected",
                "Whether the variable has drifted: significant and large enough; absent below the minimum number of rows.",
                subject,
            )?,
            window_rows: gauges(
                r,
                "onnward_drift_window_rows",
                "Rows sampled in a window.",
                &["model", "version", "window"],
            )?,
            min_rows: gauges(
                r,
                "onnward_drift_min_rows",
                "Minimum number of rows for a result.",
                &["model", "version"],
            )?,
        })
    }

    fn set(&self, VersionDrift { model, version, report }: &VersionDrift<'_>) {
        let version = version.to_string();
        self.min_rows.with_label_values(&[*model, &version]).set(to_i64(report.min_rows as u64));
        for kind in WindowKind::ALL {
            let window = report.window(kind);
            let labels = [*model, &version, kind.name()];
            self.window_rows.with_label_values(&labels).set(to_i64(window.rows));
            for variable in window.variables() {
                self.set_variable(&labels, variable);
            }
        }
    }

    fn set_variable(&self, [model, version, window]: &[&str; 3], variable: &VariableReport<'_>) {
        let labels = [*model, *version, *window, variable.kind.name(), variable.name];
        let statistics = variable.statistics;
        let measures = [
            (&self.psi, statistics.psi),
            (&self.js_distance, statistics.js_distance),
            (&self.p_value, statistics.p_value),
        ];
        for (gauge, value) in measures {
            if let Some(value) = value {
                gauge.with_label_values(&labels).set(value);
            }
        }
        if statistics.psi.is_some() {
            self.detected.with_label_values(&labels).set(i64::from(variable.detected));
        }
    }
}
