use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{Metrics, counters, gauges};

/// The connection metrics, by listener.
#[derive(Debug)]
pub struct ConnectionVecs {
    open: IntGaugeVec,
    ended_early: IntCounterVec,
}

/// The reason why the engine closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It was the longest idle when another one needed its place.
    MadeRoom,
    /// All places were taken, and no connection was idle.
    NoRoom,
    /// No request was received in time.
    Slow,
    /// The TLS handshake failed.
    Handshake,
    /// The client broke the rules of HTTP/2.
    Protocol,
}

impl ConnectionEnd {
    const ALL: [Self; 5] = [Self::MadeRoom, Self::NoRoom, Self::Slow, Self::Handshake, Self::Protocol];

    fn label(self) -> &'static str {
        match self {
            Self::MadeRoom => "made_room",
            Self::NoRoom => "no_room",
            Self::Slow => "slow",
            Self::Handshake => "handshake",
            Self::Protocol => "protocol",
        }
    }
}

impl ConnectionVecs {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let listener = &["listener"];
        Ok(Self {
            open: gauges(r, "onnward_connections", "Connections that are open.", listener)?,
            ended_early: counters(
                r,
                "onnward_connections_ended_early_total",
                "Connections closed by the engine, by reason.",
                &["listener", "reason"],
            )?,
        })
    }
}

impl Metrics {
    /// Returns the metrics of the connections of one listener.
    pub fn connections(&self, listener: &'static str) -> ConnectionMetrics {
        let ConnectionVecs { open, ended_early } = &self.connections;
        let counter = |end: ConnectionEnd| ended_early.with_label_values(&[listener, end.label()]);
        ConnectionMetrics {
            open: open.with_label_values(&[listener]),
            ended_early: ConnectionEnd::ALL.map(|end| (end, counter(end))),
        }
    }
}

/// The metrics of the connections of one listener.
#[derive(Debug, Clone)]
pub struct ConnectionMetrics {
    open: IntGauge,
    ended_early: [(ConnectionEnd, IntCounter); 5],
}

impl ConnectionMetrics {
    /// Counts an opened connection. [`ConnectionMetrics::closed`] reverses it.
    pub fn opened(&self) {
        self.open.inc();
    }

    /// Counts a closed connection.
    pub fn closed(&self) {
        self.open.dec();
    }

    /// Counts a connection that the engine closed before its client did.
    pub fn ended_early(&self, reason: ConnectionEnd) {
        for (end, counter) in &self.ended_early {
            if *end == reason {
                counter.inc();
            }
        }
    }
}
