//! SIGTERM under load: the engine answers what it has accepted.
//!
//! A request is lost if it was sent and got no complete answer with status 200. It is not lost if it was
//! never sent, because the connection was closed before or no new one was accepted.

mod clients;

use std::time::{Duration, Instant};

use self::clients::{Clients, Tally};
use super::report::ScenarioReport;
use super::testbed::Testbed;
use onnward_harness::HarnessError;
use onnward_harness::figures::percentile;
use onnward_harness::requirement::Requirement;

/// The bounds of the time from the start of the load to the signal.
const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_millis(800);
/// The time for which the engine accepts connections after the signal. The default is longer, and would only
/// lengthen the proof.
const GRACE_MS: &str = "300";

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let fixture = testbed.folder()?;
    let grace = ("ONNWARD_SHUTDOWN__GRACE_MS".to_owned(), GRACE_MS.to_owned());
    let command = testbed.command(&fixture, &[grace]);
    let (mut tally, mut end_ms, mut unclean) = (Tally::default(), Vec::new(), 0);
    for _ in 0..testbed.settings.repetitions {
        let mut engine = fixture.start(&command)?;
        let clients = Clients::start(engine.address()?, testbed)?;
        std::thread::sleep(testbed.random_delay(LEAST, MOST));
        clients.mark_signal();
        let start = Instant::now();
        engine.terminate()?;
        unclean += u64::from(!engine.wait_for_end()?.success());
        end_ms.push(1e3 * start.elapsed().as_secs_f64());
        tally.add(clients.join()?);
    }
    end_ms.sort_by(f64::total_cmp);
    let mut report = ScenarioReport::default();
    report
        .figure("engines terminated", testbed.settings.repetitions as f64)
        .figure("requests answered", tally.answered as f64)
        .figure("of them after the signal", tally.after_signal as f64)
        .figure("connections refused or closed before a request was sent", tally.unsent as f64)
        .figure("time from signal to end, median, ms", percentile(&end_ms, 50))
        .figure("longest, ms", percentile(&end_ms, 100))
        .require(Requirement::none_of("accepted request that is lost", tally.lost))
        .require(Requirement::none_of("engine that ends with an error", unclean))
        .require(Requirement::at_least(
            "requests answered after the signal",
            tally.after_signal as f64,
            1.0,
            "",
        ));
    report.reasons.extend(tally.reasons);
    Ok(report)
}
