//! The ledger as a bar, two tables and the check that the books balance.

use serde::Serialize;

use crate::{Language, Ledger, Outcome, figures};

/// Reasons listed; a ledger whose reasons name lengths or words may hold thousands.
const REASONS: usize = 16;
/// The known outcomes in the order of the bar.
const ORDER: [&str; 6] = ["trained", "truncated", "test", "duplicate", "leaked", "dropped"];

#[derive(Serialize)]
pub(crate) struct LedgerView {
    rows: String,
    outcomes: Vec<OutcomeRow>,
    tokens: String,
    tokens_lost: String,
    reasons: Vec<ReasonRow>,
    balanced: bool,
    balance: String,
    description: String,
}

#[derive(Serialize)]
struct OutcomeRow {
    /// CSS class, `other` for outcomes this crate does not know.
    class: &'static str,
    name: String,
    rows: String,
    share: String,
    tokens: String,
    tokens_lost: String,
    /// Percent of the bar.
    from: f64,
    width: f64,
    /// Wide enough to carry its name.
    labelled: bool,
}

#[derive(Serialize)]
struct ReasonRow {
    outcome: String,
    reason: String,
    rows: String,
}

pub(super) fn view(ledger: &Ledger, language: Language) -> LedgerView {
    let mut outcomes: Vec<(&String, &Outcome)> = ledger.outcomes.iter().collect();
    outcomes.sort_by_key(|(name, _)| (place(name), *name));
    let mut from = 0.0;
    let rows: Vec<OutcomeRow> = outcomes
        .iter()
        .map(|(name, outcome)| {
            let width = 100.0 * outcome.rows as f64 / ledger.rows as f64;
            from += width;
            OutcomeRow {
                class: ORDER.get(place(name)).copied().unwrap_or("other"),
                name: named(name, language),
                rows: figures::count(outcome.rows),
                share: figures::share(outcome.rows, ledger.rows),
                tokens: figures::count(outcome.tokens),
                tokens_lost: figures::count(outcome.tokens_lost),
                from: from - width,
                width,
                labelled: width >= 14.0,
            }
        })
        .collect();
    let total = |part: fn(&Outcome) -> u64| {
        figures::count(ledger.outcomes.values().fold(0u64, |sum, outcome| sum.saturating_add(part(outcome))))
    };
    LedgerView {
        rows: figures::count(ledger.rows),
        tokens: total(|outcome| outcome.tokens),
        tokens_lost: total(|outcome| outcome.tokens_lost),
        reasons: reasons(&outcomes, language),
        balanced: ledger.rows > 0 && ledger.repeated == 0,
        balance: balance(ledger, &rows, language),
        description: rows.iter().map(|row| format!("{} {}", row.name, row.rows)).collect::<Vec<_>>().join("; "),
        outcomes: rows,
    }
}

fn place(outcome: &str) -> usize {
    ORDER.iter().position(|known| *known == outcome).unwrap_or(ORDER.len())
}

fn named(outcome: &str, language: Language) -> String {
    language.known(&format!("outcome.{outcome}")).map_or_else(|| outcome.to_owned(), str::to_owned)
}

fn balance(ledger: &Ledger, rows: &[OutcomeRow], language: Language) -> String {
    if ledger.rows == 0 {
        return language.phrase("ledger.empty").to_owned();
    }
    if ledger.repeated > 0 {
        return language.counted("ledger.repeated", ledger.repeated);
    }
    let sum: Vec<&str> = rows.iter().map(|row| row.rows.as_str()).collect();
    language.fill("ledger.balanced", &[("sum", &sum.join(" + ")), ("n", &figures::count(ledger.rows))])
}

/// The most frequent reasons, then one line for the rest.
fn reasons(outcomes: &[(&String, &Outcome)], language: Language) -> Vec<ReasonRow> {
    let each = |(name, outcome): &(&String, &Outcome)| {
        let name = named(name, language);
        let reasons = outcome.reasons.iter().map(move |(pattern, reason)| {
            (reason.rows, name.clone(), reason.exact.as_ref().unwrap_or(pattern).clone())
        });
        reasons.collect::<Vec<_>>()
    };
    let mut all: Vec<(u64, String, String)> = outcomes.iter().flat_map(each).collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (&a.1, &a.2).cmp(&(&b.1, &b.2))));
    let rest: u64 = all.iter().skip(REASONS).map(|(rows, ..)| rows).sum();
    let more = all.len().saturating_sub(REASONS);
    let shown = all.into_iter().take(REASONS);
    let mut listed: Vec<ReasonRow> = shown
        .map(|(rows, outcome, reason)| ReasonRow {
            outcome,
            // A reason may quote the row it is about.
            reason: reason.chars().take(300).collect(),
            rows: figures::count(rows),
        })
        .collect();
    if more > 0 {
        let reason = format!("{} {}", figures::count(more as u64), language.phrase("ledger.more_reasons"));
        listed.push(ReasonRow { outcome: String::new(), reason, rows: figures::count(rest) });
    }
    listed
}
