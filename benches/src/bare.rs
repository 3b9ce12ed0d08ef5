//! The limit of the HTTP stack: a plain axum handler that parses the request into typed rows and returns
//! constants.

#[path = "../peers/bare/row.rs"]
mod row;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use onnward_harness::HarnessError;
use row::Row;
use tokio::net::TcpListener;

/// The engine's answer to one row, with constant numbers.
const ANSWER: &str = r#"{"model":"churn","version":1,"probability":0.123456789,"churn":false}"#;
/// The beginning of its answer to many rows, the part for each row, and the end.
const MANY: [&str; 3] =
    [r#"{"model":"churn","version":1,"predictions":["#, r#"{"probability":0.123456789,"churn":false}"#, "]}"];

/// Serves until the process ends. Prints the address to standard output.
///
/// # Errors
/// [`HarnessError::System`] if it cannot listen.
pub fn serve(listen: SocketAddr) -> Result<(), HarnessError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(HarnessError::system("start the bare handler"))?.block_on(async {
        let doing = || HarnessError::system(format!("listen on {listen}"));
        let listener = TcpListener::bind(listen).await.map_err(doing())?;
        println!("listening on http://{}", listener.local_addr().map_err(doing())?);
        let listener = listener.tap_io(|stream| {
            // A connection without it is slower, and works.
            let _ = stream.set_nodelay(true);
        });
        let app = Router::new().route("/predict", post(predict));
        axum::serve(listener, app).await.map_err(doing())
    })
}

async fn predict(body: Bytes) -> Response {
    let answer = if body.first() == Some(&b'[') {
        serde_json::from_slice::<Vec<Row<'_>>>(&body).map(|rows| many(rows.len()))
    } else {
        serde_json::from_slice::<Row<'_>>(&body).map(|_| ANSWER.to_owned())
    };
    match answer {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

fn many(rows: usize) -> String {
    let [start, each, end] = MANY;
    [start, &vec![each; rows].join(","), end].concat()
}
