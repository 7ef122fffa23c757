//! Scores as a table for the terminal.

use std::path::Path;

use serde_json::Value;

use crate::cmd::Failure;

/// One line for each strategy and metric: base, tuned and their difference with its 95 % interval.
pub(crate) fn of_scores(path: &Path) -> Result<String, Failure> {
    let Ok(text) = std::fs::read(path) else { return Ok(String::new()) };
    let scores: Value =
        serde_json::from_slice(&text).map_err(|error| Failure::run(format!("{}: {error}", path.display())))?;
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let list = |key: &str| scores[key].as_array().cloned().unwrap_or_default();
    let mut lines = vec![["strategy", "metric", "base", "tuned", "difference"].map(str::to_owned).to_vec()];
    for strategy in list("strategies").iter().map(name) {
        for metric in list("metrics").iter().map(name) {
            let value = |system: &str| number(&scores["systems"][system][&strategy][&metric]["value"]);
            let comparison = &scores["comparisons"][&strategy][&metric];
            let difference = match (comparison["difference"].as_f64(), &comparison["interval"]) {
                (Some(difference), interval) if interval.is_array() => {
                    format!("{difference:+.2} [{:+.2}, {:+.2}]", bound(interval, 0), bound(interval, 1))
                }
                _ => String::new(),
            };
            if value("base") != "-" || value("tuned") != "-" {
                lines.push(vec![strategy.clone(), metric.clone(), value("base"), value("tuned"), difference]);
            }
        }
    }
    let perplexity = &scores["perplexity"];
    if perplexity.is_object() {
        let value = |system: &str| perplexity[system].as_f64().map_or("-".to_owned(), |x| format!("{x:.3}"));
        lines.push(vec!["-".to_owned(), "perplexity".to_owned(), value("base"), value("tuned"), String::new()]);
    }
    Ok(align(&lines))
}

fn number(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |x| format!("{x:.2}"))
}

fn bound(interval: &Value, side: usize) -> f64 {
    interval[side].as_f64().unwrap_or(f64::NAN)
}

/// Columns as wide as their widest entry; the first two to the left, numbers to the right.
pub(crate) fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let lines = [vec!["a", "bb", "1.00"], vec!["ccc", "d", "10.00"]];
        let lines = lines.map(|line| line.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(align(&lines), "a    bb   1.00\nccc  d   10.00\n");
    }
}
