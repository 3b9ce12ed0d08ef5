//! `[limits]`: the limits of connections, requests and clients.

use std::net::IpAddr;
use std::num::NonZero;

use ipnet::IpNet;
use onnward_http::settings::{LimitsConfig, Rate};
use serde::Deserialize;

use super::error::Invalid;
use super::value::count;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    max_connections: u64,
    max_requests: u64,
    max_headers: u64,
    max_header_bytes: u64,
    max_streams: u64,
    requests_per_second_per_address: u64,
    burst_per_address: u64,
    requests_per_second_per_key: u64,
    burst_per_key: u64,
    trusted_proxies: Vec<String>,
}

impl RawLimits {
    /// Validates the keys.
    pub fn validate(self) -> Result<LimitsConfig, Invalid> {
        let connections = count("limits.max_connections", self.max_connections)?;
        let streams = count("limits.max_streams", self.max_streams)?;
        let address_rate = rate(
            ("limits.requests_per_second_per_address", self.requests_per_second_per_address),
            ("limits.burst_per_address", self.burst_per_address),
        )?;
        let key_rate = rate(
            ("limits.requests_per_second_per_key", self.requests_per_second_per_key),
            ("limits.burst_per_key", self.burst_per_key),
        )?;
        Ok(LimitsConfig {
            max_connections: Some(connections).filter(|connections| *connections > 0),
            max_requests: count("limits.max_requests", self.max_requests)?,
            max_headers: count("limits.max_headers", self.max_headers)?,
            // Below its minimum, hyper's buffer has no room for the chunks of a body.
            max_header_bytes: count("limits.max_header_bytes", self.max_header_bytes)?,
            max_streams: u32::try_from(streams).unwrap_or(u32::MAX),
            address_rate,
            key_rate,
            trusted_proxies: self
                .trusted_proxies
                .iter()
                .map(|text| parse_network(text))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Validates a rate. 0 per second means no limit; the burst defaults to the rate.
fn rate(per_second: (&'static str, u64), burst: (&'static str, u64)) -> Result<Option<Rate>, Invalid> {
    let whole = |(key, value)| count(key, value).map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let (rate, burst_value) = (whole(per_second)?, whole(burst)?);
    match (NonZero::new(rate), NonZero::new(burst_value)) {
        (Some(per_second), burst) => Ok(Some(Rate { per_second, burst: burst.unwrap_or(per_second) })),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let problem = format!("has no effect, because `{}` is not set: set both", per_second.0);
            Err(Invalid { key: burst.0, problem })
        }
    }
}

fn parse_network(text: &str) -> Result<IpNet, Invalid> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address).ok_or_else(|| Invalid {
        key: "limits.trusted_proxies",
        problem: format!("has \"{text}\", but must list addresses or networks, such as \"10.0.0.0/8\""),
    })
}
