//! The audit log: a log line for each admin request at any level, and a line of a file if one is configured.
//!
//! Changes to the model repository are recorded there; see `onnward-exporter audit`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use onnward_quality::time::{millis_now, rfc3339};
use serde::Serialize;
use thiserror::Error;
use tokio::task::spawn_blocking;

/// The target of audit log lines.
pub const AUDIT: &str = "onnward::audit";

/// The audit log file cannot be opened.
#[derive(Debug, Error)]
#[error("cannot open the audit log {} for writing: {source}", path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

/// An admin request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdminAction {
    /// The time, in RFC 3339 and UTC.
    pub time: String,
    /// The caller's name. `None` if no key is required or the caller is unknown.
    pub who: Option<String>,
    /// The client's address.
    pub from: Option<IpAddr>,
    /// The method and the path.
    pub action: String,
    /// The status of the answer.
    pub status: u16,
    /// `success` or `failure`.
    pub outcome: &'static str,
    /// The request's id.
    pub request_id: String,
}

impl AdminAction {
    /// Creates the record of an action that was answered now.
    pub fn now(
        who: Option<String>,
        from: Option<IpAddr>,
        action: String,
        status: u16,
        request_id: String,
    ) -> Self {
        let outcome = if status < 400 { "success" } else { "failure" };
        let time = rfc3339(millis_now());
        Self { time, who, from, action, status, outcome, request_id }
    }
}

/// The audit log.
/// ```
/// use onnward_telemetry::audit::{AdminAction, Audit};
///
/// # let folder = tempfile::TempDir::new()?;
/// let path = folder.path().join("audit.jsonl");
/// let audit = Audit::open(Some(&path))?;
/// let (who, action) = (Some("ops".to_owned()), "POST /admin/reload".to_owned());
/// let action = AdminAction::now(who, None, action, 202, "id-1".to_owned());
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// audit.record(action).await;
/// # });
/// assert!(std::fs::read_to_string(&path)?.contains(r#""outcome":"success""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Audit {
    file: Option<Arc<Mutex<File>>>,
}

impl Audit {
    /// Opens the file, if there is one, to append to it. Only its owner may read it.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn open(path: Option<&Path>) -> Result<Self, AuditError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(|source| AuditError { path: path.to_owned(), source })?;
        Ok(Self { file: Some(Arc::new(Mutex::new(file))) })
    }

    /// Records an action. If there is a file, the line is on disk when this returns.
    pub async fn record(&self, action: AdminAction) {
        let AdminAction { who, from, action: what, status, outcome, request_id, .. } = &action;
        tracing::info!(
            target: AUDIT,
            caller = who.as_deref(), client = from.map(display), action = what, outcome, status, request_id,
            "admin request"
        );
        let Some(file) = self.file.clone() else { return };
        let written = spawn_blocking(move || append(&file, &action)).await;
        if let Err(error) = written.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            tracing::error!(%error, "the audit log file cannot be written");
        }
    }
}

fn append(file: &Mutex<File>, action: &AdminAction) -> io::Result<()> {
    let mut line = serde_json::to_vec(action)?;
    line.push(b'\n');
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(&line)?;
    file.sync_data()
}
