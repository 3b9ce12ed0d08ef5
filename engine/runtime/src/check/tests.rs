use super::*;
use crate::cross_check::DRAWN_ROWS;
use crate::fixtures::{Fake, OTHER, SERVING, artifact};

fn report(backends: &[Fake]) -> CheckReport {
    let backends: Vec<_> = backends.iter().map(|fake| Arc::new(*fake) as Arc<dyn Backend>).collect();
    check(&artifact(1.0), None, &backends).unwrap()
}

#[test]
fn backends_that_agree_pass() {
    let report = report(&[SERVING, OTHER]);
    assert!(report.passed(), "{report}");
    assert_eq!((report.results.len(), report.comparisons.len()), (4, 1));
    assert_eq!(report.comparisons[0].rows, DRAWN_ROWS + report.golden_rows);
}

#[test]
fn a_backend_that_cannot_score_the_drawn_rows_fails_even_if_it_reproduces_the_golden_ones() {
    let small = |fake| Fake { max_rows: 2, ..fake };
    for backends in [vec![small(SERVING)], vec![small(SERVING), OTHER], vec![SERVING, small(OTHER)]] {
        let report = report(&backends);
        assert!(!report.passed(), "{report}");
        let failures: Vec<_> = report.results.iter().filter_map(|result| result.failure.as_ref()).collect();
        assert_eq!(failures.len(), 1, "{report}");
        assert!(failures[0].contains("too many rows"), "{report}");
    }
}

#[test]
fn a_backend_that_leaves_rows_out_fails() {
    let short = Fake { score: |rows| vec![0.01; rows.nrows() - 1], ..SERVING };
    let report = report(&[short, OTHER]);
    assert!(!report.passed() && report.to_string().contains("1 scores for 2 rows"), "{report}");
}

#[test]
fn a_file_that_nothing_has_run_does_not_pass() {
    assert!(!report(&[]).passed());
}
