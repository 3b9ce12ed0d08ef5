//! `POST /admin/reload`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use onnward_serving::reload::ReloadError;

use crate::problem::ApiError;
use crate::routes::models::listing;
use crate::state::{Admission, Models, Operations};

/// Polls the model repository now, and returns the same response as `GET /models` once the result is
/// reconciled. The status is 202 if that takes longer than the request timeout.
pub async fn reload(
    State(models): State<Arc<Models>>,
    State(admission): State<Arc<Admission>>,
    State(operations): State<Arc<Operations>>,
) -> Result<Response, ApiError> {
    let reload = operations.reloader.reload();
    match tokio::time::timeout(admission.request_timeout, reload).await {
        Ok(Ok(())) => Ok(Json(listing(&models)).into_response()),
        Ok(Err(ReloadError::Refused)) => Err(ApiError::ReloadRefused),
        Ok(Err(ReloadError::Failed(reason))) => Err(ApiError::RepositoryUnreachable { reason }),
        Err(_) => Ok((StatusCode::ACCEPTED, Json(listing(&models))).into_response()),
    }
}
