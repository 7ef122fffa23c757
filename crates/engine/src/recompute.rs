//! Values that are not kept for the backward but made again in it: less memory for more arithmetic, and the same bits.
//!
//! Two ways. A cheap value (a norm, an activation) says how it is made from values that are kept anyway; an op
//! keeps it as [`Saved`] and asks for it in its backward. And a whole part of the model can run twice
//! ([`Tape::run_again`], arXiv 1604.06174): its first run keeps only its inputs, its second run, in the backward, is
//! recorded on a tape of its own, whose gradients go to the same parameters.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::device::Device;
use crate::params::Params;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

/// What is made again in the backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// Nothing: every value that the backward needs is kept.
    #[default]
    None,
    /// Outputs of norms and activations.
    Cheap,
    /// Whole blocks, from their inputs.
    Block,
}

/// How a value is made again from what is kept.
pub trait Remake: fmt::Debug + Send + Sync {
    /// The same bits as in the forward.
    fn remake(&self, device: &Device, params: &Params) -> Tensor;
}

/// A value that is made again once, when its first user asks, and goes with its last.
#[derive(Debug)]
pub struct Remade {
    how: Box<dyn Remake>,
    value: OnceLock<Tensor>,
}

impl Remade {
    pub(crate) fn new(how: impl Remake + 'static) -> Self {
        Self { how: Box::new(how), value: OnceLock::new() }
    }
}

/// An op's input, as its backward will ask for it.
#[derive(Clone, Debug)]
pub enum Saved {
    /// The value itself.
    Kept(Tensor),
    /// How it is made.
    Remade(Arc<Remade>),
}

impl Saved {
    /// The value.
    pub fn get(&self, flow: &Flow<'_>) -> Tensor {
        match self {
            Self::Kept(tensor) => tensor.clone(),
            Self::Remade(remade) => {
                remade.value.get_or_init(|| remade.how.remake(flow.device(), flow.params())).clone()
            }
        }
    }
}

impl Tape<'_> {
    /// Computes `part` of `inputs` and keeps nothing but these: in the backward it runs again. It must compute the
    /// same whenever it runs; dropout does, being keyed. A product that nothing in the part reads need not be computed
    /// again, see [`Tape::last_linear`]. Gradients of the inputs are summed inside the part first, so
    /// the bits are those of the plain run where nobody else uses them.
    pub fn run_again(
        &mut self,
        inputs: &[&Var],
        part: impl Fn(&mut Tape<'_>, &[Var]) -> Vec<Var> + Send + 'static,
    ) -> Vec<Var> {
        if !self.is_training() {
            let inputs: Vec<Var> = inputs.iter().map(|&input| input.clone()).collect();
            return part(self, &inputs);
        }
        let mut first = self.first_run();
        let own: Vec<Var> = inputs.iter().map(|input| inside(&mut first, &input.tensor, input.slot)).collect();
        let results = part(&mut first, &own);
        drop(own);
        if results.iter().all(|result| result.slot.is_none()) {
            return results;
        }
        let op = Again {
            part: Box::new(part),
            inputs: inputs.iter().map(|input| (input.tensor.clone(), input.slot)).collect(),
        };
        let flows: Vec<bool> = results.iter().map(|result| result.slot.is_some()).collect();
        let outputs = self.record(op, results.into_iter().map(|result| result.tensor).collect());
        outputs
            .into_iter()
            .zip(flows)
            .map(|(output, flows)| if flows { output } else { Var::constant(output.tensor) })
            .collect()
    }
}

/// An input of the part, on the part's own tape.
fn inside(tape: &mut Tape<'_>, tensor: &Tensor, slot: Option<Slot>) -> Var {
    match slot {
        Some(_) => tape.input(tensor.clone()),
        None => Var::constant(tensor.clone()),
    }
}

type Part = Box<dyn Fn(&mut Tape<'_>, &[Var]) -> Vec<Var> + Send>;

/// A part of the model that runs again.
struct Again {
    part: Part,
    inputs: Vec<(Tensor, Option<Slot>)>,
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl Backward for Again {
    fn backward(self: Box<Self>, outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let (mut tape, grads) = flow.again();
        let inputs: Vec<Var> = self.inputs.iter().map(|(tensor, slot)| inside(&mut tape, tensor, *slot)).collect();
        let slots: Vec<Option<Slot>> = (self.part)(&mut tape, &inputs).iter().map(|result| result.slot).collect();
        let seeds = slots.into_iter().zip(outputs).filter_map(|(slot, seed)| Some((slot, seed?)));
        let gradients = tape.replay(seeds, grads, &inputs.iter().collect::<Vec<_>>());
        for ((_, slot), gradient) in self.inputs.iter().zip(gradients) {
            if let Some(gradient) = gradient {
                flow.add(*slot, gradient);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;
    use crate::{Device, Linear, Norm, Tape, Var};

    /// A norm, dropout and two maps, the second of which is only given out.
    fn part(tape: &mut Tape<'_>, x: &[Var]) -> Vec<Var> {
        let id = |tape: &Tape<'_>, name| tape.params().find(name).unwrap();
        let map = |weight| Linear { weight, bias: None, low_rank: None };
        let (norm, w, last) = (id(tape, "norm"), id(tape, "w"), id(tape, "last"));
        let sum = tape.add(&x[0], &x[1]);
        let normed = tape.norm(&sum, &Norm::rms(norm, 1e-5));
        let key = 3 ^ tape.dropout_seed().unwrap();
        let dropped = tape.dropout(&normed, 0.3, key);
        let mapped = tape.linear(&dropped, &map(w));
        vec![sum, tape.last_linear(&mapped, &map(last))]
    }

    #[test]
    fn gradients_of_a_part_that_runs_again_agree_with_finite_differences() {
        let check = Check::new().inputs(&[(4, 5), (4, 5)]);
        let check = check.param("norm", 1, 5).param("w", 6, 5).param("last", 5, 6);
        check.gradients(|tape, x| {
            tape.set_dropout_seed(Some(8));
            let outputs = tape.run_again(&[&x[0], &x[1]], part);
            tape.add(&outputs[0], &outputs[1])
        });
    }

    #[test]
    fn what_needs_no_gradient_leaves_no_note_and_takes_no_slot() {
        let check = Check::new().inputs(&[(4, 5), (4, 5)]);
        let check = check.frozen("norm", 1, 5).frozen("w", 6, 5).frozen("last", 5, 6);
        let mut tape = Tape::training(&Device::cpu(), check.params());
        tape.set_dropout_seed(Some(8));
        let x = Var::constant(crate::Tensor::zeros(&Device::cpu(), 4, 5));
        let outputs = tape.run_again(&[&x, &x], part);
        assert!(outputs.iter().all(|output| output.slot.is_none()));
    }
}
