//! Sparse mixtures of experts: a router sends every row to `k` of E experts (arXiv 2101.03961; as in Mixtral, arXiv
//! 2401.04088), and the row's result is the sum of their outputs, each times the router's weight.
//!
//! `w = softmax(logits)` at the chosen experts, divided by their sum if asked: the choice has no gradient, the weights have
//! (formulas with the kernel, `luthier_kernels::experts`). `out = sum_s w_s y_s`: `dy_s = w_s dout`, `dw_s = dout . y_s`.
//!
//! The rows of an expert come from [`Tape::gather`]:
//!
//! ```text
//! let (routing, weights) = tape.route(&logits, k, renormalise);
//! let parts = routing.used().map(|e| (e, expert[e](tape, tape.gather(&x, routing.rows(e)))));
//! let y = tape.mix(&parts, &routing, &weights, n);
//! ```

use std::sync::Arc;

use luthier_kernels::experts::{Router, Source};

use crate::device::View;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

/// Which rows go to which expert. A place is a row's slot: number `row * k + slot`.
#[derive(Clone, Debug)]
pub struct Routing(Arc<Routed>);

#[derive(Debug)]
struct Routed {
    k: usize,
    /// The expert of each place.
    chosen: Vec<u32>,
    /// Where the places of each expert begin, and behind the last.
    starts: Vec<usize>,
    /// The places, expert by expert, ascending.
    places: Vec<u32>,
    /// Their rows.
    rows: Vec<u32>,
}

impl Routing {
    /// Sorts places by expert.
    fn new(experts: usize, k: usize, chosen: Vec<u32>) -> Self {
        let mut starts = vec![0; experts + 1];
        for &expert in &chosen {
            starts[expert as usize + 1] += 1;
        }
        for expert in 0..experts {
            starts[expert + 1] += starts[expert];
        }
        let mut next = starts.clone();
        let mut places = vec![0; chosen.len()];
        for (place, &expert) in chosen.iter().enumerate() {
            let next = &mut next[expert as usize];
            places[*next] = place as u32;
            *next += 1;
        }
        let rows = places.iter().map(|&place| place / k as u32).collect();
        Self(Arc::new(Routed { k, chosen, starts, places, rows }))
    }

    /// E: how many experts there are.
    pub fn experts(&self) -> usize {
        self.0.starts.len() - 1
    }

    /// k: how many experts a row goes to.
    pub fn slots(&self) -> usize {
        self.0.k
    }

    /// The experts that any row goes to, ascending.
    pub fn used(&self) -> impl Iterator<Item = usize> {
        (0..self.experts()).filter(|&expert| !self.rows(expert).is_empty())
    }

    /// The rows that go to an expert, ascending; no row goes to one twice.
    pub fn rows(&self, expert: usize) -> &[u32] {
        &self.0.rows[self.range(expert)]
    }

    /// The rows that go to an expert, each with the slot in which it does.
    pub fn rows_and_slots(&self, expert: usize) -> impl Iterator<Item = (u32, u32)> {
        let k = self.0.k as u32;
        self.places(expert).iter().map(move |&place| (place / k, place % k))
    }

    fn places(&self, expert: usize) -> &[u32] {
        &self.0.places[self.range(expert)]
    }

    fn range(&self, expert: usize) -> std::ops::Range<usize> {
        self.0.starts[expert]..self.0.starts[expert + 1]
    }
}

impl Tape<'_> {
    /// logits: `[N, E]` -> where the rows go, and weights `[N, k]`: the k greatest probabilities of each row, the greatest
    /// first (among equals the lower expert), divided by their sum if `renormalise`.
    ///
    /// # Panics
    /// If `k` is not in 1..=E: callers check what a configuration says.
    pub fn route(&mut self, logits: &Var, k: usize, renormalise: bool) -> (Routing, Var) {
        let device = self.device().clone();
        let (n, experts) = (logits.tensor.rows(), logits.tensor.cols());
        assert!((1..=experts).contains(&k), "{k} of {experts} experts were asked for");
        let router = Router { experts, k, renormalise };
        let mut weights = Tensor::empty(&device, n, k);
        let chosen = device.route(router, logits.tensor.view(), weights.view_mut());
        let routing = Routing::new(experts, k, chosen);
        let needed = self.needs_backward(&[logits], &[]);
        let kept = weights.clone();
        let weights = self.record_if(needed, weights, || Route {
            slot: logits.slot,
            router,
            logits: logits.tensor.clone(),
            weights: kept,
            routing: routing.clone(),
        });
        (routing, weights)
    }

    /// `out[row] = sum of weight * output` over the slots of the row, in their order: `[n, C]`.
    ///
    /// parts: experts with the outputs of their rows, `[rows of that expert, C]`, for every one that a row goes to; weights:
    /// `[n, k]`. The backward reads the outputs, so they must not come from [`Tape::last_linear`].
    ///
    /// # Panics
    /// If the outputs of an expert are missing or too few.
    pub fn mix(&mut self, parts: &[(usize, Var)], routing: &Routing, weights: &Var, n: usize) -> Var {
        let device = self.device().clone();
        let k = routing.slots();
        assert_eq!((weights.tensor.rows(), weights.tensor.cols()), (n, k), "weights of {n} rows with {k} slots");
        let c = parts.first().expect("a mixture has at least one part").1.tensor.cols();
        let sources: Arc<[Source]> = sources(parts, routing, c).into();
        let mut out = Tensor::empty(&device, n, c);
        let outputs: Vec<Tensor> = parts.iter().map(|(_, part)| part.tensor.clone()).collect();
        device.mix(&views(&outputs), c, &sources, weights.tensor.view(), out.view_mut());
        let inputs: Vec<&Var> = parts.iter().map(|(_, part)| part).chain([weights]).collect();
        let needed = self.needs_backward(&inputs, &[]);
        self.record_if(needed, out, || Mix {
            parts: parts.iter().map(|(expert, part)| (*expert, part.slot)).collect(),
            weights_slot: weights.slot,
            weights: weights.tensor.clone(),
            // Only the gradient of the weights reads them.
            outputs: if weights.slot.is_some() { outputs } else { Vec::new() },
            sources,
            routing: routing.clone(),
        })
    }
}

/// Where the output of each place lies.
fn sources(parts: &[(usize, Var)], routing: &Routing, c: usize) -> Vec<Source> {
    let mut sources = vec![None; routing.0.chosen.len()];
    for (index, (expert, part)) in parts.iter().enumerate() {
        let places = routing.places(*expert);
        let shape = (part.tensor.rows(), part.tensor.cols());
        assert_eq!(shape, (places.len(), c), "outputs of expert {expert}, to which {} rows go", places.len());
        for (row, &place) in places.iter().enumerate() {
            sources[place as usize] = Some(Source { part: index as u32, row: row as u32 });
        }
    }
    let found = sources.into_iter().zip(&routing.0.chosen);
    found
        .map(|(source, expert)| source.unwrap_or_else(|| panic!("the outputs of expert {expert} are missing")))
        .collect()
}

fn views(tensors: &[Tensor]) -> Vec<View<'_>> {
    tensors.iter().map(Tensor::view).collect()
}

#[derive(Debug)]
struct Route {
    slot: Option<Slot>,
    router: Router,
    logits: Tensor,
    weights: Tensor,
    routing: Routing,
}

impl Backward for Route {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dweights) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let mut dlogits = Tensor::empty(&device, self.logits.rows(), self.logits.cols());
        device.route_backward(
            self.router,
            self.logits.view(),
            self.weights.view(),
            &self.routing.0.chosen,
            dweights.view(),
            dlogits.view_mut(),
        );
        flow.add(self.slot, dlogits);
    }
}

#[derive(Debug)]
struct Mix {
    /// The expert of each part, and where its gradient flows.
    parts: Vec<(usize, Option<Slot>)>,
    weights_slot: Option<Slot>,
    weights: Tensor,
    outputs: Vec<Tensor>,
    sources: Arc<[Source]>,
    routing: Routing,
}

impl Backward for Mix {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dout) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let (c, k) = (dout.cols(), self.routing.slots());
        for (expert, slot) in self.parts.iter().filter(|(_, slot)| slot.is_some()) {
            let places = self.routing.places(*expert);
            let mut dpart = Tensor::empty(&device, places.len(), c);
            device.mix_backward_part(dout.view(), c, self.weights.view(), places, k, dpart.view_mut());
            flow.add(*slot, dpart);
        }
        if self.weights_slot.is_some() {
            let mut dweights = Tensor::empty(&device, self.weights.rows(), k);
            device.mix_backward_weights(&views(&self.outputs), c, &self.sources, dout.view(), dweights.view_mut());
            flow.add(self.weights_slot, dweights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::{Device, Linear, Params};

    /// A mixture of four linear experts, the router a linear map too.
    fn mixture(tape: &mut Tape<'_>, x: &Var, k: usize, renormalise: bool) -> Var {
        let map = |name: &str| Linear { weight: tape.params().find(name).unwrap(), bias: None, low_rank: None };
        let (router, maps) = (map("router"), ["w0", "w1", "w2", "w3"].map(map));
        let logits = tape.linear(x, &router);
        let (routing, weights) = tape.route(&logits, k, renormalise);
        let mut parts = Vec::new();
        for expert in routing.used() {
            let rows = tape.gather(x, routing.rows(expert));
            parts.push((expert, tape.linear(&rows, &maps[expert])));
        }
        tape.mix(&parts, &routing, &weights, x.tensor.rows())
    }

    fn check() -> Check {
        let check = Check::new().inputs(&[(6, 5)]).param("router", 4, 5);
        ["w0", "w1", "w2", "w3"].iter().fold(check, |check, name| check.param(name, 3, 5))
    }

    #[test]
    fn gradients_of_rows_router_and_experts_agree_with_finite_differences() {
        for renormalise in [true, false] {
            check().gradients(|tape, x| mixture(tape, &x[0], 2, renormalise));
        }
    }

    #[test]
    fn gradients_of_the_weights_of_a_route_agree_with_finite_differences() {
        for renormalise in [true, false] {
            Check::new().inputs(&[(6, 5)]).gradients(|tape, x| tape.route(&x[0], 3, renormalise).1);
        }
    }

    #[test]
    fn a_frozen_router_leaves_the_gradients_of_the_experts() {
        let check = Check::new().inputs(&[]).frozen("x", 6, 5).frozen("router", 4, 5);
        let check = ["w0", "w1", "w2", "w3"].iter().fold(check, |check, name| check.param(name, 3, 5));
        check.gradients(|tape, _| {
            let x = tape.params().get(tape.params().find("x").unwrap()).tensor.clone();
            mixture(tape, &Var::constant(x), 2, true)
        });
    }

    #[test]
    fn all_experts_with_equal_weights_are_their_mean() {
        let (device, params) = (Device::cpu(), Params::default());
        let mut tape = Tape::inference(&device, &params);
        let constant = |rows, cols, data: &[f32]| Var::constant(Tensor::from_slice(&device, rows, cols, data));
        let (routing, weights) = tape.route(&constant(2, 2, &[0.0; 4]), 2, false);
        assert_eq!(routing.rows_and_slots(1).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
        let parts = [(1, constant(2, 1, &[2.0, 6.0])), (0, constant(2, 1, &[4.0, 0.0]))];
        assert_eq!(tape.mix(&parts, &routing, &weights, 2).tensor.to_vec(), [3.0, 3.0]);
    }

    #[test]
    #[should_panic(expected = "the outputs of expert 0 are missing")]
    fn missing_outputs_are_named() {
        let (device, params) = (Device::cpu(), Params::default());
        let mut tape = Tape::inference(&device, &params);
        let one = |data: &[f32]| Var::constant(Tensor::from_slice(&device, 1, data.len(), data));
        let (routing, weights) = tape.route(&one(&[0.0; 2]), 2, false);
        tape.mix(&[(1, one(&[2.0]))], &routing, &weights, 1);
    }

    #[test]
    fn the_counting_device_sends_the_same_number_of_rows_to_every_expert() {
        let (device, params) = (Device::plan(), Params::default());
        let logits = Var::constant(Tensor::zeros(&device, 6, 4));
        let (routing, weights) = Tape::inference(&device, &params).route(&logits, 2, true);
        assert!((0..4).all(|expert| routing.rows(expert).len() == 3));
        assert_eq!((weights.tensor.rows(), weights.tensor.cols()), (6, 2));
    }
}
