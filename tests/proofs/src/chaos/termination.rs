//! SIGTERM under load: what the engine has taken it answers.
//!
//! A request is lost if it was sent and its answer did not come whole, or was another than 200. Not lost is what was not sent: where
//! the connection had been closed before, or none could be had any more.

mod clients;

use std::time::{Duration, Instant};

use self::clients::{Clients, Tally};
use super::report::ScenarioReport;
use super::testbed::Testbed;
use onnward_harness::HarnessError;
use onnward_harness::figures::percentile;
use onnward_harness::requirement::Requirement;

/// How long the load runs before the signal.
const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_millis(800);
/// How long the engine goes on to take connections after the signal. Its default is longer; that one would only be waited for.
const GRACE_MS: &str = "300";

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let place = testbed.folder()?;
    let grace = ("ONNWARD_SHUTDOWN__GRACE_MS".to_owned(), GRACE_MS.to_owned());
    let command = testbed.command(&place, &[grace]);
    let (mut tally, mut end_ms, mut unclean) = (Tally::default(), Vec::new(), 0);
    for _ in 0..testbed.settings.repetitions {
        let mut engine = place.start(&command)?;
        let clients = Clients::start(engine.address()?, testbed)?;
        std::thread::sleep(testbed.random_delay(LEAST, MOST));
        clients.signalled();
        let start = Instant::now();
        engine.terminate()?;
        unclean += u64::from(!engine.wait_for_end()?.success());
        end_ms.push(1e3 * start.elapsed().as_secs_f64());
        tally.add(clients.join()?);
    }
    end_ms.sort_by(f64::total_cmp);
    let mut report = ScenarioReport::default();
    report
        .figure("engines told to end", testbed.settings.repetitions as f64)
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
