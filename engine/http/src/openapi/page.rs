//! Swagger UI at `/docs`. Its files are compressed when the engine is built.
//!
//! The page refers to its files under their digests, so browsers keep them for as long as they do not change.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{Redirect, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use onnward_schemas::sha256_hex;
use tokio::task::spawn_blocking;
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::compression::responses::is_text;
use crate::compression::{AcceptedCodings, Coding};
use crate::problem::ApiError;
use crate::state::HttpState;

const PAGE: &str = "index.html";
/// For the file of a digest, which never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For the others: kept, and asked for each time.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// Serves Swagger UI.
pub fn routes() -> Router<HttpState> {
    let files = Arc::new(Files::new());
    let page = {
        let files = Arc::clone(&files);
        move |uri: Uri, headers: HeaderMap| async move { files.answer(PAGE, &uri, &headers).await }
    };
    let file = move |Path(name): Path<String>, uri: Uri, headers: HeaderMap| async move {
        files.answer(&name, &uri, &headers).await
    };
    Router::new()
        .route("/docs", get(async || Redirect::to("/docs/")))
        .route("/docs/", get(page))
        .route("/docs/{*name}", get(file))
}

/// The files of Swagger UI that were asked for, by name.
struct Files {
    config: Arc<Config<'static>>,
    known: Mutex<HashMap<String, Arc<File>>>,
}

/// A file as it is stored.
struct File {
    bytes: Bytes,
    is_compressed: bool,
    kind: HeaderValue,
    digest: String,
}

impl Files {
    fn new() -> Self {
        let config = Config::from("/openapi.json")
            .try_it_out_enabled(true)
            .use_base_layout()
            .display_request_duration(true)
            .default_models_expand_depth(0)
            // By default, Swagger UI sends the document to a validator on the internet.
            .validator_url("none");
        Self { config: Arc::new(config), known: Mutex::default() }
    }

    /// Answers a request for a file.
    async fn answer(&self, name: &str, uri: &Uri, headers: &HeaderMap) -> Result<Response, ApiError> {
        let file = self.file(name)?.ok_or(ApiError::UnknownPath)?;
        let asked_digest = uri.query().and_then(|query| query.strip_prefix("v="));
        let has_digest = asked_digest.is_some_and(|digest| digest == file.digest);
        let etag = format!("W/\"{}\"", file.digest);
        let mut response = Response::new(Body::empty());
        let fields = response.headers_mut();
        fields.insert(CACHE_CONTROL, if has_digest { FOR_EVER } else { REVALIDATED });
        fields.extend(HeaderValue::try_from(etag.as_str()).map(|etag| (ETAG, etag)));
        if file.is_compressed {
            fields.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if headers.get(IF_NONE_MATCH).is_some_and(|known| names(known, &etag)) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        fields.insert(CONTENT_TYPE, file.kind.clone());
        let accepts = || AcceptedCodings::of(headers).is_some_and(|codings| codings.accept(Coding::Gzip));
        let body = if file.is_compressed && accepts() {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            file.bytes.clone()
        } else {
            let failed = |error: &dyn ToString| ApiError::Failed { reason: error.to_string() };
            let content = spawn_blocking(move || file.content().map(Cow::into_owned)).await;
            content.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?.into()
        };
        *response.body_mut() = body.into();
        Ok(response)
    }

    /// Returns a file. `None` if there is none of this name.
    fn file(&self, name: &str) -> Result<Option<Arc<File>>, ApiError> {
        if let Some(file) = self.lock().get(name) {
            return Ok(Some(Arc::clone(file)));
        }
        let Some(mut file) = self.load(name)? else { return Ok(None) };
        if name == PAGE {
            file = self.with_digests(&file)?;
        }
        let file = Arc::new(file);
        // Only names of files are kept.
        self.lock().insert(name.to_owned(), Arc::clone(&file));
        Ok(Some(file))
    }

    fn load(&self, name: &str) -> Result<Option<File>, ApiError> {
        let failed = |reason: String| ApiError::Failed { reason };
        let served = utoipa_swagger_ui::serve(name, Arc::clone(&self.config));
        let Some(served) = served.map_err(|error| failed(error.to_string()))? else { return Ok(None) };
        let SwaggerFile { bytes, content_type, gzpipped: is_compressed, .. } = served;
        let bytes = match bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        let kind = HeaderValue::try_from(content_type).map_err(|error| failed(error.to_string()))?;
        let file = File::new(bytes, is_compressed, kind);
        if is_text(&file.kind) {
            return Ok(Some(file));
        }
        // Compression makes an image larger.
        let content = file.content().map_err(|error| failed(error.to_string()))?.into_owned();
        Ok(Some(File::new(content.into(), false, file.kind)))
    }

    /// Returns the page with the digests of the files that it refers to.
    fn with_digests(&self, page: &File) -> Result<File, ApiError> {
        let content = page.content().map_err(|error| ApiError::Failed { reason: error.to_string() })?;
        let text = String::from_utf8_lossy(&content);
        let mut parts = Vec::new();
        // Files are named in attributes, between quotation marks.
        for part in text.split('"') {
            let name = part.strip_prefix("./").unwrap_or(part);
            let is_name = !name.is_empty() && name != PAGE && !name.contains(char::is_whitespace);
            parts.push(match if is_name { self.file(name)? } else { None } {
                Some(file) => format!("{part}?v={}", file.digest),
                None => part.to_owned(),
            });
        }
        Ok(File::new(parts.join("\"").into(), false, page.kind.clone()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<File>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    fn new(bytes: Bytes, is_compressed: bool, kind: HeaderValue) -> Self {
        const DIGEST_DIGITS: usize = 32;
        let mut digest = sha256_hex(&bytes);
        digest.truncate(DIGEST_DIGITS);
        Self { bytes, is_compressed, kind, digest }
    }

    /// Returns the content, decompressed.
    fn content(&self) -> std::io::Result<Cow<'_, [u8]>> {
        if !self.is_compressed {
            return Ok(Cow::Borrowed(&self.bytes));
        }
        let mut content = Vec::new();
        GzDecoder::new(&*self.bytes).read_to_end(&mut content)?;
        Ok(Cow::Owned(content))
    }
}

/// Returns whether `If-None-Match` names an entity tag (RFC 9110, section 13.1.2).
fn names(field: &HeaderValue, etag: &str) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tags = field.to_str().unwrap_or_default();
    tags.trim() == "*" || tags.split(',').any(|tag| weak(tag) == weak(etag))
}
