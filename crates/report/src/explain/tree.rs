//! The tree of a group of beams as coordinates: a column a step, in it the continuations the search looked at.
//!
//! In each column they are sorted by the row of the beam they continue, so that no two lines between neighbouring columns cross, and the
//! way to the best output first, so that it runs straight along the top.

use std::collections::HashSet;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::terminal::fate_name;
use super::{Continuation, Fate, Group};
use crate::figures;

const ROW: f64 = 30.0;
const TOP: f64 = 26.0;
const LEFT: f64 = 70.0;
/// Between the boxes of neighbouring columns, where the lines are.
const GAP: f64 = 44.0;
const BOX: f64 = 22.0;
/// Units of the view box for a column of a terminal, and around a text.
const LETTER: f64 = 8.2;
const PADDING: f64 = 16.0;

/// The drawing of one group.
#[derive(Debug, Serialize)]
pub(super) struct Tree {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) columns: Vec<Column>,
    pub(super) nodes: Vec<Node>,
}

/// The number above a column.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    x: f64,
    step: usize,
}

/// A continuation and the line that leads to it.
#[derive(Debug, Serialize)]
pub(super) struct Node {
    /// `path`, `beam`, `finished` or `pruned`.
    pub(super) class: &'static str,
    pub(super) x: f64,
    pub(super) y: f64,
    width: f64,
    text: String,
    score: String,
    /// The line from its beam.
    pub(super) line: String,
    label: String,
}

impl Tree {
    pub(super) fn of(group: &Group) -> Self {
        let (mut columns, mut nodes) = (Vec::new(), Vec::new());
        // Row and right edge of each open beam; all begin at the prompt.
        let mut open: Vec<(usize, f64)> = Vec::new();
        let (mut x, mut rows) = (LEFT + GAP, 1);
        let leads = leading(group);
        for (step, leads) in group.steps.iter().zip(&leads) {
            let parent = |child: &Continuation| open.get(child.beam).copied().unwrap_or((0, LEFT));
            let mut order: Vec<&Continuation> = step.continuations.iter().collect();
            order.sort_by_key(|child| {
                (parent(child).0, !child.on_path, child.next.is_none() && child.fate != Fate::Finished)
            });
            let letters =
                |child: &&Continuation| child.token.text.width() + 1 + figures::decimal(child.score, 2).chars().count();
            let width = order.iter().map(letters).max().unwrap_or(0) as f64 * LETTER + PADDING;
            let width = width.ceil();
            let mut next = vec![(0, LEFT); step.continuations.len()];
            for (row, child) in order.iter().enumerate() {
                if let Some(beam) = child.next {
                    next[beam] = (row, x + width);
                }
                nodes.push(node(child, step.step, (row, x, width), parent(child), leads, group));
            }
            columns.push(Column { x: x + width / 2.0, step: step.step });
            rows = rows.max(order.len());
            x += width + GAP;
            open = next;
        }
        Self { width: x - GAP + 10.0, height: TOP + rows as f64 * ROW + 6.0, columns, nodes }
    }
}

/// Of each step the beams behind it that lead to a hypothesis; the others are branches that were pruned later.
fn leading(group: &Group) -> Vec<HashSet<usize>> {
    let mut leading = vec![HashSet::new(); group.steps.len()];
    for at in (1..group.steps.len()).rev() {
        let lives = |child: &&Continuation| match child.next {
            Some(next) => leading[at].contains(&next),
            None => child.fate == Fate::Finished,
        };
        leading[at - 1] = group.steps[at].continuations.iter().filter(lives).map(|child| child.beam).collect();
    }
    leading
}

fn middle(row: usize) -> f64 {
    TOP + row as f64 * ROW + ROW / 2.0
}

fn node(
    child: &Continuation,
    step: usize,
    (row, x, width): (usize, f64, f64),
    parent: (usize, f64),
    leads: &HashSet<usize>,
    group: &Group,
) -> Node {
    let (from, to, bend) = (middle(parent.0), middle(row), x - GAP / 2.0);
    let class = match child.fate {
        _ if child.on_path => "path",
        _ if child.hypothesis.is_some() => "finished",
        Fate::Beam if child.next.is_some_and(|next| leads.contains(&next)) => "beam",
        _ => "pruned",
    };
    let fate = match (child.hypothesis, child.next) {
        (Some(number), _) => {
            format!("hypothesis {}, score {}", number + 1, figures::decimal(group.hypotheses[number].score, 4))
        }
        (None, Some(next)) if child.fate == Fate::Beam => format!("beam {}", next + 1),
        _ => fate_name(child.fate).to_owned(),
    };
    let label = format!(
        "{step}: {} ({}), log p {}, sum {}; {fate}",
        child.token.text,
        child.token.id,
        figures::decimal(child.logprob, 4),
        figures::decimal(child.score, 4)
    );
    Node {
        class,
        x,
        y: to - BOX / 2.0,
        width,
        text: child.token.text.clone(),
        score: figures::decimal(child.score, 2),
        line: format!("M{:.1} {from:.1}C{bend:.1} {from:.1} {bend:.1} {to:.1} {x:.1} {to:.1}", parent.1),
        label,
    }
}
