//! Authentication and authorization of requests.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use crate::auth::{Authenticator, Caller, Credential, Refusal, Scope, TokenRefusal};
use crate::problem::ApiError;
use crate::state::HttpState;

/// The header for the API keys of clients whose `Authorization` header has another use, such as a proxy's.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Requires a key or token with this scope on the routes, if authentication is configured, and applies the
/// caller's rate limit.
pub fn require_scope(routes: Router<HttpState>, state: &HttpState, scope: Scope) -> Router<HttpState> {
    match &state.access_control().auth {
        Some(keys) => {
            let counted = state.admission().rate_limits.by_caller(routes);
            counted.route_layer(from_fn_with_state((Arc::clone(keys), scope), authorize))
        }
        None => routes,
    }
}

async fn authorize(
    State((keys, scope)): State<(Arc<Authenticator>, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&keys, scope, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(Arc::clone(&caller));
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

/// Identifies the caller and checks the scope. The error holds the caller if known.
async fn identify(
    auth: &Authenticator,
    scope: Scope,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, (ApiError, Option<Arc<Caller>>)> {
    let presented = credential(headers).ok_or((ApiError::NoKey, None))?;
    let caller =
        auth.identify(presented, Utc::now()).await.map_err(|refusal| (to_api_error(&refusal), None))?;
    if caller.scopes.contains(&scope) {
        Ok(caller)
    } else {
        Err((ApiError::MissingScope { scope }, Some(caller)))
    }
}

/// Converts a rejection to the error that the client receives. The reason is only logged.
fn to_api_error(refusal: &Refusal) -> ApiError {
    tracing::debug!(reason = %refusal, "a caller was rejected");
    match refusal {
        Refusal::Token(TokenRefusal::Expired) => ApiError::TokenExpired,
        Refusal::Token(TokenRefusal::NoKeysYet) => ApiError::NoTokenKeys,
        _ => ApiError::WrongKey,
    }
}

/// Extracts the credential: `Authorization: Bearer KEY_OR_TOKEN` or `X-API-Key: KEY`.
fn credential(headers: &HeaderMap) -> Option<Credential<'_>> {
    if let Some(key) = headers.get(API_KEY) {
        return key.to_str().ok().map(Credential::Key);
    }
    let (scheme, presented) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Credential::Bearer(presented.trim()))
}
