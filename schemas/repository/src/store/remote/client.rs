//! The HTTP client of an object store, between object_store and reqwest.
//!
//! object_store parses a page of a listing as a whole: one key that is no path, such as `models//x`, fails all of it,
//! and a web page with status 200 is an empty listing. So pages are checked here first. `Retry-After` is
//! heeded here too.
//!
//! What is read has a limit on silence. While a large file is sent, no answer comes, and how much of it has arrived is
//! known to the system alone. So an upload has a least speed instead.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use object_store::ClientConfigKey::{AllowHttp, AllowInvalidCertificates, ProxyExcludes, ProxyUrl};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::header::{CONTENT_LENGTH, ETAG, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::tls::Certificate;
use reqwest::{ClientBuilder, Method, NoProxy, Proxy, StatusCode};
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::listing::{self, NoListing};
use super::region::{BUCKET_REGION, ToldRegion};
use crate::store::passed_over::PassedOver;

/// The maximum size of a page of a listing in bytes: 1,000 keys of 1,024 bytes, each of which may be escaped.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// The size of a body from which a request is an upload.
const UPLOAD_BYTES: usize = 4 * 1024;
/// The longest time of an upload beside that of its bytes at the least speed, and the longest time without a byte
/// that the store's machine confirms.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// The least speed of a transfer in bytes per second.
pub const LEAST_SPEED: u64 = 1024;

/// The error of an upload that takes too long.
#[derive(Debug, Clone, Copy, Error)]
#[error("{bytes} bytes were not sent within {} s", .after.as_secs())]
pub struct SlowUpload {
    /// The size of the body.
    pub bytes: usize,
    /// The time that it had.
    pub after: Duration,
}

/// The error of an answer to a written file that is not a store's.
#[derive(Debug, Clone, Copy, Error)]
#[error("a page came instead of the store's answer: check the endpoint, and what is between it and here")]
pub struct NoAnswer;

/// The header of a request to copy a file in an S3 store.
const COPY_SOURCE: &str = "x-amz-copy-source";

/// Makes clients that check listings.
#[derive(Debug)]
pub struct CheckingConnector {
    /// The longest silence of the store.
    pub silence: Duration,
    /// The certificates that are trusted beside those of the system.
    pub certificates: Vec<Certificate>,
    /// What listings leave out.
    pub passed_over: Arc<PassedOver>,
    /// The region that the store tells.
    pub told_region: ToldRegion,
}

impl HttpConnector for CheckingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let reader = self.builder(options)?.read_timeout(self.silence);
        let uploader = self.builder(options)?;
        #[cfg(target_os = "linux")]
        let uploader = uploader.tcp_user_timeout(UPLOAD_TIMEOUT);
        Ok(HttpClient::new(CheckingClient {
            reader: HttpClient::new(reader.build().map_err(failed)?),
            uploader: HttpClient::new(uploader.build().map_err(failed)?),
            passed_over: Arc::clone(&self.passed_over),
            told_region: self.told_region.clone(),
            max_wait: self.silence,
        }))
    }
}

impl CheckingConnector {
    /// Begins a client with the settings that object_store read from the environment.
    fn builder(&self, options: &ClientOptions) -> object_store::Result<ClientBuilder> {
        let value = |key: ClientConfigKey| options.get_config_value(&key);
        let is_set = |key| value(key).is_some_and(|value| value == "true");
        let mut builder = ClientBuilder::new()
            .user_agent(concat!("onnward/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.silence)
            // A redirect leads to where the signature does not hold.
            .redirect(Policy::none())
            .http1_only()
            .https_only(!is_set(AllowHttp))
            .tls_certs_merge(self.certificates.clone())
            .tls_danger_accept_invalid_certs(is_set(AllowInvalidCertificates));
        if let Some(proxy) = value(ProxyUrl) {
            let excluded = value(ProxyExcludes).and_then(|names| NoProxy::from_string(&names));
            builder = builder.proxy(Proxy::all(proxy).map_err(failed)?.no_proxy(excluded));
        }
        Ok(builder)
    }
}

fn failed(error: reqwest::Error) -> object_store::Error {
    object_store::Error::Generic { store: "HTTP client", source: error.into() }
}

#[derive(Debug)]
struct CheckingClient {
    /// For requests with small bodies.
    reader: HttpClient,
    /// For requests with large ones.
    uploader: HttpClient,
    passed_over: Arc<PassedOver>,
    told_region: ToldRegion,
    /// The longest wait that a store may ask for.
    max_wait: Duration,
}

#[async_trait]
impl HttpService for CheckingClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let lists = request.method() == Method::GET && is_listing(request.uri().query().unwrap_or_default());
        // The answer to a copy has no tag in its head.
        let writes = request.method() == Method::PUT && !request.headers().contains_key(COPY_SOURCE);
        let bytes = request.body().content_length();
        let response = if bytes >= UPLOAD_BYTES {
            self.upload(request, bytes).await
        } else {
            self.reader.execute(request).await
        }?;
        if lists && response.status().is_success() {
            return self.checked(response).await;
        }
        if writes && response.status().is_success() && !response.headers().contains_key(ETAG) {
            return Err(HttpError::new(HttpErrorKind::Decode, NoAnswer));
        }
        if let Some(region) =
            response.headers().get(BUCKET_REGION).filter(|_| !response.status().is_success())
            && let Ok(region) = region.to_str()
        {
            self.told_region.tell(region);
        }
        if let Some(wait) = wait(&response).filter(|wait| *wait <= self.max_wait) {
            sleep(wait).await;
        }
        Ok(response)
    }
}

impl CheckingClient {
    async fn upload(&self, request: HttpRequest, bytes: usize) -> Result<HttpResponse, HttpError> {
        let after = UPLOAD_TIMEOUT + Duration::from_secs(bytes as u64 / LEAST_SPEED);
        let response = timeout(after, self.uploader.execute(request)).await;
        response.unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout, SlowUpload { bytes, after })))
    }

    /// Checks the page of a listing in a response.
    async fn checked(&self, response: HttpResponse) -> Result<HttpResponse, HttpError> {
        let (mut head, body) = response.into_parts();
        let page = listing::checked(read(body).await?, &self.passed_over);
        let page = page.map_err(|error| HttpError::new(HttpErrorKind::Decode, error))?;
        head.headers.remove(CONTENT_LENGTH);
        Ok(HttpResponse::from_parts(head, page.into()))
    }
}

/// Reads a page of a listing.
async fn read(mut body: HttpResponseBody) -> Result<Bytes, HttpError> {
    let mut page = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if page.len() + data.len() > MAX_PAGE_BYTES {
            return Err(HttpError::new(HttpErrorKind::Decode, NoListing::TooLarge));
        }
        page.extend_from_slice(&data);
    }
    Ok(page.into())
}

/// Returns whether a query is that of a listing: of S3, and of Google's, which is alike.
fn is_listing(query: &str) -> bool {
    query.split('&').any(|parameter| parameter == "list-type=2")
}

/// Returns the time that an overloaded store asks to wait (RFC 9110, section 10.2.3). A date is not heeded, as clocks
/// differ.
fn wait(response: &HttpResponse) -> Option<Duration> {
    let is_overloaded =
        matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let seconds = response.headers().get(RETRY_AFTER).filter(|_| is_overloaded)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}
