//! The generation parameters as flags: one declaration each, under transformers' names with hyphens.
//!
//! What a flag reads goes into a table by the parameter's own name, and that table through the same reader as a recipe's strategy, so a
//! flag means what the recipe key of that name means.

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use luthier_generate::GenerationOptions;
use serde_json::{Map, Value};

/// What was given on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct OptionFlags(pub(crate) GenerationOptions);

/// How a flag's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A whole number from 0 up.
    Count,
    /// A number.
    Number,
    /// `true` when the flag stands alone.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A token id.
    Id,
    /// Token ids: with commas, or by repeating the flag; `none` for none.
    Ids,
    /// JSON: a list of lists of token ids.
    Words,
    /// Texts, by repeating the flag.
    Texts,
    /// Any JSON, which the parameter's own reader looks at.
    Json,
    /// What transformers knows and this program does not do, or need not: the flag is known, so that the answer says why.
    Unlisted,
}

use Kind::{Choice, Count, Id, Ids, Json, Number, Switch, Texts, Unlisted, Words};

/// Name, kind and help.
type Flag = (&'static str, Kind, &'static str);

/// Every parameter, by heading.
const FLAGS: [(&str, &[Flag]); 5] = [
    (
        "Length",
        &[
            ("max-new-tokens", Count, "Most new tokens; 256 when nothing else limits the length"),
            ("max-length", Count, "Longest sequence in tokens, the prompt included; --max-new-tokens wins over it"),
            ("min-new-tokens", Count, "No end-of-sequence token before this many new tokens"),
            ("min-length", Count, "The same, the prompt included"),
            (
                "max-time",
                Number,
                "Seconds after which a prompt is left as it is, its outputs as long as they have become",
            ),
            ("stop-strings", Texts, "A text that ends the output and stays in it; repeat for several"),
        ],
    ),
    (
        "Search",
        &[
            ("num-beams", Count, "Beams of the beam search; 1 is greedy or sampling"),
            ("num-return-sequences", Count, "Outputs a prompt: of beams the best, of sampling so many draws"),
            (
                "length-penalty",
                Number,
                "Exponent of the length a beam's score is divided by; above 0 favours longer texts",
            ),
            ("early-stopping", Choice(&["true", "false", "never"]), "When beam search may stop"),
            (
                "beam-length",
                Choice(&["new", "total"]),
                "Which length that is: new tokens (transformers 4.36 on), or all (before)",
            ),
            ("num-beam-groups", Count, "Groups of beams, each searching for itself: diverse beam search"),
            (
                "diversity-penalty",
                Number,
                "Cost of a token for each beam of the groups before that chose it in the same step",
            ),
            (
                "penalty-alpha",
                Number,
                "Contrastive search among the --top-k best: weight of being unlike what stands before",
            ),
            (
                "prompt-lookup-num-tokens",
                Count,
                "Most tokens guessed from an earlier occurrence: faster, the same tokens",
            ),
            ("max-matching-ngram-size", Count, "Longest n-gram looked up for that; 2 when not given"),
        ],
    ),
    (
        "Sampling (acts only with --do-sample; --top-k also with --penalty-alpha)",
        &[
            ("do-sample", Switch, "Draw tokens instead of taking the best"),
            ("temperature", Number, "Divides the scores; below 1 is bolder in its favourites, above 1 wilder"),
            (
                "top-k",
                Count,
                "Keep the k best tokens; 0 keeps all; 50 when not given. With --penalty-alpha the candidates",
            ),
            ("top-p", Number, "Keep the fewest best tokens whose probabilities add up to this"),
            ("min-p", Number, "Drop tokens less probable than this times the best"),
            ("typical-p", Number, "Keep tokens whose surprise is nearest to the entropy, up to this mass"),
            ("epsilon-cutoff", Number, "Drop tokens less probable than this"),
            ("eta-cutoff", Number, "The same, scaled by the entropy"),
            ("seed", Count, "Seed of the draws; 42 when not given"),
        ],
    ),
    (
        "Scores",
        &[
            ("repetition-penalty", Number, "Above 1: makes tokens that occurred, in the prompt too, less likely"),
            ("encoder-repetition-penalty", Number, "Above 1: makes tokens of the prompt more likely, below 1 less"),
            ("no-repeat-ngram-size", Count, "No n-gram of this size occurs twice; 0 is off"),
            ("encoder-no-repeat-ngram-size", Count, "No n-gram of this size of the prompt occurs again; 0 is off"),
            ("bad-words-ids", Words, "Token sequences that must not occur, as JSON: [[12],[7,8]]"),
            (
                "sequence-bias",
                Json,
                "What is added where a sequence would be completed, as JSON: [[[12],2.5],[[7,8],-1.0]]",
            ),
            (
                "exponential-decay-length-penalty",
                Json,
                "From so many new tokens on an end becomes more likely by a power of a factor, as JSON: [15,1.2]",
            ),
            (
                "guidance-scale",
                Number,
                "Classifier-free guidance: above 1 moves away from what would follow the prompt's last token alone; without beams",
            ),
            ("suppress-tokens", Ids, "Tokens that are never chosen"),
            ("begin-suppress-tokens", Ids, "Tokens that are not chosen first"),
            ("forced-bos-token-id", Id, "The token that follows a prompt of a single token"),
            ("forced-eos-token-id", Ids, "The token at the very last place of --max-length"),
            ("renormalize-logits", Switch, "Log-softmax over the scores after all of the above"),
        ],
    ),
    (
        "Special tokens (by default the model's own)",
        &[
            ("eos-token-id", Ids, "Tokens that end an output: ids with commas, or `none`"),
            ("pad-token-id", Id, "Fills up shorter rows in transformers; changes nothing here"),
            ("bos-token-id", Id, "Stands in for an empty prompt"),
        ],
    ),
];

/// Parameters of transformers that are refused or have no meaning here (`NOT_BUILT` and `WITHOUT_MEANING` of the library).
const UNLISTED: [&str; 23] = [
    "force-words-ids",
    "constraints",
    "dola-layers",
    "watermarking-config",
    "token-healing",
    "forced-decoder-ids",
    "use-cache",
    "cache-implementation",
    "cache-config",
    "return-legacy-cache",
    "low-memory",
    "remove-invalid-values",
    "decoder-start-token-id",
    "output-attentions",
    "output-hidden-states",
    "output-scores",
    "output-logits",
    "return-dict-in-generate",
    "num-assistant-tokens",
    "num-assistant-tokens-schedule",
    "assistant-confidence-threshold",
    "is-assistant",
    "generation-kwargs",
];

impl clap::Args for OptionFlags {
    fn augment_args(command: Command) -> Command {
        let listed = FLAGS.iter().flat_map(|(heading, flags)| {
            flags.iter().map(move |&(name, kind, help)| flag(name, kind).help(help).help_heading(*heading))
        });
        let hidden = UNLISTED.iter().map(|name| flag(name, Unlisted).hide(true));
        command.args(listed.chain(hidden))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(name: &'static str, kind: Kind) -> Arg {
    let arg = Arg::new(name).long(name).value_parser(parser(kind)).value_name(value_name(kind));
    match kind {
        Switch | Unlisted => arg
            .num_args(0..=1)
            .default_missing_value("true")
            .hide_possible_values(true)
            .allow_negative_numbers(kind == Unlisted),
        Ids | Texts => arg.action(ArgAction::Append).allow_hyphen_values(kind == Texts),
        Number => arg.allow_negative_numbers(true),
        _ => arg,
    }
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Count => "N",
        Number => "X",
        Switch => "true|false",
        Choice(_) => "WHICH",
        Id => "ID",
        Ids => "IDS",
        Words | Json => "JSON",
        Texts => "TEXT",
        Unlisted => "VALUE",
    }
}

/// Reads a value as the JSON that the parameter's reader takes.
fn parser(kind: Kind) -> ValueParser {
    ValueParser::new(move |text: &str| read(kind, text))
}

fn read(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Count => whole(text).map(Value::from),
        Number => {
            let number = text.parse().ok().and_then(serde_json::Number::from_f64);
            number.map(Value::Number).ok_or_else(|| "it must be a number".to_owned())
        }
        Switch => match text {
            "true" | "false" => Ok(Value::Bool(text == "true")),
            _ => Err("it is true or false".to_owned()),
        },
        Choice(words) => match (words.contains(&text), text) {
            (true, "true" | "false") => Ok(Value::Bool(text == "true")),
            (true, _) => Ok(Value::from(text)),
            (false, _) => Err(format!("it is one of {}", words.join(", "))),
        },
        Id => id(text).map(Value::from),
        Ids => match text {
            "none" => Ok(Value::Array(Vec::new())),
            _ => text.split(',').map(|one| id(one.trim()).map(Value::from)).collect::<Result<Value, String>>(),
        },
        Words => {
            let words: Result<Vec<Vec<u32>>, _> = serde_json::from_str(text);
            words
                .map(Value::from)
                .map_err(|_| "it is a JSON list of lists of token ids, such as [[12],[7,8]]".to_owned())
        }
        Texts => Ok(Value::from(vec![text])),
        Json => serde_json::from_str::<Value>(text).map_err(|error| format!("it is not JSON: {error}")),
        Unlisted => Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))),
    }
}

/// The names of all parameters by heading, as they are typed: with hyphens.
pub(crate) fn headings() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    FLAGS.iter().map(|(heading, flags)| (*heading, flags.iter().map(|flag| flag.0).collect()))
}

/// What a parameter does and how its value is written; `None` where no flag has the name.
pub(crate) fn help(parameter: &str) -> Option<(&'static str, &'static str)> {
    let name = parameter.replace('_', "-");
    let mut flags = FLAGS.iter().flat_map(|(_, flags)| flags.iter());
    flags.find(|flag| flag.0 == name).map(|&(_, kind, help)| (value_name(kind), help))
}

/// Reads a parameter's value as its flag does. A name that no flag has goes through as JSON or text: the parameters' reader says what is
/// wrong with it.
pub(crate) fn value(parameter: &str, text: &str) -> Result<Value, String> {
    let name = parameter.replace('_', "-");
    let mut flags = FLAGS.iter().flat_map(|(_, flags)| flags.iter());
    let kind = flags.find(|flag| flag.0 == name).map_or(Unlisted, |flag| flag.1);
    read(kind, text)
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "it must be a whole number from 0 up".to_owned())
}

fn id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "it must be a token id, a whole number from 0 up".to_owned())
}

impl FromArgMatches for OptionFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut table = Map::new();
        let names = FLAGS.iter().flat_map(|(_, flags)| flags.iter().map(|flag| flag.0)).chain(UNLISTED);
        for name in names {
            let Some(values) = matches.get_many::<Value>(name) else { continue };
            let parameter = name.replace('-', "_");
            for value in values {
                match (table.get_mut(&parameter), value) {
                    (Some(Value::Array(before)), Value::Array(more)) => before.extend(more.iter().cloned()),
                    _ => {
                        table.insert(parameter.clone(), value.clone());
                    }
                }
            }
        }
        let options = GenerationOptions::from_table(&table)
            .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n")))?;
        Ok(Self(options))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use luthier_generate::{BeamLength, EarlyStopping, NOT_BUILT, PARAMETERS, WITHOUT_MEANING};

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        options: OptionFlags,
    }

    fn parse(flags: &str) -> Result<GenerationOptions, String> {
        let words = std::iter::once("luthier").chain(flags.split_whitespace());
        Alone::try_parse_from(words).map(|alone| alone.options.0).map_err(|error| error.to_string())
    }

    #[test]
    fn every_generation_parameter_has_its_flag_and_no_flag_is_without_a_parameter() {
        let names = FLAGS.iter().flat_map(|(_, flags)| flags.iter().map(|flag| flag.0.replace('-', "_")));
        let mut flags: Vec<String> = names.collect();
        let mut parameters = PARAMETERS.to_vec();
        flags.sort_unstable();
        parameters.sort_unstable();
        assert_eq!(flags, parameters);
        let others = NOT_BUILT.into_iter().chain(WITHOUT_MEANING.map(|(name, ..)| name));
        assert_eq!(UNLISTED.map(|name| name.replace('-', "_")).to_vec(), others.collect::<Vec<_>>());
    }

    #[test]
    fn flags_become_the_options_they_name() {
        let given = parse(
            "--max-new-tokens 9 --num-beams 3 --length-penalty -0.5 --early-stopping never --beam-length total \
             --eos-token-id 2,7 --eos-token-id 9 --bad-words-ids [[1],[2,3]] --stop-strings 。 --stop-strings 5 \
             --temperature 0.7 --do-sample=false --renormalize-logits --seed 7",
        );
        let expected = GenerationOptions {
            max_new_tokens: Some(9),
            num_beams: Some(3),
            length_penalty: Some(-0.5),
            early_stopping: Some(EarlyStopping::Never),
            beam_length: Some(BeamLength::Total),
            eos_token_id: Some(vec![2, 7, 9]),
            bad_words_ids: Some(vec![vec![1], vec![2, 3]]),
            stop_strings: Some(vec!["。".to_owned(), "5".to_owned()]),
            temperature: Some(0.7),
            do_sample: Some(false),
            renormalize_logits: Some(true),
            seed: Some(7),
            ..GenerationOptions::default()
        };
        assert_eq!(given.unwrap(), expected);
        assert_eq!(parse("--eos-token-id none").unwrap().eos_token_id, Some(vec![]));
        assert_eq!(parse("--early-stopping true").unwrap().early_stopping, Some(EarlyStopping::Yes));
        assert_eq!(parse("").unwrap(), GenerationOptions::default());
    }

    #[test]
    fn every_flag_can_be_given_and_reaches_its_parameter() {
        for (_, flags) in FLAGS {
            for &(name, kind, _) in flags {
                let value = match kind {
                    Switch | Choice(["true", ..]) => "true",
                    Choice(words) => words[0],
                    Words => "[[1]]",
                    Json if name == "sequence-bias" => "[[[1],0.5]]",
                    Json => "[1,0.5]",
                    _ => "1",
                };
                let given = parse(&format!("--{name} {value}")).unwrap().as_table();
                assert_eq!(given.keys().collect::<Vec<_>>(), [&name.replace('-', "_")]);
            }
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_flag() {
        for (flags, what) in [
            ("--top-k many", "'--top-k <N>': it must be a whole number from 0 up"),
            ("--temperature warm", "'--temperature <X>': it must be a number"),
            ("--temperature nan", "it must be a number"),
            ("--early-stopping maybe", "it is one of true, false, never"),
            ("--bad-words-ids [1]", "a JSON list of lists"),
            ("--eos-token-id 1,x", "it must be a token id"),
            ("--dola-layers low", "`dola_layers` = \"low\": this decoding method is not supported yet"),
            ("--sequence-bias [1", "'--sequence-bias <JSON>': it is not JSON"),
            ("--sequence-bias [1]", "generation parameter `sequence_bias` cannot be [1]"),
            ("--exponential-decay-length-penalty [1]", "`exponential_decay_length_penalty` cannot be [1]"),
        ] {
            let error = parse(flags).unwrap_err();
            assert!(error.contains(what), "{flags}: {error}");
        }
        assert!(parse("--token-healing false").is_ok(), "the value that switches it off");
    }

    #[test]
    fn what_has_no_meaning_here_is_noted_unless_it_is_the_default() {
        let given = parse("--use-cache --output-scores --num-assistant-tokens 20 --low-memory true").unwrap();
        assert_eq!(given.without_meaning, ["low_memory", "output_scores"]);
        assert_eq!(given.warnings().len(), 2);
    }
}
