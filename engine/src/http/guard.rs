//! Asks requests who sent them, and whether they may do what they want.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use crate::auth::{Authenticator, Caller, Scope};
use crate::http::problem::ApiError;
use crate::http::state::HttpState;

/// The header for keys of those whose `Authorization` is taken, as by a proxy.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Has the routes ask for a key with this scope, where there are keys.
pub fn guard(routes: Router<HttpState>, state: &HttpState, scope: Scope) -> Router<HttpState> {
    match &state.auth {
        Some(keys) => routes.route_layer(from_fn_with_state((Arc::clone(keys), scope), check)),
        None => routes,
    }
}

async fn check(
    State((keys, scope)): State<(Arc<Authenticator>, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    match admit(&keys, scope, request.headers()) {
        Ok(caller) => {
            let mut response = next.run(request).await;
            response.extensions_mut().insert(caller);
            response
        }
        Err((error, caller)) => {
            let mut response = error.into_response();
            if let Some(caller) = caller {
                response.extensions_mut().insert(caller);
            }
            response
        }
    }
}

/// The caller, if this one may do it; else the refusal, with the caller where that is known.
fn admit(
    keys: &Authenticator,
    scope: Scope,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, (ApiError, Option<Arc<Caller>>)> {
    let presented = presented(headers).ok_or((ApiError::NoKey, None))?;
    let caller = keys.identify(presented, Utc::now()).map_err(|_| (ApiError::WrongKey, None))?;
    if caller.scopes.contains(&scope) {
        Ok(caller)
    } else {
        Err((ApiError::MissingScope { scope }, Some(caller)))
    }
}

/// The key in a request's head: `Authorization: Bearer KEY` or `X-API-Key: KEY`.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get(API_KEY) {
        return key.to_str().ok();
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
