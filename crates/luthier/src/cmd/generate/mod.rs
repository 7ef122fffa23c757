//! `luthier generate`: continues prompts and answers messages under any decoding strategy.

pub(crate) mod flags;
pub(crate) mod form;
pub(crate) mod prompts;
pub(crate) mod write;

use std::io::IsTerminal;
use std::path::PathBuf;

use luthier_generate::{
    Completion, Constraint, Decode, GenerateError, GenerationOptions, Generator, OptionsError, Resolved, Warning,
};
use luthier_model::Session;

use super::{Failure, print};
use crate::open::{ModelArgs, Opened};
use crate::progress::Bar;
use flags::OptionFlags;
use form::FormFlags;
use prompts::Prompt;
use write::{InOrder, Streamer};

/// New tokens when neither user nor model limits the length.
const DEFAULT_NEW_TOKENS: usize = 256;

/// Continues prompts, or answers messages, with a model
///
/// The generation parameters of transformers have flags of their names, with the meaning they have there: greedy decoding by default;
/// --do-sample draws (temperature, top-k and top-p act only then); --num-beams searches, --num-beam-groups for unlike texts;
/// --penalty-alpha with --top-k is contrastive search; --prompt-lookup-num-tokens gives the same tokens faster where a text repeats
/// itself. A flag that changes nothing in its company is named with the reason. generation_config.json of the model folder holds
/// underneath. 256 new tokens are the limit when neither flag nor folder gives one.
///
/// The meaning is that of transformers 4.46.3, token for token. force_words_ids, constraints, dola_layers, watermarking_config and
/// token_healing are not built and refused; --json-schema, --regex or --choices hold an output to a form, under every search.
///
/// The prompt is raw text, tokenised as transformers' tokenizer(text) does, unless --chat writes it as a user's message with the
/// model's own chat template. A row of --input is {"prompt": ...}, {"messages": [...]} (always written with the template) or
/// {"tokens": [...]} (taken as they are).
///
/// --json prints a line for each row: {"prompt": as given, "outputs": [{"text", "tokens", "score", "finish_reason"}]}. tokens are the
/// new ones with the end-of-sequence token; text leaves special tokens out; score is the sum of the tokens' log-probabilities, of a
/// beam divided by length^length_penalty; finish_reason is "stop", "length" or, after --max-time, "interrupted".
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    luthier generate --model pocket --prompt \"A lamp that\" --max-new-tokens 40\n  \
    luthier generate --model DIR --adapter runs/mine/adapter --chat --prompt 你好\n  \
    luthier generate --model DIR --input rows.jsonl --num-beams 4 --num-return-sequences 4 --json\n  \
    luthier generate --model DIR --prompt Once --do-sample --temperature 0.7 --top-p 0.9 --seed 7\n  \
    luthier generate --model DIR --prompt \"Is it raining?\" --chat --choices yes no \"I cannot know.\"")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text to continue; it is printed as it grows
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "input")]
    #[arg(required_unless_present = "input")]
    prompt: Option<String>,
    /// JSON Lines with a prompt a row; `-` is stdin
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Writes prompts as user messages with the model's chat template
    #[arg(long)]
    chat: bool,
    /// Prints a line of JSON for each row
    #[arg(long)]
    json: bool,
    /// Most rows in one pass over the weights, beams and draws counted; changes speed and memory only
    #[arg(long, value_name = "N", default_value_t = luthier_generate::DEFAULT_MAX_BATCH)]
    batch: usize,
    #[command(flatten)]
    form: FormFlags,
    #[command(flatten)]
    options: OptionFlags,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.batch == 0 {
        return Err(Failure::input("--batch must be at least 1"));
    }
    let questions = prompts::read(args)?;
    let form = args.form.read()?;
    let opened = args.model.open()?;
    let merged = options(&args.options.0, &opened, args.chat || prompts::any_chat(&questions))?;
    let resolved = merged.resolve().map_err(Failure::input)?;
    let formed = form.map(|form| form::over(&form, &opened)).transpose()?;
    let formed = formed.as_ref().map(|formed| formed as &dyn Constraint);
    let prompts = prompts::tokenise(questions, &opened)?;
    warn(&args.options.0, &merged, &prompts);
    let to_text = opened.tokenizer().map(|tokenizer| |ids: &[u32]| tokenizer.decode(ids, true));
    let to_text = to_text.as_ref().map(|decode| decode as Decode<'_>);
    let completions = match opened.tokenizer() {
        Some(tokenizer) if streams(args, &prompts, &resolved) => {
            let mut streamer = Streamer::new(tokenizer, &resolved, print);
            let mut listen = |_: usize, token: u32| streamer.push(token);
            let generator = generator(&resolved, to_text, formed).on_token(&mut listen);
            let completions = decode(generator, &prompts, &opened)?;
            streamer.finish(&completions[0].outputs[0], tokenizer)?;
            print("\n")?;
            completions
        }
        _ => print_all(args, &prompts, &resolved, to_text, formed, &opened)?,
    };
    let defaulted = merged.max_new_tokens.filter(|_| !args.json && limit_is_ours(&args.options.0, &opened));
    write::note_on_length(&completions, defaulted);
    Ok(())
}

/// One text that is not searched for can be shown while it grows.
fn streams(args: &Args, prompts: &[Prompt], options: &Resolved) -> bool {
    !args.json && prompts.len() == 1 && options.num_beams == 1 && options.num_return_sequences == 1
}

fn print_all(
    args: &Args,
    prompts: &[Prompt],
    options: &Resolved,
    to_text: Option<Decode<'_>>,
    formed: Option<&dyn Constraint>,
    opened: &Opened,
) -> Result<Vec<Completion>, Failure> {
    let several = prompts.len() > 1;
    // A bar between lines of results in one terminal would tear both.
    let mut bar = (several && !std::io::stdout().is_terminal()).then(|| Bar::new("generate", prompts.len()));
    let (mut results, mut done) = (InOrder::default(), 0);
    let mut listen = |index: usize, completion: &Completion| {
        let tokenizer = opened.tokenizer();
        let prompt = &prompts[index];
        results.add(
            index,
            if args.json {
                write::json_line(prompt, completion, options, tokenizer)
            } else {
                write::plain(several.then_some((index, prompt)), completion, options, tokenizer)
            },
        );
        done += 1;
        if let Some(bar) = &mut bar {
            bar.set(done, String::new());
        }
    };
    let generator = generator(options, to_text, formed).max_batch(args.batch).on_completion(&mut listen);
    let completions = decode(generator, prompts, opened)?;
    if let Some(bar) = bar {
        bar.finish();
    }
    results.finish()?;
    Ok(completions)
}

/// Stop strings need text; token ids can be decoded without.
pub(super) fn generator<'a>(
    options: &'a Resolved,
    to_text: Option<Decode<'a>>,
    formed: Option<&'a dyn Constraint>,
) -> Generator<'a> {
    let mut generator = Generator::new(options);
    if let Some(formed) = formed {
        generator = generator.constraint(formed);
    }
    match to_text {
        Some(decode) => generator.decode(decode),
        None => generator,
    }
}

fn decode(generator: Generator<'_>, prompts: &[Prompt], opened: &Opened) -> Result<Vec<Completion>, Failure> {
    let tokens: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.tokens.clone()).collect();
    let mut session = Session::new(&opened.model);
    generator.generate(&mut session, &tokens).map_err(|error| failure(&error, prompts))
}

/// Flags over the folder's generation_config.json over config.json. In a chat the tokenizer's end-of-sequence token ends an output too,
/// unless the user chose others: chat models end a turn with it, whatever their configuration says.
pub(crate) fn options(user: &GenerationOptions, opened: &Opened, chat: bool) -> Result<GenerationOptions, Failure> {
    let config = &opened.model.config;
    let folder = match &opened.model.generation_config {
        Some(json) => {
            let json = serde_json::to_string(json).expect("a JSON map can be written");
            GenerationOptions::from_generation_config(&json)
                .map_err(|error| Failure::input(format!("generation_config.json of the model: {error}")))?
        }
        None => GenerationOptions::default(),
    };
    let defaults = GenerationOptions {
        max_new_tokens: Some(DEFAULT_NEW_TOKENS),
        eos_token_id: Some(config.eos_token_ids.clone()),
        bos_token_id: config.bos_token_id,
        ..GenerationOptions::default()
    };
    let mut merged = GenerationOptions::merge(user, &folder, &defaults);
    if chat
        && user.eos_token_id.is_none()
        && let Some(eos) = opened.tokenizer().and_then(|tokenizer| tokenizer.eos())
    {
        let ids = merged.eos_token_id.get_or_insert_default();
        if !ids.contains(&eos.id) {
            ids.push(eos.id);
        }
    }
    Ok(merged)
}

/// Whether the length limit is this command's own.
pub(crate) fn limit_is_ours(user: &GenerationOptions, opened: &Opened) -> bool {
    let in_folder = |name: &str| opened.model.generation_config.as_ref().is_some_and(|json| json.contains_key(name));
    user.max_new_tokens.is_none()
        && user.max_length.is_none()
        && !in_folder("max_length")
        && !in_folder("max_new_tokens")
}

/// Flags without effect are named once.
pub(crate) fn warn(user: &GenerationOptions, merged: &GenerationOptions, prompts: &[Prompt]) {
    let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.tokens.len()).collect();
    for warning in warnings(user, merged, &lengths) {
        eprintln!("warning: {warning}");
    }
}

/// What the user gave and has no effect on prompts of these lengths, each parameter once. What the model's folder gives may well have
/// none and is not worth a word.
pub(crate) fn warnings(user: &GenerationOptions, merged: &GenerationOptions, lengths: &[usize]) -> Vec<Warning> {
    let given = user.as_table();
    let is_given = |name: &str| given.contains_key(name) || user.without_meaning.contains(&name);
    let mut named: Vec<Warning> = Vec::new();
    for warning in merged.warnings().into_iter().chain(merged.warnings_for(lengths)) {
        if is_given(warning.parameter) && !named.iter().any(|other| other.parameter == warning.parameter) {
            named.push(warning);
        }
    }
    named
}

/// The library counts prompts from 0; people want the place.
pub(super) fn failure(error: &GenerateError, prompts: &[Prompt]) -> Failure {
    use OptionsError::{EmptyPrompt, MaxLengthReached, PromptTokenOutsideVocabulary, PromptTooLong};
    match error {
        GenerateError::Options(
            EmptyPrompt { prompt }
            | MaxLengthReached { prompt, .. }
            | PromptTokenOutsideVocabulary { prompt, .. }
            | PromptTooLong { prompt, .. },
        ) => {
            let (message, numbered) = (error.to_string(), format!("prompt {prompt} "));
            let rest = message.strip_prefix(&numbered).unwrap_or(&message);
            Failure::input(format!("{}: the prompt {rest}", prompts[*prompt].place))
        }
        GenerateError::Options(_) => Failure::input(error),
        GenerateError::NotANumber { prompt, .. }
        | GenerateError::NothingAllowed { prompt, .. }
        | GenerateError::Constraint { prompt, .. } => Failure::run(format!("{}: {error}", prompts[*prompt].place)),
        _ => Failure::run(error),
    }
}
