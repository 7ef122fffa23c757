//! Attention against the plain one, its gradients against differences, and its independence of threads.
#![allow(clippy::single_range_in_vec_init)] // a list of one range of keys is what is meant

mod support;

use luthier_kernels::attention::{alibi_slope, plain};
use luthier_kernels::{AttentionShape, Segment, attention, attention_backward};
use support::{Random, assert_close, bits, differences, double, same_for_any_threads};

fn shape(heads: usize, kv_heads: usize, head_size: usize) -> AttentionShape {
    let shape = AttentionShape::new(heads, kv_heads, head_size);
    AttentionShape { scale: 2.0 * shape.scale, ..shape }
}

/// q, k, v and dout for `n` query rows and `m` key rows.
struct Case {
    shape: AttentionShape,
    segments: Vec<Segment>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dout: Vec<f32>,
}

impl Case {
    fn new(shape: AttentionShape, n: usize, m: usize, segments: Vec<Segment>) -> Self {
        let mut random = Random::new((n * 31 + m) as u64);
        let (q_len, k_len) = (n * shape.heads * shape.head_size, m * shape.kv_heads * shape.head_size);
        let mut numbers = |len: usize| random.vec(len);
        let (q, k, v, dout) = (numbers(q_len), numbers(k_len), numbers(k_len), numbers(q_len));
        Self { shape, segments, q, k, v, dout }
    }

    fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let mut out = vec![f32::NAN; self.q.len()];
        let mut lse = vec![f32::NAN; self.q.len() / self.shape.head_size];
        attention(&self.q, &self.k, &self.v, &self.shape, &self.segments, &mut out, &mut lse);
        (out, lse)
    }

    fn backward(&self) -> [Vec<f32>; 3] {
        let (out, lse) = self.forward();
        let (mut dq, mut dk, mut dv) =
            (vec![f32::NAN; self.q.len()], vec![0.5; self.k.len()], vec![-0.5; self.k.len()]);
        let Self { q, k, v, dout, shape, segments } = self;
        attention_backward(q, k, v, &out, &lse, dout, shape, segments, &mut dq, &mut dk, &mut dv);
        dk.iter_mut().for_each(|x| *x -= 0.5);
        dv.iter_mut().for_each(|x| *x += 0.5);
        [dq, dk, dv]
    }

    fn assert_forward(&self, what: &str) {
        let (out, lse) = self.forward();
        let (out_expected, lse_expected) =
            plain::attention(&double(&self.q), &double(&self.k), &double(&self.v), &self.shape, &self.segments);
        assert_close(&format!("{what}: out"), &out, &out_expected, 2e-6);
        assert_close(&format!("{what}: lse"), &lse, &lse_expected, 2e-6);
    }

    fn assert_gradients(&self, what: &str) {
        let [dq, dk, dv] = self.backward();
        let (q, k, v) = (double(&self.q), double(&self.k), double(&self.v));
        let out = |q: &[f64], k: &[f64], v: &[f64]| plain::attention(q, k, v, &self.shape, &self.segments).0;
        assert_close(&format!("{what}: dq"), &dq, &differences(&q, &self.dout, |q| out(q, &k, &v)), 3e-6);
        assert_close(&format!("{what}: dk"), &dk, &differences(&k, &self.dout, |k| out(&q, k, &v)), 3e-6);
        assert_close(&format!("{what}: dv"), &dv, &differences(&v, &self.dout, |v| out(&q, &k, v)), 3e-6);
    }
}

/// Two rows that share a prefix, and one by itself, with rows between that belong to none.
fn shared_prefix() -> Vec<Segment> {
    vec![
        Segment::causal(0..5),
        Segment { queries: 5..8, keys: vec![0..5, 5..8] },
        Segment { queries: 8..12, keys: vec![0..5, 8..12] },
        Segment { queries: 13..14, keys: vec![0..5, 13..14] },
        Segment::causal(14..17),
    ]
}

#[test]
fn attention_equals_the_plain_one_for_many_shapes_of_heads() {
    for (heads, kv_heads, d) in [(1, 1, 1), (2, 1, 4), (4, 4, 8), (6, 3, 5), (3, 1, 80), (9, 3, 64)] {
        let s = shape(heads, kv_heads, d);
        Case::new(s, 17, 17, shared_prefix()).assert_forward(&format!("{s:?}"));
        let long = vec![Segment::causal(0..130), Segment::causal(130..131), Segment::causal(131..200)];
        Case::new(s, 200, 200, long).assert_forward(&format!("{s:?}"));
    }
}

#[test]
fn queries_continue_a_cache() {
    let s = shape(4, 2, 16);
    for new in [1, 2, 63, 64, 65, 100] {
        let segments = vec![
            Segment { queries: 0..new, keys: vec![20..110 + new] },
            Segment { queries: new..new + 1, keys: vec![3..9, 200..201, 0..2, 50..70] },
            Segment { queries: new + 1..new + 3, keys: vec![7..9, 1..4, 33..34] },
        ];
        Case::new(s, new + 3, 210, segments).assert_forward(&format!("{new} new"));
    }
}

#[test]
fn the_gradients_of_attention_equal_differences() {
    for (heads, kv_heads, d) in [(1, 1, 1), (4, 2, 4), (3, 1, 5)] {
        let s = shape(heads, kv_heads, d);
        Case::new(s, 17, 17, shared_prefix()).assert_gradients(&format!("{s:?}"));
    }
    Case::new(shape(2, 1, 2), 70, 72, vec![Segment { queries: 1..70, keys: vec![1..72] }])
        .assert_gradients("two blocks");
    Case::new(shape(2, 2, 3), 4, 9, vec![Segment { queries: 0..4, keys: vec![5..9, 0..3] }])
        .assert_gradients("a cache");
}

/// A window, a cap, a bias by distance, and all of them.
fn variants(plain: AttentionShape, window: usize) -> [AttentionShape; 4] {
    [
        AttentionShape { window: Some(window), ..plain },
        AttentionShape { softcap: Some(1.5), ..plain },
        AttentionShape { alibi: true, ..plain },
        AttentionShape { window: Some(window), softcap: Some(0.8), alibi: true, ..plain },
    ]
}

#[test]
fn windows_caps_and_biases_equal_the_plain_ones() {
    for window in [1, 3, 64, 65, 100, 1000] {
        for (heads, kv_heads, d) in [(1, 1, 1), (3, 1, 5), (6, 3, 64)] {
            for s in variants(shape(heads, kv_heads, d), window) {
                Case::new(s, 17, 17, shared_prefix()).assert_forward(&format!("{s:?}"));
                let long = vec![Segment::causal(0..230), Segment::causal(230..231), Segment::causal(231..300)];
                Case::new(s, 300, 300, long).assert_forward(&format!("{s:?}"));
                let cached = vec![
                    Segment { queries: 0..1, keys: vec![3..99, 200..201, 101..101, 0..2, 50..70] },
                    Segment { queries: 1..71, keys: vec![7..90, 1..4, 130..199] },
                    Segment { queries: 71..72, keys: vec![20..121] },
                ];
                Case::new(s, 72, 210, cached).assert_forward(&format!("{s:?}"));
            }
        }
    }
}

#[test]
fn the_gradients_under_windows_caps_and_biases_equal_differences() {
    for window in [1, 3, 40] {
        for s in variants(shape(4, 2, 3), window) {
            Case::new(s, 17, 17, shared_prefix()).assert_gradients(&format!("{s:?}"));
        }
    }
    for s in variants(shape(2, 1, 2), 40) {
        let segments = vec![Segment { queries: 1..70, keys: vec![1..30, 31..73] }];
        Case::new(s, 70, 73, segments).assert_gradients(&format!("two blocks, {s:?}"));
    }
}

#[test]
fn keys_outside_the_window_are_not_read_and_get_no_gradient() {
    // What is not a number would show in whatever it is multiplied with, even by zero.
    let s = AttentionShape { window: Some(50), ..shape(4, 2, 8) };
    for (queries, keys) in [(0..130, vec![0..100, 120..350]), (0..1, vec![0..100, 120..350]), (0..130, vec![20..350])] {
        let total: usize = keys.iter().map(ExactSizeIterator::len).sum();
        let unseen = total - queries.len() - 49;
        let rows: Vec<usize> = keys.iter().cloned().flatten().take(unseen).collect();
        let mut case = Case::new(s, queries.len(), 350, vec![Segment { queries, keys }]);
        let clean = (case.forward(), case.backward());
        for row in rows {
            case.k[row * 16..][..16].fill(f32::NAN);
            case.v[row * 16..][..16].fill(f32::NAN);
        }
        let ((out, lse), [dq, dk, dv]) = (case.forward(), case.backward());
        assert_eq!((bits(&out), bits(&lse)), (bits(&clean.0.0), bits(&clean.0.1)));
        assert_eq!([dq, dk, dv].map(|d| bits(&d)), clean.1.map(|d| bits(&d)));
    }
}

#[test]
fn a_window_that_holds_everything_changes_no_bit() {
    let plain = Case::new(shape(4, 2, 16), 200, 200, vec![Segment::causal(0..130), Segment::causal(130..200)]);
    let case = Case::new(AttentionShape { window: Some(130), ..plain.shape }, 200, 200, plain.segments.clone());
    assert_eq!(
        [bits(&plain.forward().0), bits(&plain.forward().1)],
        [bits(&case.forward().0), bits(&case.forward().1)]
    );
    assert_eq!(plain.backward().map(|d| bits(&d)), case.backward().map(|d| bits(&d)));
}

#[test]
fn the_slopes_of_heads_are_those_of_bloom() {
    let slopes = |heads: usize| (0..heads).map(|head| alibi_slope(head, heads)).collect::<Vec<_>>();
    assert_eq!(slopes(1), [0.003_906_25]);
    assert_eq!(slopes(8), [0.5, 0.25, 0.125, 0.062_5, 0.031_25, 0.015_625, 0.007_812_5, 0.003_906_25]);
    // Six heads: those of four, then every other one of eight.
    assert_eq!(slopes(6), [0.25, 0.062_5, 0.015_625, 0.003_906_25, 0.5, 0.125]);
    assert_eq!(slopes(16)[..2], [0.5f32.sqrt(), 0.5]);
}

#[test]
fn pairs_that_see_each_other_are_counted() {
    for window in [None, Some(1), Some(3), Some(7), Some(20)] {
        let s = AttentionShape { window, ..shape(1, 1, 2) };
        for (queries, keys) in [(0..0, 0..4), (0..1, 0..1), (0..5, 0..5), (2..7, 0..9)] {
            let (n, total) = (queries.len(), keys.len());
            let before = total - n;
            let pairs = (0..n).map(|j| (before + j + 1).min(window.unwrap_or(usize::MAX)) as u64).sum::<u64>();
            assert_eq!(s.visible_pairs(&Segment { queries, keys: vec![keys] }), pairs, "{n} of {total}, {window:?}");
        }
    }
}

#[test]
fn a_single_token_attends_to_itself_without_not_a_number() {
    let case = Case::new(shape(3, 1, 8), 1, 1, vec![Segment::causal(0..1)]);
    let (out, lse) = case.forward();
    assert_close("out", &out, &double(&case.v.repeat(3)), 1e-7);
    assert!(lse.iter().all(|x| x.is_finite()));
    let [dq, dk, dv] = case.backward();
    assert!([&dq, &dk, &dv].iter().all(|d| d.iter().all(|x| x.is_finite())));
    assert!(dq.iter().all(|x| x.abs() < 1e-6), "one probability of 1 has no gradient: {dq:?}");
}

#[test]
fn very_large_scores_stay_finite() {
    let mut case = Case::new(shape(2, 1, 8), 70, 70, vec![Segment::causal(0..70)]);
    case.q.iter_mut().for_each(|x| *x *= 1e3);
    case.k.iter_mut().for_each(|x| *x *= 1e3);
    case.assert_forward("large");
    assert!(case.backward().concat().iter().all(|x| x.is_finite()));
}

#[test]
fn rows_of_no_segment_become_zero() {
    let case = Case::new(shape(2, 1, 4), 17, 17, shared_prefix());
    let (out, lse) = case.forward();
    let [dq, ..] = case.backward();
    assert_eq!(
        (&out[12 * 8..13 * 8], &dq[12 * 8..13 * 8], &lse[24..26]),
        (&[0.0; 8][..], &[0.0; 8][..], &[0.0; 2][..])
    );
}

#[test]
fn a_block_of_one_query_equals_that_query_among_others() {
    // 65 queries: the last one makes a block of its own, by products; alone it goes by inner products.
    let s = shape(4, 2, 32);
    let together = Case::new(s, 65, 65, vec![Segment::causal(0..65)]);
    let width = s.heads * s.head_size;
    let alone = Case {
        q: together.q[64 * width..].to_vec(),
        segments: vec![Segment { queries: 0..1, keys: vec![0..65] }],
        k: together.k.clone(),
        v: together.v.clone(),
        dout: vec![],
        shape: s,
    };
    assert_close("last query", &alone.forward().0, &double(&together.forward().0[64 * width..]), 1e-6);
}

#[test]
fn attention_has_the_same_bits_for_any_number_of_threads() {
    let segments = vec![
        Segment::causal(0..150),
        Segment { queries: 150..190, keys: vec![0..150, 150..190] },
        Segment { queries: 190..191, keys: vec![0..150, 190..191] },
        Segment { queries: 191..300, keys: vec![0..150, 191..300] },
    ];
    let plain = shape(9, 3, 64);
    for s in [plain, AttentionShape { window: Some(90), softcap: Some(2.0), alibi: true, ..plain }] {
        let case = Case::new(s, 300, 300, segments.clone());
        same_for_any_threads("forward", || [bits(&case.forward().0), bits(&case.forward().1)]);
        same_for_any_threads("backward", || case.backward().map(|d| bits(&d)));
    }
}

#[test]
#[should_panic(expected = "fewer keys than queries")]
fn a_segment_with_fewer_keys_than_queries_is_named() {
    Case::new(shape(1, 1, 2), 3, 3, vec![Segment { queries: 0..3, keys: vec![0..2] }]).forward();
}
