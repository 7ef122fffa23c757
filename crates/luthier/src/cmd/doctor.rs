//! `luthier doctor`: what this machine offers, measured.

use std::time::Duration;

use luthier_engine::{instruction_set, threads};
use luthier_hub::Settings;
use luthier_train::meter;
use serde_json::{Value, json};

use super::{Failure, print};
use crate::machine;
use crate::pocket;

/// How long each of the two rates is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// Rows, columns and depth of the product that is timed.
const SIDE: usize = 1024;

/// Says what this machine offers: processor, instruction set, memory, and how fast it multiplies and reads
///
/// The two rates are measured for a second each with the program's own products. Training runs at the rate of f32 products; generating
/// one text at a time at the rate of memory, since every token reads every weight once: tokens a second are at most that rate divided
/// by the model's memory (see `luthier inspect`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  luthier doctor\n  luthier doctor --threads 1 --json\n\n\
    LUTHIER_SIMD=avx2 or LUTHIER_SIMD=baseline asks for a smaller instruction set, LUTHIER_CACHE for another cache folder, \
    HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are those of the Hub's own programs.")]
pub(crate) struct Args {
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let folder = pocket::folder();
    let cache = match &folder {
        Ok(_) => json!({"writable": true}),
        Err(error) => json!({"writable": false, "why": error.to_string()}),
    };
    let hub = Settings::from_env();
    let found = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "cpu": meter::cpu_name(),
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "threads": threads::parallelism(),
        "instruction_set": instruction_set(),
        "memory_bytes": meter::memory_bytes(),
        "product_gflops": product_rate(),
        "read_gb_per_second": read_rate(),
        "gpu": "no GPU support in this version",
        "pocket": {"embedded_bytes": pocket::size(), "folder": folder.ok()},
        "cache": cache,
        "hub": {"endpoint": hub.endpoint, "cache": hub.cache, "token": hub.token.is_some(), "offline": hub.offline},
    });
    if args.json { print(&format!("{found}\n")) } else { print(&screen(&found)) }
}

/// Billions of f32 operations a second of a square product, a multiplication and an addition counted as two.
fn product_rate() -> f64 {
    let operations = 2.0 * (SIDE * SIDE * SIDE) as f64;
    operations * products_per_second(SIDE, SIDE, SIDE) / 1e9
}

/// Billions of bytes of weights read a second by the product of one row, which is what decoding a text does.
fn read_rate() -> f64 {
    // 256 MB, which no cache holds; less where memory is short.
    let rows = if meter::memory_bytes() < 1 << 30 { 1 << 12 } else { 1 << 14 };
    let columns = 1 << 12;
    (rows * columns * 4) as f64 * products_per_second(1, rows, columns) / 1e9
}

/// How often a second `[m, k]` is multiplied by a weight stored `[n, k]`.
fn products_per_second(m: usize, n: usize, k: usize) -> f64 {
    1.0 / machine::product_seconds(&luthier_engine::MatMul::nt(m, n, k), MEASURE)
}

fn screen(found: &Value) -> String {
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| found[name].as_f64().unwrap_or_default();
    let cache = match found["cache"]["why"].as_str() {
        None => "writable".to_owned(),
        Some(why) => why.to_owned(),
    };
    let pocket = match (found["pocket"]["embedded_bytes"].as_f64(), found["pocket"]["folder"].as_str()) {
        (Some(bytes), folder) if bytes > 0.0 => {
            format!("built in ({:.1} MB), unpacked in {}", bytes / 1e6, folder.unwrap_or("no folder yet"))
        }
        _ => "not built into this program".to_owned(),
    };
    let hub = &found["hub"];
    let token = if hub["token"] == true { "with a token" } else { "without a token" };
    let endpoint = hub["endpoint"].as_str().unwrap_or_default();
    let reached = if hub["offline"] == true { "offline".to_owned() } else { format!("{endpoint}, {token}") };
    let lines = [
        ("luthier", text("version")),
        ("system", text("system")),
        ("processor", text("cpu")),
        ("cores", format!("{}, of which {} in use", found["cores"], found["threads"])),
        ("instruction set", text("instruction_set")),
        ("memory", format!("{:.1} GB", number("memory_bytes") / 1e9)),
        ("f32 products", format!("{:.0} GFLOP/s", number("product_gflops"))),
        ("reading weights", format!("{:.1} GB/s", number("read_gb_per_second"))),
        ("GPU", text("gpu")),
        ("pocket model", pocket),
        ("cache folder", cache),
        ("Hub", reached),
        ("Hub cache", hub["cache"].as_str().unwrap_or_default().to_owned()),
    ];
    lines.map(|(name, value)| format!("{name:<16} {value}\n")).concat()
}
