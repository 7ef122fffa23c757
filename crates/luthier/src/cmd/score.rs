//! `luthier score`: how probable a model finds texts.

use std::io::IsTerminal;
use std::path::PathBuf;

use luthier_engine::{Layout, Tape};
use luthier_model::Model;
use luthier_text::{Message, Renderer, Role, Template, TextError, Tokenizer, TrainOn};
use serde::Serialize;

use super::{Failure, print};
use crate::input::{self, Row};
use crate::open::{ModelArgs, Opened};
use crate::progress::Bar;

/// Gives every token of a text its log-probability under a model
///
/// A row of --input is {"text": ...}, {"prompt": ..., "completion": ...} or {"tokens": [...]}. Texts are raw: tokenised as transformers'
/// tokenizer(text) does, with the beginning-of-sequence token where the tokenizer puts one, and without any template. The tokens of a
/// completion are those it has behind its prompt, and only they count. With --chat, prompt and completion are a user's message and its
/// answer, written with the model's chat template; a row may then be {"messages": [...]}, and the answers with their end-of-turn count.
///
/// --json prints a line for each row: {"tokens": [...], "logprobs": [...], "sum": x, "mean": x, "perplexity": x}. tokens are all tokens of
/// the row; logprobs (natural logarithm) has one entry for each, null where the token does not count: the first of a text, which nothing
/// predicts, and those of a prompt. sum and mean are over the tokens that count, and perplexity is exp(-mean); both are null when
/// none counts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    luthier score --model DIR --input texts.jsonl\n  \
    luthier score --model DIR --adapter runs/mine/adapter --input pairs.jsonl --chat --json\n  \
    echo '{\"text\": \"天地玄黃\"}' | luthier score --model DIR --input - --json")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// JSON Lines with a text a row; `-` is stdin
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Writes prompts and completions with the model's chat template
    #[arg(long)]
    chat: bool,
    /// Prints a line of JSON for each row
    #[arg(long)]
    json: bool,
    /// Most tokens in one pass over the weights, one row at least
    #[arg(long, value_name = "N", default_value_t = 4096)]
    batch_tokens: usize,
}

/// What a row asks about.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    Text(String),
    Pair(String, String),
    Messages(Vec<Message>),
    Tokens(Vec<u32>),
}

/// Tokens of a row, and which of them count.
#[derive(Debug, Clone, PartialEq)]
struct Sequence {
    place: String,
    tokens: Vec<u32>,
    counts: Vec<bool>,
}

/// A line of `--json`.
#[derive(Debug, Serialize)]
struct Scored<'a> {
    tokens: &'a [u32],
    logprobs: Vec<Option<f32>>,
    sum: f64,
    mean: Option<f64>,
    perplexity: Option<f64>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let rows = input::read(&args.input)?;
    let asked = input::all(rows.iter().map(|row| asked(row, args.chat)))?;
    let opened = args.model.open()?;
    let sequences = sequences(&rows, asked, &opened)?;
    check(&sequences, &opened.model)?;
    if !args.json {
        print(&format!("{:>10} {:>8} {:>14} {:>10} {:>12}\n", "row", "tokens", "sum", "mean", "perplexity"))?;
    }
    let several = sequences.len() > 1 && !std::io::stdout().is_terminal();
    let mut bar = several.then(|| Bar::new("score", sequences.len()));
    let (mut rest, mut total, mut count) = (sequences.as_slice(), 0.0, 0);
    while !rest.is_empty() {
        let (pass, later) = rest.split_at(fitting(rest, args.batch_tokens));
        rest = later;
        let mut lines = String::new();
        for (sequence, scored) in pass.iter().zip(score(&opened.model, pass)?) {
            total += scored.sum;
            count += scored.logprobs.iter().flatten().count();
            lines += &if args.json { json_line(&scored) } else { table_line(sequence, &scored) };
        }
        print(&lines)?;
        if let Some(bar) = &mut bar {
            bar.set(sequences.len() - rest.len(), String::new());
        }
    }
    if let Some(bar) = bar {
        bar.finish();
    }
    if !args.json && sequences.len() > 1 && count > 0 {
        let mean = total / count as f64;
        print(&format!("{:>10} {count:>8} {total:>14.4} {mean:>10.4} {:>12.4}\n", "all", (-mean).exp()))?;
    }
    Ok(())
}

fn asked(row: &Row, chat: bool) -> Result<Asked, String> {
    let full = |field: &str| match row.text(field)? {
        "" => Err(row.fault(&format!("field `{field}` is empty: nothing to score"))),
        text => Ok(text.to_owned()),
    };
    match row.only(&["text", "prompt", "messages", "tokens"])? {
        Some("text") if chat => {
            Err(row.fault("field `text` is raw text; with --chat give `prompt` and `completion`, or `messages`"))
        }
        Some("text") => full("text").map(Asked::Text),
        Some("prompt") => {
            let (prompt, completion) = (row.text("prompt")?.to_owned(), full("completion")?);
            let messages = |prompt, completion| vec![Message::user(prompt), Message::assistant(completion)];
            Ok(if chat { Asked::Messages(messages(prompt, completion)) } else { Asked::Pair(prompt, completion) })
        }
        Some("messages") => {
            let messages = row.messages()?;
            if messages.last().is_some_and(|last| last.role != Role::Assistant) {
                return Err(row.fault("field `messages` must end with the answer to score, a message of the assistant"));
            }
            Ok(Asked::Messages(messages))
        }
        Some(_) => row.tokens().map(Asked::Tokens),
        None => {
            let found = row.field_names();
            Err(row.fault(&format!("needs `text`, `prompt` with `completion`, or `tokens`, but has {found}")))
        }
    }
}

fn sequences(rows: &[Row], asked: Vec<Asked>, opened: &Opened) -> Result<Vec<Sequence>, Failure> {
    let chat = asked.iter().any(|asked| matches!(asked, Asked::Messages(_)));
    let template = if chat { Some(opened.template()?) } else { None };
    if asked.iter().any(|asked| !matches!(asked, Asked::Tokens(_))) {
        opened.need_tokenizer()?;
    }
    input::all(rows.iter().zip(asked).map(|(row, asked)| {
        let (tokens, counts) =
            tokens(asked, opened.tokenizer(), template.as_ref()).map_err(|error| format!("{}: {error}", row.place))?;
        Ok(Sequence { place: row.place.clone(), tokens, counts })
    }))
}

/// Tokens, and for each whether it counts.
fn tokens(
    asked: Asked,
    tokenizer: Option<&Tokenizer>,
    template: Option<&Template>,
) -> Result<(Vec<u32>, Vec<bool>), TextError> {
    let all_but_first = |tokens: Vec<u32>| {
        let counts = (0..tokens.len()).map(|i| i > 0).collect();
        (tokens, counts)
    };
    match (asked, tokenizer, template) {
        (Asked::Tokens(tokens), ..) => Ok(all_but_first(tokens)),
        (Asked::Text(text), Some(tokenizer), _) => tokenizer.encode(&text, true).map(all_but_first),
        (Asked::Pair(prompt, completion), Some(tokenizer), _) => {
            let (tokens, prompt_len) = pair(tokenizer, &prompt, &completion)?;
            let counts = (0..tokens.len()).map(|i| i > 0 && i >= prompt_len).collect();
            Ok((tokens, counts))
        }
        (Asked::Messages(messages), Some(tokenizer), Some(template)) => {
            let example = Renderer::new(tokenizer, template).render_example(&messages, TrainOn::Answers)?;
            Ok((example.tokens, example.labelled))
        }
        _ => unreachable!("tokenizer and template were asked for above where a row needs them"),
    }
}

/// Tokens of prompt and completion, and how many are the prompt's. Both are tokenised as one text; where the prompt's own tokens are
/// not its beginning (a merge across the boundary), in two pieces, so that the model sees the prompt as `generate` gives it.
fn pair(tokenizer: &Tokenizer, prompt: &str, completion: &str) -> Result<(Vec<u32>, usize), TextError> {
    let own = tokenizer.encode(prompt, false)?;
    let mut tokens = tokenizer.encode(&format!("{prompt}{completion}"), false)?;
    if !tokens.starts_with(&own) {
        let behind = tokenizer.encode_continuation(completion)?;
        tokens = own.iter().copied().chain(behind.ids).collect();
    }
    let bos = tokenizer.leading_bos();
    tokens.splice(0..0, bos);
    Ok((tokens, own.len() + usize::from(bos.is_some())))
}

/// Checks before the first pass, so that nothing is printed when a row is wrong.
fn check(sequences: &[Sequence], model: &Model) -> Result<(), Failure> {
    let vocabulary = model.config.vocab_size;
    input::all(sequences.iter().map(|sequence| match sequence.tokens.iter().find(|id| **id as usize >= vocabulary) {
        Some(id) => Err(format!("{}: token {id} is not in the model's vocabulary of {vocabulary}", sequence.place)),
        None if sequence.tokens.is_empty() => Err(format!("{}: the text has no tokens", sequence.place)),
        None => Ok(()),
    }))?;
    let longest = model.config.context();
    if let Some(long) = sequences.iter().find(|sequence| sequence.tokens.len() > longest) {
        let (place, tokens) = (&long.place, long.tokens.len());
        eprintln!(
            "warning: {place}: {tokens} tokens, but the model knows positions up to {longest}; expect low scores"
        );
    }
    Ok(())
}

/// How many of the first rows go into one pass.
fn fitting(rest: &[Sequence], batch_tokens: usize) -> usize {
    let mut tokens = 0;
    let fits = |sequence: &&Sequence| {
        tokens += sequence.tokens.len();
        tokens <= batch_tokens
    };
    rest.iter().take_while(fits).count().max(1)
}

/// One forward of some rows packed end to end; only rows before a token that counts meet the head.
fn score<'s>(model: &Model, pass: &'s [Sequence]) -> Result<Vec<Scored<'s>>, Failure> {
    let (mut tokens, mut lengths, mut wanted, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for sequence in pass {
        for (at, _) in sequence.counts.iter().enumerate().filter(|(_, counts)| **counts) {
            wanted.push((tokens.len() + at - 1) as u32);
            labels.push(sequence.tokens[at]);
        }
        tokens.extend(&sequence.tokens);
        lengths.push(sequence.tokens.len());
    }
    let mut nll = Vec::new();
    if !labels.is_empty() {
        let mut tape = Tape::inference(model.device(), &model.params);
        let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&lengths), Some(&wanted));
        nll = tape.head_loss(&hidden.map_err(Failure::run)?, model.head(), &labels);
    }
    let mut nll = nll.into_iter();
    pass.iter()
        .map(|sequence| {
            let logprobs: Vec<Option<f32>> =
                sequence.counts.iter().map(|counts| if *counts { nll.next().map(|nll| -nll) } else { None }).collect();
            summed(sequence, logprobs)
        })
        .collect()
}

fn summed(sequence: &Sequence, logprobs: Vec<Option<f32>>) -> Result<Scored<'_>, Failure> {
    let (sum, count) =
        logprobs.iter().flatten().fold((0.0, 0), |(sum, count), logprob| (sum + f64::from(*logprob), count + 1));
    if !sum.is_finite() {
        let place = &sequence.place;
        return Err(Failure::run(format!("{place}: a log-probability is not a finite number; are the weights sound?")));
    }
    let mean = (count > 0).then(|| sum / f64::from(count));
    Ok(Scored { tokens: &sequence.tokens, logprobs, sum, mean, perplexity: mean.map(|mean| (-mean).exp()) })
}

fn json_line(scored: &Scored<'_>) -> String {
    let line = serde_json::to_string(scored).expect("finite numbers can be written");
    line + "\n"
}

fn table_line(sequence: &Sequence, scored: &Scored<'_>) -> String {
    let line = sequence.place.rsplit(':').next().unwrap_or_default();
    let count = scored.logprobs.iter().flatten().count();
    let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.4}"));
    let (mean, perplexity) = (number(scored.mean), number(scored.perplexity));
    format!("{line:>10} {count:>8} {:>14.4} {mean:>10} {perplexity:>12}\n", scored.sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tokens: usize) -> Sequence {
        Sequence { place: "rows:1".to_owned(), tokens: vec![1; tokens], counts: vec![false; tokens] }
    }

    #[test]
    fn a_pass_takes_rows_up_to_its_tokens_and_a_longer_row_alone() {
        let rows = [sequence(3), sequence(4), sequence(2)];
        assert_eq!(fitting(&rows, 7), 2);
        assert_eq!(fitting(&rows, 6), 1);
        assert_eq!(fitting(&rows, 1), 1);
    }

    #[test]
    fn sum_and_mean_are_over_the_tokens_that_count() {
        let row = sequence(3);
        let scored = summed(&row, vec![None, Some(-1.0), Some(-3.0)]).unwrap();
        assert_eq!((scored.sum, scored.mean), (-4.0, Some(-2.0)));
        assert!((scored.perplexity.unwrap() - 2f64.exp()).abs() < 1e-12);
        let nothing = summed(&row, vec![None; 3]).unwrap();
        assert_eq!((nothing.sum, nothing.mean, nothing.perplexity), (0.0, None, None));
        assert!(summed(&row, vec![None, Some(f32::NAN), None]).is_err());
    }
}
