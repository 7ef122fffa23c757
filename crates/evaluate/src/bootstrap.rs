//! Is the tuned model better than the base model, or were the test rows lucky? Paired bootstrap resampling.
//!
//! Koehn 2004 (<https://aclanthology.org/W04-3250>): draw as many rows as there are, with replacement, score both models
//! on the same draw, repeat. BLEU, chrF and token perplexity are recomputed from the counts of the drawn rows. The 95 %
//! interval runs between the 2.5 % ends of the sorted values (the order statistics that sacreBLEU takes).
//!
//! The p-value is two-sided: how often the difference of a draw strays from the mean of all draws by at least the
//! difference observed, (times + 1) / (draws + 1) (shift method, Riezler and Maxwell 2005,
//! <https://aclanthology.org/W05-0908>). It departs from sacreBLEU's in purpose: that one compares absolute differences
//! with `>`, and so calls two identical systems different with p = 1 / (draws + 1); here they get p = 1.

use serde::{Deserialize, Serialize};

use crate::metric::statistics;
use crate::{Metric, MetricError, RowStatistics};

/// A value and the interval that holds 95 % of its resampled values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value on the rows as they are.
    pub value: f64,
    /// Low and high end of the interval.
    pub interval95: [f64; 2],
}

/// A base model beside a tuned one on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The base model.
    pub base: Estimate,
    /// The tuned model.
    pub tuned: Estimate,
    /// Tuned minus base, with the interval of the paired differences.
    pub difference: Estimate,
    /// Two-sided: the probability of a difference as large as this one if the models were equally good. 1 when there
    /// is one row only, which says nothing about others.
    pub p_value: f64,
    /// How many resamples were drawn.
    pub resamples: usize,
    /// The seed that they were drawn with.
    pub seed: u64,
}

/// Compares two models' predictions under a metric. The same arguments give the same numbers on every machine.
///
/// # Errors
/// [`MetricError::UnequalRows`] when the lists differ in length, [`MetricError::NoRows`] when they are empty,
/// [`MetricError::NoResamples`] when `resamples` is 0.
pub fn compare<B: AsRef<str>, T: AsRef<str>, R: AsRef<str>>(
    metric: Metric,
    base: &[B],
    tuned: &[T],
    references: &[R],
    resamples: usize,
    seed: u64,
) -> Result<Comparison, MetricError> {
    let base = statistics(metric, base, references)?;
    let tuned = statistics(metric, tuned, references)?;
    compare_statistics(&base, &tuned, resamples, seed)
}

/// [`compare`] on statistics that were computed before, and the way to compare perplexities.
///
/// # Errors
/// [`MetricError::UnequalSides`], [`MetricError::UnequalMetrics`], [`MetricError::NoResamples`].
pub fn compare_statistics(
    base: &RowStatistics,
    tuned: &RowStatistics,
    resamples: usize,
    seed: u64,
) -> Result<Comparison, MetricError> {
    if base.rows() != tuned.rows() {
        return Err(MetricError::UnequalSides { base: base.rows(), tuned: tuned.rows() });
    }
    if !base.same_metric(tuned) {
        return Err(MetricError::UnequalMetrics);
    }
    if resamples == 0 {
        return Err(MetricError::NoResamples);
    }
    let rows = base.rows();
    let (mut bases, mut tuneds, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for resample in 0..resamples {
        let drawn = || (0..rows).map(|draw| drawn_row(seed, resample as u64, draw as u64, rows));
        let (base, tuned) = (base.value_of(drawn()), tuned.value_of(drawn()));
        bases.push(base);
        tuneds.push(tuned);
        differences.push(tuned - base);
    }
    let (base, tuned) = (base.value(), tuned.value());
    let p_value = if rows == 1 { 1.0 } else { p_value(&differences, tuned - base) };
    Ok(Comparison {
        base: estimate(base, bases),
        tuned: estimate(tuned, tuneds),
        difference: estimate(tuned - base, differences),
        p_value,
        resamples,
        seed,
    })
}

/// The value of one model and its interval, from the draws that [`compare_statistics`] makes with the same seed.
///
/// # Errors
/// [`MetricError::NoResamples`].
pub fn resample(statistics: &RowStatistics, resamples: usize, seed: u64) -> Result<Estimate, MetricError> {
    if resamples == 0 {
        return Err(MetricError::NoResamples);
    }
    let rows = statistics.rows();
    let draw = |resample| (0..rows).map(move |draw| drawn_row(seed, resample, draw as u64, rows));
    let values = (0..resamples as u64).map(|number| statistics.value_of(draw(number))).collect();
    Ok(estimate(statistics.value(), values))
}

fn estimate(value: f64, mut resampled: Vec<f64>) -> Estimate {
    resampled.sort_by(f64::total_cmp);
    let cut = resampled.len() / 40;
    Estimate { value, interval95: [resampled[cut], resampled[resampled.len() - 1 - cut]] }
}

fn p_value(differences: &[f64], observed: f64) -> f64 {
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    // Rounding must not turn an equal difference into a smaller one.
    let threshold = observed.abs() * (1.0 - 1e-9);
    let as_far = differences.iter().filter(|&difference| (difference - mean).abs() >= threshold).count();
    (as_far + 1) as f64 / (differences.len() + 1) as f64
}

/// The row of one draw, uniform over `rows`: counter-based, so any order of evaluation gives the same draws.
fn drawn_row(seed: u64, resample: u64, draw: u64, rows: usize) -> usize {
    let random = mix(mix(mix(seed) ^ resample) ^ draw);
    ((u128::from(random) * rows as u128) >> 64) as usize
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014) on the next point of its sequence.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Aggregate;

    /// Rows whose values alternate between the two given ones.
    fn alternating(rows: usize, even: f64, odd: f64) -> RowStatistics {
        let values = (0..rows).map(|row| [if row % 2 == 0 { even } else { odd }, 1.0]);
        RowStatistics::new(Aggregate::Mean, values).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_comparison_and_another_seed_another() {
        let squares = |shift: u32| {
            let values = (0..50).map(|row| [f64::from((row + shift) * (row + shift)), 1.0]);
            RowStatistics::new(Aggregate::Mean, values).unwrap()
        };
        let (base, tuned) = (squares(0), squares(3));
        let first = compare_statistics(&base, &tuned, 200, 42).unwrap();
        assert_eq!(first, compare_statistics(&base, &tuned, 200, 42).unwrap());
        assert_ne!(first.tuned.interval95, compare_statistics(&base, &tuned, 200, 43).unwrap().tuned.interval95);
    }

    #[test]
    fn one_model_alone_has_the_interval_it_has_in_a_comparison() {
        let (base, tuned) = (alternating(30, 10.0, 40.0), alternating(30, 20.0, 90.0));
        let compared = compare_statistics(&base, &tuned, 200, 42).unwrap();
        assert_eq!(resample(&base, 200, 42), Ok(compared.base));
        assert_eq!(resample(&tuned, 200, 42), Ok(compared.tuned));
        assert_eq!(resample(&base, 0, 42), Err(MetricError::NoResamples));
    }

    #[test]
    fn identical_predictions_differ_by_nothing_with_p_one() {
        let texts = ["一種可折疊的雨傘", "防水手電筒", "自動澆水器"];
        for metric in Metric::ALL {
            let compared = compare(metric, &texts, &texts, &["雨傘", "手電筒", "澆水器"], 100, 1).unwrap();
            assert_eq!(compared.difference, Estimate { value: 0.0, interval95: [0.0, 0.0] });
            assert_eq!(compared.p_value, 1.0, "{metric}");
        }
    }

    #[test]
    fn a_clear_gain_is_significant_and_a_coin_toss_is_not() {
        let gain = compare_statistics(&alternating(100, 0.0, 20.0), &alternating(100, 50.0, 60.0), 1000, 7).unwrap();
        assert_eq!(gain.p_value, 1.0 / 1001.0);
        assert!(gain.difference.interval95[0] > 40.0, "{gain:?}");
        // The tuned model gains on every second row almost what it loses on the others.
        let toss = compare_statistics(&alternating(100, 50.0, 50.0), &alternating(100, 91.0, 10.0), 1000, 7).unwrap();
        assert!(toss.p_value > 0.7, "{toss:?}");
        assert!(toss.difference.interval95[0] < 0.0 && toss.difference.interval95[1] > 0.0, "{toss:?}");
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_wide_on_each_side() {
        let rows = 400;
        let compared =
            compare_statistics(&alternating(rows, 0.0, 100.0), &alternating(rows, 0.0, 100.0), 4000, 3).unwrap();
        let standard_error = 50.0 / (rows as f64).sqrt();
        let [low, high] = compared.base.interval95;
        assert!((50.0 - low - 1.96 * standard_error).abs() < 0.4, "{low}");
        assert!((high - 50.0 - 1.96 * standard_error).abs() < 0.4, "{high}");
    }

    #[test]
    fn draws_are_uniform_over_the_rows() {
        let (rows, draws) = (10, 100_000);
        let mut counts = vec![0_i64; rows];
        for draw in 0..draws {
            counts[drawn_row(5, draw / 100, draw % 100, rows)] += 1;
        }
        // Five standard deviations of a binomial count.
        assert!(counts.iter().all(|count| (count - 10_000).abs() < 475), "{counts:?}");
    }

    #[test]
    fn a_corpus_metric_is_recomputed_from_counts_and_not_averaged() {
        let (good, bad) = ("一種可折疊的雨傘及其製造方法", "完全無關");
        let references = [good, good];
        let compared = compare(Metric::BleuZh, &[good, bad], &[good, good], &references, 400, 9).unwrap();
        let all_bad = statistics(Metric::BleuZh, &[good, bad], &references).unwrap().value_of([1, 1]);
        assert_eq!(compared.base.interval95, [all_bad, statistics(Metric::BleuZh, &[good], &[good]).unwrap().value()]);
    }

    #[test]
    fn one_row_proves_nothing() {
        let compared = compare(Metric::ExactMatch, &["甲"], &["乙"], &["乙"], 100, 0).unwrap();
        assert_eq!((compared.difference.value, compared.p_value), (100.0, 1.0));
    }

    #[test]
    fn wrong_input_is_an_error_that_says_what() {
        let two = alternating(2, 0.0, 1.0);
        let error = compare_statistics(&two, &alternating(3, 0.0, 1.0), 10, 0).unwrap_err();
        assert_eq!(error, MetricError::UnequalSides { base: 2, tuned: 3 });
        assert_eq!(compare_statistics(&two, &two, 0, 0), Err(MetricError::NoResamples));
        let bleu = statistics(Metric::BleuZh, &["a", "b"], &["a", "b"]).unwrap();
        assert_eq!(compare_statistics(&two, &bleu, 10, 0), Err(MetricError::UnequalMetrics));
        let error = compare(Metric::Chrf, &["a"], &["a", "b"], &["a", "b"], 10, 0).unwrap_err();
        assert_eq!(error, MetricError::UnequalRows { predictions: 1, references: 2 });
    }
}
