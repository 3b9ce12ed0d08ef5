//! Rate limits by address and by caller: token buckets. Buckets that are full again are removed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, Request};
use axum::response::{IntoResponse, Response};
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use ipnet::IpNet;
use tokio::time::sleep;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::auth::Caller;
use crate::problem::ApiError;
use crate::server::PeerAddress;
use crate::settings::{LimitsConfig, Rate};
use crate::state::HttpState;

/// The buckets of addresses and callers, if limits are configured.
#[derive(Debug, Default)]
pub struct RateLimits {
    addresses: Option<Buckets<ByAddress>>,
    callers: Option<Buckets<ByCaller>>,
}

type Buckets<K> = Arc<GovernorConfig<K, NoOpMiddleware<QuantaInstant>>>;

/// The interval at which buckets that are full again are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

impl RateLimits {
    /// Creates the configured buckets.
    pub fn new(config: &LimitsConfig) -> Self {
        let trusted: Arc<[IpNet]> = config.trusted_proxies.clone().into();
        let addresses = config.address_rate.and_then(|rate| buckets(rate, ByAddress { trusted }));
        Self { addresses, callers: config.key_rate.and_then(|rate| buckets(rate, ByCaller)) }
    }

    /// Applies the per-address limit to the routes.
    pub fn by_address(&self, routes: Router<HttpState>) -> Router<HttpState> {
        limited(routes, self.addresses.as_ref())
    }

    /// Applies the per-caller limit to the routes. Authentication must run first.
    pub fn by_caller(&self, routes: Router<HttpState>) -> Router<HttpState> {
        limited(routes, self.callers.as_ref())
    }

    /// Removes full buckets periodically, which bounds their number by the recent clients.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            if let Some(addresses) = &self.addresses {
                addresses.limiter().retain_recent();
                addresses.limiter().shrink_to_fit();
            }
            if let Some(callers) = &self.callers {
                callers.limiter().retain_recent();
            }
        }
    }
}

fn limited<K>(routes: Router<HttpState>, buckets: Option<&Buckets<K>>) -> Router<HttpState>
where
    K: KeyExtractor + Send + Sync + 'static,
    K::Key: Send + Sync,
{
    match buckets {
        Some(buckets) => routes.route_layer(GovernorLayer::new(Arc::clone(buckets)).error_handler(rejection)),
        None => routes,
    }
}

fn buckets<K: KeyExtractor>(rate: Rate, key: K) -> Option<Buckets<K>> {
    let nanoseconds = 1_000_000_000 / u64::from(rate.per_second.get());
    let mut builder = GovernorConfigBuilder::default().key_extractor(key);
    builder.per_nanosecond(nanoseconds).burst_size(rate.burst.get()).finish().map(Arc::new)
}

/// Builds the response to a rate-limited request.
fn rejection(error: GovernorError) -> Response {
    let error = match error {
        // `wait_time` is in whole seconds, rounded down.
        GovernorError::TooManyRequests { wait_time, .. } => {
            ApiError::TooOften { retry_after: Duration::from_secs(wait_time + 1) }
        }
        error => ApiError::Failed { reason: error.to_string() },
    };
    error.into_response()
}

/// The key of the per-address limit. All addresses of an IPv6 /64 network share one bucket, because a
/// customer usually gets a whole network of that size.
#[derive(Debug, Clone)]
struct ByAddress {
    trusted: Arc<[IpNet]>,
}

impl KeyExtractor for ByAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let PeerAddress(peer) = request.extensions().get().ok_or(GovernorError::UnableToExtractKey)?;
        Ok(network_of(client_address(*peer, request.headers(), &self.trusted)))
    }
}

/// The key of the per-caller limit: the caller's name.
#[derive(Debug, Clone)]
struct ByCaller;

impl KeyExtractor for ByCaller {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let caller: &Arc<Caller> = request.extensions().get().ok_or(GovernorError::UnableToExtractKey)?;
        Ok(caller.name.clone())
    }
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the client's address: `peer`, unless that is a trusted proxy; then the last address in
/// `X-Forwarded-For` that is not a trusted proxy. Earlier entries are ignored, since clients can forge them.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted =
        |address: &IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
    if !is_trusted(&peer) {
        return peer;
    }
    let mut nearest = peer;
    let lists = headers.get_all(FORWARDED_FOR).iter().rev();
    let entries = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
    // A list may have empty elements (RFC 9110, section 5.6.1).
    for entry in entries.map(str::trim).filter(|entry| !entry.is_empty()) {
        let Some(address) = parse_forwarded(entry) else { break };
        nearest = address;
        if !is_trusted(&address) {
            break;
        }
    }
    nearest
}

/// Parses an address as proxies write it: alone, in brackets or quotes, with or without a port.
fn parse_forwarded(entry: &str) -> Option<IpAddr> {
    let entry = entry.strip_prefix('"').and_then(|entry| entry.strip_suffix('"')).unwrap_or(entry).trim();
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = entry.parse().ok().or_else(in_brackets);
    address.or_else(|| entry.parse().ok().map(|address: SocketAddr| address.ip()))
}

fn network_of(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        },
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_what_they_have_seen_themselves() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (peer, lists, client) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["nonsense, 10.0.0.2"], "10.0.0.2"),
            ("fd00::1", &["2001:db8::5"], "2001:db8::5"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, [2001:db8::5]:4711, 10.0.0.2:80"], "2001:db8::5"),
            ("10.0.0.1", &["1.1.1.1, [2001:db8::5]"], "2001:db8::5"),
            ("10.0.0.1", &["1.1.1.1, \"[2001:db8::5]:4711\""], "2001:db8::5"),
            ("10.0.0.1", &["1.1.1.1,\t\"198.51.100.7\" ,, "], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7,"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7", ","], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, _hidden, 10.0.0.3"], "10.0.0.3"),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(FORWARDED_FOR, list.parse().unwrap());
            }
            assert_eq!(
                client_address(address(peer), &headers, &trusted),
                address(client),
                "{peer} {lists:?}"
            );
        }
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        assert_eq!(network_of(address("2001:db8::1:2:3:4")), network_of(address("2001:db8::9")));
        assert_ne!(network_of(address("2001:db8:0:1::1")), network_of(address("2001:db8::1")));
        assert_eq!(network_of(address("::ffff:192.0.2.1")), address("192.0.2.1"));
        assert_ne!(network_of(address("192.0.2.1")), network_of(address("192.0.2.2")));
    }
}
