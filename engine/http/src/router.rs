use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{get, post};
use tower_http::cors::{Any, CorsLayer};

use crate::access::{self, TRACEPARENT};
use crate::admission::body::REQUEST_TIMEOUT;
use crate::auth::Protected;
use crate::auth::Scope;
use crate::authorization::{API_KEY, require_scope};
use crate::problem::ApiError;
use crate::request_id::REQUEST_ID;
use crate::routes::{admin, drift, health, index, models, outcomes, performance, predict};
use crate::state::HttpState;
use crate::{audit, openapi};

/// Builds the public routes.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use axum::body::Body;
/// use axum::http::{Request, StatusCode};
/// use onnward_http::lifecycle::Lifecycle;
/// use onnward_http::settings::{AccessLogConfig, AllowedHosts, ErrorDetail, HttpConfig, LimitsConfig};
/// use onnward_http::{HttpParts, HttpState, router};
/// use onnward_serving::registry::Registry;
/// use onnward_serving::reload;
/// use onnward_telemetry::audit::Audit;
/// use onnward_telemetry::metrics::Metrics;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let state = HttpState::new(HttpParts {
///     config: HttpConfig {
///         max_body_bytes: 8 << 20,
///         max_request_rows: 10_000,
///         request_timeout: Duration::from_secs(30),
///         cors_origins: Vec::new(),
///         allowed_hosts: AllowedHosts::Loopback,
///         admin_allowed_hosts: AllowedHosts::Loopback,
///         errors: ErrorDetail::Full,
///         access_log: AccessLogConfig::default(),
///     },
///     limits: LimitsConfig::default(),
///     uses_tls: false,
///     auth: None,
///     audit: Audit::open(None)?,
///     protect: Vec::new(),
///     registry: Arc::new(Registry::new(None, Vec::new())),
///     metrics: Arc::new(Metrics::new()?),
///     lifecycle: Arc::new(Lifecycle::default()),
///     reloader: reload::channel().0,
///     capture: None,
///     outcomes: None,
///     traces: None,
/// });
/// let routes = router(state);
///
/// let probe = |path: &str| Request::get(path).header("host", "localhost").body(Body::empty());
/// assert_eq!(routes.clone().oneshot(probe("/health/live")?).await?.status(), StatusCode::OK);
/// // No model is loaded yet.
/// assert_eq!(routes.oneshot(probe("/health/ready")?).await?.status(), StatusCode::SERVICE_UNAVAILABLE);
/// # Ok(())
/// # }
/// ```
pub fn router(state: HttpState) -> Router {
    let predictions = Router::new()
        .route("/predict", post(predict::with_default_model))
        .route("/models/{name}/predict", post(predict::with_named_model))
        .route("/models/{name}/versions/{version}/predict", post(predict::with_version))
        .route("/models/{name}/aliases/{alias}/predict", post(predict::with_alias));
    let outcomes = Router::new().route("/outcomes", post(outcomes::join));
    let reports = Router::new()
        .route("/", get(index::index))
        .route("/models", get(models::list))
        .route("/models/{name}", get(models::details))
        .route("/models/{name}/drift", get(drift::report_json))
        .route("/models/{name}/drift/report", get(drift::report_page))
        .route("/models/{name}/performance", get(performance::performance));
    let docs =
        Router::new().route("/openapi.json", get(openapi::document_route)).merge(openapi::page::routes());

    let protected = require_scope(predictions, &state, Scope::Predict)
        .merge(require_scope(outcomes, &state, Scope::Outcomes))
        .merge(require_scope(reports, &state, Scope::Read))
        .merge(protected_routes(docs, &state, Protected::Docs));
    let rate_limits = &state.admission().rate_limits;
    let router = probe_routes(&state).merge(rate_limits.by_address(protected));
    let router = with_fallbacks(router);
    let router = router.fallback(async |uri: Uri| without_slash(&uri).ok_or(ApiError::UnknownPath));
    let router = match cors(&state.observation().config.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    let observation = state.observation();
    let hosts = &observation.config.allowed_hosts;
    router.layer(access::access_layer(observation, hosts, observation.exposes_request_id)).with_state(state)
}

/// Builds the admin routes, for a separate address, with the health checks.
pub fn admin_router(state: HttpState) -> Router {
    let admin = Router::new().route("/admin/reload", post(admin::reload));
    let admin = state.admission().rate_limits.by_address(require_scope(admin, &state, Scope::Admin));
    let admin = admin.route_layer(from_fn_with_state(Arc::clone(state.operations()), audit::record));
    let routes = with_fallbacks(probe_routes(&state).merge(admin));
    let hosts = &state.observation().config.admin_allowed_hosts;
    routes.layer(access::access_layer(state.observation(), hosts, true)).with_state(state)
}

/// Builds the probe and metrics routes, which have no rate limit.
fn probe_routes(state: &HttpState) -> Router<HttpState> {
    let metrics = Router::new().route("/metrics", get(health::metrics));
    Router::new()
        .route("/health", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .merge(protected_routes(metrics, state, Protected::Metrics))
}

/// Requires a key on these routes if they are protected.
fn protected_routes(routes: Router<HttpState>, state: &HttpState, what: Protected) -> Router<HttpState> {
    if state.access_control().protect.contains(&what) {
        require_scope(routes, state, Scope::Read)
    } else {
        routes
    }
}

fn with_fallbacks(routes: Router<HttpState>) -> Router<HttpState> {
    routes
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
}

/// Redirects a path with a slash at its end to the one without. The method and the body stay (308). `None` for a
/// path that a browser could take for another host.
fn without_slash(uri: &Uri) -> Option<Redirect> {
    let path = uri.path().strip_suffix('/').filter(|path| path.len() > 1)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
    if path.contains("//") || !path.bytes().all(is_plain) {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(Redirect::permanent(&format!("{path}{query}")))
}

/// Builds the CORS layer for the configured origins. `None` without any.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    const EXPOSED: [HeaderName; 3] = [REQUEST_ID, TRACEPARENT, header::RETRY_AFTER];
    const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            API_KEY,
            header::CONTENT_ENCODING,
            header::CONTENT_TYPE,
            REQUEST_ID,
            REQUEST_TIMEOUT,
            TRACEPARENT,
            TRACESTATE,
        ])
        .expose_headers(EXPOSED)
        .max_age(Duration::from_secs(3600));
    if origins.iter().any(|origin| origin == "*") {
        return Some(layer.allow_origin(Any));
    }
    // The configuration ensures that each origin is visible ASCII.
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    Some(layer.allow_origin(origins))
}
