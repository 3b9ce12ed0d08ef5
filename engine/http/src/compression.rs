//! Content codings of requests and responses: gzip and zstd.

pub mod requests;
pub mod responses;

use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use axum::http::{HeaderMap, HeaderValue};

use crate::problem::ApiError;

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// DEFLATE with a checksum (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Coding {
    /// Returns the name in header fields.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Parses a name. `x-gzip` is gzip too (RFC 9110, section 8.4.1.3).
    fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            Some(Self::Gzip)
        } else {
            name.eq_ignore_ascii_case("zstd").then_some(Self::Zstd)
        }
    }

    /// Returns the coding of which these bytes are the beginning. No JSON text begins so.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        const GZIP: &[u8] = &[0x1f, 0x8b];
        const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
        if bytes.starts_with(GZIP) { Some(Self::Gzip) } else { bytes.starts_with(ZSTD).then_some(Self::Zstd) }
    }

    /// Returns the coding of a request's body. `None` for a body that is not compressed.
    ///
    /// # Errors
    /// [`ApiError::UnknownCoding`] for another coding, and for several.
    pub fn of_request(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(None) };
        let names = value.to_str().map_err(|_| ApiError::UnknownCoding)?.split(',').map(str::trim);
        let mut codings = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Ok(None),
            (Some(name), None) => Self::parse(name).map(Some).ok_or(ApiError::UnknownCoding),
            (Some(_), Some(_)) => Err(ApiError::UnknownCoding),
        }
    }
}

/// The `Accept-Encoding` field of a request.
#[derive(Debug, Clone)]
pub struct AcceptedCodings(HeaderValue);

/// The weight of an element without one, in thousandths.
const FULL_WEIGHT: u16 = 1000;

impl AcceptedCodings {
    /// Returns the field. `None` for a request without one, whose response is not compressed.
    #[inline]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(ACCEPT_ENCODING).iter();
        let first = all.next()?;
        if all.next().is_none() {
            return Some(Self(first.clone()));
        }
        let values: Vec<_> = headers.get_all(ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes).collect();
        HeaderValue::from_bytes(&values.join(&b',')).ok().map(Self)
    }

    /// Returns the coding with the highest weight (RFC 9110, section 12.5.3), and zstd of two with the same.
    /// `None` if a response without a coding is preferred, or no coding is acceptable.
    pub fn preferred(&self) -> Option<Coding> {
        let weights = self.weights();
        let coding = if weights.zstd >= weights.gzip { Coding::Zstd } else { Coding::Gzip };
        weights.accept(coding).then_some(coding)
    }

    /// Returns whether a response with this coding is acceptable, and none without a coding is preferred.
    pub fn accept(&self, coding: Coding) -> bool {
        self.weights().accept(coding)
    }

    fn weights(&self) -> Weights {
        let (mut gzip, mut zstd, mut identity, mut others) = (None, None, None, None);
        for element in self.0.to_str().unwrap_or_default().split(',') {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = parts.next().map_or(Some(FULL_WEIGHT), parse_weight) else { continue };
            let weight = Some(weight);
            match Coding::parse(name) {
                Some(Coding::Gzip) => gzip = weight,
                Some(Coding::Zstd) => zstd = weight,
                None if name == "*" => others = weight,
                None if name.eq_ignore_ascii_case("identity") => identity = weight,
                None => {}
            }
        }
        Weights {
            // A client that accepts everything without naming it is more likely to know gzip.
            gzip: gzip.or(others).unwrap_or(0),
            zstd: zstd.unwrap_or(0),
            identity: identity.unwrap_or(0),
        }
    }
}

/// The weights of codings in thousandths. 0 is not acceptable, or not named.
struct Weights {
    gzip: u16,
    zstd: u16,
    identity: u16,
}

impl Weights {
    fn accept(&self, coding: Coding) -> bool {
        let weight = match coding {
            Coding::Gzip => self.gzip,
            Coding::Zstd => self.zstd,
        };
        weight > 0 && weight >= self.identity
    }
}

/// Parses `q=0.5` in thousandths. `None` if it is no weight.
fn parse_weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_valid = name.trim().eq_ignore_ascii_case("q")
        && fraction.len() <= 3
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let weight = match whole {
        "0" => format!("{fraction:0<3}").parse().ok(),
        "1" => fraction.bytes().all(|byte| byte == b'0').then_some(FULL_WEIGHT),
        _ => None,
    };
    weight.filter(|_| is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_has_one_coding_or_none() {
        for (value, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            (" zstd ", Some(Coding::Zstd)),
            ("identity, zstd,", Some(Coding::Zstd)),
            ("identity", None),
            ("", None),
        ] {
            assert_eq!(
                Coding::of_request(&headers("content-encoding", &[value])).unwrap(),
                expected,
                "{value}"
            );
        }
        assert_eq!(Coding::of_request(&HeaderMap::new()).unwrap(), None);
        for value in ["br", "deflate", "gzip, gzip", "gzip, br", "gzip;q=1", "gzi", "\u{e9}"] {
            let mut headers = HeaderMap::new();
            headers.insert("content-encoding", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert!(Coding::of_request(&headers).is_err(), "{value}");
        }
    }

    #[test]
    fn compressed_bytes_are_recognized() {
        assert_eq!(Coding::of_bytes(&zstd::bulk::compress(b"{}", 1).unwrap()), Some(Coding::Zstd));
        assert_eq!(Coding::of_bytes(b"\x1f\x8b\x08"), Some(Coding::Gzip));
        for other in [&b""[..], b"{}", b"\x1f", b"\x28\xb5\x2f"] {
            assert_eq!(Coding::of_bytes(other), None);
        }
    }

    #[test]
    fn the_coding_with_the_highest_weight_is_preferred() {
        let (gzip, zstd) = (Some(Coding::Gzip), Some(Coding::Zstd));
        for (values, expected) in [
            (&["gzip"][..], gzip),
            (&["gzip, deflate, br, zstd"], zstd),
            (&["gzip;q=1.0, zstd;q=0.999"], gzip),
            (&["zstd; q=0.5 , GZIP ; Q=0.4"], zstd),
            (&["zstd;q=0.5", "gzip;q=0.51"], gzip),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.0, zstd;q=0.001"], zstd),
            (&["*"], gzip),
            (&["*;q=0.1, zstd;q=0.05"], gzip),
            (&["gzip;q=0, *"], None),
            (&["*;q=0"], None),
            (&["identity"], None),
            (&["identity;q=0, gzip;q=0.1"], gzip),
            (&["identity, gzip;q=0.9"], None),
            (&["identity;q=0.5, gzip;q=0.5"], gzip),
            (&["br, deflate"], None),
            (&[""], None),
            (&["gzip;q=2"], None),
            (&["gzip;q=0.1234"], None),
            (&["gzip;q=x, zstd;level=1"], None),
            (&["gzip;q=1.001"], None),
        ] {
            let accepted = AcceptedCodings::of(&headers("accept-encoding", values)).unwrap();
            assert_eq!(accepted.preferred(), expected, "{values:?}");
        }
        assert!(AcceptedCodings::of(&HeaderMap::new()).is_none());
    }
}
