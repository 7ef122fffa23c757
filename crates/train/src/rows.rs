//! The rows of a recipe as training sees them: sources found or generated, rendered with the model's tokenizer and template.

use std::path::Path;

use luthier_corpus::{Side, generate_documents, generate_rows, write_rows, write_text};
use luthier_model::Config;
use luthier_text::{self as text, DataOptions, Prepared, Renderer, Template, Tokenizer};

use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::recipe::{self, ModelSource, Part, ResolvedRecipe, Source};
use crate::setup::{base_folder, base_tokenizer, create_config, new_tokenizer, vocabulary};

/// A recipe's rows, and what they were rendered with.
#[derive(Debug)]
pub struct RenderedRows {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// How conversations are written out.
    pub template: Template,
    /// The rows and their ledger.
    pub prepared: Prepared,
    /// The shape of the model they are for.
    pub config: Config,
    /// What the recipe says of its data; [`Prepared::check`] with it tells whether a run may start.
    pub options: DataOptions,
    /// What the reader of the run should know.
    pub notices: Vec<String>,
}

/// The rows of a recipe exactly as [`crate::set_up`] makes them, without the model's weights. Generated sources and the tokenizer of a
/// new model are written into `folder`.
///
/// # Errors
/// See [`TrainError`]; a run that its rows would refuse is not refused here.
pub fn render_rows(
    recipe: &ResolvedRecipe,
    folder: &RunFolder,
    pocket: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<RenderedRows, TrainError> {
    let sources = data_files(&recipe.data.sources, folder)?;
    let (dir, config, tokenizer) = match &recipe.model.source {
        ModelSource::Base(_) => {
            let dir = base_folder(recipe, folder, pocket)?;
            let config = Config::read(&dir)?;
            let tokenizer = base_tokenizer(recipe, &dir)?;
            let config = config.with_vocabulary(vocabulary(recipe, &tokenizer));
            (dir, config, tokenizer)
        }
        ModelSource::Create(create) => {
            let (dir, tokenizer) = (folder.path("base"), new_tokenizer(recipe, folder)?);
            luthier_files::write_folder_aside(&dir, |aside| tokenizer.save(aside, None).map_err(std::io::Error::other))
                .map_err(|source| TrainError::Write { path: dir.clone(), source })?;
            let tokenizer = base_tokenizer(recipe, &dir)?;
            let config = Config::from_json(create_config(create, &tokenizer), &dir.join("config.json"))?;
            (dir, config, tokenizer)
        }
    };
    render(recipe, sources, &dir, &config, tokenizer, progress)
}

/// Renders the rows of these files with this tokenizer and the template of `dir`.
pub(crate) fn render(
    recipe: &ResolvedRecipe,
    sources: Vec<text::Source>,
    dir: &Path,
    config: &Config,
    tokenizer: Tokenizer,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<RenderedRows, TrainError> {
    let (rows, tokens) = (config.vocab_size, tokenizer.vocab_size());
    if tokens > rows {
        return Err(TrainError::Vocabulary { path: dir.to_owned(), rows, tokens });
    }
    let chosen = Template::choose(&template_setting(recipe), dir, &tokenizer)?;
    let options = data_options(recipe, sources);
    let rows = text::read_all(&options.sources, options.limit)?;
    let prepared = text::prepare(&options, rows, &Renderer::new(&tokenizer, &chosen.template), progress)?;
    prepared.ledger.balance()?;
    let of_template = chosen
        .notice
        .map(|notice| format!("{notice}, which is saved with what is trained; data.template chooses another"));
    let mut notices: Vec<String> = of_template.into_iter().chain(prepared.notices.iter().cloned()).collect();
    notices.extend(position_notice(config, recipe));
    notices.dedup();
    let config = config.clone();
    Ok(RenderedRows { tokenizer, template: chosen.template, prepared, config, options, notices })
}

/// The files of the sources; generated ones are written into the run folder first.
pub(crate) fn data_files(sources: &[Source], folder: &RunFolder) -> Result<Vec<text::Source>, TrainError> {
    sources.iter().map(|source| data_file(source, folder)).collect()
}

fn data_file(source: &Source, folder: &RunFolder) -> Result<text::Source, TrainError> {
    match source {
        Source::File { path, format, part } => {
            let part = part.and_then(text_part);
            Ok(text::Source { path: path.full().to_owned(), format: text_format(*format), part })
        }
        Source::Generated { generate, rows, seed, part } => {
            let path = folder.part_of("data", &format!("{generate}-{part}-{rows}-{seed}.jsonl"))?;
            let kind = generate.as_str().parse()?;
            let side = match part {
                Part::Train => Side::Train,
                Part::Test => Side::Test,
                Part::Pretraining => {
                    write_text(&path, generate_documents(kind, *seed, *rows))?;
                    return Ok(text::Source { path, format: text::Format::Text, part: None });
                }
            };
            write_rows(&path, generate_rows(kind, *seed, *rows, side)?)?;
            Ok(text::Source { path, format: text::Format::Alpaca, part: text_part(*part) })
        }
    }
}

fn position_notice(config: &Config, recipe: &ResolvedRecipe) -> Option<String> {
    let (limit, longest) = (config.context(), recipe.data.max_length);
    (longest > limit).then(|| {
        format!("data.max_length is {longest}, but the model knows positions up to {limit} (max_position_embeddings)")
    })
}

fn template_setting(recipe: &ResolvedRecipe) -> String {
    match &recipe.data.template {
        recipe::Template::Model => "model".to_owned(),
        recipe::Template::Alpaca => "alpaca".to_owned(),
        recipe::Template::File(path) => path.full().display().to_string(),
    }
}

/// The recipe's `[data]` for the text crate.
fn data_options(recipe: &ResolvedRecipe, sources: Vec<text::Source>) -> DataOptions {
    let data = &recipe.data;
    DataOptions {
        sources,
        train_on: match data.train_on {
            recipe::TrainOn::Answers => text::TrainOn::Answers,
            recipe::TrainOn::LastAnswer => text::TrainOn::LastAnswer,
            recipe::TrainOn::Completion => text::TrainOn::Completion,
            recipe::TrainOn::All => text::TrainOn::All,
        },
        max_length: data.max_length,
        overlong: match data.overlong {
            recipe::Overlong::Drop => text::Overlong::Drop,
            recipe::Overlong::TruncatePrompt => text::Overlong::TruncatePrompt,
            recipe::Overlong::TruncateEnd => text::Overlong::TruncateEnd,
            recipe::Overlong::Refuse => text::Overlong::Refuse,
        },
        split: text::Split {
            test: match data.split.test {
                recipe::Amount::Fraction(share) => text::TestSize::Fraction(share),
                recipe::Amount::Count(rows) => text::TestSize::Rows(rows),
            },
            by: match data.split.by {
                recipe::SplitBy::Hash => text::SplitBy::Hash,
                recipe::SplitBy::Order => text::SplitBy::Order,
            },
        },
        dedup: match data.dedup {
            recipe::Dedup::None => text::Dedup::None,
            recipe::Dedup::Exact => text::Dedup::Exact,
        },
        limit: data.limit,
        max_answer_loss: data.max_answer_loss,
    }
}

fn text_part(part: Part) -> Option<text::Part> {
    match part {
        Part::Train => Some(text::Part::Train),
        Part::Test => Some(text::Part::Test),
        Part::Pretraining => None,
    }
}

fn text_format(format: recipe::RowFormat) -> text::Format {
    match format {
        recipe::RowFormat::Auto => text::Format::Auto,
        recipe::RowFormat::Alpaca => text::Format::Alpaca,
        recipe::RowFormat::PromptCompletion => text::Format::PromptCompletion,
        recipe::RowFormat::InputTarget => text::Format::InputTarget,
        recipe::RowFormat::Messages => text::Format::Messages,
        recipe::RowFormat::Text => text::Format::Text,
    }
}
