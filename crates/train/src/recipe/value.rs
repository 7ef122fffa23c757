//! The check of one value against the kind of its key.

use toml::de::{DeInteger, DeValue};

use super::error::{Fault, nearest};
use super::kind::Kind;
use super::written::Value;

/// The value, if it is what the key holds.
pub(super) fn check(kind: Kind, value: &DeValue<'_>) -> Result<Value, Fault> {
    match (kind, value) {
        (Kind::Later { now }, _) => Err(Fault::NotYet { what: String::new(), now: now.to_owned() }),
        (Kind::Name, DeValue::String(text)) => name(kind, text),
        (Kind::Path | Kind::ChoiceOrPath { .. }, DeValue::String(text)) if text.trim().is_empty() => {
            Err(out_of_range(kind, value))
        }
        (Kind::Path | Kind::ChoiceOrPath { .. }, DeValue::String(text)) => Ok(Value::Text(text.to_string())),
        (Kind::Choice { now, later }, DeValue::String(text)) => choice(kind, now, later, text).map(Value::Text),
        (Kind::ChoiceOrTexts { now }, DeValue::String(text)) => choice(kind, now, &[], text).map(Value::Text),
        (Kind::Choices { now }, DeValue::Array(items)) => {
            let one = |text: &str| choice(kind, now, &[], text);
            texts(kind, items.iter().map(toml::Spanned::get_ref), one)
        }
        (Kind::Texts | Kind::ChoiceOrTexts { .. }, DeValue::Array(items)) => {
            let one = |text: &str| match text.is_empty() {
                true => Err(out_of_range(kind, value)),
                false => Ok(text.to_owned()),
            };
            texts(kind, items.iter().map(toml::Spanned::get_ref), one)
        }
        (Kind::Text, DeValue::String(text)) => Ok(Value::Text(text.to_string())),
        (Kind::Boolean, DeValue::Boolean(yes)) => Ok(Value::Boolean(*yes)),
        (Kind::Integer { least, most }, DeValue::Integer(written)) => match integer(written) {
            Some(number) if (least..=most).contains(&number) => Ok(Value::Integer(number)),
            _ => Err(out_of_range(kind, value)),
        },
        (Kind::Number { within, .. }, DeValue::Integer(_) | DeValue::Float(_)) => match number(value) {
            Some(number) if within.contains(number) => Ok(Value::Number(number)),
            _ => Err(out_of_range(kind, value)),
        },
        (Kind::FractionOrCount { .. }, DeValue::Integer(written)) => match integer(written) {
            Some(count) if count >= 0 => Ok(Value::Integer(count)),
            _ => Err(out_of_range(kind, value)),
        },
        (Kind::FractionOrCount { .. }, DeValue::Float(_)) => match number(value) {
            Some(fraction) if (0.0..1.0).contains(&fraction) => Ok(Value::Number(fraction)),
            _ => Err(out_of_range(kind, value)),
        },
        _ => Err(wrong_type(kind, value)),
    }
}

fn name(kind: Kind, text: &str) -> Result<Value, Fault> {
    let forbidden = |c: char| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    let is_dots = text.chars().all(|c| c == '.');
    if text.contains(forbidden) || is_dots || text.trim() != text {
        return Err(out_of_range(kind, &DeValue::String(text.into())));
    }
    Ok(Value::Text(text.to_owned()))
}

fn choice(kind: Kind, now: &[&str], later: &[&str], text: &str) -> Result<String, Fault> {
    if now.contains(&text) {
        return Ok(text.to_owned());
    }
    let comes_later = |name: &&str| *name == text || (name.ends_with(':') && text.starts_with(*name));
    if later.iter().any(comes_later) {
        return Err(Fault::NotYet { what: format!("\"{text}\" "), now: format!("now: {kind}") });
    }
    Err(Fault::UnknownValue {
        expected: kind,
        found: describe(&DeValue::String(text.into())),
        nearest: nearest(text, now.iter().copied()).map(str::to_owned),
    })
}

fn texts<'a>(
    kind: Kind,
    items: impl Iterator<Item = &'a DeValue<'a>>,
    one: impl Fn(&str) -> Result<String, Fault>,
) -> Result<Value, Fault> {
    let mut texts = Vec::new();
    for item in items {
        let DeValue::String(text) = item else {
            return Err(Fault::WrongType {
                expected: kind,
                found: format!("{} in the list", describe(item)),
                hint: None,
            });
        };
        let text = one(text)?;
        if texts.contains(&text) {
            return Err(Fault::OutOfRange { expected: kind, found: format!("\"{text}\" twice") });
        }
        texts.push(text);
    }
    if texts.is_empty() {
        return Err(Fault::OutOfRange { expected: kind, found: String::from("an empty list") });
    }
    Ok(Value::Texts(texts))
}

/// The value as JSON, for tables that are checked elsewhere.
pub(super) fn to_json(value: &DeValue<'_>) -> Result<serde_json::Value, Fault> {
    let refused = || Fault::Refused {
        message: format!("must be text, a number, true, false, a list or a table, found {}", describe(value)),
    };
    Ok(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(yes) => (*yes).into(),
        DeValue::Integer(written) => integer(written).ok_or_else(refused)?.into(),
        DeValue::Float(_) => {
            let number = number(value).and_then(serde_json::Number::from_f64);
            serde_json::Value::Number(number.ok_or_else(refused)?)
        }
        DeValue::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| to_json(item.get_ref())).collect();
            items?.into()
        }
        DeValue::Table(table) => {
            let entries: Result<serde_json::Map<_, _>, Fault> =
                table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), to_json(value.get_ref())?))).collect();
            entries?.into()
        }
        DeValue::Datetime(_) => return Err(refused()),
    })
}

fn integer(written: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(written.as_str(), written.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(written) => integer(written).map(|number| number as f64),
        DeValue::Float(written) => written.as_str().parse().ok(),
        _ => None,
    }
}

fn out_of_range(expected: Kind, value: &DeValue<'_>) -> Fault {
    Fault::OutOfRange { expected, found: describe(value) }
}

/// A value of another type than its key's.
pub(super) fn wrong_type(expected: Kind, value: &DeValue<'_>) -> Fault {
    let numeric = matches!(expected, Kind::Number { .. } | Kind::Integer { .. } | Kind::FractionOrCount { .. });
    let hint = match (expected, value) {
        (_, DeValue::String(text)) if numeric && text.trim().parse::<f64>().is_ok() => {
            Some(" (write it without quotes)")
        }
        (Kind::Boolean, DeValue::String(text)) if ["true", "false"].contains(&text.as_ref()) => {
            Some(" (write it without quotes)")
        }
        (Kind::Choices { .. } | Kind::Texts, DeValue::String(_)) | (Kind::Tables { .. }, DeValue::Table(_)) => {
            Some(" (put it in brackets)")
        }
        _ => None,
    };
    Fault::WrongType { expected, found: describe(value), hint: hint.map(str::to_owned) }
}

/// A value in words; long texts are cut.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => {
            let start: String = text.chars().take(60).collect();
            format!("the string \"{start}...\"")
        }
        DeValue::String(text) => format!("the string \"{text}\""),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(yes) => format!("{yes}"),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => String::from("a list"),
        DeValue::Table(_) => String::from("a table"),
    }
}
