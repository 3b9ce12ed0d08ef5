//! `POST /outcomes`: joins ground truth to predictions.

mod json;
mod read;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use onnward_quality::time::millis_now;
use onnward_records::ground_truth::OutcomesError;
use onnward_records::ground_truth::join::{JoinResult, Joined, Outcome, Reference};
use onnward_rows::{BodyShape, ParseError};
use onnward_schemas::Violations;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use self::json::OutcomesBody;
pub use self::read::Received;
use crate::access::RequestStats;
use crate::admission::body::{self, ReadBody};
use crate::admission::large_bodies::{BodyPermits, LARGE_BODY_BYTES};
use crate::problem::ApiError;
use crate::state::{Admission, Models, Records};

/// The response to several outcomes: the count of each result, and the results in the request's order.
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

/// Joins outcomes to predictions. They are on disk before the response is sent.
pub async fn join(
    State(models): State<Arc<Models>>,
    State(admission): State<Arc<Admission>>,
    State(records): State<Arc<Records>>,
    request: Request,
) -> Result<Response, ApiError> {
    let Some(outcomes) = &records.outcomes else { return Err(ApiError::NoOutcomes) };
    let (parts, body) = request.into_parts();
    body::check_type(&parts.headers)?;
    let timeout = body::request_timeout(&parts.headers, admission.request_timeout)?;
    let deadline = Instant::now() + timeout;
    let body = body::read(&admission, &parts.headers, body, timeout, deadline).await?;
    let size = body.bytes.len() as u64;
    let (Received { outcomes: received, form, parent }, permits) = parse(&models, &admission, body).await?;
    check_keys(&models, &received, &parent, form)?;
    // The body has been freed. The parse permit is held until the outcomes are joined.
    let BodyPermits { memory, parse: _permit } = permits;
    drop(memory);
    let len = received.len();
    let joined = timeout_at(deadline, outcomes.join(received)).await;
    let results = joined.map_err(|_| ApiError::OutcomesTimedOut { after: timeout })?;
    let results = results.map_err(|error| to_api_error(error, &parent, form))?;
    let mut response = match (form, results.as_slice()) {
        (BodyShape::Single, [one]) => Json(one).into_response(),
        _ => Json(Results { counts: Counts::of(&results), results }).into_response(),
    };
    response.extensions_mut().insert(RequestStats { rows: len, bytes: size, scoring: None });
    Ok(response)
}

/// Refuses keys of models that are served and have none.
fn check_keys(models: &Models, received: &[Outcome], parent: &str, form: BodyShape) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    for (item, outcome) in received.iter().enumerate() {
        let Reference::Key { model, .. } = &outcome.of else { continue };
        let served = models.registry.get(model);
        if served.is_some_and(|served| served.description.schema().identifier.is_none()) {
            violations.push(|| read::key_without_identifier(model, item, parent, form));
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(ApiError::InvalidOutcomes(violations)) }
}

/// Parses a small body inline, and a large one on a blocking thread.
async fn parse(
    models: &Models,
    admission: &Admission,
    body: ReadBody,
) -> Result<(Received, BodyPermits), ApiError> {
    let ReadBody { bytes, permits } = body;
    let default_model = models.registry.default_model().map(|model| model.name.clone());
    let max_rows = admission.rows_limits.max_rows;
    let is_large = bytes.len() >= LARGE_BODY_BYTES;
    let parse = move || parse_outcomes(&bytes, default_model.as_deref(), max_rows, millis_now());
    if is_large { admission.large_body_limiter.parse(permits, parse).await } else { Ok((parse()?, permits)) }
}

/// Parses at most `most` outcomes. A key without a model belongs to `default_model`. `now` is the time in
/// milliseconds since 1970.
///
/// # Errors
/// The error that the client receives: the body is not UTF-8, is not JSON, exceeds a limit, or has
/// invalid outcomes.
///
/// # Examples
/// ```
/// use onnward_http::parse_outcomes;
///
/// assert!(parse_outcomes(b"{}", Some("bank"), 10, 0).is_err());
/// ```
pub fn parse_outcomes(
    bytes: &[u8],
    default_model: Option<&str>,
    most: usize,
    now: u64,
) -> Result<Received, ApiError> {
    let text = body::text(bytes)?;
    let body = OutcomesBody::parse(text, most).map_err(|error| ParseError::of_json(text, error))?;
    read::read(&body, default_model, most, now).map_err(ApiError::InvalidOutcomes)
}

fn to_api_error(error: OutcomesError, parent: &str, form: BodyShape) -> ApiError {
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
