//! `luthier models`: the families of models that load, and what of each is supported.

use luthier_model::arch::{self, FamilyInfo};
use serde_json::{Value, json};

use super::{Failure, print};

/// Lists the families of models that load, train and generate, with the models of each that people know
///
/// A model belongs to the family that model_type in its config.json names. `luthier inspect ORG/NAME` tells of any model on the Hub whether
/// it loads and what it takes, without fetching its weights.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  luthier models\n  luthier models --json")]
pub(crate) struct Args {
    /// Prints a JSON list
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let families: Vec<&FamilyInfo> = arch::families().collect();
    if args.json {
        let list: Value = families.iter().map(|info| described(info)).collect();
        return print(&format!("{list}\n"));
    }
    print(&screen(&families))
}

fn described(info: &FamilyInfo) -> Value {
    json!({
        "model_type": info.model_type,
        "architecture": info.architecture,
        "positions": info.positions,
        "attention": info.attention,
        "mlp": info.mlp,
        "examples": info.examples,
    })
}

/// Two lines a family, in columns.
fn screen(families: &[&FamilyInfo]) -> String {
    let head = ["family", "positions", "attention", "MLP"];
    let cells = |info: &FamilyInfo| [info.model_type, info.positions, info.attention, info.mlp];
    let rows: Vec<[&str; 4]> = std::iter::once(head).chain(families.iter().map(|info| cells(info))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[&str; 4]| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut screen = line(&rows[0]);
    for (row, info) in rows[1..].iter().zip(families) {
        let known = info.examples.join(", ");
        screen += &format!("{}{:indent$}{known}\n", line(row), "", indent = width(0) + 2);
    }
    screen
        + "\nEach trains in full and through an adapter.\nRotary scalings: linear, dynamic, llama3, yarn, longrope.\nluthier inspect ORG/NAME tells whether a model on the Hub loads and what it takes.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_eighty_columns_and_names_every_family() {
        let families: Vec<&FamilyInfo> = arch::families().collect();
        let table = screen(&families);
        for line in table.lines().filter(|line| !line.starts_with("luthier")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for name in arch::names() {
            assert!(table.lines().any(|line| line.split(' ').next() == Some(name)), "{name} is not in:\n{table}");
        }
    }
}
