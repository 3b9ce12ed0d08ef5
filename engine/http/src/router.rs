use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::cors::{Any, CorsLayer};

use crate::access::{self, TRACEPARENT};
use crate::admission::body::REQUEST_TIMEOUT;
use crate::auth::Protected;
use crate::auth::Scope;
use crate::guard::{API_KEY, guard};
use crate::problem::ApiError;
use crate::request_id::REQUEST_ID;
use crate::routes::{admin, drift, health, index, models, outcomes, performance, predict};
use crate::state::HttpState;
use crate::{audit, openapi};

/// Every route for those who use models, under what every request passes.
pub fn router(state: HttpState) -> Router {
    let predictions = Router::new()
        .route("/predict", post(predict::with_default_model))
        .route("/models/{name}/predict", post(predict::with_named_model))
        .route("/models/{name}/versions/{version}/predict", post(predict::with_version))
        .route("/models/{name}/aliases/{alias}/predict", post(predict::with_alias))
        .route("/outcomes", post(outcomes::join));
    let reports = Router::new()
        .route("/", get(index::index))
        .route("/models", get(models::list))
        .route("/models/{name}", get(models::one))
        .route("/models/{name}/drift", get(drift::figures))
        .route("/models/{name}/drift/report", get(drift::page))
        .route("/models/{name}/performance", get(performance::of_model));
    let docs = Router::new().route("/openapi.json", get(openapi::serve)).merge(openapi::page());

    let asked = guard(predictions, &state, Scope::Predict)
        .merge(guard(reports, &state, Scope::Read))
        .merge(optional(docs, &state, Protected::Docs));
    let router = common(&state).merge(state.rate_limits.by_address(asked));
    let router = match cors(&state.config.cors_origins) {
        Some(cors) => with_fallbacks(router).layer(cors),
        None => with_fallbacks(router),
    };
    router.layer(access::observe(state.clone(), state.tells_ids())).with_state(state)
}

/// The routes that have the engine do something, for an address of their own; with what asks how it is, so that a probe needs no
/// other.
pub fn admin_router(state: HttpState) -> Router {
    let admin = Router::new().route("/admin/reload", post(admin::reload));
    let admin = state.rate_limits.by_address(guard(admin, &state, Scope::Admin));
    let admin = admin.route_layer(from_fn_with_state(state.clone(), audit::record));
    with_fallbacks(common(&state).merge(admin)).layer(access::observe(state.clone(), true)).with_state(state)
}

/// What machines ask again and again, which is not counted in buckets.
fn common(state: &HttpState) -> Router<HttpState> {
    let metrics = Router::new().route("/metrics", get(health::metrics));
    Router::new()
        .route("/health", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .merge(optional(metrics, state, Protected::Metrics))
}

/// Asks for a key where these routes are protected.
fn optional(routes: Router<HttpState>, state: &HttpState, what: Protected) -> Router<HttpState> {
    if state.protect.contains(&what) { guard(routes, state, Scope::Read) } else { routes }
}

fn with_fallbacks(routes: Router<HttpState>) -> Router<HttpState> {
    routes
        .fallback(|| async { ApiError::UnknownPath })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
}

/// Lets pages of other origins call the engine, where origins are configured.
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
    // The configuration has made sure that each is visible ASCII.
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    Some(layer.allow_origin(origins))
}
