//! Compresses the bodies of responses.
//!
//! A body is compressed before it is sent. So a client that reads slowly keeps no compressor in memory.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderValue;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, VARY,
};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Coding;

/// The smallest body that is compressed: a smaller one fits one packet anyway.
const MIN_BYTES: u64 = 1024;
/// The largest body that is compressed where connections are served.
const INLINE_BYTES: usize = 32 * 1024;
/// The cheapest level of zstd that is not a negative one.
const ZSTD_LEVEL: i32 = 1;

/// Compresses bodies, one large one per core at a time.
#[derive(Debug, Clone)]
pub struct Compressor {
    cores: Arc<Semaphore>,
}

/// Returns whether a response is worth compressing, whatever its client accepts.
pub fn is_worthwhile(response: &Response) -> bool {
    let headers = response.headers();
    response.body().size_hint().exact().is_some_and(|bytes| bytes >= MIN_BYTES)
        && headers.get(CONTENT_TYPE).is_some_and(is_text)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !headers
            .get(CACHE_CONTROL)
            .is_some_and(|value| value.to_str().is_ok_and(|value| value.contains("no-transform")))
}

/// Returns whether a media type is a text. Others are compressed already.
pub fn is_text(kind: &HeaderValue) -> bool {
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/") || ["json", "javascript", "xml"].iter().any(|end| essence.ends_with(end))
}

impl Compressor {
    pub fn new(cores: usize) -> Self {
        Self { cores: Arc::new(Semaphore::new(cores)) }
    }

    /// Compresses the body of a response. A large body stays as it is while all cores compress others.
    pub async fn compress(self, mut response: Response, coding: Coding) -> Response {
        let body = std::mem::take(response.body_mut());
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else { return response };
        match self.run(body.clone(), coding).await {
            Some(compressed) if compressed.len() < body.len() => {
                *response.body_mut() = Body::from(compressed);
                response.headers_mut().remove(CONTENT_LENGTH);
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            }
            _ => *response.body_mut() = Body::from(body),
        }
        response
    }

    /// Returns the compressed body, unless there is no core for it.
    async fn run(&self, body: Bytes, coding: Coding) -> Option<Vec<u8>> {
        if body.len() <= INLINE_BYTES {
            return compressed(&body, coding).ok();
        }
        let core = Arc::clone(&self.cores).try_acquire_owned().ok()?;
        let run = move || {
            let compressed = compressed(&body, coding).ok();
            drop(core);
            compressed
        };
        spawn_blocking(run).await.ok().flatten()
    }
}

/// Declares that the response depends on what its client accepts.
pub fn set_vary(response: &mut Response) {
    let is_declared = |value: &HeaderValue| {
        let names = value.to_str().unwrap_or_default();
        names.split(',').any(|name| name.trim().eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()))
    };
    if response.headers().get_all(VARY).iter().any(is_declared) {
        return;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
}

fn compressed(body: &[u8], coding: Coding) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()
        }
        Coding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL),
    }
}
