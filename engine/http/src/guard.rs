//! Asks requests who sent them, and whether they may do what they want.

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

/// The header for keys of those whose `Authorization` is taken, as by a proxy.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Has the routes ask for a key or token with this scope, where there are such, and count what its holder asks.
pub fn guard(routes: Router<HttpState>, state: &HttpState, scope: Scope) -> Router<HttpState> {
    match &state.auth {
        Some(keys) => {
            let counted = state.rate_limits.by_caller(routes);
            counted.route_layer(from_fn_with_state((Arc::clone(keys), scope), check))
        }
        None => routes,
    }
}

async fn check(
    State((keys, scope)): State<(Arc<Authenticator>, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&keys, scope, request.headers()).await {
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

/// The caller, if this one may do it; else the refusal, with the caller where that is known.
async fn admit(
    auth: &Authenticator,
    scope: Scope,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, (ApiError, Option<Arc<Caller>>)> {
    let shown = credential(headers).ok_or((ApiError::NoKey, None))?;
    let caller = auth.identify(shown, Utc::now()).await.map_err(|refusal| (told(&refusal), None))?;
    if caller.scopes.contains(&scope) {
        Ok(caller)
    } else {
        Err((ApiError::MissingScope { scope }, Some(caller)))
    }
}

/// What somebody is told who is refused. The reason is for those who run the engine.
fn told(refusal: &Refusal) -> ApiError {
    tracing::debug!(reason = %refusal, "a caller is not let in");
    match refusal {
        Refusal::Token(TokenRefusal::Expired) => ApiError::TokenExpired,
        Refusal::Token(TokenRefusal::NoKeysYet) => ApiError::NoTokenKeys,
        _ => ApiError::WrongKey,
    }
}

/// What a request's head shows: `Authorization: Bearer KEY_OR_TOKEN` or `X-API-Key: KEY`.
fn credential(headers: &HeaderMap) -> Option<Credential<'_>> {
    if let Some(key) = headers.get(API_KEY) {
        return key.to_str().ok().map(Credential::Key);
    }
    let (scheme, shown) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Credential::Bearer(shown.trim()))
}
