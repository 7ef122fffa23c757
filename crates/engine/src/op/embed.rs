//! Token embedding: row `ids[i]` of the table; the gradient of a row is the sum over the places it stands at.

use crate::params::ParamId;
use crate::tape::{Backward, Flow, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// ids: N tokens, table: `[V, C]` -> `[N, C]`.
    ///
    /// # Panics
    /// If an id is not below V: callers check ids where they come in.
    pub fn embed(&mut self, ids: &[u32], table: ParamId) -> Var {
        let device = self.device().clone();
        let weight = &self.params().get(table).tensor;
        let (vocabulary, c) = (weight.rows(), weight.cols());
        assert!(ids.iter().all(|&id| (id as usize) < vocabulary), "a token id is not below {vocabulary}");
        let mut y = Tensor::empty(&device, ids.len(), c);
        device.embed(weight.view(), c, ids, y.view_mut());
        let needed = self.needs_backward(&[], &[table]);
        self.record_if(needed, y, || Embed { ids: ids.to_vec(), table })
    }
}

#[derive(Debug)]
struct Embed {
    ids: Vec<u32>,
    table: ParamId,
}

impl Backward for Embed {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        if let Some(dtable) = flow.param(self.table) {
            device.embed_backward(&self.ids, dy.cols(), dy.view(), dtable);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;

    #[test]
    fn a_token_that_stands_twice_receives_both_gradients() {
        Check::new().param("table", 5, 3).gradients(|tape, _| {
            let table = tape.params().find("table").unwrap();
            tape.embed(&[4, 1, 4, 0], table)
        });
    }
}
