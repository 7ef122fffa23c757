//! `luthier explain`: what happened while an answer was decoded, as a picture.

mod record;
mod spelling;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use luthier_generate::{Constraint, Decode, Trace};
use luthier_model::Session;
use luthier_report::Language;
use luthier_report::explain::{Explanation, render_explanation, text};

use super::generate::flags::OptionFlags;
use super::generate::form::{self, FormFlags};
use super::generate::{self, prompts};
use super::report::parse_language;
use super::{Failure, print};
use crate::open::ModelArgs;

/// Shows what happened while an answer was decoded: candidates, what each processor left of them, the tree of the beams
///
/// It decodes one prompt exactly as `luthier generate` does with the same flags (the same tokens, the same seed) and writes down what the
/// search decides. Greedy decoding and sampling give a table a step: the most probable tokens with their probability under the model
/// and behind each processor in its order (a removed token is marked as removed), how many tokens each one left, the entropy, and which token was
/// taken. Beams give a tree: every continuation the search looked at with its cumulative log-probability, what became of it, and the
/// finished hypotheses with their scores. Spaces are shown as ␣, line breaks as ⏎, tabs as ⇥, a byte that is no whole character as <0xE5>.
///
/// Prompt lookup shows the choices it leads to, which are those without it. Contrastive search (--penalty-alpha) is refused: it chooses
/// by hidden states.
///
/// --json prints one object. model, search, parameters (those that flags or the model's folder give), prompt: [token];
/// outputs: [{text, tokens, score, finish_reason}], best first.
///
/// A token is {id, text}, its text as shown here.
///
/// A distribution is {kept, entropy, stages: [{name, value, kept, entropy}], candidates: [{id, text, before, after, taken}]}:
/// kept counts the tokens that remain possible, entropy is in nats, before is the model's probability, after has one probability for each
/// stage, null where the token is removed. Of beams, taken means that the continuation went on or ended.
///
/// steps (greedy decoding and sampling): [{output, step, taken: token, uniform, and a distribution's fields}]; output and step count
/// from 1; uniform is the number that was drawn, null for greedy decoding.
///
/// groups (beams): [{steps, hypotheses, end}]. A step is {step, beams: [{score, and a distribution's fields}], continuations: [{beam, id,
/// text, logprob, score, fate, next, hypothesis, on_path}]}: beam is an index into beams, score a sum of log-probabilities behind the
/// processors (-1e9 marks the copies of the prompt before the first step), next the beam of the next step that it is, hypothesis an index
/// into hypotheses, on_path whether the best output goes through it. fate is "beam", "finished", "not-among-best",
/// "end-behind-beams" (an end that ranks behind as many others as there are beams), "forbidden" or "search-ended" (open when the search
/// was over). A hypothesis is {step, tokens, sum, score, finish_reason, place, displaced_by}: step is its length in new tokens, place counts
/// from 1 among all that were kept, null for one that was not; displaced_by is the hypothesis that pushed it out. end is
/// "enough-hypotheses", "none-better", "length", "stop-strings", "late" or "nothing-allowed". Indices count from 0; what is not finite
/// is null.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("asked").required(true).args(["prompt", "chat"])))]
#[command(after_help = "Examples:\n  \
    luthier explain --model pocket --prompt \"A lamp that\" --max-new-tokens 5\n  \
    luthier explain --model DIR --prompt Once --do-sample --temperature 0.7 --top-k 20 --top-p 0.9\n  \
    luthier explain --model DIR --adapter runs/mine/adapter --chat 你好 --num-beams 4 --html beams.html\n  \
    luthier explain --model DIR --prompt Once --num-beams 6 --num-beam-groups 3 --diversity-penalty 0.5 --json")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text to continue
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// A user's message to answer, written with the model's chat template
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    chat: Option<String>,
    /// Candidates shown of each distribution: so many of the best before and after all processors, and what was taken
    #[arg(long, value_name = "N", default_value_t = 10)]
    candidates: usize,
    /// Prints one object of JSON
    #[arg(long, conflicts_with = "html")]
    json: bool,
    /// Writes a page: bars of the candidates, the tree of the beams; one file without scripts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Language of the page: en or zh-Hant
    #[arg(long, default_value = "en", value_parser = parse_language)]
    language: Language,
    #[command(flatten)]
    form: FormFlags,
    #[command(flatten)]
    options: OptionFlags,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let explanation = explain(args)?;
    if let Some(path) = &args.html {
        let html = render_explanation(&explanation, args.language).map_err(Failure::run)?;
        let written = luthier_files::write_atomically(path, |file| file.write_all(html.as_bytes()));
        written.map_err(|error| Failure::run(format!("cannot write {}: {error}", path.display())))?;
        return print(&format!("{}\n", path.display()));
    }
    if args.json {
        let json = serde_json::to_string(&explanation).map_err(Failure::run)?;
        return print(&format!("{json}\n"));
    }
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    print(&text(&explanation, colours))
}

/// As `generate` goes about one prompt, with a trace.
fn explain(args: &Args) -> Result<Explanation, Failure> {
    if args.candidates == 0 {
        return Err(Failure::input("--candidates must be at least 1"));
    }
    let question = match (&args.prompt, &args.chat) {
        (Some(text), _) => prompts::of_flag("--prompt", text, false),
        (None, Some(text)) => prompts::of_flag("--chat", text, true),
        (None, None) => return Err(Failure::input("give --prompt TEXT or --chat TEXT")),
    };
    let form = args.form.read()?;
    let opened = args.model.open()?;
    let merged = generate::options(&args.options.0, &opened, args.chat.is_some())?;
    let resolved = merged.resolve().map_err(Failure::input)?;
    let formed = form.map(|form| form::over(&form, &opened)).transpose()?;
    let formed = formed.as_ref().map(|formed| formed as &dyn Constraint);
    let prompts = prompts::tokenise(vec![question], &opened)?;
    generate::warn(&args.options.0, &merged, &prompts);
    let tokenizer = opened.need_tokenizer()?;
    let to_text = |ids: &[u32]| tokenizer.decode(ids, true);
    let mut traces = [Trace::new(args.candidates)];
    let generator = generate::generator(&resolved, Some(&to_text as Decode<'_>), formed).traces(&mut traces);
    let mut session = Session::new(&opened.model);
    let completions = generator.generate(&mut session, &[prompts[0].tokens.clone()]);
    let completion = completions.map_err(|error| generate::failure(&error, &prompts))?.remove(0);
    let [trace] = traces;
    let record = record::Record { tokenizer, options: &resolved, trace: &trace, completion: &completion };
    Ok(record.explanation(args.model.model.display().to_string(), merged.as_table()))
}
