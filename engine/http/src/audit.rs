//! Records every admin request in the audit log, whether accepted or rejected.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use onnward_telemetry::audit::AdminAction;

use crate::admission::rate::client_address;
use crate::auth::Caller;
use crate::problem::ApiError;
use crate::request_id::RequestId;
use crate::server::PeerAddress;
use crate::state::Operations;

/// Records a request in the audit log. It runs outside of authorization, so that rejected requests are
/// recorded too.
pub async fn record(State(operations): State<Arc<Operations>>, request: Request, next: Next) -> Response {
    let trusted = &operations.trusted_proxies;
    let peer = request.extensions().get::<PeerAddress>();
    let from = peer.map(|PeerAddress(peer)| client_address(*peer, request.headers(), trusted));
    let action = format!("{} {}", request.method(), request.uri().path());
    let id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    // A separate task serves and records the request, so that it continues if the client disconnects.
    let served = tokio::spawn(async move {
        let response = next.run(request).await;
        let who = response.extensions().get::<Arc<Caller>>().map(|caller| caller.name.clone());
        operations.audit.record(AdminAction::now(who, from, action, response.status().as_u16(), id)).await;
        response
    });
    served.await.unwrap_or_else(|error| ApiError::Failed { reason: error.to_string() }.into_response())
}
