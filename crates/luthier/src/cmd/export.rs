//! `luthier export`: a model, merged with its adapter, as others read it.

use std::path::PathBuf;

use clap::ValueEnum;
use luthier_gguf::TensorType;
use luthier_model::SaveDtype;

use super::{Failure, print};
use crate::open::{ModelArgs, Opened};

/// Writes a model, with its adapter merged in, as a folder of transformers or as a GGUF file of llama.cpp
///
/// An --out that ends in .gguf becomes a GGUF file with the tokenizer and the chat template in it; anything else a folder with
/// config.json, model.safetensors, the tokenizer's files and the chat template. What is written is what generate and evaluate run:
/// the sums W + scale * B A, rounded once to --dtype. Nothing that exists is overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    luthier export --model ORG/NAME --adapter runs/mine/adapter --out merged\n  \
    luthier export --model runs/mine/model --out mine.gguf --dtype q8_0\n  \
    luthier export --model other.gguf --out folder")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The folder, or the .gguf file, to write
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// The number format of matrices; by default that of the model's files. q8_0 is for GGUF alone
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
}

/// Number formats of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    F16,
    #[value(name = "q8_0")]
    Q8,
}

impl Dtype {
    fn of_files(stored: SaveDtype) -> Self {
        match stored {
            SaveDtype::Bf16 => Self::Bf16,
            SaveDtype::F16 => Self::F16,
            SaveDtype::F32 | SaveDtype::Bytes => Self::F32,
        }
    }

    fn of_folder(self) -> Result<SaveDtype, Failure> {
        match self {
            Self::F32 => Ok(SaveDtype::F32),
            Self::Bf16 => Ok(SaveDtype::Bf16),
            Self::F16 => Ok(SaveDtype::F16),
            Self::Q8 => Err(Failure::input(
                "--dtype q8_0 is a format of GGUF: give an --out that ends in .gguf, or another --dtype",
            )),
        }
    }

    fn of_gguf(self) -> TensorType {
        match self {
            Self::F32 => TensorType::F32,
            Self::Bf16 => TensorType::BF16,
            Self::F16 => TensorType::F16,
            Self::Q8 => TensorType::Q8_0,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.out.exists() {
        let out = args.out.display();
        return Err(Failure::input(format!("{out} is there already; give another --out or take it away")));
    }
    let is_gguf = args.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    if !is_gguf && let Some(dtype) = args.dtype {
        dtype.of_folder()?;
    }
    let mut opened = args.model.open()?;
    opened.model.merge_adapter().map_err(Failure::input)?;
    let dtype = args.dtype.unwrap_or(Dtype::of_files(opened.model.stored_dtype));
    if is_gguf {
        write_gguf(&opened, args, dtype)?;
    } else {
        write_folder(&opened, args, dtype.of_folder()?)?;
    }
    print(&format!("{}\n", args.out.display()))
}

fn write_folder(opened: &Opened, args: &Args, dtype: SaveDtype) -> Result<(), Failure> {
    let template = opened.own_template()?;
    luthier_files::write_folder_aside(&args.out, |aside| {
        opened.model.save(aside, dtype).map_err(std::io::Error::other)?;
        match opened.tokenizer() {
            Some(tokenizer) => tokenizer.save(aside, template.as_deref()).map_err(std::io::Error::other),
            None => Ok(()),
        }
    })
    .map_err(|error| Failure::input(format!("cannot write {}: {error}", args.out.display())))
}

fn write_gguf(opened: &Opened, args: &Args, dtype: Dtype) -> Result<(), Failure> {
    let template = opened.own_template()?;
    let vocabulary = opened.need_tokenizer()?.to_gguf(template.as_deref()).map_err(Failure::input)?;
    opened.model.save_gguf(&args.out, dtype.of_gguf(), &vocabulary).map_err(Failure::input)
}
