//! `luthier plan`: what a run will take, before it takes it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use luthier_engine::MatMul;
use luthier_hub::Want;
use luthier_model::{Config, weights};
use luthier_train::fit::{MARGIN, peak_bytes};
use luthier_train::meter::{peak_memory_bytes, resident_bytes};
use luthier_train::recipe::{Base, Method, ModelSource};
use luthier_train::room::{gigabytes, room};
use luthier_train::{
    Advice, MemoryEstimate, Recipe, ResolvedRecipe, RunFolder, Task, TrainingRow, WorkEstimate, advise,
    estimate_memory, estimate_work, find_models, render_rows,
};
use serde_json::{Value, json};

use super::{Failure, print};
use crate::hub::HubArgs;
use crate::progress::counter;
use crate::{machine, stages};

/// How long each of about ten rates is measured: two seconds together.
const MEASURE: Duration = Duration::from_millis(180);

/// Words of the vocabulary over which the head's product is timed: beyond them only more of the same comes.
const WORDS: usize = 1 << 14;

/// Says what a recipe's run will take: memory by kind, arithmetic, time; and what to change when it does not fit
///
/// Rows are rendered, and the code that trains runs on a device that only counts: no weight is read, and config.json and the tokenizer are
/// all that has to be there of the model, or is fetched of one of the Hub. Two seconds of measuring this machine give the time.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  luthier plan recipes/quickstart.toml\n  luthier plan recipes/quickstart.toml --json\n\n\
    LUTHIER_MEMORY_LIMIT=8GB limits what a run may take; a run that would take more is refused before its first step."
)]
pub(crate) struct Args {
    /// The recipe, a TOML file
    recipe: PathBuf,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut recipe = Recipe::read(&args.recipe).map_err(Failure::input)?.resolve();
    let (config, rows, notes) = inputs(&mut recipe, args.hub)?;
    let task = Task::of(&recipe, &config, &rows);
    let base = luthier_train::Base { config: &config, store: recipe.model.store.into() };
    let process = resident_bytes();
    let before_training = peak_memory_bytes();
    let memory = estimate_memory(base, &task).map_err(stages::failure)?;
    let work = estimate_work(base, &task).map_err(stages::failure)?;
    let room = room().map_err(Failure::input)?;
    let fits = |device: usize| room.as_ref().is_none_or(|room| peak_bytes(process, device) <= room.bytes);
    let total = memory.device.total();
    let advice = if fits(total) { Vec::new() } else { advise(base, &task, &memory, &fits).map_err(stages::failure)? };
    let peak = peak_bytes(process, total).max(before_training + memory.device.weights as u64);
    let plan =
        Plan { process, peak, fits: fits(total), advice, seconds: seconds(&config, &recipe, &work), memory, work };
    for note in notes {
        eprintln!("note: {note}");
    }
    let why = room.map(|room| room.why);
    if args.json { print(&format!("{}\n", plan.json(why.as_deref()))) } else { print(&plan.screen(why.as_deref())) }
}

/// The model's shape, the training rows, and what the reader should know.
fn inputs(recipe: &mut ResolvedRecipe, hub: HubArgs) -> Result<(Config, Vec<TrainingRow>, Vec<String>), Failure> {
    let scratch = tempfile::tempdir().map_err(|error| Failure::run(format!("no temporary folder: {error}")))?;
    let folder = RunFolder::open(scratch.path(), false).map_err(stages::failure)?;
    let mut notes = find_models(recipe, &folder, &hub.hub(), Want::Description).map_err(stages::failure)?;
    let pocket = stages::pocket_for(recipe)?;
    let rendered = render_rows(recipe, &folder, &pocket, &counter("rows")).map_err(stages::failure)?;
    notes.extend(rendered.notices.iter().cloned());
    if let Err(error) = rendered.prepared.check(&rendered.options) {
        notes.push(format!("a run would not start: {error}"));
    }
    if let ModelSource::Base(Base::Named(path)) = &recipe.model.source
        && !weights::are_there(path.full())
    {
        let model = path.origin().map_or_else(|| path.full().display().to_string(), |origin| origin.repo.clone());
        notes.push(format!("{model} holds no weights yet; planned from its config.json"));
    }
    let rows = rendered.prepared.train.iter().map(TrainingRow::from).collect();
    Ok((rendered.config, rows, notes))
}

/// Seconds of the counted steps, from rates of this machine at the model's own shapes.
fn seconds(config: &Config, recipe: &ResolvedRecipe, work: &WorkEstimate) -> f64 {
    let (n, c, f) = (work.mean_tokens.max(1), config.hidden_size, config.intermediate_size);
    let shapes = [(config.query_width(), c, 2.0), (config.key_width(), c, 2.0), (f, c, 2.0), (c, f, 1.0)];
    let (mut operations, mut spent) = (0.0, 0.0);
    for (outs, inputs, count) in shapes {
        let forward = MatMul::nt(n, outs, inputs);
        let to_rows = MatMul::nn(n, inputs, outs);
        let mut products = vec![forward, to_rows];
        if matches!(recipe.train.method, Method::Full) {
            products.push(MatMul::tn(outs, inputs, n));
        }
        for product in &products {
            operations += count * 2.0 * (n * outs * inputs) as f64;
            spent += count * machine::product_seconds(product, MEASURE);
        }
    }
    let (labels, words) = (work.mean_labels.max(1), config.vocab_size.min(WORDS));
    let head_rate =
        2.0 * (labels * words * c) as f64 / machine::product_seconds(&MatMul::nt(labels, words, c), MEASURE);
    let row_rate = machine::row_kernel_rate(n, f, MEASURE);
    let body = work.product_operations.saturating_sub(work.head_operations) as f64;
    body * spent / operations + work.head_operations as f64 / head_rate + work.row_kernel_bytes as f64 / row_rate
}

/// All that was found out.
struct Plan {
    /// Bytes of the program, the tokenizer and the rows.
    process: u64,
    peak: u64,
    fits: bool,
    advice: Vec<Advice>,
    /// Of the counted steps.
    seconds: f64,
    memory: MemoryEstimate,
    work: WorkEstimate,
}

impl Plan {
    fn step_seconds(&self) -> f64 {
        self.seconds / self.work.counted_steps.max(1) as f64
    }

    fn json(&self, room: Option<&str>) -> Value {
        json!({
            "peak_memory_bytes": self.peak,
            "memory": self.memory.device,
            "process_bytes": self.process + MARGIN,
            "heaviest": self.memory.heaviest,
            "steps": self.memory.steps,
            "micro_batches": self.memory.micro_batches,
            "rendered_tokens": self.memory.rendered_tokens,
            "computed_tokens": self.memory.computed_tokens,
            "work": self.work,
            "operations_per_step": self.work.product_operations / self.work.counted_steps.max(1) as u64,
            "seconds_per_step": self.step_seconds(),
            "seconds": self.step_seconds() * self.work.steps as f64,
            "room": room,
            "fits": self.fits,
            "advice": self.advice.iter().map(|advice| json!({
                "key": advice.key,
                "change": advice.change,
                "cost": advice.cost,
                "peak_memory_bytes": peak_bytes(self.process, advice.device_bytes),
            })).collect::<Vec<_>>(),
        })
    }

    fn screen(&self, room: Option<&str>) -> String {
        let device = self.memory.device;
        let bytes = |bytes: usize| gigabytes(bytes as u64);
        let mut lines = vec![("peak memory", gigabytes(self.peak))];
        lines.extend(
            [
                ("  weights", device.weights),
                ("  adapter", device.adapter),
                ("  gradients", device.gradients),
                ("  optimiser", device.optimiser),
                ("  activations", device.activations),
                ("  logits", device.logits),
                ("  scratch", device.scratch),
            ]
            .into_iter()
            .filter(|(_, size)| *size > 0)
            .map(|(name, size)| (name, bytes(size))),
        );
        lines.push(("  program, rows", gigabytes(self.process + MARGIN)));
        let heaviest = self.memory.heaviest;
        lines.push((
            "heaviest",
            format!(
                "step {}: {} rows, {} tokens, of which {} are learnt",
                heaviest.step, heaviest.rows, heaviest.tokens, heaviest.labels
            ),
        ));
        let work = &self.work;
        let counted = if work.counted_steps == work.steps {
            String::new()
        } else {
            format!(" (counted for {} of {} steps)", work.counted_steps, work.steps)
        };
        let operations = work.product_operations as f64 / work.counted_steps.max(1) as f64;
        lines.push(("steps", format!("{}, in {} micro-batches", work.steps, self.memory.micro_batches)));
        lines.push(("arithmetic", format!("{:.2} TFLOP a step{counted}", operations / 1e12)));
        let saved = work.saved;
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        lines.push((
            "saved",
            format!(
                "{} of it all: frozen weights {}, padding {}, prompt logits {}, shared beginnings {}",
                percent(saved.total()),
                percent(saved.frozen),
                percent(saved.padding),
                percent(saved.prompt_logits),
                percent(saved.shared_prefixes)
            ),
        ));
        let seconds = self.step_seconds();
        lines.push(("time", format!("{} a step, {} in all", time(seconds), time(seconds * work.steps as f64))));
        let mut screen: String = lines.iter().map(|(name, text)| format!("{name:<16} {text}\n")).collect();
        match room {
            Some(room) if self.fits => screen += &format!("{:<16} yes: {room}\n", "fits"),
            Some(room) => screen += &format!("{:<16} NO: {room}\n", "fits"),
            None => {}
        }
        if !self.fits {
            screen += "\nWhat to change, in order of what it costs:\n";
            for advice in &self.advice {
                let peak = gigabytes(peak_bytes(self.process, advice.device_bytes));
                screen += &format!("  {}: {peak} ({})\n", advice.change, advice.cost);
            }
        }
        screen
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 5400.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 90.0 => format!("{:.1} min", s / 60.0),
        s if s >= 1.0 => format!("{s:.1} s"),
        s => format!("{:.0} ms", s * 1000.0),
    }
}
