//! stub
#![allow(missing_docs)]
#[derive(Debug, Clone)]
pub struct ModelMetrics;
#[derive(Debug)]
pub struct Metrics;
pub enum RejectReason {
    QueueFull,
    TooManyRows,
    ShuttingDown,
    TimedOut,
}
impl ModelMetrics {
    pub fn rejected(&self, _: RejectReason) {}
    pub fn queued(&self, _: usize) {}
    pub fn unqueued(&self, _: usize) {}
    pub fn abandoned(&self) {}
    pub fn batch_ran(&self, _: usize) {}
}
impl Metrics {
    pub fn new() -> Self {
        Self
    }
    pub fn model(&self, _: &str, _: u64, _: &str) -> ModelMetrics {
        ModelMetrics
    }
}
