//! The text of a recipe as checked values: each key's path, its value and its place.
//!
//! The walk goes through the document once, checks every key against its declaration, and notes every problem
//! instead of stopping at the first. A key whose value is wrong counts as written, so that it is not called missing too.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Fault, Place, Problem, nearest};
use super::keys::{self, Absent, KeySpec};
use super::kind::Kind;

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Texts(Vec<String>),
    /// Names and texts in the order of the file.
    Pairs(Vec<(String, String)>),
    Table,
    Tables(usize),
    /// Names in the order of the file, each with the table that stands under it.
    Named(Vec<(String, serde_json::Map<String, serde_json::Value>)>),
}

/// All that a recipe says.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) values: BTreeMap<String, Value>,
    /// Also of keys with wrong values, and of keys inside named tables.
    pub(super) places: BTreeMap<String, Place>,
}

/// What a recipe is read for, which decides the sections it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To train, or to score.
    Train,
    /// To build a data set.
    Build,
    /// To crawl the web.
    Crawl,
    /// To collect from Common Crawl.
    CommonCrawl,
}

impl Purpose {
    /// Whether a key must be written.
    fn needs(self, spec: &KeySpec) -> bool {
        use Purpose::{Build, CommonCrawl, Crawl};
        match (self, spec.path) {
            (Build | Crawl | CommonCrawl, "data" | "model") | (Crawl | CommonCrawl, "collect.sources") => false,
            (Build | Crawl | CommonCrawl, "collect") | (Build, "build") => true,
            (Crawl, "collect.web") | (CommonCrawl, "collect.common-crawl") => true,
            _ => spec.default == Absent::Required,
        }
    }
}

/// Reads and checks a document.
pub(super) fn read(text: &str, purpose: Purpose) -> (Written, Vec<Problem>) {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut walk = Walk { text, purpose, written: Written::default(), problems: Vec::new() };
    walk.table("", "", document.get_ref());
    let mut problems = walk.problems;
    if !syntax.is_empty() {
        // Around a slip of grammar the parser guesses; what it guessed is not the writer's mistake.
        problems.retain(|problem| !matches!(problem.fault, Fault::Missing { .. }));
        let slips: Vec<Problem> = syntax.iter().map(|error| syntax_problem(text, error)).collect();
        let on_a_slip = |problem: &Problem| slips.iter().any(|slip| same_line(slip, problem));
        problems.retain(|problem| !on_a_slip(problem));
        problems.extend(slips);
    }
    (walk.written, problems)
}

fn same_line(a: &Problem, b: &Problem) -> bool {
    a.place.map(|place| place.line) == b.place.map(|place| place.line)
}

fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    Problem {
        key: String::new(),
        place: error.span().map(|span| place(text, &span)),
        fault: Fault::Syntax { message: error.message().replace('\n', ", ") },
    }
}

fn place(text: &str, span: &Range<usize>) -> Place {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

struct Walk<'a> {
    text: &'a str,
    purpose: Purpose,
    written: Written,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    /// `declared` is the path under which the table's keys are declared, `at` the path it has in this file.
    fn table(&mut self, declared: &str, at: &str, table: &DeTable<'_>) {
        let mut found: Vec<_> = table.iter().collect();
        found.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in found {
            let name = key.get_ref().as_ref();
            let path = join(at, name);
            self.written.places.insert(path.clone(), place(self.text, &key.span()));
            match keys::children(declared).find(|spec| spec.name() == name) {
                Some(spec) => self.key(spec, &path, value),
                None => {
                    let fault = unknown_key(declared, at, name);
                    self.problem(&path, fault);
                }
            }
        }
        let purpose = self.purpose;
        for spec in keys::children(declared).filter(|spec| purpose.needs(spec)) {
            if !table.keys().any(|key| key.get_ref() == spec.name()) {
                let needed = match spec.kind {
                    Kind::Table => format!("write a section [{}]: {}", spec.path, spec.help),
                    kind => format!("write {} = {kind}. {}", spec.name(), spec.help),
                };
                self.problems.push(Problem {
                    key: join(at, spec.name()),
                    place: self.written.places.get(at).copied(),
                    fault: Fault::Missing { needed },
                });
            }
        }
    }

    fn problem(&mut self, path: &str, fault: Fault) {
        self.problems.push(Problem { key: path.to_owned(), place: self.written.places.get(path).copied(), fault });
    }

    fn key(&mut self, spec: &KeySpec, path: &str, value: &Spanned<DeValue<'_>>) {
        let checked = match (spec.kind, value.get_ref()) {
            (Kind::Table, DeValue::Table(table)) => {
                self.table(spec.path, path, table);
                Ok(Value::Table)
            }
            (Kind::Tables { like }, DeValue::Array(items)) => self.tables(like, path, items),
            (Kind::NamedTables, DeValue::Table(table)) => self.named_tables(spec, path, table),
            (Kind::Pairs { .. }, DeValue::Table(table)) => Ok(self.pairs(path, table)),
            (kind, value) => super::value::check(kind, value),
        };
        match checked {
            Ok(value) => {
                self.written.values.insert(path.to_owned(), value);
            }
            Err(fault) => self.problem(path, fault),
        }
    }

    fn tables(&mut self, like: &str, path: &str, items: &[Spanned<DeValue<'_>>]) -> Result<Value, Fault> {
        for (i, item) in items.iter().enumerate() {
            let path = format!("{path}[{i}]");
            self.written.places.insert(path.clone(), place(self.text, &item.span()));
            match item.get_ref() {
                DeValue::Table(table) => self.table(like, &path, table),
                other => {
                    let fault = super::value::wrong_type(Kind::Table, other);
                    self.problem(&path, fault);
                }
            }
        }
        if items.is_empty() {
            return Err(Fault::Missing { needed: String::from("the list is empty; write at least one table in it") });
        }
        Ok(Value::Tables(items.len()))
    }

    fn named_tables(&mut self, spec: &KeySpec, path: &str, table: &DeTable<'_>) -> Result<Value, Fault> {
        let mut found: Vec<_> = table.iter().collect();
        found.sort_by_key(|(key, _)| key.span().start);
        let mut named = Vec::with_capacity(found.len());
        for (key, value) in found {
            let name = key.get_ref().as_ref();
            let path = join(path, name);
            self.written.places.insert(path.clone(), place(self.text, &key.span()));
            if let Err(fault) = super::value::check(Kind::Name, &DeValue::String(name.into())) {
                self.problem(&path, fault);
            }
            match value.get_ref() {
                DeValue::Table(inner) => named.push((name.to_owned(), self.free_table(&path, inner))),
                other => {
                    let fault = super::value::wrong_type(Kind::Table, other);
                    self.problem(&path, fault);
                }
            }
        }
        if table.is_empty() {
            return Err(Fault::Missing { needed: format!("the table is empty; write {}", spec.kind) });
        }
        Ok(Value::Named(named))
    }

    fn pairs(&mut self, path: &str, table: &DeTable<'_>) -> Value {
        let mut found: Vec<_> = table.iter().collect();
        found.sort_by_key(|(key, _)| key.span().start);
        let mut pairs = Vec::with_capacity(found.len());
        for (key, value) in found {
            let path = join(path, key.get_ref());
            self.written.places.insert(path.clone(), place(self.text, &key.span()));
            match value.get_ref() {
                DeValue::String(text) => pairs.push((key.get_ref().to_string(), text.to_string())),
                other => {
                    let fault = super::value::wrong_type(Kind::Text, other);
                    self.problem(&path, fault);
                }
            }
        }
        Value::Pairs(pairs)
    }

    /// A table whose keys are not ours to know: their values as JSON, their places kept.
    fn free_table(&mut self, path: &str, table: &DeTable<'_>) -> serde_json::Map<String, serde_json::Value> {
        let mut found: Vec<_> = table.iter().collect();
        found.sort_by_key(|(key, _)| key.span().start);
        let mut json = serde_json::Map::new();
        for (key, value) in found {
            let path = join(path, key.get_ref());
            self.written.places.insert(path.clone(), place(self.text, &key.span()));
            match super::value::to_json(value.get_ref()) {
                Ok(value) => {
                    json.insert(key.get_ref().to_string(), value);
                }
                Err(fault) => self.problem(&path, fault),
            }
        }
        json
    }
}

fn join(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    }
}

/// Looks for what was meant: among the section's own keys, then by the names other programs use, then in other sections.
fn unknown_key(declared: &str, at: &str, name: &str) -> Fault {
    let own = keys::children(declared);
    let is_called = |spec: &&KeySpec| spec.name() == name || spec.elsewhere.contains(&name);
    let meant = own
        .clone()
        .find(is_called)
        .map(|spec| spec.name().to_owned())
        .or_else(|| nearest(name, own.clone().map(super::keys::KeySpec::name)).map(str::to_owned))
        .or_else(|| keys::KEYS.iter().find(is_called).map(|spec| spec.path.to_owned()));
    Fault::UnknownKey {
        nearest: meant,
        section: if at.is_empty() { String::from("the top") } else { format!("[{at}]") },
        known: own.map(super::keys::KeySpec::name).collect(),
    }
}
