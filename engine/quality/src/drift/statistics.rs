//! Computes how far live counts are from those in training, and how likely that is by chance.
//!
//! Both are counts of the same bins. Every function is symmetric in them. Where one side has no counts,
//! distances are 0 and p-values are 1.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The pseudo-count of each bin, for the population stability index.
const PSEUDO_COUNT: f64 = 0.5;

/// The expected count below which a bin is sparse.
const LEAST_EXPECTED: f64 = 5.0;

/// Computes the population stability index: Σ (pᵢ − qᵢ) ln(pᵢ / qᵢ), the sum of the Kullback–Leibler
/// divergences in both directions.
///
/// After Siddiqi, *Credit Risk Scorecards* (Wiley, 2006); the divergence is that of Jeffreys, *An invariant
/// form for the prior probability in estimation problems* (Proceedings of the Royal Society A 186, 1946). A
/// bin that one side has not seen would make it infinite. Hence each share is (count + ½) / (all + ½ k) over
/// the k bins that either side has seen; bins that neither has seen are left out. The ½ is that of Jeffreys'
/// prior. If nothing has changed, n live and m training rows are expected to give about (k − 1)(1/n +
/// 1/m).
pub fn psi(training: &[u64], live: &[u64]) -> f64 {
    let Some([all_training, all_live]) = totals(training, live) else { return 0.0 };
    let bins = non_empty(training, live).count() as f64;
    let share = |count: f64, all: f64| (count + PSEUDO_COUNT) / (all + PSEUDO_COUNT * bins);
    let of = |[training, live]: [f64; 2]| {
        let (p, q) = (share(live, all_live), share(training, all_training));
        (p - q) * (p / q).ln()
    };
    non_empty(training, live).map(of).sum()
}

/// Computes the Jensen–Shannon distance to base 2, from 0 (identical) to 1 (disjoint): √(½ KL(p‖m) + ½
/// KL(q‖m)) with m = ½ (p + q).
///
/// After Lin, *Divergence measures based on the Shannon entropy* (IEEE Transactions on Information Theory 37,
/// 1991); that the root is a metric, Endres and Schindelin, *A new metric for probability distributions*
/// (ibid. 49, 2003). As `scipy.spatial.distance.jensenshannon(training, live, base=2)`. Nothing is added to
/// any bin.
pub fn js_distance(training: &[u64], live: &[u64]) -> f64 {
    let Some([all_training, all_live]) = totals(training, live) else { return 0.0 };
    let part = |share: f64, mean: f64| if share > 0.0 { share * (share / mean).log2() } else { 0.0 };
    let of = |[training, live]: [f64; 2]| {
        let (p, q) = (live / all_live, training / all_training);
        let mean = f64::midpoint(p, q);
        f64::midpoint(part(p, mean), part(q, mean))
    };
    // Rounding may leave a sum of 0 just below it.
    non_empty(training, live).map(of).sum::<f64>().max(0.0).sqrt()
}

/// Returns the p-value of the hypothesis that both sides come from the same distribution. The first `values`
/// bins hold values; those after them count missing and unknown ones.
///
/// If every bin has enough rows, this is Pearson's chi-squared test of homogeneity (Pearson, *On the
/// probability that two distributions of frequency are really samples from the same population*, Biometrika
/// 8, 1911), as `scipy.stats.chi2_contingency([training, live], correction=False)` without the bins that
/// neither side has seen.
///
/// Its approximation needs an expected count of at least 5 (Cochran, *Some methods for strengthening the
/// common χ² tests*, Biometrics 10, 1954). A bin is sparse where less than that is expected on the side with
/// fewer rows. Sparse bins of values are merged into one. If the merged bin is still sparse, it is left out of
/// the chi-squared test, and so are sparse bins of missing and unknown values. Each of these is tested
/// separately against all other rows with Fisher's exact test ([`fisher_exact`]). So a few values that are new
/// since training are noticed, and not hidden in a common bin. The result is the smallest p-value times the
/// number of tests (Bonferroni's inequality).
pub fn homogeneity_p_value(training: &[u64], live: &[u64], values: usize) -> f64 {
    let Some([all_training, all_live]) = totals(training, live) else { return 1.0 };
    let of_fewer_rows = all_training.min(all_live) / (all_training + all_live);
    let is_sparse = |[training, live]: &[u64; 2]| ((training + live) as f64) * of_fewer_rows < LEAST_EXPECTED;

    let bins = training.iter().zip(live).map(|(training, live)| [*training, *live]);
    let (mut dense, mut sparse, mut merged) = (Vec::new(), Vec::new(), [0, 0]);
    for (index, bin) in bins.enumerate().filter(|(_, [training, live])| training + live > 0) {
        match (is_sparse(&bin), index < values) {
            (false, _) => dense.push(bin),
            (true, false) => sparse.push(bin),
            (true, true) => merged = [merged[0] + bin[0], merged[1] + bin[1]],
        }
    }
    match merged {
        [0, 0] => {}
        merged if is_sparse(&merged) => sparse.push(merged),
        merged => dense.push(merged),
    }
    let others = |[a, b]: [u64; 2]| [all_training as u64 - a, all_live as u64 - b];
    let exact = sparse.iter().map(|bin| fisher_exact(*bin, others(*bin)));
    let p_values: Vec<f64> = chi_squared(&dense).into_iter().chain(exact).collect();
    let smallest = p_values.iter().copied().fold(1.0, f64::min);
    (smallest * p_values.len().max(1) as f64).min(1.0)
}

/// Computes Pearson's chi-squared test over non-empty bins. `None` if there is nothing to compare.
fn chi_squared(bins: &[[u64; 2]]) -> Option<f64> {
    let [first, second] = [0, 1].map(|side| bins.iter().map(|bin| bin[side] as f64).sum::<f64>());
    let all = first + second;
    if bins.len() < 2 || first == 0.0 || second == 0.0 {
        return None;
    }
    let part = |count: u64, side: f64, column: f64| {
        let expected = side * column / all;
        (count as f64 - expected).powi(2) / expected
    };
    let statistic: f64 = bins
        .iter()
        .map(|[a, b]| {
            let column = (a + b) as f64;
            part(*a, first, column) + part(*b, second, column)
        })
        .sum();
    // The degrees of freedom are at least 1.
    ChiSquared::new((bins.len() - 1) as f64).ok().map(|distribution| distribution.sf(statistic))
}

/// Computes the two-sided Fisher's exact test of a table of two columns, each `[training, live]`: the
/// probability of all tables with these margins that are no likelier than this one.
///
/// After Fisher, *Statistical Methods for Research Workers* (5th edition, 1934), §21.02; as
/// `scipy.stats.fisher_exact([training, live])`. (statrs treats tables that are likelier by up to a
/// ten-thousandth as equally likely.)
fn fisher_exact([a, b]: [u64; 2], [c, d]: [u64; 2]) -> f64 {
    let (column, training, all) = (a + b, a + c, a + b + c + d);
    let live = all - training;
    let (lowest, highest) = (column.saturating_sub(live), column.min(training));
    // The weight of each table relative to the likeliest one, from the ratio of neighbours.
    let up = |x: u64| {
        let [x, column, training, live] = [x, column, training, live].map(|count| count as f64);
        (column - x) * (training - x) / ((x + 1.0) * (live - column + x + 1.0))
    };
    let mode =
        (((column + 1) as f64 * (training + 1) as f64 / (all + 2) as f64) as u64).clamp(lowest, highest);
    let above = (mode..highest).scan(1.0, |weight, x| {
        *weight *= up(x);
        Some((x + 1, *weight))
    });
    let below = (lowest..mode).rev().scan(1.0, |weight, x| {
        *weight /= up(x);
        Some((x, *weight))
    });
    let weights: Vec<(u64, f64)> = above.chain(below).chain([(mode, 1.0)]).collect();
    let observed = weights.iter().find(|(x, _)| *x == a).map_or(0.0, |(_, weight)| *weight);
    // Equally likely tables differ by rounding.
    let limit = observed * (1.0 + 1e-9);
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let as_far: f64 = weights.iter().map(|(_, weight)| weight).filter(|weight| **weight <= limit).sum();
    (as_far / total).min(1.0)
}

/// Returns both sides' totals. `None` if one is 0.
fn totals(training: &[u64], live: &[u64]) -> Option<[f64; 2]> {
    let totals = [training, live].map(|counts| counts.iter().sum::<u64>() as f64);
    totals.iter().all(|total| *total > 0.0).then_some(totals)
}

/// Returns the counts `[training, live]` of the bins in which either side has counts.
fn non_empty<'a>(training: &'a [u64], live: &'a [u64]) -> impl Iterator<Item = [f64; 2]> + 'a {
    let bins = training.iter().zip(live).filter(|(training, live)| **training + **live > 0);
    bins.map(|(training, live)| [*training as f64, *live as f64])
}

#[cfg(test)]
mod tests;
