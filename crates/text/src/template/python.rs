//! The few things templates expect from Python: `tojson` as `json.dumps` writes it, and `strftime`.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// `tojson` as transformers defines it: `json.dumps(x, ensure_ascii=False, indent=..., separators=..., sort_keys=...)`.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands filters their options by value")]
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
    };
    let style = Style { indent, ascii: ensure_ascii.unwrap_or(false), sort: sort_keys.unwrap_or(false), item, key };
    let mut out = String::new();
    style.write(&mut out, value, 0)?;
    Ok(out)
}

struct Style {
    indent: Option<usize>,
    ascii: bool,
    sort: bool,
    item: String,
    key: String,
}

impl Style {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > 100 {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: nested deeper than 100 levels"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.block(out, '[', ']', depth, &items, |out, item| self.write(out, item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort {
                    keys.sort();
                }
                self.block(out, '{', '}', depth, &keys, |out, key| {
                    self.string(out, &key.to_string());
                    out.push_str(&self.key);
                    self.write(out, &value.get_item(key)?, depth + 1)
                })?;
            }
            kind => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("tojson: a value of kind {kind} is not JSON"),
                ));
            }
        }
        Ok(())
    }

    fn block(
        &self,
        out: &mut String,
        open: char,
        close: char,
        depth: usize,
        items: &[Value],
        mut write: impl FnMut(&mut String, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.item);
            }
            self.new_line(out, depth + 1);
            write(out, item)?;
        }
        if !items.is_empty() {
            self.new_line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn new_line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.min(64) * depth));
        }
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a string cannot fail.
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// A number as Python writes it: whole ones in full; others with the fewest digits that tell them apart, with an exponent below
/// 1e-4 and from 1e16 on (`float.__repr__`).
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(float) = f64::try_from(value.clone()) else { return value.to_string() };
    match float {
        f if f.is_nan() => return "NaN".into(),
        f if f.is_infinite() => return if f > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        _ => {}
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = float.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// Seconds since 1970, UTC.
pub(super) fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `datetime.strftime` for the directives that templates use; others are left as they stand. `seconds` since 1970, UTC.
pub(super) fn strftime(format: &str, seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let month_name = MONTHS[month as usize - 1];
    let day_name = DAYS[(days % 7) as usize];
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let written = match chars.next() {
            Some('Y') => write!(out, "{year}"),
            Some('y') => write!(out, "{:02}", year % 100),
            Some('m') => write!(out, "{month:02}"),
            Some('d') => write!(out, "{day:02}"),
            Some('B') => write!(out, "{month_name}"),
            Some('b') => write!(out, "{}", &month_name[..3]),
            Some('A') => write!(out, "{day_name}"),
            Some('a') => write!(out, "{}", &day_name[..3]),
            Some('H') => write!(out, "{hour:02}"),
            Some('I') => write!(out, "{:02}", (hour + 11) % 12 + 1),
            Some('p') => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            Some('M') => write!(out, "{minute:02}"),
            Some('S') => write!(out, "{second:02}"),
            Some('F') => write!(out, "{year}-{month:02}-{day:02}"),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            Some('e') => write!(out, "{day:2}"),
            Some('j') => write!(out, "{:03}", days - first_day_of(year) + 1),
            // Without filling up, as the C library has it.
            Some('-') => match chars.next() {
                Some('d' | 'e') => write!(out, "{day}"),
                Some('m') => write!(out, "{month}"),
                Some('H') => write!(out, "{hour}"),
                Some('I') => write!(out, "{}", (hour + 11) % 12 + 1),
                Some('M') => write!(out, "{minute}"),
                Some('S') => write!(out, "{second}"),
                other => write!(out, "%-{}", other.map(String::from).unwrap_or_default()),
            },
            Some('%') | None => write!(out, "%"),
            Some(other) => write!(out, "%{other}"),
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    out
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The first day of a year from 1970 on, counted from 1970-01-01.
fn first_day_of(year: u64) -> u64 {
    let before = year - 1;
    365 * (year - 1970) + (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_python_writes_them() {
        assert_eq!(strftime("%d %b %Y", 1_721_952_000), "26 Jul 2024");
        assert_eq!(strftime("%A, %B %d, %Y %I:%M:%S %p", 951_868_799), "Tuesday, February 29, 2000 11:59:59 PM");
        assert_eq!(strftime("%Q%%", 0), "%Q%");
        assert_eq!(strftime("%F %T|%e|%-d.%-m.|%j", 951_868_799), "2000-02-29 23:59:59|29|29.2.|060");
        assert_eq!(strftime("%e %j", 1_767_225_600), " 1 001");
    }

    #[test]
    fn tojson_writes_what_json_dumps_writes() {
        let mut environment = minijinja::Environment::new();
        environment.add_filter("tojson", tojson);
        let value = sample();
        let render = |source: &str| environment.render_str(source, Value::from_pairs([("x", value.clone())])).unwrap();
        assert_eq!(render("{{ x|tojson }}"), r#"{"名": "燈<>&'", "n": [1, 2.5, true, null], "e": {}}"#);
        assert_eq!(
            render("{{ x|tojson(indent=2) }}"),
            "{\n  \"名\": \"燈<>&'\",\n  \"n\": [\n    1,\n    2.5,\n    true,\n    null\n  ],\n  \"e\": {}\n}"
        );
        assert_eq!(render("{{ x|tojson(ensure_ascii=true, sort_keys=true) }}").chars().next(), Some('{'));
        assert!(render("{{ x|tojson(ensure_ascii=true) }}").contains(r"\u540d"));
    }

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let written = |value: f64| number(&Value::from(value));
        let numbers = [0.0, -0.5, 2.0, 0.1, 1e15, 1e16, 1.5e300, 0.0001, 0.00001, -1.25e-7, 123_456.789];
        assert_eq!(
            numbers.map(written),
            [
                "0.0",
                "-0.5",
                "2.0",
                "0.1",
                "1000000000000000.0",
                "1e+16",
                "1.5e+300",
                "0.0001",
                "1e-05",
                "-1.25e-07",
                "123456.789"
            ]
        );
        assert_eq!(number(&Value::from(1u64 << 60)), "1152921504606846976");
    }

    fn sample() -> Value {
        let list: Value = vec![Value::from(1), Value::from(2.5), Value::from(true), Value::from(())].into();
        let empty: [(&str, Value); 0] = [];
        Value::from_pairs([("名", Value::from("燈<>&'")), ("n", list), ("e", Value::from_pairs(empty))])
    }
}
