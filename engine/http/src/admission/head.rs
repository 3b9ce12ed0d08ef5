//! Checks of a request's head that hold on every route.
//!
//! A browser sends what any page asks of it, to any address that the person behind it can reach: to an engine
//! on that person's machine, too. Such requests are recognized by `Origin` and `Sec-Fetch-Site` (Fetch
//! Metadata). A page whose host name was pointed at a loopback address (DNS rebinding) is recognized by
//! `Host`.

use std::net::IpAddr;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HOST, ORIGIN, TRANSFER_ENCODING,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::problem::{ApiError, HeadError};
use crate::server::HeadLimits;
use crate::settings::AllowedHosts;

/// The header fields that decide how a request is read. Two of them would leave that open.
const SINGLE: [HeaderName; 5] = [AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING, HOST, TRANSFER_ENCODING];
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The header fields that the checks read, by one pass over the head: most heads have few fields, and each look-up
/// computes a hash.
#[derive(Default)]
struct Fields<'a> {
    expect: Option<&'a HeaderValue>,
    transfer_coding: Option<&'a HeaderValue>,
    host: Option<&'a HeaderValue>,
    origin: Option<&'a HeaderValue>,
    fetch_site: Option<&'a HeaderValue>,
    fetch_mode: Option<&'a HeaderValue>,
}

impl<'a> Fields<'a> {
    /// Finds the first field of each name.
    fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            let field = match name {
                name if name == HOST => &mut fields.host,
                name if name == EXPECT => &mut fields.expect,
                name if name == TRANSFER_ENCODING => &mut fields.transfer_coding,
                name if name == ORIGIN => &mut fields.origin,
                name if name == FETCH_SITE => &mut fields.fetch_site,
                name if name == FETCH_MODE => &mut fields.fetch_mode,
                _ => continue,
            };
            field.get_or_insert(value);
        }
        fields
    }
}

/// Checks a request's head. `origins` are the origins whose pages may send requests.
pub fn check(
    request: &Request,
    hosts: &AllowedHosts,
    origins: &[String],
    limits: HeadLimits,
) -> Result<(), ApiError> {
    // The connection rejected it, and lets the routes answer.
    if let Some(error) = request.extensions().get::<HeadError>() {
        return Err(error.clone().into());
    }
    if request.version() == Version::HTTP_2 {
        check_size(request, limits)?;
    }
    let headers = request.headers();
    // The map knows both numbers, and they hardly ever differ.
    if headers.len() != headers.keys_len()
        && let Some(name) = SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
    {
        return Err(ApiError::DuplicateHeader { name: name.as_str().to_owned() });
    }
    let fields = Fields::of(headers);
    if fields.expect.is_some_and(|expected| !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(ApiError::UnknownExpectation);
    }
    // Only a body without a declared length has a transfer coding.
    if request.body().size_hint().exact().is_none()
        && fields.transfer_coding.is_some_and(|coding| !is_chunked(coding))
    {
        return Err(HeadError::UnknownTransferCoding.into());
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| fields.host.map(text));
    match host {
        None if request.version() == Version::HTTP_11 => return Err(ApiError::NoHost),
        // HTTP/1.0 needs none, and no browser speaks it.
        None => {}
        Some(host) if is_allowed(host, hosts) => {}
        Some(host) => return Err(ApiError::UnknownHost { host: host.to_owned() }),
    }
    if is_cross_site(request.method(), &fields, host, origins) { Err(ApiError::CrossSite) } else { Ok(()) }
}

/// Checks the size of an HTTP/2 head, as RFC 9113, section 6.5.2, defines it. HTTP/1.1 heads are bounded while they
/// are read.
fn check_size(request: &Request, limits: HeadLimits) -> Result<(), HeadError> {
    const FIELD_OVERHEAD: usize = 32;
    let headers = request.headers();
    if headers.len() > limits.max_headers {
        return Err(HeadError::TooManyFields { limit: limits.max_headers });
    }
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if fields.sum::<usize>() + target > limits.max_bytes {
        return Err(HeadError::TooLarge { limit: limits.max_bytes });
    }
    Ok(())
}

/// Returns whether a body has the transfer coding that hyper reads, and no other.
fn is_chunked(coding: &HeaderValue) -> bool {
    coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn text(value: &HeaderValue) -> &str {
    // What is not ASCII is no host and no origin.
    value.to_str().unwrap_or_default()
}

fn is_allowed(host: &str, hosts: &AllowedHosts) -> bool {
    match hosts {
        AllowedHosts::Any => true,
        AllowedHosts::Loopback => split_port(host).is_some_and(|(name, _)| is_loopback(name)),
        AllowedHosts::Listed(patterns) => {
            split_port(host).is_some_and(|host| patterns.iter().any(|pattern| matches(pattern, host)))
        }
    }
}

/// Splits `name:port`, where the name may be an IPv6 address in brackets. `None` if it is neither.
pub fn split_port(host: &str) -> Option<(&str, Option<&str>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port = port.strip_prefix(':').or_else(|| port.is_empty().then_some(""))?;
    let is_valid = !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_valid.then_some((name.strip_suffix('.').unwrap_or(name), Some(port).filter(|port| !port.is_empty())))
}

fn is_loopback(name: &str) -> bool {
    let last_label = name.rsplit_once('.').map_or(name, |(_, label)| label);
    last_label.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Returns whether a pattern covers a host: `api.example.org` and `*.example.org` on every port,
/// `api.example.org:8443` on one.
fn matches(pattern: &str, (name, port): (&str, Option<&str>)) -> bool {
    let Some((expected, expected_port)) = split_port(pattern) else { return false };
    let is_name = match expected.strip_prefix("*.") {
        Some(domain) => {
            let subdomain = name.len().checked_sub(domain.len() + 1).and_then(|at| name.split_at_checked(at));
            subdomain.is_some_and(|(label, rest)| {
                !label.is_empty()
                    && rest.strip_prefix('.').is_some_and(|rest| rest.eq_ignore_ascii_case(domain))
            })
        }
        None => name.eq_ignore_ascii_case(expected),
    };
    is_name && (expected_port.is_none() || expected_port == port)
}

/// Returns whether a browser sent the request for a page of another site.
fn is_cross_site(method: &Method, fields: &Fields<'_>, host: Option<&str>, origins: &[String]) -> bool {
    let (origin, site) = (fields.origin.map(text), fields.fetch_site.map(text));
    if (origin.is_none() && site.is_none()) || matches!(site, Some("same-origin" | "none")) {
        return false;
    }
    let is_listed = |origin: &str| origins.iter().any(|listed| listed == "*" || listed == origin);
    match origin {
        Some(origin) if is_listed(origin) => false,
        // A proxy may have changed the host; then the browser itself says that the page is the engine's own.
        Some(origin) => site == Some("cross-site") || !is_same_host(origin, host),
        // A link to a page of the engine is followed with `navigate`, and reads nothing for the other page.
        None => {
            let navigates = fields.fetch_mode.map(text) == Some("navigate");
            let is_safe = matches!(*method, Method::GET | Method::HEAD);
            site == Some("cross-site") && !(is_safe && navigates) && !is_listed("")
        }
    }
}

fn is_same_host(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { max_headers: 3, max_bytes: 200 };

    fn request(method: &str, fields: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/predict");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    fn checked(method: &str, fields: &[(&str, &str)], hosts: &AllowedHosts, origins: &[&str]) -> String {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        match check(&request(method, fields), hosts, &origins, LIMITS) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn loopback_hosts_are_those_that_no_name_server_can_point_elsewhere() {
        let is_served = |host: &str| checked("POST", &[("host", host)], &AllowedHosts::Loopback, &[]) == "ok";
        for host in [
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.0.0.1:8000",
            "127.9.8.7",
            "[::1]",
            "[::1]:8000",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert!(is_served(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "10.0.0.1",
            "[::2]",
            "::1",
            "",
            ":80",
            "localhost:8000:1",
            "localhost:x",
            "[::1",
            "user@localhost",
            "0.0.0.0",
        ] {
            assert!(!is_served(host), "{host}");
        }
    }

    #[test]
    fn a_listed_host_is_served_on_every_port_unless_it_names_one() {
        let listed = ["api.example.org", "*.example.net", "other.example:8443", "[fd00::1]"];
        let hosts = AllowedHosts::Listed(listed.map(str::to_owned).into());
        let is_served = |host: &str| checked("GET", &[("host", host)], &hosts, &[]) == "ok";
        for host in [
            "api.example.org",
            "API.example.org:1",
            "a.example.net",
            "a.b.example.net:2",
            "other.example:8443",
            "[fd00::1]:9",
        ] {
            assert!(is_served(host), "{host}");
        }
        for host in [
            "example.org",
            "x.api.example.org",
            "example.net",
            ".example.net",
            "aexample.net",
            "other.example",
            "other.example:8444",
            "localhost",
        ] {
            assert!(!is_served(host), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_send_nothing_unless_their_origin_is_listed() {
        let own = ("host", "127.0.0.1:8000");
        let (other_site, null) = (("origin", "https://evil.example"), ("origin", "null"));
        let (other_port, same) = (("origin", "http://127.0.0.1:3000"), ("origin", "http://127.0.0.1:8000"));
        let site = |site: &'static str| ("sec-fetch-site", site);
        let navigate = ("sec-fetch-mode", "navigate");
        let listed = ["https://evil.example"];
        for (method, fields, origins, is_served) in [
            ("POST", &[own][..], &[][..], true),
            ("POST", &[own, same], &[], true),
            ("POST", &[own, same, site("same-origin")], &[], true),
            ("POST", &[own, other_site, site("same-origin")], &[], true),
            ("POST", &[own, site("none")], &[], true),
            ("POST", &[own, other_site], &[], false),
            ("POST", &[own, null], &[], false),
            ("POST", &[own, other_port, site("same-site")], &[], false),
            ("POST", &[own, other_site, site("cross-site")], &[], false),
            ("POST", &[own, site("cross-site")], &[], false),
            ("POST", &[own, site("cross-site"), navigate], &[], false),
            ("GET", &[own, site("cross-site")], &[], false),
            ("GET", &[own, other_site], &[], false),
            ("GET", &[own, site("cross-site"), navigate], &[], true),
            ("POST", &[own, other_site, site("cross-site")], &listed, true),
            ("POST", &[own, null], &listed, false),
            ("POST", &[own, null, site("cross-site")], &["*"], true),
        ] {
            let said = checked(method, fields, &AllowedHosts::Loopback, origins);
            assert_eq!(said == "ok", is_served, "{method} {fields:?} {origins:?}: {said}");
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_rejected() {
        let own = ("host", "x");
        for name in ["authorization", "content-type", "content-encoding", "host"] {
            let said = checked("POST", &[own, (name, "a"), (name, "a")], &AllowedHosts::Any, &[]);
            assert!(said.contains(&format!("`{name}`")), "{said}");
        }
        let twice = [own, ("accept", "a"), ("accept", "b"), ("x-request-id", "1"), ("x-request-id", "2")];
        assert_eq!(checked("POST", &twice, &AllowedHosts::Any, &[]), "ok");
        assert!(checked("GET", &[], &AllowedHosts::Any, &[]).contains("`host`"));
        assert_eq!(checked("POST", &[own, ("expect", "100-Continue")], &AllowedHosts::Any, &[]), "ok");
        assert!(checked("POST", &[own, ("expect", "200-ok")], &AllowedHosts::Any, &[]).contains("expect"));
    }
}
