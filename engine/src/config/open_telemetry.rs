//! The variables of OpenTelemetry, as its specification names them. They set the keys of `[tracing]` that no
//! other source sets. The exporter reads headers, timeouts and the resource's attributes itself.

use std::collections::BTreeMap;

use figment::value::Value;

use super::layer::Layer;

const PREFIX: &str = "OTEL_";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
/// The protocol of the exporter.
const HTTP: &str = "http/protobuf";

/// What OpenTelemetry's variables say.
pub struct OpenTelemetry {
    /// The keys that they set.
    pub layers: Vec<Layer>,
    /// The variable by which traces are switched off, whatever else is set.
    pub disabled_by: Option<String>,
    /// What they say that is not done, in sentences.
    pub warnings: Vec<String>,
}

impl OpenTelemetry {
    /// Reads the variables. An empty one counts as unset.
    pub fn read<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let set: BTreeMap<&str, &str> = environment
            .into_iter()
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.trim().is_empty())
            .collect();
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, set.get(name)?.trim().to_owned())))
        };
        let mut read = Self { layers: Vec::new(), disabled_by: disabled_by(&set), warnings: Vec::new() };
        match (first([TRACES_ENDPOINT, ENDPOINT]), first([TRACES_PROTOCOL, PROTOCOL])) {
            (Some(_), Some((name, protocol))) if protocol != HTTP => read.warnings.push(format!(
                "no traces are sent to the collector of OpenTelemetry's variables: {name} is {protocol}, and the \
                 engine sends by {HTTP} only"
            )),
            (Some((name, endpoint)), _) => {
                read.layers.push(Layer::of_variable(name, "tracing.endpoint", Value::from(endpoint)));
            }
            (None, _) => {}
        }
        read.read_sampler(&set);
        read
    }

    fn read_sampler(&mut self, set: &BTreeMap<&str, &str>) {
        let Some(sampler) = set.get(SAMPLER) else { return };
        // Requests with a decision of their caller keep it, so each sampler behaves as one based on parents.
        let share = match sampler.strip_prefix("parentbased_").unwrap_or(sampler) {
            "always_on" => Some(1.0),
            "always_off" => Some(0.0),
            "traceidratio" => {
                let share = set.get(SAMPLER_ARGUMENT).map_or(Ok(1.0), |share| share.trim().parse::<f64>());
                share.ok().filter(|share| (0.0..=1.0).contains(share))
            }
            _ => None,
        };
        match share {
            Some(share) => self.layers.push(Layer::of_variable(SAMPLER, "tracing.sample", share.into())),
            None => self.warnings.push(format!(
                "{SAMPLER} is ignored: it must be always_on, always_off or traceidratio, perhaps after parentbased_, \
                 and {SAMPLER_ARGUMENT} a number from 0 to 1"
            )),
        }
    }
}

/// Returns the variable that switches traces off.
fn disabled_by(set: &BTreeMap<&str, &str>) -> Option<String> {
    let is_disabled = |(name, value): &(&str, &str)| match *name {
        "OTEL_SDK_DISABLED" => value.trim().eq_ignore_ascii_case("true"),
        "OTEL_TRACES_EXPORTER" => value.trim() == "none",
        _ => false,
    };
    set.iter().map(|(name, value)| (*name, *value)).find(is_disabled).map(|(name, _)| name.to_owned())
}
