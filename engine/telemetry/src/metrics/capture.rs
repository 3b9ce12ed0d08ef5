use prometheus::{IntCounterVec, Registry};

use super::{Metrics, counters};

/// What becomes of the predictions that are captured.
#[derive(Debug)]
pub struct CaptureMetrics {
    captured: IntCounterVec,
    lost: IntCounterVec,
}

/// Why a request that was to be captured is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureLoss {
    /// Too much waits to be written already.
    NoRoom,
    /// Its body does not hold its rows.
    Unreadable,
    /// The place could not be written.
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
                "Requests whose predictions have been written down.",
                &["model"],
            )?,
            lost: counters(
                r,
                "onnward_capture_lost_total",
                "Requests that were to be written down and are lost, by reason.",
                &["model", "reason"],
            )?,
        })
    }
}

impl Metrics {
    /// The predictions of so many requests have been written down.
    pub fn captured(&self, model: &str, requests: u64) {
        self.capture.captured.with_label_values(&[model]).inc_by(requests);
        // They are there before the first loss: a counter that begins above 0 shows no increase.
        for loss in CaptureLoss::ALL {
            self.capture_lost(model, loss, 0);
        }
    }

    /// The predictions of so many requests were to be written down, and are lost.
    pub fn capture_lost(&self, model: &str, loss: CaptureLoss, requests: u64) {
        self.capture.lost.with_label_values(&[model, loss.label()]).inc_by(requests);
    }
}
