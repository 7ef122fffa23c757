//! How real rows are put into micro-batches, beside cutting them in order.

use luthier_train::recipe::{Length, StepSize};
use luthier_train::{MicroBatches, Recipe, RunFolder, StepPlan, render_rows};

const LIMIT: usize = 2048;

/// Fills one micro-batch after the other, in order.
fn in_order(rows: &[usize], length: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut bins: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for &row in rows {
        tokens += length(row);
        match bins.last_mut() {
            Some(bin) if tokens <= LIMIT => bin.push(row),
            _ => {
                tokens = length(row);
                bins.push(vec![row]);
            }
        }
    }
    bins
}

/// The largest, of the mean.
fn unevenness(costs: &[usize]) -> f64 {
    let mean = costs.iter().sum::<usize>() as f64 / costs.len() as f64;
    costs.iter().copied().max().unwrap_or(0) as f64 / mean
}

#[test]
fn micro_batches_of_real_rows_are_fewer_and_more_even_than_rows_cut_in_order() {
    let Some(data) = luthier_fixtures::shared("data/ntu-adl2023-hw3/train.json") else { return };
    let text = format!(
        "name = \"rows\"\ndata = {{ sources = [{{ path = \"{}\" }}], limit = 2000 }}\nmodel = {{ base = \"pocket\" }}\n",
        data.canonicalize().unwrap().display()
    );
    let recipe = Recipe::parse(&text, "rows.toml").unwrap().resolve();
    let scratch = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(scratch.path(), false).unwrap();
    let pocket = luthier_fixtures::repository().join("pocket");
    let rendered = render_rows(&recipe, &folder, &pocket, &|_, _| ()).unwrap();
    let rows: Vec<&[u32]> = rendered.prepared.train.iter().map(|row| row.tokens.as_slice()).collect();
    assert!(rows.len() > 1500);

    let micro_batches = MicroBatches { tokens: LIMIT, share: true };
    let plan = StepPlan::new(rows.clone(), Some(42), StepSize::Rows(64), micro_batches, Length::Epochs(1.0)).unwrap();
    let (mut ours, mut in_turn) = ((0, 0.0), (0, 0.0));
    for step in plan.steps_from(0) {
        let mut order: Vec<usize> = step.rows().collect();
        let cost = |bins: &[Vec<usize>]| bins.iter().map(|bin| plan.tokens_of(bin)).collect::<Vec<_>>();
        let costs = cost(&step.micro_batches);
        assert!(costs.iter().all(|&cost| cost <= LIMIT), "{costs:?}");
        order.sort_unstable();
        let plain = cost(&in_order(&order, |row| rows[row].len()));
        ours = (ours.0 + costs.len(), ours.1 + unevenness(&costs));
        in_turn = (in_turn.0 + plain.len(), in_turn.1 + unevenness(&plain));
    }
    let steps = plan.total_steps() as f64;
    let (even, uneven) = (ours.1 / steps, in_turn.1 / steps);
    assert!(ours.0 <= in_turn.0 && even < 1.02 && even < uneven, "{ours:?} {in_turn:?}");
}
