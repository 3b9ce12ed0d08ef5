use prometheus::{IntCounterVec, Registry};

use super::{Metrics, counters};

/// The capture metrics.
#[derive(Debug)]
pub struct CaptureMetrics {
    captured: IntCounterVec,
    lost: IntCounterVec,
}

/// The reason why a sampled request was not captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureLoss {
    /// Too much is already waiting to be written.
    NoRoom,
    /// Its body does not match its rows.
    Unreadable,
    /// The destination could not be written.
    Store,
    /// The process ended first.
    Stopped,
}

impl CaptureLoss {
    const ALL: [Self; 4] = [Self::NoRoom, Self::Unreadable, Self::Store, Self::Stopped];

    fn label(self) -> &'static str {
        match self {
            Self::NoRoom => "no_room",
            Self::Unreadable => "unreadable",
            Self::Store => "store",
            Self::Stopped => "stopped",
        }
    }
}

impl CaptureMetrics {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            captured: counters(
                r,
                "onnward_captured_requests_total",
                "Requests whose predictions were captured.",
                &["model"],
            )?,
            lost: counters(
                r,
                "onnward_capture_lost_total",
                "Requests whose capture was lost, by reason.",
                &["model", "reason"],
            )?,
        })
    }
}

impl Metrics {
    /// Counts captured requests.
    pub fn captured(&self, model: &str, requests: u64) {
        self.capture.captured.with_label_values(&[model]).inc_by(requests);
        // Created at 0 before the first event: a counter that starts above 0 shows no increase.
        for loss in CaptureLoss::ALL {
            self.capture_lost(model, loss, 0);
        }
    }

    /// Counts requests whose capture was lost.
    pub fn capture_lost(&self, model: &str, loss: CaptureLoss, requests: u64) {
        self.capture.lost.with_label_values(&[model, loss.label()]).inc_by(requests);
    }
}
