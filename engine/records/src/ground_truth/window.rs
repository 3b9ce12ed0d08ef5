//! The last outcomes of a version, from which its figures are made.

use std::collections::VecDeque;

use onnward_quality::performance::{LabelledPredictions, TaskPerformance};
use onnward_quality::time::rfc3339;
use onnward_schemas::Task;
use serde::Serialize;

use super::store::Event;

/// The bounds of the window over which figures are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowBounds {
    /// The maximum age of an outcome since it was received, in milliseconds.
    pub millis: u64,
    /// The maximum number of outcomes that count.
    pub outcomes: usize,
}

/// The outcomes that count, in the order of arrival.
#[derive(Debug, Default)]
pub struct Window {
    outcomes: VecDeque<Event>,
}

/// The measured performance over the outcomes that count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The number of outcomes.
    pub outcomes: u64,
    /// The number of positive outcomes, of a binary model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positives: Option<u64>,
    /// The time at which the first was received, in RFC 3339 and UTC.
    pub from: String,
    /// The time at which the last was received, in RFC 3339 and UTC.
    pub to: String,
    /// The figures.
    #[serde(flatten)]
    pub performance: TaskPerformance,
    /// The predictions that they are made from, sorted.
    #[serde(skip)]
    pub predictions: LabelledPredictions,
}

impl Window {
    /// Adds an outcome. A correction replaces the outcome that it corrects.
    pub fn add(&mut self, event: Event, bounds: WindowBounds) {
        if event.corrects {
            // An outcome outside the window is corrected in the store only.
            if let Some(known) = self.outcomes.iter_mut().find(|known| known.id == event.id) {
                *known = event;
            }
            return;
        }
        self.outcomes.push_back(event);
        if self.outcomes.len() > bounds.outcomes {
            self.outcomes.pop_front();
        }
    }

    /// Computes the figures at `now`, in milliseconds since 1970, of predictions made after `removed_until`.
    /// `None` if no outcome counts. `task` is that of the model.
    pub fn measure(
        &self,
        bounds: WindowBounds,
        now: u64,
        removed_until: u64,
        task: &Task,
    ) -> Option<Measured> {
        let since = now.saturating_sub(bounds.millis);
        let counts = |event: &&Event| event.received >= since && event.id.millis() > removed_until;
        let events = || self.outcomes.iter().filter(counts);
        let mut predictions = LabelledPredictions::collect(task, events().map(|event| event.judged))?;
        // It sorts them.
        let performance = predictions.performance(task)?;
        Some(Measured {
            outcomes: predictions.len() as u64,
            positives: predictions.positives(),
            from: rfc3339(events().next()?.received),
            to: rfc3339(events().next_back()?.received),
            performance,
            predictions,
        })
    }
}
