//! The tape: ops note what their backward needs; the backward replays the notes in reverse.

use std::fmt;

use std::sync::Arc;

use crate::device::{Device, ViewMut};
use crate::params::{Grads, ParamId, Params};
use crate::recompute::{Recompute, Remade, Remake, Saved};
use crate::tensor::Tensor;

/// The place of a value's gradient during the backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

/// A value on the tape. Cheap to clone; its memory goes when nobody needs it any more.
#[derive(Clone, Debug)]
pub struct Var {
    /// The value.
    pub tensor: Tensor,
    /// Where its gradient flows; `None` when nothing trained lies behind it.
    pub slot: Option<Slot>,
    /// How it is made again, where that is cheaper than keeping it.
    remade: Option<Arc<Remade>>,
}

impl Var {
    /// A value that no gradient flows to.
    pub fn constant(tensor: Tensor) -> Self {
        Self { tensor, slot: None, remade: None }
    }

    /// The value for an op's backward: kept, or to be made again.
    pub fn save(&self) -> Saved {
        match &self.remade {
            Some(remade) => Saved::Remade(Arc::clone(remade)),
            None => Saved::Kept(self.tensor.clone()),
        }
    }
}

/// What an op keeps for its backward.
pub trait Backward: fmt::Debug + Send {
    /// Passes the gradients of the op's outputs (one entry each; `None` where none arrived) on to its inputs.
    fn backward(self: Box<Self>, outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>);
}

#[derive(Debug)]
struct Note {
    op: Box<dyn Backward>,
    outputs: Vec<Slot>,
}

/// Which run of its ops a tape sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// The only one.
    Only,
    /// The first of two: values get their slots, but the notes are thrown away.
    First,
    /// The second of two, in the backward: what the part gives to others is not needed any more.
    Again,
}

/// Records ops over the parameters of a model.
#[derive(Debug)]
pub struct Tape<'p> {
    params: &'p Params,
    device: Device,
    /// `None`: nothing is recorded.
    notes: Option<Vec<Note>>,
    run: Run,
    slots: usize,
    dropout_seed: Option<u64>,
    recompute: Recompute,
}

impl<'p> Tape<'p> {
    /// A tape for training: ops with a trained operand are recorded.
    pub fn training(device: &Device, params: &'p Params) -> Self {
        Self { notes: Some(Vec::new()), ..Self::inference(device, params) }
    }

    /// A tape that records nothing: values are freed as soon as the model lets go of them.
    pub fn inference(device: &Device, params: &'p Params) -> Self {
        let (device, recompute) = (device.clone(), Recompute::None);
        Self { params, device, notes: None, run: Run::Only, slots: 0, dropout_seed: None, recompute }
    }

    /// The parameters it runs over.
    pub fn params(&self) -> &'p Params {
        self.params
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Turns dropout on for this pass, drawing from `seed` (one for each micro-batch of each step), or off.
    pub fn set_dropout_seed(&mut self, seed: Option<u64>) {
        self.dropout_seed = seed;
    }

    /// The seed dropout draws from; `None` when it is off.
    pub fn dropout_seed(&self) -> Option<u64> {
        self.dropout_seed
    }

    /// What is not kept for the backward but made again in it.
    pub fn set_recompute(&mut self, recompute: Recompute) {
        self.recompute = recompute;
    }

    /// What is not kept for the backward but made again in it.
    pub fn recompute(&self) -> Recompute {
        self.recompute
    }

    /// A value that a gradient is wanted of, for checks: see [`Tape::backward_to`].
    pub fn input(&mut self, tensor: Tensor) -> Var {
        let slot = self.notes.is_some().then(|| self.new_slot());
        Var { slot, ..Var::constant(tensor) }
    }

    /// Says how a value is made again, if a gradient flows through it and cheap values are not to be kept.
    pub fn remake<R: Remake + 'static>(&self, value: Var, how: impl FnOnce() -> R) -> Var {
        let cheap = value.slot.is_some() && self.recompute == Recompute::Cheap;
        Var { remade: cheap.then(|| Arc::new(Remade::new(how()))), ..value }
    }

    /// Whether an op with these operands must be recorded.
    pub fn needs_backward(&self, inputs: &[&Var], params: &[ParamId]) -> bool {
        self.notes.is_some()
            && (inputs.iter().any(|input| input.slot.is_some())
                || params.iter().any(|&id| self.params.get(id).trainable))
    }

    /// Notes an op and gives its outputs their gradient slots.
    pub fn record(&mut self, op: impl Backward + 'static, outputs: Vec<Tensor>) -> Vec<Var> {
        let slots: Vec<Slot> = outputs.iter().map(|_| self.new_slot()).collect();
        let notes = self.notes.as_mut().expect("an op is recorded only on a training tape");
        if self.run != Run::First {
            notes.push(Note { op: Box::new(op), outputs: slots.clone() });
        }
        outputs.into_iter().zip(slots).map(|(tensor, slot)| Var { slot: Some(slot), ..Var::constant(tensor) }).collect()
    }

    /// Notes an op with one output, if a gradient has to flow through it.
    pub fn record_if<B: Backward + 'static>(&mut self, needed: bool, output: Tensor, op: impl FnOnce() -> B) -> Var {
        if !needed {
            return Var::constant(output);
        }
        let mut vars = self.record(op(), vec![output]);
        vars.pop().expect("one output was recorded")
    }

    fn new_slot(&mut self) -> Slot {
        self.slots += 1;
        Slot(self.slots - 1)
    }

    /// Replays the notes in reverse from `output`, whose gradient is `seed`; adds to `grads`.
    pub fn backward(self, output: &Var, seed: Tensor, grads: &mut Grads) {
        self.backward_to(output, seed, grads, &[]);
    }

    /// As [`Tape::backward`], and returns the gradients that reached `inputs` (see [`Tape::input`]).
    pub fn backward_to(self, output: &Var, seed: Tensor, grads: &mut Grads, inputs: &[&Var]) -> Vec<Option<Tensor>> {
        self.replay([(output.slot, seed)], grads, inputs)
    }

    /// As [`Tape::backward_to`], from several outputs.
    pub(crate) fn replay(
        self,
        seeds: impl IntoIterator<Item = (Option<Slot>, Tensor)>,
        grads: &mut Grads,
        inputs: &[&Var],
    ) -> Vec<Option<Tensor>> {
        let notes = self.notes.expect("backward is for training tapes");
        let slots = (0..self.slots).map(|_| None).collect();
        let mut flow = Flow { params: self.params, device: self.device, grads, slots, dropout_seed: self.dropout_seed };
        for (slot, seed) in seeds {
            flow.add(slot, seed);
        }
        for note in notes.into_iter().rev() {
            let outputs: Vec<_> = note.outputs.iter().map(|slot| flow.slots[slot.0].take()).collect();
            if outputs.iter().any(Option::is_some) {
                note.op.backward(outputs, &mut flow);
            }
        }
        inputs.iter().map(|input| input.slot.and_then(|slot| flow.slots[slot.0].take())).collect()
    }

    /// A tape for a part of this one that runs once to be forgotten, and again in the backward.
    pub(crate) fn first_run(&self) -> Self {
        Self { run: Run::First, dropout_seed: self.dropout_seed, ..Self::training(&self.device, self.params) }
    }

    /// Which run of its ops this is.
    pub(crate) fn run(&self) -> Run {
        self.run
    }

    /// Whether a gradient may be wanted of what is computed here.
    pub(crate) fn is_training(&self) -> bool {
        self.notes.is_some()
    }
}

/// Gradients on their way back.
#[derive(Debug)]
pub struct Flow<'a> {
    params: &'a Params,
    device: Device,
    grads: &'a mut Grads,
    slots: Vec<Option<Tensor>>,
    dropout_seed: Option<u64>,
}

impl<'a> Flow<'a> {
    /// The parameters of the tape.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// The device of the tape.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A new tape over the same parameters that draws dropout alike, and the gradients to add to.
    pub(crate) fn again(&mut self) -> (Tape<'a>, &mut Grads) {
        let tape =
            Tape { run: Run::Again, dropout_seed: self.dropout_seed, ..Tape::training(&self.device, self.params) };
        (tape, self.grads)
    }

    /// The gradient of a parameter, to add to; `None` if it is frozen.
    pub fn param(&mut self, id: ParamId) -> Option<ViewMut<'_>> {
        self.grads.view_mut(self.params, id)
    }

    /// Adds a whole gradient to a value's.
    pub fn add(&mut self, slot: Option<Slot>, gradient: Tensor) {
        let Some(Slot(index)) = slot else { return };
        match &mut self.slots[index] {
            Some(sum) => self.device.add_assign(sum.view_mut(), gradient.view()),
            empty => *empty = Some(gradient),
        }
    }

    /// Lets a kernel add to a value's gradient in place: it gets the view and beta, 0 for the first part
    /// (whatever stands there is to be overwritten), else 1.
    pub fn accumulate(
        &mut self,
        slot: Option<Slot>,
        (rows, cols): (usize, usize),
        kernel: impl FnOnce(&Device, ViewMut<'_>, f32),
    ) {
        let Some(Slot(index)) = slot else { return };
        let beta = if self.slots[index].is_some() { 1.0 } else { 0.0 };
        let sum = self.slots[index].get_or_insert_with(|| Tensor::empty(&self.device, rows, cols));
        kernel(&self.device, sum.view_mut(), beta);
    }
}
