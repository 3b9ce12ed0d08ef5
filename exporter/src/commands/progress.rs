use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onnward_models::Progress;

/// A progress bar of a training run, on standard error. It is hidden if standard error is not a terminal.
pub struct TrainingBar {
    bar: ProgressBar,
}

impl TrainingBar {
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{elapsed:>4} {wide_bar:.cyan/dim} {percent:>3} %  {msg:<44}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar }
    }

    pub fn show(&self, progress: Progress) {
        match progress {
            Progress::Started { steps } => self.bar.set_length(steps),
            Progress::Advanced { steps, activity } => {
                self.bar.set_message(activity.to_string());
                self.bar.inc(steps);
            }
        }
    }
}

impl Drop for TrainingBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
