//! `POST /admin/reload`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use onnward_serving::reload::ReloadError;

use crate::problem::ApiError;
use crate::routes::models;
use crate::state::HttpState;

/// Has the model repository looked at now, and answers as `GET /models` once what was seen has been acted upon; 202 if
/// that takes longer than a request may.
pub async fn reload(State(state): State<HttpState>) -> Result<Response, ApiError> {
    let reload = state.reloader.reload();
    match tokio::time::timeout(state.config.request_timeout, reload).await {
        Ok(Ok(())) => Ok(Json(models::listing(&state)).into_response()),
        Ok(Err(ReloadError::Refused)) => Err(ApiError::ReloadRefused),
        Ok(Err(ReloadError::Failed(reason))) => Err(ApiError::RepositoryUnreachable { reason }),
        Err(_) => Ok((StatusCode::ACCEPTED, Json(models::listing(&state))).into_response()),
    }
}
