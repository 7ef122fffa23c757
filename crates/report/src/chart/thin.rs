//! Thousands of points on a few hundred pixels: which to keep.

/// (step, value)
pub(crate) type Point = (f64, f64);

/// At most about `4 * buckets` of the points, in their order: of each bucket the first, the last and both extremes, so a spike
/// that lasts one step is still seen.
pub(super) fn thinned(points: &[Point], buckets: usize) -> Vec<Point> {
    if points.len() <= 2 * buckets {
        return points.to_vec();
    }
    let size = points.len().div_ceil(buckets);
    let mut kept = Vec::new();
    for bucket in points.chunks(size) {
        let extreme = |greater: bool| {
            (0..bucket.len()).reduce(|best, at| {
                let beats = if greater { bucket[at].1 > bucket[best].1 } else { bucket[at].1 < bucket[best].1 };
                if beats { at } else { best }
            })
        };
        let mut keep = vec![0, bucket.len() - 1];
        keep.extend(extreme(true).into_iter().chain(extreme(false)));
        keep.sort_unstable();
        keep.dedup();
        kept.extend(keep.into_iter().map(|at| bucket[at]));
    }
    kept
}

/// The mean over a window of `width` points around each point. At the start, where losses fall steeply, the window is
/// narrower so that it stays centred; at the end, where they are level, it is cut off, so that the curve does not end in noise.
pub(crate) fn running_mean(points: &[Point], width: usize) -> Vec<Point> {
    let mut sums = vec![0.0];
    for (_, value) in points {
        sums.push(sums[sums.len() - 1] + value);
    }
    (0..points.len())
        .map(|at| {
            let before = (width / 2).min(at);
            let after = before.min(points.len() - 1 - at);
            let mean = (sums[at + after + 1] - sums[at - before]) / (before + after + 1) as f64;
            (points[at].0, mean)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_of_one_step_survives_thinning() {
        let mut points: Vec<Point> = (0..10_000).map(|step| (f64::from(step), 1.0)).collect();
        points[7_123].1 = 9.0;
        points[7_124].1 = -9.0;
        let kept = thinned(&points, 100);
        assert!(kept.len() <= 400, "{}", kept.len());
        assert!(kept.contains(&(7_123.0, 9.0)) && kept.contains(&(7_124.0, -9.0)));
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[9_999]));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn few_points_are_all_kept() {
        let points = [(0.0, 1.0), (1.0, 2.0)];
        assert_eq!(thinned(&points, 100), points);
        assert!(thinned(&[], 100).is_empty());
    }

    #[test]
    fn the_running_mean_keeps_a_straight_line_straight_up_to_its_end() {
        let line: Vec<Point> = (0..50).map(|step| (f64::from(step), 2.0 * f64::from(step))).collect();
        let mean = running_mean(&line, 9);
        assert!(mean.iter().zip(&line).take(46).all(|(mean, point)| (mean.1 - point.1).abs() < 1e-9));
        assert!((mean[49].1 - (90.0 + 92.0 + 94.0 + 96.0 + 98.0) / 5.0).abs() < 1e-9);
        assert!(running_mean(&[], 9).is_empty());
    }
}
