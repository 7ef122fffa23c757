//! What a key of a recipe may hold, in words for people and as a check on one value.

/// The kind of value that a key holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A section, or an inline table with keys of its own.
    Table,
    /// A list of tables; `like` is the path under which the keys of one of them are declared.
    Tables {
        /// For example `data.sources[]`.
        like: &'static str,
    },
    /// Tables under names the user chooses; what stands in them is checked by whoever uses them.
    NamedTables,
    /// Text that becomes part of a file name.
    Name,
    /// A file or folder, relative to the recipe's folder.
    Path,
    /// `true` or `false`.
    Boolean,
    /// A whole number between two others, both included.
    Integer {
        /// The smallest allowed.
        least: i64,
        /// The largest allowed.
        most: i64,
    },
    /// A number in an interval.
    Number {
        /// The values allowed.
        within: Interval,
        /// A usual value.
        such_as: &'static str,
    },
    /// A fraction below 1 (written with a point) or a whole number of the unit.
    FractionOrCount {
        /// What is counted: `rows`, `steps`.
        unit: &'static str,
    },
    /// One of a list of names.
    Choice {
        /// Names that work.
        now: &'static [&'static str],
        /// Names of the design that do not work yet; one that ends in `:` is a prefix.
        later: &'static [&'static str],
    },
    /// One of a list of names, or a path.
    ChoiceOrPath {
        /// Names that are not paths.
        now: &'static [&'static str],
    },
    /// One name, or a list of the user's own names.
    ChoiceOrTexts {
        /// The name that stands for a list.
        now: &'static [&'static str],
    },
    /// A list of names out of a list of names.
    Choices {
        /// Names that work.
        now: &'static [&'static str],
    },
    /// A list of texts.
    Texts,
    /// Any text; may have several lines.
    Text,
    /// Texts under names the user chooses.
    Pairs {
        /// A usual pair, as TOML.
        such_as: &'static str,
    },
    /// A key of the design that does not work yet.
    Later {
        /// What works now in its place.
        now: &'static str,
    },
}

/// An interval of numbers; infinite and undefined numbers are never inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Whether the lower end belongs to it.
    pub low_included: bool,
    /// Upper end; infinity where there is none.
    pub high: f64,
    /// Whether the upper end belongs to it.
    pub high_included: bool,
}

impl Interval {
    /// Numbers above 0.
    pub const POSITIVE: Self = Self::new(0.0, false, f64::INFINITY, false);
    /// 0 and numbers above.
    pub const NOT_NEGATIVE: Self = Self::new(0.0, true, f64::INFINITY, false);
    /// From 0 to 1, both included.
    pub const SHARE: Self = Self::new(0.0, true, 1.0, true);
    /// From 0 to just below 1.
    pub const BELOW_ONE: Self = Self::new(0.0, true, 1.0, false);
    /// Above 0, at most 1.
    pub const POSITIVE_TO_ONE: Self = Self::new(0.0, false, 1.0, true);

    /// Above 0, few enough to be laid out before the run starts.
    pub const EPOCHS: Self = Self::new(0.0, false, 100_000.0, true);

    /// Shares of letters by which near duplicates may differ.
    pub const NEAR: Self = Self::new(0.0, true, 0.3, true);

    const fn new(low: f64, low_included: bool, high: f64, high_included: bool) -> Self {
        Self { low, low_included, high, high_included }
    }

    /// Whether `x` is inside.
    pub fn contains(&self, x: f64) -> bool {
        let above = x > self.low || (self.low_included && x == self.low);
        let below = x < self.high || (self.high_included && x == self.high);
        x.is_finite() && above && below
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.low_included {
            true => write!(f, "of at least {}", self.low)?,
            false => write!(f, "above {}", self.low)?,
        }
        match (self.high.is_finite(), self.high_included) {
            (false, _) => Ok(()),
            (true, true) => write!(f, " and at most {}", self.high),
            (true, false) => write!(f, " and below {}", self.high),
        }
    }
}

impl std::fmt::Display for Kind {
    /// What may stand there, so that "must be {kind}" is a sentence.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table => f.write_str("a table"),
            Self::Tables { .. } => f.write_str("a list of tables, such as [{ ... }]"),
            Self::NamedTables => {
                f.write_str("a table of named tables, such as { greedy = {}, beam4 = { num_beams = 4 } }")
            }
            Self::Name => f.write_str("a name in quotes that can be part of a file name"),
            Self::Path => f.write_str("a path in quotes"),
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { least, most: i64::MAX } => write!(f, "a whole number of at least {least}"),
            Self::Integer { least, most } => write!(f, "a whole number from {least} to {most}"),
            Self::Number { within, such_as } => write!(f, "a number {within}, such as {such_as}"),
            Self::FractionOrCount { unit } => {
                write!(f, "a fraction of at least 0 and below 1, or a whole number of {unit}")
            }
            Self::Choice { now: [only], .. } => write!(f, "\"{only}\""),
            Self::Choice { now, .. } => write!(f, "one of {}", quoted(now)),
            Self::ChoiceOrPath { now } => write!(f, "{} or a path in quotes", quoted(now)),
            Self::ChoiceOrTexts { now } => {
                write!(f, "{} or a list of names in quotes", quoted(now))
            }
            Self::Choices { now } => write!(f, "a list of {}", quoted(now)),
            Self::Texts => f.write_str("a list of texts in quotes"),
            Self::Text => f.write_str("a text in quotes"),
            Self::Pairs { such_as } => write!(f, "a table of names and texts, such as {{ {such_as} }}"),
            Self::Later { now } => write!(f, "left out (not supported yet in this version; {now})"),
        }
    }
}

/// `"a", "b", "c"`.
pub(super) fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}
