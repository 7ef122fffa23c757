//! Numbers as a reader wants them: grouped, rounded to what they mean, with a true minus sign.

use chrono::DateTime;

/// `1234567` -> `1,234,567`
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A fixed number of decimals, the whole part grouped.
pub(crate) fn decimal(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return "–".to_owned();
    }
    if x.abs() >= 1e15 {
        return scientific(x);
    }
    let rounded = format!("{:.digits$}", x.abs());
    let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    let is_zero = rounded.bytes().all(|b| b == b'0' || b == b'.');
    let sign = if x < 0.0 && !is_zero { "−" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// As [`decimal`], with a plus sign where the number is positive.
pub(crate) fn signed(x: f64, digits: usize) -> String {
    let shown = decimal(x, digits);
    let plus = x > 0.0 && shown.bytes().any(|b| (b'1'..=b'9').contains(&b));
    if plus { format!("+{shown}") } else { shown }
}

/// About three significant digits, whatever the size: `0.00021` -> `2.1×10⁻⁴`, `1834.2` -> `1,834`.
pub(crate) fn general(x: f64) -> String {
    let size = x.abs();
    match size {
        _ if !x.is_finite() => "–".to_owned(),
        _ if x == 0.0 => "0".to_owned(),
        _ if !(1e-3..1e7).contains(&size) => scientific(x),
        _ if size < 1.0 => trimmed(x, 4),
        _ if size < 10.0 => trimmed(x, 3),
        _ if size < 100.0 => trimmed(x, 2),
        _ if size < 1000.0 => trimmed(x, 1),
        _ => decimal(x, 0),
    }
}

/// The label of an axis tick: short, so that neighbours do not touch.
pub(crate) fn tick(x: f64) -> String {
    let size = x.abs();
    match size {
        _ if x == 0.0 => "0".to_owned(),
        _ if !(1e-2..1e9).contains(&size) => scientific(x),
        _ if size >= 1e6 => format!("{}M", trimmed(x / 1e6, 2)),
        _ if size >= 1e4 => format!("{}k", trimmed(x / 1e3, 2)),
        _ => trimmed(x, 4),
    }
}

/// `0.00015` -> `1.5×10⁻⁴`
pub(crate) fn scientific(x: f64) -> String {
    let written = format!("{x:.2e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let raised: String = exponent
        .chars()
        .map(|c| match c.to_digit(10) {
            Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
            None => '⁻',
        })
        .collect();
    format!("{}×10{raised}", mantissa.replace('-', "−"))
}

/// A share of a whole as a percentage; small ones keep a decimal.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    let digits = match percent {
        _ if part == 0 || part == whole => 0,
        p if p < 0.1 => 3,
        _ => 1,
    };
    percent_sign(&decimal(percent, digits))
}

/// A number with its percent sign, which must not slip to the next line.
pub(crate) fn percent_sign(number: &str) -> String {
    format!("{number}\u{A0}%")
}

/// Bytes in the unit that leaves one to four digits before the point.
pub(crate) fn bytes(n: u64) -> String {
    let mut size = n as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    let digits = usize::from(unit != "B" && size < 100.0);
    format!("{} {unit}", decimal(size, digits))
}

/// A number of parameters as model cards give it: `494.0 M`, `1.24 B`.
pub(crate) fn parameters(n: u64) -> String {
    match n {
        1_000_000_000.. => format!("{} B", decimal(n as f64 / 1e9, 2)),
        1_000_000.. => format!("{} M", decimal(n as f64 / 1e6, 1)),
        10_000.. => format!("{} k", decimal(n as f64 / 1e3, 1)),
        _ => count(n),
    }
}

/// `1767225600` -> `2026-01-01 00:00 UTC`; nothing beyond the years that there are.
pub(crate) fn date(unix: u64) -> String {
    let moment = i64::try_from(unix).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(String::new, |moment| moment.format("%Y-%m-%d %H:%M UTC").to_string())
}

fn trimmed(x: f64, digits: usize) -> String {
    let shown = decimal(x, digits);
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rounded_to_what_they_mean() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(decimal(-0.04, 1), "0.0");
        assert_eq!(decimal(-1234.56, 1), "−1,234.6");
        assert_eq!(signed(3.0, 1), "+3.0");
        assert_eq!(signed(0.001, 1), "0.0");
        assert_eq!(general(0.00021), "2.1×10⁻⁴");
        assert_eq!(general(1834.2), "1,834");
        assert_eq!(general(f64::NAN), "–");
        assert_eq!(tick(25_000.0), "25k");
        assert_eq!(tick(0.6000000001), "0.6");
        assert_eq!(scientific(-2e-10), "−2×10⁻¹⁰");
        assert_eq!(share(1, 3), "33.3\u{A0}%");
        assert_eq!(share(0, 0), "–");
        assert_eq!(bytes(3_435_973_837), "3.2 GiB");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(parameters(494_032_768), "494.0 M");
        assert_eq!(decimal(1e300, 2), "1×10³⁰⁰");
    }

    #[test]
    fn a_unix_time_is_shown_as_its_date() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_767_225_600), "2026-01-01 00:00 UTC");
    }
}
