//! The explanation for a terminal of 80 columns: a table a step, or the tree of the beams.

use unicode_width::UnicodeWidthStr;

use super::{BeamStep, Candidate, Continuation, End, Explanation, Fate, Group, Hypothesis, Step, Token};
use crate::terminal::{Pen, Style, WIDTH};

/// Columns of a token with its id.
const TOKEN: usize = 27;
/// Columns of a number, and how many of them stand beside a token.
const NUMBER: usize = 13;
const NUMBERS: usize = (WIDTH - TOKEN) / NUMBER;
/// Levels of the tree that are shown by indentation; what is deeper stands no further to the right.
const LEVELS: usize = 14;

/// The explanation for a terminal, with colours where they are wanted.
#[must_use]
pub fn text(explanation: &Explanation, colours: bool) -> String {
    let mut pen = Pen::new(colours);
    pen.paragraph(&format!("{}: {}", explanation.model, explanation.search), 0, 2);
    if !explanation.parameters.is_empty() {
        let given: Vec<String> = explanation.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pen.paragraph(&given.join(" "), 0, 2);
    }
    let prompt: String = explanation.prompt.iter().map(|token| token.text.as_str()).collect();
    pen.paragraph(&format!("prompt ({} tokens): {prompt}", explanation.prompt.len()), 0, 2);
    for step in &explanation.steps {
        draw_step(step, explanation.outputs.len() > 1, &mut pen);
    }
    for (number, group) in explanation.groups.iter().enumerate() {
        draw_group(group, (explanation.groups.len() > 1).then_some(number), &mut pen);
    }
    pen.line("", None);
    for (number, output) in explanation.outputs.iter().enumerate() {
        pen.paragraph(&format!("output {} ({}, score {:.4}):", number + 1, output.finish_reason, output.score), 0, 2);
        pen.line(&output.text, None);
    }
    pen.text
}

fn draw_step(step: &Step, several: bool, pen: &mut Pen) {
    let Step { distribution, taken, .. } = step;
    pen.line("", None);
    let output = if several { format!("output {}, ", step.output) } else { String::new() };
    let how = step.uniform.map_or("was the best".to_owned(), |uniform| format!("was drawn at {uniform:.4}"));
    pen.paragraph(&format!("{output}step {}: {} {how}", step.step, taken.text), 0, 2);
    let mut columns = vec![("model".to_owned(), String::new(), distribution.kept, distribution.entropy)];
    columns.extend(
        distribution
            .stages
            .iter()
            .map(|stage| (stage.name.to_owned(), stage.value.clone().unwrap_or_default(), stage.kept, stage.entropy)),
    );
    for from in (0..columns.len()).step_by(NUMBERS) {
        let part = from..(from + NUMBERS).min(columns.len());
        draw_heads(&columns[part.clone()], pen);
        for candidate in &distribution.candidates {
            draw_candidate(candidate, part.clone(), pen);
        }
        let shown = &columns[part];
        let row = |name: &str, cells: Vec<String>| format!("  {name:<width$}{}", numbers(&cells), width = TOKEN - 2);
        pen.line(&row("tokens left", shown.iter().map(|column| column.2.to_string()).collect()), Some(Style::Faint));
        pen.line(
            &row("entropy, nats", shown.iter().map(|column| format!("{:.3}", column.3)).collect()),
            Some(Style::Faint),
        );
    }
}

fn numbers(cells: &[String]) -> String {
    cells.iter().map(|cell| format!("{cell:>NUMBER$}")).collect()
}

/// Names of parameters, broken behind underscores, and their values.
fn draw_heads(columns: &[(String, String, usize, f64)], pen: &mut Pen) {
    let heads: Vec<Vec<String>> = columns.iter().map(|(name, value, ..)| head(name, value)).collect();
    let tallest = heads.iter().map(Vec::len).max().unwrap_or(0);
    for row in 0..tallest {
        let cell = |head: &Vec<String>| (row + head.len()).checked_sub(tallest).map(|at| head[at].clone());
        let cells: Vec<String> = heads.iter().map(|head| cell(head).unwrap_or_default()).collect();
        let first = if row + 1 == tallest { "       id token" } else { "" };
        pen.line(&format!("{first:<TOKEN$}{}", numbers(&cells)), Some(Style::Faint));
    }
}

fn head(name: &str, value: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in name.split_inclusive('_') {
        let last = lines.last_mut().expect("there is a line");
        if !last.is_empty() && last.len() + word.len() >= NUMBER {
            lines.push(word.to_owned());
        } else {
            last.push_str(word);
        }
    }
    if !value.is_empty() {
        lines.push(value.to_owned());
    }
    lines
}

fn draw_candidate(candidate: &Candidate, columns: std::ops::Range<usize>, pen: &mut Pen) {
    let cell = |column: usize| match column.checked_sub(1) {
        None => probability(candidate.before),
        Some(stage) => candidate.after[stage].map_or("removed".to_owned(), probability),
    };
    let cells: Vec<String> = columns.map(cell).collect();
    let removed = candidate.after.last().is_some_and(Option::is_none);
    let style = if candidate.taken { Some(Style::Bold) } else { removed.then_some(Style::Faint) };
    let Token { id, text } = &candidate.token;
    let begin = format!("{} {id:>7} {text}", if candidate.taken { '>' } else { ' ' });
    if begin.width() > TOKEN {
        // A long token keeps a line of its own.
        pen.line(&begin, style);
        pen.line(&format!("{:TOKEN$}{}", "", numbers(&cells)), style);
    } else {
        let gap = TOKEN - begin.width();
        pen.line(&format!("{begin}{:gap$}{}", "", numbers(&cells)), style);
    }
}

/// Four significant digits for all that matters, and no false zero.
fn probability(p: f64) -> String {
    if p > 0.0 && p < 5e-5 { format!("{p:.1e}") } else { format!("{p:.4}") }
}

fn draw_group(group: &Group, number: Option<usize>, pen: &mut Pen) {
    pen.line("", None);
    let name = number.map_or(String::new(), |number| format!("group {}: ", number + 1));
    pen.line(
        &format!("{name}the tree: step, token, its log-probability, the sum, what became of it"),
        Some(Style::Faint),
    );
    pen.line("* the best output   + a beam or an end   x pruned", Some(Style::Faint));
    draw_children(&group.steps, 0, None, 0, group, pen);
    if let Some(end) = group.end {
        pen.paragraph(&format!("{name}the search ended: {}", why(end)), 0, 2);
    }
    if !group.hypotheses.is_empty() {
        pen.line(
            &format!("{name}hypotheses: new tokens, sum, score = sum / length^length_penalty"),
            Some(Style::Faint),
        );
    }
    for (number, hypothesis) in group.hypotheses.iter().enumerate() {
        draw_hypothesis(number, hypothesis, pen);
    }
}

/// The continuations of a beam: those that were pruned first, then those that went on with what became of them. One that goes on alone stays in its column.
fn draw_children(steps: &[BeamStep], at: usize, beam: Option<usize>, level: usize, group: &Group, pen: &mut Pen) {
    let Some(step) = steps.get(at) else { return };
    let children = || step.continuations.iter().filter(move |child| beam.is_none_or(|beam| child.beam == beam));
    let lives = |child: &&Continuation| child.next.is_some() || child.fate == Fate::Finished;
    let branches = children().filter(lives).count() > 1;
    for child in children().filter(|child| !lives(child)) {
        draw_continuation(step.step, child, level + 1, false, group, pen);
    }
    for child in children().filter(lives) {
        let level = level + usize::from(branches);
        let goes_on =
            |beam: usize| steps.get(at + 1).is_none_or(|next| next.continuations.iter().any(|c| c.beam == beam));
        let stops = child.next.is_some_and(|next| !goes_on(next));
        draw_continuation(step.step, child, level, stops, group, pen);
        if let Some(next) = child.next {
            draw_children(steps, at + 1, Some(next), level, group, pen);
        }
    }
}

/// `stops` is for a beam that nothing continues: the best continuations are all those of others.
fn draw_continuation(step: usize, child: &Continuation, level: usize, stops: bool, group: &Group, pen: &mut Pen) {
    let fate = match (child.fate, child.next, child.hypothesis) {
        (Fate::Beam, Some(next), None) if stops => format!("beam {}, all it leads to is worse", next + 1),
        (Fate::Beam, Some(next), None) => format!("beam {}", next + 1),
        (Fate::Beam | Fate::Finished, _, Some(hypothesis)) => finished(hypothesis, &group.hypotheses[hypothesis]),
        (fate, ..) => fate_name(fate).to_owned(),
    };
    let pruned = child.next.is_none() && child.fate != Fate::Finished;
    let mark = if child.on_path {
        '*'
    } else if pruned {
        'x'
    } else {
        '+'
    };
    let indent = " ".repeat(2 * level.min(LEVELS));
    let begin = format!("{indent}{mark} {step} {}", child.token.text);
    let end = format!("{} {}  {fate}", log(child.logprob), log(child.score));
    let style = if child.on_path { Some(Style::Bold) } else { pruned.then_some(Style::Faint) };
    if begin.width() + 2 + end.width() > WIDTH {
        pen.line(&begin, style);
        pen.line(&format!("{indent}    {end}"), style);
    } else {
        pen.line(&format!("{begin}  {end}"), style);
    }
}

/// A log-probability.
fn log(x: f64) -> String {
    match x {
        f64::NEG_INFINITY => "-inf".to_owned(),
        _ if x <= -1e6 => format!("{x:.0e}"),
        _ => format!("{x:.3}"),
    }
}

fn finished(number: usize, hypothesis: &Hypothesis) -> String {
    format!("hypothesis {}, score {}", number + 1, log(hypothesis.score))
}

fn draw_hypothesis(number: usize, hypothesis: &Hypothesis, pen: &mut Pen) {
    let fate = match (hypothesis.place, hypothesis.displaced_by) {
        (Some(place), _) => format!("place {place}"),
        (None, Some(by)) => format!("pushed out by {}", by + 1),
        (None, None) => "worse than all in the full list".to_owned(),
    };
    let Hypothesis { step, sum, score, finish_reason, .. } = hypothesis;
    let numbers =
        format!("{:>3}: {step} tokens, {} -> {}  {finish_reason}, {fate}", number + 1, log(*sum), log(*score));
    let style = if hypothesis.place == Some(1) {
        Some(Style::Bold)
    } else {
        hypothesis.place.is_none().then_some(Style::Faint)
    };
    pen.line(&numbers, style);
    let text: String = hypothesis.tokens.iter().map(|token| token.text.as_str()).collect();
    pen.paragraph(&text, 5, 5);
}

pub(super) fn fate_name(fate: Fate) -> &'static str {
    match fate {
        Fate::Beam => "beam",
        Fate::Finished => "finished",
        Fate::NotAmongBest => "not among the best",
        Fate::EndBehindBeams => "an end behind the beams",
        Fate::Forbidden => "forbidden",
        Fate::SearchEnded => "open when the search ended",
    }
}

fn why(end: End) -> &'static str {
    match end {
        End::EnoughHypotheses => "there are as many hypotheses as beams (early_stopping is true)",
        End::NoneBetter => "no open beam can become better than the worst hypothesis of the full list",
        End::NothingAllowed => "the form allows none of the open beams",
        End::Length => "the length limit; the open beams became hypotheses",
        End::StopStrings => "every open beam has completed a stop string; they became hypotheses",
        End::Late => "max_time was over; the open beams became hypotheses",
    }
}
