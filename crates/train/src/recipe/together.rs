//! What several keys of a recipe say of each other: keys that exclude, need or bound one another.

use super::choice::{MethodName, StepName};
use super::error::{Fault, Problem};
use super::fill::method_name;
use super::written::Written;

/// Pairs of which only one may be written, and what to do.
const EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("train.epochs", "train.steps", "both say how long training goes; keep one"),
    ("train.rows_per_step", "train.tokens_per_step", "both say how much one optimiser step sees; keep one"),
    ("model.base", "model.create", "a model is either trained already or made new; keep one"),
    ("tokenizer.path", "tokenizer.train", "keep one"),
    ("model.base", "tokenizer", "a base model brings its own tokenizer; take the section [tokenizer] away"),
];

/// Notes every such problem. Keys with a wrong value of their own are not judged again.
pub(super) fn check(written: &Written, problems: &mut Vec<Problem>) {
    let mut checks = Together { written, problems };
    for (one, other, remedy) in EXCLUSIVE {
        checks.exclude(one, other, remedy);
    }
    checks.model();
    checks.method();
    checks.sources("data.sources");
    checks.sources("tokenizer.train.sources");
    checks.collected("collect.sources");
    checks.collected("build.contamination.against");
    checks.steps();
    checks.balance();
}

struct Together<'a> {
    written: &'a Written,
    problems: &'a mut Vec<Problem>,
}

impl Together<'_> {
    fn note(&mut self, key: &str, fault: Fault) {
        self.problems.push(Problem { key: key.to_owned(), place: self.written.places.get(key).copied(), fault });
    }

    fn refuse(&mut self, key: &str, message: String) {
        self.note(key, Fault::Refused { message });
    }

    fn missing(&mut self, key: &str, section: &str, needed: &str) {
        self.problems.push(Problem {
            key: key.to_owned(),
            place: self.written.places.get(section).copied(),
            fault: Fault::Missing { needed: needed.to_owned() },
        });
    }

    /// Reported at the one that stands later.
    fn exclude(&mut self, one: &str, other: &str, remedy: &str) {
        let places = &self.written.places;
        let (Some(first), Some(second)) = (places.get(one), places.get(other)) else {
            return;
        };
        let (late, early, line) = match first <= second {
            true => (other, one, first.line),
            false => (one, other, second.line),
        };
        let fault = Fault::Conflict { other: format!("{early} (line {line})"), remedy: remedy.to_owned() };
        self.note(late, fault);
    }

    fn model(&mut self) {
        let has = |key: &str| self.written.has(key);
        let (is_new, has_tokenizer) = (has("model.create"), has("tokenizer.path") || has("tokenizer.train"));
        if has("model") && !has("model.base") && !is_new {
            let needed = "write base = a model folder, a name on the Hub or \"pocket\", or a section [model.create] for a new model";
            self.missing("model.base", "model", needed);
        }
        if is_new && !has_tokenizer {
            let needed =
                "a new model needs one: write a section [tokenizer.train], or [tokenizer] with path = a folder";
            self.missing("tokenizer", "model.create", needed);
        }
        if is_new {
            self.shape();
        }
        if is_new && self.written.text("model.save_dtype").as_deref() == Some("base") {
            let message = "\"base\" needs a base model; with [model.create] write \"f32\", \"bf16\" or \"f16\"";
            self.refuse("model.save_dtype", message.to_owned());
        }
    }

    fn shape(&mut self) {
        let count = |name: &str| self.written.count(&format!("model.create.{name}"));
        let (hidden, heads) = (count("hidden_size"), count("num_attention_heads"));
        let (kv_heads, head_dim) = (count("num_key_value_heads"), count("head_dim"));
        let positions = count("max_position_embeddings");
        if let (Some(heads), Some(kv_heads)) = (heads, kv_heads)
            && heads % kv_heads != 0
        {
            let message = format!("must divide num_attention_heads = {heads}, found {kv_heads}");
            self.refuse("model.create.num_key_value_heads", message);
        }
        match (hidden, heads, head_dim) {
            (_, _, Some(head_dim)) if head_dim % 2 != 0 => {
                let message = format!("must be even for rotary positions, found {head_dim}");
                self.refuse("model.create.head_dim", message);
            }
            (Some(hidden), Some(heads), None) if hidden % (2 * heads) != 0 => {
                let message = format!(
                    "must be a multiple of twice num_attention_heads = {heads}, found {hidden}; or write head_dim"
                );
                self.refuse("model.create.hidden_size", message);
            }
            _ => {}
        }
        if let (Some(positions), Some(longest)) = (positions, self.written.count("data.max_length"))
            && positions < longest
        {
            let message = format!("must be at least data.max_length = {longest}, found {positions}");
            self.refuse("model.create.max_position_embeddings", message);
        }
    }

    fn method(&mut self) {
        let wrong_name = self.written.has("train.method") && self.written.text("train.method").is_none();
        if wrong_name {
            return;
        }
        let is_new = self.written.has("model.create");
        match method_name(self.written) {
            MethodName::Full if self.written.has("train.lora") => {
                let other = match self.written.places.get("train.method") {
                    Some(place) => format!("train.method = \"full\" (line {})", place.line),
                    None => String::from("model.create, which trains every weight"),
                };
                let remedy = String::from("write method = \"lora\", or take lora away");
                self.note("train.lora", Fault::Conflict { other, remedy });
            }
            MethodName::Full if self.written.text("model.store").is_some_and(|store| store != "f32") => {
                let message = "frozen weights alone can be held in fewer bytes, and method = \"full\" trains every weight; \
                               take store away, or write method = \"lora\"";
                self.refuse("model.store", message.to_owned());
            }
            MethodName::Lora if is_new => {
                let other = String::from("model.create");
                let remedy = String::from("an adapter needs a trained model; write method = \"full\"");
                self.note("train.method", Fault::Conflict { other, remedy });
            }
            _ => {}
        }
    }

    /// Each step of cleaning has the options it needs, and only such as belong to it.
    fn steps(&mut self) {
        let all: Vec<&str> = super::keys::children("build.clean[]").map(super::keys::KeySpec::name).collect();
        for i in 0..self.written.length_of("build.clean") {
            let at = format!("build.clean[{i}]");
            let key = |name: &str| format!("{at}.{name}");
            let Some(step) = self.written.text(&key("step")).as_deref().and_then(StepName::from_name) else { continue };
            let (options, needed) = step.options();
            for name in all.iter().filter(|name| **name != "step" && !options.contains(name)) {
                if self.written.has(&key(name)) {
                    let message = format!("belongs to another step; options of {step}: {}", options.join(", "));
                    self.refuse(&key(name), message);
                }
            }
            for name in options[..needed].iter().filter(|name| !self.written.has(&key(name))) {
                let help = super::keys::spec(&key(name)).map_or("", |spec| spec.help);
                self.missing(&key(name), &at, &format!("the step {step} needs it. {help}"));
            }
        }
    }

    fn balance(&mut self) {
        let has = |name: &str| self.written.has(name);
        if has("build.balance.by") && !has("build.balance.most") && !has("build.balance.level") {
            self.missing("build.balance.most", "build.balance", "write most = a number of rows, or level = true");
        }
    }

    fn sources(&mut self, list: &str) {
        for i in 0..self.written.length_of(list) {
            let source = format!("{list}[{i}]");
            let key = |name: &str| format!("{source}.{name}");
            let has = |name: &str| self.written.has(&key(name));
            match (has("path"), has("generate")) {
                (true, true) => {
                    self.exclude(&key("path"), &key("generate"), "a source is a file or a generator; keep one");
                }
                (false, false) => {
                    let needed = "write path = a file of rows, or generate = \"devices\" with rows = their number";
                    self.missing(&key("path"), &source, needed);
                }
                (true, false) => self.file_source(&source),
                (false, true) => self.generated_source(&source),
            }
        }
    }

    /// Documents come from a path or from a data set, and only a data set has files of its own to choose.
    fn collected(&mut self, list: &str) {
        for i in 0..self.written.length_of(list) {
            let source = format!("{list}[{i}]");
            let key = |name: &str| format!("{source}.{name}");
            let has = |name: &str| self.written.has(&key(name));
            match (has("path"), has("dataset")) {
                (true, true) => {
                    let remedy = "a source is a path or a data set of the Hub; keep one";
                    self.exclude(&key("path"), &key("dataset"), remedy);
                }
                (false, false) => {
                    let needed = "write path = a file or folder, or dataset = \"ORG/NAME\", a data set of the Hub";
                    self.missing(&key("path"), &source, needed);
                }
                (true, false) if has("files") => {
                    let remedy =
                        String::from("it chooses files of a data set of the Hub; a path may be a file or a folder");
                    self.note(&key("files"), Fault::Conflict { other: key("path"), remedy });
                }
                _ => {}
            }
        }
    }

    fn file_source(&mut self, source: &str) {
        for name in ["rows", "seed"] {
            let key = format!("{source}.{name}");
            if self.written.has(&key) {
                let hint = if name == "rows" { "; data.limit takes only the first rows" } else { "" };
                let other = format!("{source}.path");
                let remedy = format!("it belongs to generators{hint}");
                self.note(&key, Fault::Conflict { other, remedy });
            }
        }
        let part = format!("{source}.part");
        if self.written.text(&part).as_deref() == Some("pretraining") {
            let message = "\"pretraining\" belongs to generators; a file of plain text has format = \"text\"";
            self.refuse(&part, message.to_owned());
        }
    }

    fn generated_source(&mut self, source: &str) {
        if !self.written.has(&format!("{source}.rows")) {
            let needed = "write rows = the number of rows to generate";
            self.missing(&format!("{source}.rows"), source, needed);
        }
        let format = format!("{source}.format");
        if self.written.has(&format) {
            let other = format!("{source}.generate");
            let remedy = String::from("generated rows need no format; take it away");
            self.note(&format, Fault::Conflict { other, remedy });
        }
    }
}
