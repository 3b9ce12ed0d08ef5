//! Has every request of an administrator put on record, answered or refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use onnward_telemetry::audit::AdminAction;

use crate::admission::rate::client_address;
use crate::auth::Caller;
use crate::request_id::RequestId;
use crate::server::PeerAddress;
use crate::state::HttpState;

/// Outside of what asks who it is, so that those who are turned away are on record too.
pub async fn record(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let trusted = &state.limits.trusted_proxies;
    let peer = request.extensions().get::<PeerAddress>();
    let from = peer.map(|PeerAddress(peer)| client_address(*peer, request.headers(), trusted));
    let action = format!("{} {}", request.method(), request.uri().path());
    let id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    let response = next.run(request).await;
    let who = response.extensions().get::<Arc<Caller>>().map(|caller| caller.name.clone());
    state.audit.record(AdminAction::now(who, from, action, response.status().as_u16(), id)).await;
    response
}
