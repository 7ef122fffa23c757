//! What a typed line is: a question, or one of the slash commands.

use std::path::PathBuf;

/// A line as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing but space.
    Empty,
    /// To be answered.
    Question(String),
    /// To be obeyed.
    Command(Command),
}

/// A slash command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// Without a name: which parameters there are. Without a value: what this one does.
    Set {
        name: Option<String>,
        value: Option<String>,
    },
    Show,
    /// The system message from now on; `None` is none.
    System(Option<String>),
    /// The new wording of the last question; `None` opens the old one.
    Edit(Option<String>),
    Again,
    Undo,
    Clear,
    /// `None` asks how it stands.
    Compare(Option<bool>),
    Save(PathBuf),
    Quit,
}

/// Every command as it is typed, and what it does.
pub(super) const COMMANDS: [(&str, &str); 11] = [
    ("/help", "this list"),
    ("/set NAME VALUE", "set a generation parameter; `default` as VALUE takes it back, /set alone names all"),
    ("/show", "model, system message, length of the conversation, current parameters"),
    ("/system TEXT", "the system message from now on; without TEXT there is none"),
    ("/edit [TEXT]", "change the last question and answer it anew"),
    ("/again", "answer the last question anew, with another seed"),
    ("/undo", "take back the last question and its answer"),
    ("/clear", "forget the conversation; system message and parameters stay"),
    ("/compare on|off", "the other model answers too; the conversation goes on from the first one's answer"),
    ("/save FILE", "write the conversation as a row of JSON Lines: {\"messages\": [...]}"),
    ("/quit", "leave; so do the end of input and Ctrl-C twice"),
];

/// Reads a line.
///
/// # Errors
/// A command that there is not, or one with too little or too much behind it: a sentence that says what to type.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Line::Empty);
    }
    let Some(command) = line.strip_prefix('/') else { return Ok(Line::Question(line.to_owned())) };
    if command.starts_with('/') {
        return Ok(Line::Question(command.to_owned()));
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let some = (!rest.is_empty()).then(|| rest.to_owned());
    let alone = |command: Command| match rest {
        "" => Ok(command),
        _ => Err(format!("/{name} takes nothing behind it, but there is {rest:?}")),
    };
    let command = match name {
        "help" => alone(Command::Help)?,
        "set" => set(rest),
        "show" => alone(Command::Show)?,
        "system" => Command::System(some),
        "edit" => Command::Edit(some),
        "again" => alone(Command::Again)?,
        "undo" => alone(Command::Undo)?,
        "clear" => alone(Command::Clear)?,
        "compare" => Command::Compare(match rest {
            "" => None,
            "on" => Some(true),
            "off" => Some(false),
            _ => return Err(format!("/compare is on or off, not {rest:?}")),
        }),
        "save" => Command::Save(some.ok_or("/save needs the name of a file: /save talk.jsonl")?.into()),
        "quit" => alone(Command::Quit)?,
        _ => return Err(unknown(name)),
    };
    Ok(Line::Command(command))
}

/// `/set NAME VALUE` and `/set NAME=VALUE`; the value may hold spaces.
fn set(rest: &str) -> Command {
    let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
    let (name, value) = rest.split_at(end);
    let value = value.trim_start();
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Command::Set { name: some(name.trim_start_matches('-')).map(|name| name.replace('-', "_")), value: some(value) }
}

fn unknown(name: &str) -> String {
    let known = COMMANDS.iter().map(|(usage, _)| usage.split_whitespace().next().unwrap_or(usage));
    let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(&known[1..], name)).unwrap_or("/help");
    format!("unknown command /{name}; did you mean {nearest}? A question that begins with / is typed with //")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        match parse(line) {
            Ok(Line::Command(command)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn set(name: Option<&str>, value: Option<&str>) -> Command {
        Command::Set { name: name.map(str::to_owned), value: value.map(str::to_owned) }
    }

    #[test]
    fn what_does_not_begin_with_a_slash_is_a_question() {
        assert_eq!(parse("  你好 /help \n"), Ok(Line::Question("你好 /help".into())));
        assert_eq!(parse("//etc is a folder?"), Ok(Line::Question("/etc is a folder?".into())));
        assert_eq!(parse(" \t "), Ok(Line::Empty));
        assert_eq!(parse("　"), Ok(Line::Empty), "an ideographic space is space");
    }

    #[test]
    fn every_command_of_the_list_is_read() {
        for (usage, _) in COMMANDS {
            let typed = usage.replace("on|off", "on").replace("[TEXT]", "TEXT");
            assert!(matches!(parse(&typed), Ok(Line::Command(_))), "{usage}");
        }
    }

    #[test]
    fn commands_carry_what_stands_behind_them() {
        assert_eq!(command("/system 你是 一個助手 "), Command::System(Some("你是 一個助手".into())));
        assert_eq!(command("/system"), Command::System(None));
        assert_eq!(command("/edit 再說一次"), Command::Edit(Some("再說一次".into())));
        assert_eq!(command("/edit"), Command::Edit(None));
        assert_eq!(command("/compare on"), Command::Compare(Some(true)));
        assert_eq!(command("/compare off"), Command::Compare(Some(false)));
        assert_eq!(command("/compare"), Command::Compare(None));
        assert_eq!(command("/save a b.jsonl"), Command::Save("a b.jsonl".into()));
    }

    #[test]
    fn a_parameter_may_be_written_as_its_flag() {
        for line in
            ["/set top_k 5", "/set top-k 5", "/set --top-k 5", "/set top_k=5", "/set --top-k=5", "/set top_k = 5"]
        {
            assert_eq!(command(line), set(Some("top_k"), Some("5")), "{line}");
        }
        assert_eq!(command("/set stop_strings a = b"), set(Some("stop_strings"), Some("a = b")));
        assert_eq!(command("/set length_penalty -0.5"), set(Some("length_penalty"), Some("-0.5")));
        assert_eq!(command("/set seed"), set(Some("seed"), None));
        assert_eq!(command("/set"), set(None, None));
    }

    #[test]
    fn a_wrong_command_is_answered_in_one_line() {
        for (line, what) in [
            ("/udno", "unknown command /udno; did you mean /undo?"),
            ("/temperature 1", "unknown command /temperature"),
            ("/", "unknown command /;"),
            ("/undo 2", "/undo takes nothing behind it, but there is \"2\""),
            ("/save", "/save needs the name of a file"),
            ("/compare maybe", "/compare is on or off, not \"maybe\""),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(what) && !error.contains('\n'), "{line}: {error}");
        }
    }
}
