//! Routing and mixing of experts against the plain ones, their gradients against differences.

mod support;

use luthier_kernels::experts::{
    Router, Source, mix, mix_backward_part, mix_backward_weights, plain, route, route_backward,
};
use support::{Random, assert_close, bits, differences, double, same_for_any_threads};

fn routed(router: &Router, logits: &[f32]) -> (Vec<f32>, Vec<u32>) {
    let places = logits.len() / router.experts * router.k;
    let (mut weights, mut chosen) = (vec![f32::NAN; places], vec![u32::MAX; places]);
    route(router, logits, &mut weights, &mut chosen);
    (weights, chosen)
}

/// Experts, slots, renormalised or not.
fn routers() -> impl Iterator<Item = Router> {
    [(1, 1), (4, 1), (8, 2), (5, 5), (128, 8)]
        .into_iter()
        .flat_map(|(experts, k)| [false, true].map(|renormalise| Router { experts, k, renormalise }))
}

#[test]
fn routes_equal_the_plain_ones() {
    for router in routers() {
        let mut random = Random::new(router.experts as u64);
        let logits: Vec<f32> = random.vec(300 * router.experts).iter().map(|x| 4.0 * x).collect();
        let (weights, chosen) = routed(&router, &logits);
        let (expected, order) = plain::route(&router, &double(&logits));
        assert_eq!(chosen, order, "{router:?}");
        assert_close(&format!("{router:?}"), &weights, &expected, 1e-6);
    }
}

#[test]
fn among_equals_the_lower_expert_comes_first_and_none_is_chosen_twice() {
    let router = Router { experts: 4, k: 3, renormalise: false };
    assert_eq!(routed(&router, &[1.0, 2.0, 2.0, 1.0]).1, [1, 2, 0]);
    assert_eq!(routed(&router, &[f32::NAN; 4]).1, [0, 1, 2], "of no numbers some are chosen all the same");
}

#[test]
fn the_gradients_of_routes_equal_differences() {
    for router in routers() {
        let n = 6;
        let mut random = Random::new(3 * router.experts as u64);
        let logits: Vec<f32> = random.vec(n * router.experts).iter().map(|x| 2.0 * x).collect();
        let dweights = random.vec(n * router.k);
        let (weights, chosen) = routed(&router, &logits);
        let mut dlogits = vec![f32::NAN; logits.len()];
        route_backward(&router, &logits, &weights, &chosen, &dweights, &mut dlogits);
        let expected = differences(&double(&logits), &dweights, |x| plain::route(&router, x).0);
        if router.experts > 1 && !(router.k == 1 && router.renormalise) {
            assert_close(&format!("{router:?}"), &dlogits, &expected, 1e-6);
        } else {
            assert!(dlogits.iter().all(|d| d.abs() < 1e-6), "a weight of 1 has no gradient: {router:?}");
        }
    }
}

/// Rows spread over experts, and the experts' outputs.
struct Mixture {
    n: usize,
    c: usize,
    k: usize,
    weights: Vec<f32>,
    parts: Vec<Vec<f32>>,
    sources: Vec<Source>,
    /// Where the rows of each part go.
    places: Vec<Vec<u32>>,
}

impl Mixture {
    fn new(n: usize, c: usize, experts: usize, k: usize) -> Self {
        let mut random = Random::new((n * c) as u64);
        let router = Router { experts, k, renormalise: true };
        let (weights, chosen) = routed(&router, &random.vec(n * experts));
        let mut places = vec![Vec::new(); experts];
        let mut sources = Vec::new();
        for (place, expert) in chosen.into_iter().enumerate() {
            let rows: &mut Vec<u32> = &mut places[expert as usize];
            sources.push(Source { part: expert, row: rows.len() as u32 });
            rows.push(place as u32);
        }
        let parts = places.iter().map(|rows| random.vec(rows.len() * c)).collect();
        Self { n, c, k, weights, parts, sources, places }
    }

    fn parts(&self) -> Vec<&[f32]> {
        self.parts.iter().map(Vec::as_slice).collect()
    }

    /// The outputs `[N, k, C]` in the order of rows and slots.
    fn in_order(&self) -> Vec<f64> {
        let output = |s: &Source| double(&self.parts[s.part as usize][s.row as usize * self.c..][..self.c]);
        self.sources.iter().flat_map(output).collect()
    }

    fn mixed(&self) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.n * self.c];
        mix(&self.parts(), self.c, &self.sources, &self.weights, &mut out);
        out
    }

    fn backward(&self, dout: &[f32]) -> (Vec<f32>, Vec<Vec<f32>>) {
        let mut dweights = vec![f32::NAN; self.weights.len()];
        mix_backward_weights(&self.parts(), self.c, &self.sources, dout, &mut dweights);
        let dparts = self.places.iter().map(|places| {
            let mut dpart = vec![f32::NAN; places.len() * self.c];
            mix_backward_part(dout, self.c, &self.weights, places, self.k, &mut dpart);
            dpart
        });
        (dweights, dparts.collect())
    }
}

#[test]
fn mixtures_and_their_gradients_equal_the_plain_ones() {
    for (n, c, experts, k) in [(1, 1, 1, 1), (7, 5, 4, 2), (20, 33, 3, 3), (40, 16, 60, 4)] {
        let mixture = Mixture::new(n, c, experts, k);
        let what = format!("{n} rows, {experts} experts, {k} slots");
        let (outputs, weights) = (mixture.in_order(), double(&mixture.weights));
        assert_close(&what, &mixture.mixed(), &plain::mix(&outputs, c, &weights, k), 1e-6);

        let dout = Random::new(2).vec(n * c);
        let (dweights, dparts) = mixture.backward(&dout);
        let expected = differences(&weights, &dout, |w| plain::mix(&outputs, c, w, k));
        assert_close(&format!("{what}: dweights"), &dweights, &expected, 1e-6);
        let expected = differences(&outputs, &dout, |outputs| plain::mix(outputs, c, &weights, k));
        let at = |s: &Source| dparts[s.part as usize][s.row as usize * c..][..c].to_vec();
        let dparts: Vec<f32> = mixture.sources.iter().flat_map(at).collect();
        assert_close(&format!("{what}: dparts"), &dparts, &expected, 1e-6);
    }
}

#[test]
fn experts_have_the_same_bits_for_any_number_of_threads() {
    let router = Router { experts: 60, k: 4, renormalise: false };
    let logits = Random::new(8).vec(3000 * 60);
    let dweights = Random::new(9).vec(3000 * 4);
    same_for_any_threads("route", || {
        let (weights, chosen) = routed(&router, &logits);
        let mut dlogits = vec![0.0; logits.len()];
        route_backward(&router, &logits, &weights, &chosen, &dweights, &mut dlogits);
        (bits(&weights), chosen, bits(&dlogits))
    });
    let mixture = Mixture::new(900, 130, 8, 2);
    let dout = Random::new(3).vec(900 * 130);
    same_for_any_threads("mix", || {
        let (dweights, dparts) = mixture.backward(&dout);
        (bits(&mixture.mixed()), bits(&dweights), bits(&dparts.concat()))
    });
}

#[test]
#[should_panic(expected = "Source { part: 1, row: 2 } of 2 parts, that one with 2 rows")]
fn an_output_that_is_not_there_is_named() {
    let sources = [Source { part: 0, row: 0 }, Source { part: 1, row: 2 }];
    mix(&[&[0.0; 6], &[0.0; 6]], 3, &sources, &[0.5; 2], &mut [0.0; 3]);
}
