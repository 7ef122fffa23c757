//! `luthier chat`: a conversation with a model, in a terminal or through a pipe.

mod command;
mod conversation;
mod input;
mod interrupt;
mod kept;
mod page;
mod parameters;
mod show;
mod voice;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use luthier_constrain::Form;
use luthier_text::Message;

use super::Failure;
use super::generate::flags::OptionFlags;
use super::generate::form::FormFlags;
use crate::open::{ModelArgs, Opened};
use command::{Command, Line};
use conversation::{Conversation, Turn};
use input::{Input, Read};
use interrupt::Interrupt;
use page::{Columns, Page, Plain};
use parameters::Parameters;
use voice::{Answer, Silence, Voice};

/// Talks with a model
///
/// A line is a question, written with the model's own chat template (the Alpaca template where it has none), and the model's answer goes
/// on with what was said before: greedy decoding unless the flags, which are those of generate, or generation_config.json of the model's
/// folder say otherwise; 256 new tokens where nothing limits them. Whatever the conversation begins with stays in the cache and is not
/// computed again.
///
/// In a terminal the answer is shown while it grows, lines can be edited and have a history (in memory only), and Ctrl-C interrupts an
/// answer and keeps what was said. Two models answer in two columns, side by side, where the terminal has 60 columns and the rows for the
/// first answer; below each other elsewhere. In a pipe each line is answered in turn: stdout has nothing but the answers (with a line `--- NAME`
/// before each where two models answer), and counts, notes and errors go to stderr. A line that cannot be answered or obeyed is named and
/// skipped; the exit code is 2 then. An answer that is cut in the middle of a character ends before it.
///
/// --json prints an object for each answer: {"question", "answer", "model", "finish_reason", "tokens", "prompt_tokens",
/// "computed_tokens", "seconds"}; computed_tokens are those of the prompt that the cache did not have.
///
/// Commands begin with a slash, in a pipe too; a question that does is typed with two. They are listed below.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// A second model that answers too, from the start; the conversation goes on from the first one's answers
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,
    /// The system message
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Prints a line of JSON for each answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: FormFlags,
    #[command(flatten)]
    options: OptionFlags,
}

fn after_help() -> String {
    format!(
        "Commands of the conversation:\n{}\nExamples:\n  \
         luthier chat --model pocket\n  \
         luthier chat --model DIR --adapter runs/mine/adapter --do-sample --temperature 0.7\n  \
         printf '你好\\n再說一次\\n' | luthier chat --model DIR\n  \
         printf '/compare on\\n你好\\n' | luthier chat --model DIR --adapter runs/mine/adapter --json",
        show::commands(80)
    )
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let form = args.form.read()?;
    let opened = args.model.open()?;
    let other = OnceCell::new();
    let voice = Voice::new(main_name(args), &opened, None, form.as_ref())?;
    let mut input = Input::open()?;
    let terminal = input.is_terminal();
    let mut chat = Chat {
        args,
        terminal,
        form: form.as_ref(),
        other: &other,
        parameters: Parameters::new(&args.options.0),
        voice,
        second: None,
        compares: false,
        conversation: Conversation::default(),
        interrupt: if terminal { Interrupt::listen()? } else { Interrupt::default() },
    };
    chat.voice.resolved(chat.parameters.options())?;
    if args.compare.is_some() {
        chat.compare(true).map_err(Failure::input)?;
    }
    chat.parameters.warnings(&chat.voices()).iter().for_each(|warning| eprintln!("warning: {warning}"));
    if let Some(system) = &args.system {
        chat.system(Some(system.clone())).map_err(Failure::input)?;
    }
    if terminal {
        chat.greet();
    }
    chat.talk(&mut input)
}

/// What the first model is called beside another.
fn main_name(args: &Args) -> String {
    if args.model.adapter.is_some() { "tuned".to_owned() } else { args.model.model.display().to_string() }
}

/// Whether the chat goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Leave,
}

/// A conversation, who takes part in it, and how they answer.
struct Chat<'m> {
    args: &'m Args,
    /// A person sits at both ends.
    terminal: bool,
    form: Option<&'m Form>,
    /// The second model, once it was asked for.
    other: &'m OnceCell<Opened>,
    parameters: Parameters,
    voice: Voice<'m>,
    second: Option<Voice<'m>>,
    compares: bool,
    conversation: Conversation,
    interrupt: Interrupt,
}

impl Chat<'_> {
    /// Reads lines until there are no more.
    fn talk(&mut self, input: &mut Input) -> Result<(), Failure> {
        let (mut refused, mut leaving) = (0, false);
        loop {
            let line = match input.next()? {
                Read::Line(line) => line,
                Read::End => break,
                Read::Interrupted if leaving => break,
                Read::Interrupted => {
                    leaving = true;
                    eprintln!("Ctrl-C again leaves");
                    continue;
                }
            };
            leaving = false;
            let done = match command::parse(&line) {
                Ok(Line::Empty) => Ok(Next::GoOn),
                Ok(Line::Question(question)) => self.ask(question, 0).map(|()| Next::GoOn),
                Ok(Line::Command(command)) => self.obey(command, input),
                Err(why) => Err(Silence::Refused(why)),
            };
            match done {
                Ok(Next::GoOn) => {}
                Ok(Next::Leave) => break,
                Err(Silence::Refused(why)) => {
                    refused += 1;
                    eprintln!("error: {why}");
                }
                Err(Silence::Interrupted) => eprintln!("\ninterrupted before a word; the question is taken back"),
                Err(Silence::Failed(failure)) => return Err(failure),
            }
        }
        match refused {
            0 => Ok(()),
            _ if self.terminal => Ok(()),
            _ => Err(Failure::input(format!("lines that could not be answered or obeyed: {refused}"))),
        }
    }

    /// Answers a question; only then does it belong to the conversation.
    fn ask(&mut self, question: String, again: u64) -> Result<(), Silence> {
        let messages = self.conversation.messages(Some(&question));
        let columns = if self.terminal && self.compares && !self.args.json { Columns::of_terminal() } else { None };
        let answer = match columns {
            Some(columns) => self.side_by_side(&messages, again, columns)?,
            None => self.in_turn(&question, &messages, again)?,
        };
        if self.terminal {
            eprintln!();
        }
        self.conversation.turns.push(Turn { question, answer: answer.text, again });
        Ok(())
    }

    /// The first model's answer, below the second one's where that answers too.
    fn in_turn(&mut self, question: &str, messages: &[Message], again: u64) -> Result<Answer, Silence> {
        let (json, terminal) = (self.args.json, self.terminal);
        let options = self.parameters.options();
        // The base stands before the tuned model, as in every table.
        let second = self.second.as_mut().filter(|_| self.compares);
        let several = second.is_some();
        for (voice, is_main) in second.map(|voice| (voice, false)).into_iter().chain([(&mut self.voice, true)]) {
            if several && !json {
                show::heading(&voice.name, terminal).map_err(Silence::Failed)?;
            }
            let mut plain = Plain { terminal };
            let page = (!json).then_some(&mut plain as &mut dyn Page);
            let answer = match voice.answer(messages, options, again, page, &self.interrupt) {
                Ok(answer) => answer,
                Err(Silence::Refused(why)) if !is_main => {
                    eprintln!("error: {}: {why}", voice.name);
                    continue;
                }
                Err(Silence::Interrupted) if !is_main => {
                    eprintln!("\ninterrupted before a word");
                    continue;
                }
                Err(silence) => return Err(silence),
            };
            let shown = if json { show::json_line(question, &voice.name, &answer) } else { plain.end() };
            shown.map_err(Silence::Failed)?;
            show::counts(&answer, None);
            if is_main {
                return Ok(answer);
            }
        }
        unreachable!("the first model answers last")
    }

    /// The first model's answer, beside the second one's.
    fn side_by_side(&mut self, messages: &[Message], again: u64, columns: Columns) -> Result<Answer, Silence> {
        let options = self.parameters.options();
        let second = self.second.as_mut().expect("two models are compared");
        show::headings(columns, &second.name, &self.voice.name).map_err(Silence::Failed)?;
        let mut left = columns.first();
        let other = second.answer(messages, options, again, Some(&mut left), &self.interrupt);
        match &other {
            Ok(_) => Ok(()),
            Err(Silence::Refused(why)) => left.write(&format!("error: {why}")),
            Err(Silence::Interrupted) => left.write("interrupted before a word"),
            Err(Silence::Failed(_)) => return other,
        }
        .map_err(Silence::Failed)?;
        let mut right: Box<dyn Page> = match left.turn().map_err(Silence::Failed)? {
            Some(column) => Box::new(column),
            None => {
                show::heading(&self.voice.name, true).map_err(Silence::Failed)?;
                Box::new(Plain { terminal: true })
            }
        };
        let answer = self.voice.answer(messages, options, again, Some(&mut *right), &self.interrupt);
        right.end().map_err(Silence::Failed)?;
        for (answer, name) in [(&other, &second.name), (&answer, &self.voice.name)] {
            if let Ok(answer) = answer {
                show::counts(answer, Some(name));
            }
        }
        answer
    }

    fn obey(&mut self, command: Command, input: &mut Input) -> Result<Next, Silence> {
        let refused = Silence::Refused;
        match command {
            Command::Help => eprint!("{}", show::commands(show::columns())),
            Command::Set { name: Some(name), value: Some(value) } => {
                let voices: Vec<&Voice<'_>> = [&self.voice].into_iter().chain(self.second.as_ref()).collect();
                let warnings = self.parameters.set(&name, &value, &voices).map_err(refused)?;
                warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            }
            Command::Set { name, .. } => {
                eprint!("{}", parameters::help(name.as_deref(), show::columns()).map_err(refused)?);
            }
            Command::Show => self.show(),
            Command::System(text) => self.system(text).map_err(refused)?,
            Command::Edit(text) => self.edit(text, input)?,
            Command::Again => {
                let turn = self.last()?;
                let before = turn.answer.clone();
                self.replace(turn.question.clone(), turn.again + 1)?;
                let draws = self.voice.merged(self.parameters.options()).is_ok_and(|it| it.do_sample == Some(true));
                if !draws && self.conversation.turns.last().is_some_and(|turn| turn.answer == before) {
                    eprintln!("note: the same answer; without do_sample nothing is drawn (/set do_sample true)");
                }
            }
            Command::Undo => {
                self.last()?;
                self.conversation.turns.pop();
            }
            Command::Clear => self.conversation.turns.clear(),
            Command::Compare(Some(on)) => self.compare(on).map_err(refused)?,
            Command::Compare(None) => eprintln!("compare is {}", if self.compares { "on" } else { "off" }),
            Command::Save(path) => {
                self.conversation.save(&path).map_err(refused)?;
                eprintln!("saved {} turns to {}", self.conversation.turns.len(), path.display());
            }
            Command::Quit => return Ok(Next::Leave),
        }
        Ok(Next::GoOn)
    }

    fn last(&self) -> Result<Turn, Silence> {
        self.conversation.turns.last().cloned().ok_or_else(|| Silence::Refused("nothing was asked yet".into()))
    }

    /// Asks something else in the place of the last question; without an answer the old turn stays.
    fn replace(&mut self, question: String, again: u64) -> Result<(), Silence> {
        let old = self.conversation.turns.pop();
        let done = self.ask(question, again);
        if done.is_err() {
            self.conversation.turns.extend(old);
        }
        done
    }

    fn edit(&mut self, text: Option<String>, input: &mut Input) -> Result<(), Silence> {
        let last = self.last()?;
        let text = match text {
            Some(text) => text,
            None => match input.edit(&last.question).transpose().map_err(Silence::Failed)? {
                Some(Read::Line(line)) if !line.trim().is_empty() => line.trim().to_owned(),
                Some(_) => return Err(Silence::Refused("an empty question; nothing is changed".into())),
                None => {
                    return Err(Silence::Refused("without a terminal /edit needs the new question: /edit TEXT".into()));
                }
            },
        };
        self.replace(text, 0)
    }

    /// Takes a system message if the template does.
    fn system(&mut self, text: Option<String>) -> Result<(), String> {
        let old = std::mem::replace(&mut self.conversation.system, text);
        let with = self.voice.prompt(&self.conversation.messages(Some("?")));
        let with = with.inspect_err(|_| self.conversation.system.clone_from(&old))?;
        if self.conversation.system.is_some() {
            let messages = self.conversation.messages(Some("?"));
            if self.voice.prompt(&messages[1..]).is_ok_and(|without| without == with) {
                eprintln!("warning: the model's template leaves the system message out");
            }
        }
        Ok(())
    }

    /// Lets the second model answer too, or no longer. It is loaded when it is first wanted.
    fn compare(&mut self, on: bool) -> Result<(), String> {
        if on && self.second.is_none() {
            self.second = Some(self.open_second().map_err(|failure| failure.to_string())?);
        }
        self.compares = on;
        Ok(())
    }
}

impl<'m> Chat<'m> {
    fn open_second(&self) -> Result<Voice<'m>, Failure> {
        let Args { model, compare, .. } = self.args;
        let of = |dir: &Path| ModelArgs { model: dir.to_owned(), adapter: None, store: model.store, hub: model.hub };
        let (name, wanted, like) = match (compare, &model.adapter) {
            (Some(other), _) => (other.display().to_string(), of(other), None),
            (None, Some(_)) => ("base".to_owned(), of(&model.model), Some(&self.voice)),
            (None, None) => {
                return Err(Failure::input(
                    "there is nothing to compare with; start with --adapter DIR, or with --compare MODEL",
                ));
            }
        };
        let opened = match self.other.get() {
            Some(opened) => opened,
            None => {
                let opened = wanted.open()?;
                self.other.get_or_init(|| opened)
            }
        };
        let voice = Voice::new(name, opened, like, self.form)?;
        voice.resolved(self.parameters.options())?;
        Ok(voice)
    }

    /// Who is here: the first model before the second.
    fn voices(&self) -> Vec<&Voice<'m>> {
        [&self.voice].into_iter().chain(self.second.as_ref()).collect()
    }
}
