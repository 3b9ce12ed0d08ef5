//! `POST /outcomes`: what became of customers for whom there are predictions.

mod json;
mod read;

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use onnward_quality::time::millis_now;
use onnward_records::ground_truth::OutcomesError;
use onnward_records::ground_truth::join::{JoinResult, Joined};
use onnward_rows::BodyShape;
use onnward_schemas::Violations;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use self::json::OutcomesBody;
pub use self::read::Received;
use crate::access::Handled;
use crate::admission::body::{self, WholeBody};
use crate::admission::large_bodies::{LARGE_BODY_BYTES, Place};
use crate::problem::ApiError;
use crate::state::HttpState;

/// The answer to several outcomes: how many had each result, and the result of each in the request's order.
#[derive(Serialize)]
struct Results {
    #[serde(flatten)]
    counts: Counts,
    results: Vec<Joined>,
}

#[derive(Default, Serialize)]
struct Counts {
    joined: usize,
    corrected: usize,
    duplicate: usize,
    contradicting: usize,
    late: usize,
    unknown: usize,
}

/// Joins outcomes to predictions; when it answers, they are on the disk.
pub async fn join(State(state): State<HttpState>, request: Request) -> Result<Response, ApiError> {
    let Some(outcomes) = &state.outcomes else { return Err(ApiError::NoOutcomes) };
    let (parts, body) = request.into_parts();
    body::check_type(&parts.headers)?;
    let timeout = body::request_timeout(&parts.headers, state.config.request_timeout)?;
    let deadline = Instant::now() + timeout;
    let WholeBody { bytes, charged, mut place } =
        body::read(&state, &parts.headers, body, timeout, deadline).await?;
    let size = bytes.len() as u64;
    let Received { outcomes: received, form, parent } = read(&state, bytes, &mut place).await?;
    drop(charged);
    let len = received.len();
    let joined = timeout_at(deadline, outcomes.join(received)).await;
    let results = joined.map_err(|_| ApiError::OutcomesTimedOut { after: timeout })?;
    let results = results.map_err(|error| refused(error, &parent, form))?;
    let mut response = match (form, results.as_slice()) {
        (BodyShape::Single, [one]) => Json(one).into_response(),
        _ => Json(Results { counts: Counts::of(&results), results }).into_response(),
    };
    response.extensions_mut().insert(Handled { rows: len, bytes: size, scoring: None });
    Ok(response)
}

async fn read(state: &HttpState, bytes: Bytes, place: &mut Option<Place>) -> Result<Received, ApiError> {
    let default_model = state.registry.default_model().map(|model| model.name.clone());
    let most = state.config.max_request_rows;
    let large = bytes.len() >= LARGE_BODY_BYTES;
    let parse = move || parse_outcomes(&bytes, default_model.as_deref(), most, millis_now());
    if large { state.large_bodies.parse(place, parse).await } else { parse() }
}

/// The outcomes in a body, of which there are at most `most`. A key without a model is the default model's; `now` is the time in
/// milliseconds since 1970.
///
/// # Errors
/// What is wrong with the body, as its sender reads it.
pub fn parse_outcomes(
    bytes: &[u8],
    default_model: Option<&str>,
    most: usize,
    now: u64,
) -> Result<Received, ApiError> {
    let text = body::text(bytes)?;
    let body = OutcomesBody::parse(text, most).map_err(ApiError::of_json)?;
    read::read(&body, default_model, most, now).map_err(ApiError::InvalidOutcomes)
}

fn refused(error: OutcomesError, parent: &str, form: BodyShape) -> ApiError {
    match error {
        OutcomesError::WrongLabels(wrong) => {
            let mut violations = Violations::default();
            for one in wrong {
                violations.push(|| read::wrong_label(&one, parent, form));
            }
            ApiError::InvalidOutcomes(violations)
        }
        other => other.into(),
    }
}

impl From<OutcomesError> for ApiError {
    fn from(error: OutcomesError) -> Self {
        match error {
            OutcomesError::Full => Self::OutcomesFull { retry_after: Duration::from_secs(1) },
            OutcomesError::Unusable(reason) => Self::OutcomesFailed { reason },
            OutcomesError::WrongLabels(_) => Self::InvalidOutcomes(Violations::default()),
        }
    }
}

impl Counts {
    fn of(results: &[Joined]) -> Self {
        let mut counts = Self::default();
        for joined in results {
            *match joined.result {
                JoinResult::Joined => &mut counts.joined,
                JoinResult::Corrected => &mut counts.corrected,
                JoinResult::Duplicate => &mut counts.duplicate,
                JoinResult::Contradicting => &mut counts.contradicting,
                JoinResult::Late => &mut counts.late,
                JoinResult::Unknown => &mut counts.unknown,
            } += 1;
        }
        counts
    }
}
