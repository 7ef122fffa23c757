//! Parameters by name, and the flat buffer of the gradients of those that are trained.

use std::collections::HashMap;

use crate::device::{Buffer, Device, View, ViewMut};
use crate::tensor::Tensor;

/// Which parameter of a [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(usize);

/// A named weight.
#[derive(Clone, Debug)]
pub struct Param {
    /// The name it has in its file, such as `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Its shape in that file; the tensor keeps it as rows and columns (a vector is one row).
    pub shape: Vec<usize>,
    /// The numbers.
    pub tensor: Tensor,
    /// Whether training changes it. A frozen parameter has no gradient.
    pub trainable: bool,
}

/// All parameters of a model, in a fixed order.
#[derive(Clone, Debug, Default)]
pub struct Params {
    list: Vec<Param>,
    by_name: HashMap<String, ParamId>,
}

impl Params {
    /// Adds a parameter.
    ///
    /// # Panics
    /// If the name is taken: the caller checks what comes from files.
    pub fn push(&mut self, param: Param) -> ParamId {
        let id = ParamId(self.list.len());
        let taken = self.by_name.insert(param.name.clone(), id);
        assert!(taken.is_none(), "two parameters are named {}", param.name);
        self.list.push(param);
        id
    }

    /// The parameter of that id.
    pub fn get(&self, id: ParamId) -> &Param {
        &self.list[id.0]
    }

    /// The parameter of that id, to change.
    pub fn get_mut(&mut self, id: ParamId) -> &mut Param {
        &mut self.list[id.0]
    }

    /// The id of that name.
    pub fn find(&self, name: &str) -> Option<ParamId> {
        self.by_name.get(name).copied()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &Param)> {
        self.list.iter().enumerate().map(|(index, param)| (ParamId(index), param))
    }

    /// Those that training changes, in order.
    pub fn trainable(&self) -> impl Iterator<Item = (ParamId, &Param)> {
        self.iter().filter(|(_, param)| param.trainable)
    }

    /// Marks each parameter by name as trained or frozen.
    pub fn set_trainable(&mut self, mut choose: impl FnMut(&str) -> bool) {
        for param in &mut self.list {
            param.trainable = choose(&param.name);
        }
    }

    /// How many numbers all parameters hold, and how many of them are trained.
    pub fn count(&self) -> (usize, usize) {
        let size = |param: &Param| param.tensor.rows() * param.tensor.cols();
        (self.list.iter().map(size).sum(), self.trainable().map(|(_, param)| size(param)).sum())
    }

    /// Removes the parameters added after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        for param in self.list.drain(len..) {
            self.by_name.remove(&param.name);
        }
    }

    /// How many parameters there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Gradients of the trained parameters, end to end in one buffer in the order of the parameters.
#[derive(Debug)]
pub struct Grads {
    flat: Buffer,
    /// Start of each parameter in `flat`; `None` for a frozen one.
    starts: Vec<Option<usize>>,
    device: Device,
}

impl Grads {
    /// Zero gradients for the trained of `params`.
    pub fn zeros(device: &Device, params: &Params) -> Self {
        let mut total = 0;
        let starts = params.iter().map(|(_, param)| {
            param.trainable.then(|| {
                let start = total;
                total += param.tensor.rows() * param.tensor.cols();
                start
            })
        });
        let starts = starts.collect();
        let mut grads = Self { flat: device.allocate(total), starts, device: device.clone() };
        grads.set_zero();
        grads
    }

    /// Back to zero, for the next step.
    pub fn set_zero(&mut self) {
        self.device.fill(0.0, self.flat.all_mut());
    }

    /// Where a parameter's gradient lies in the flat buffer; `None` if it is frozen.
    pub fn range(&self, params: &Params, id: ParamId) -> Option<std::ops::Range<usize>> {
        let tensor = &params.get(id).tensor;
        let start = (*self.starts.get(id.0)?)?;
        Some(start..start + tensor.rows() * tensor.cols())
    }

    /// The gradient of a parameter, to add to; `None` if it is frozen.
    pub fn view_mut(&mut self, params: &Params, id: ParamId) -> Option<ViewMut<'_>> {
        let range = self.range(params, id)?;
        Some(self.flat.view_mut(range))
    }

    /// The gradient of a parameter, to read; `None` if it is frozen.
    pub fn view(&self, params: &Params, id: ParamId) -> Option<View<'_>> {
        let range = self.range(params, id)?;
        Some(self.flat.view(range))
    }

    /// The gradient at a place of the flat buffer, see [`Grads::range`].
    pub fn flat_range(&self, range: std::ops::Range<usize>) -> View<'_> {
        self.flat.view(range)
    }

    /// All gradients end to end.
    pub fn flat(&self) -> View<'_> {
        self.flat.all()
    }

    /// The square root of the sum of squares of all gradients.
    pub fn norm(&self) -> f64 {
        self.device.sum_of_squares(self.flat.all()).sqrt()
    }
}
