//! The one declaration of every key of a recipe: its path, what it may hold, its default and a sentence about it.
//!
//! Checks, suggestions for misspelt keys, defaults and the reference text are all made from [`KEYS`].

use luthier_corpus::FileFormat;

use super::choice::*;
use super::kind::{Interval, Kind, quoted};

/// What happens where the key is not written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Absent {
    /// It has to be written, if the table it stands in is.
    Required,
    /// It has no value.
    Nothing,
    /// It has this value, as TOML.
    Value(&'static str),
    /// Its value follows from other keys, as this says.
    Depends(&'static str),
}

/// A key of a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeySpec {
    /// The full path; `[]` stands after a key that holds a list of tables.
    pub path: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What holds where it is not written.
    pub default: Absent,
    /// A sentence for the reference.
    pub help: &'static str,
    /// Names that other programs give to the same thing, for suggestions.
    pub elsewhere: &'static [&'static str],
}

impl KeySpec {
    const fn known_as(mut self, elsewhere: &'static [&'static str]) -> Self {
        self.elsewhere = elsewhere;
        self
    }

    /// The last part of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The path of the table it stands in; empty at the top.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }
}

const fn key(path: &'static str, kind: Kind, default: Absent, help: &'static str) -> KeySpec {
    KeySpec { path, kind, default, help, elsewhere: &[] }
}

const fn one_of(now: &'static [&'static str]) -> Kind {
    Kind::Choice { now, later: &[] }
}

const fn at_least(least: i64) -> Kind {
    Kind::Integer { least, most: i64::MAX }
}

/// Sizes of models: far above any real one, low enough that their products do not overflow.
const fn size() -> Kind {
    Kind::Integer { least: 1, most: 1 << 20 }
}

const fn number(within: Interval, such_as: &'static str) -> Kind {
    Kind::Number { within, such_as }
}

use Absent::{Depends, Nothing, Required, Value};

/// The keys of one source of rows, wherever sources stand.
const SOURCE: &str = "data.sources[]";

/// The keys of one source of documents, wherever such sources stand.
const COLLECTED: &str = "collect.sources[]";

/// Every key, in the order of the reference.
#[rustfmt::skip]
pub static KEYS: &[KeySpec] = &[
    key("name", Kind::Name, Required, "Names the run and its folder under runs/."),
    key("seed", Kind::Integer { least: 0, most: i64::MAX }, Value("42"), "Decides every random choice: order of rows, fresh adapters, dropout, sampling."),
    key("folder", Kind::Path, Depends("the recipe's own folder"), "The folder from which relative paths of this recipe start."),

    key("data", Kind::Table, Required, "The rows and how they become tokens."),
    key("data.sources", Kind::Tables { like: SOURCE }, Required, "Where rows come from: each a file ({ path = ... }) or a generator ({ generate = ... })."),
    key("data.sources[].path", Kind::Path, Nothing, "A file of rows: a JSON array or JSON Lines, whatever it is called; or plain text."),
    key("data.sources[].format", Kind::Choice { now: RowFormat::NAMES, later: &["sharegpt", "belle", "csv", "parquet", "hub:"] }, Value("\"auto\""), "How the rows of the file are laid out; auto tells it row by row, from the fields."),
    key("data.sources[].generate", one_of(Generator::NAMES), Nothing, "A generator of rows that comes with the program, in place of a file."),
    key("data.sources[].rows", at_least(1), Depends("has to be written beside generate"), "How many rows to generate."),
    key("data.sources[].seed", Kind::Integer { least: 0, most: i64::MAX }, Depends("the recipe's seed"), "The generator's own seed."),
    key("data.sources[].part", one_of(Part::NAMES), Depends("train for a generator; for a file, the split decides row by row"), "Where the rows go, all of them: to training, or to the test. pretraining (generators only): plain text, which the split divides."),
    key("data.template", Kind::ChoiceOrPath { now: &["model", "alpaca"] }, Value("\"model\""), "How a conversation is written out: by the model's own chat template, by Stanford Alpaca's, or by a Jinja file.").known_as(&["chat_template", "prompt_template_name"]),
    key("data.train_on", one_of(TrainOn::NAMES), Value("\"answers\""), "Which tokens carry a label: answers with their end-of-turn, or all that follows the prompt (completion), or all.").known_as(&["train_on_inputs", "completion_only_loss"]),
    key("data.max_length", size(), Value("1024"), "The most tokens of one row.").known_as(&["cutoff_len", "max_seq_length", "block_size", "model_max_length"]),
    key("data.shuffle", Kind::Boolean, Value("true"), "Whether every epoch takes the rows in a new order, which the seed decides."),
    key("data.overlong", one_of(Overlong::NAMES), Value("\"drop\""), "What becomes of a row longer than max_length; the ledger counts it, whichever."),
    key("data.max_answer_loss", number(Interval::SHARE, "0.05"), Value("0.05"), "Training does not start when a larger share of the answers' tokens would be lost to max_length."),
    key("data.split", Kind::Table, Nothing, "Which rows are held out for the test."),
    key("data.split.test", Kind::FractionOrCount { unit: "rows" }, Depends("0.05; 0 where a source has part = \"test\""), "How many rows of the sources without a part are held out: a fraction or a number of rows.").known_as(&["val_set_size", "test_size"]),
    key("data.split.by", one_of(SplitBy::NAMES), Value("\"hash\""), "How test rows are chosen: by a hash of the row, or the last ones in order."),
    key("data.dedup", Kind::Choice { now: Dedup::NAMES, later: &["near"] }, Value("\"exact\""), "Which rows count as duplicates; rows of the test never reach training."),
    key("data.limit", at_least(1), Nothing, "Takes only the first so many rows of the sources together.").known_as(&["max_samples", "max_train_samples"]),

    key("model", Kind::Table, Required, "The model to start from: base, or [model.create] for one from scratch."),
    key("model.base", Kind::ChoiceOrPath { now: &["pocket"] }, Nothing, "A Hugging Face folder; or a model of the Hub, \"ORG/NAME\" or \"ORG/NAME@REVISION\", where there is no folder of that name; or \"pocket\", the small model inside the program. \"./x\" is always a folder.").known_as(&["model_name_or_path", "base_model"]),
    key("model.create", Kind::Table, Nothing, "The shape of a new model with random weights; keys as in config.json."),
    key("model.create.architecture", one_of(Architecture::NAMES), Value("\"llama\""), "The family of decoder.").known_as(&["model_type"]),
    key("model.create.hidden_size", size(), Required, "Width of the residual stream."),
    key("model.create.intermediate_size", size(), Required, "Width of the gated feed-forward layer."),
    key("model.create.num_hidden_layers", size(), Required, "Number of layers."),
    key("model.create.num_attention_heads", size(), Required, "Number of query heads."),
    key("model.create.num_key_value_heads", size(), Depends("num_attention_heads"), "Number of key and value heads; divides the query heads."),
    key("model.create.head_dim", size(), Depends("hidden_size / num_attention_heads"), "Size of one head; even."),
    key("model.create.max_position_embeddings", size(), Depends("data.max_length"), "The longest text the model is meant for, in tokens."),
    key("model.create.rope_theta", number(Interval::POSITIVE, "10000.0"), Value("10000.0"), "Base of the rotary frequencies."),
    key("model.create.tie_word_embeddings", Kind::Boolean, Value("true"), "Whether the output head is the embedding table."),
    key("model.create.rms_norm_eps", number(Interval::POSITIVE, "1e-6"), Value("1e-6"), "Added inside the root of the norms."),
    key("model.create.initializer_range", number(Interval::POSITIVE, "0.02"), Value("0.02"), "Standard deviation of the random weights."),
    key("model.store", one_of(Store::NAMES), Value("\"f32\""), "How frozen weights are held in memory, in training and evaluation: bf16 takes half of f32, int8 a quarter, nf4 an eighth (embedding and head int8). Adapters stay f32. For method = \"lora\".").known_as(&["load_in_8bit", "load_in_4bit", "bnb_4bit_quant_type"]),
    key("model.add_tokens", Kind::Texts, Nothing, "Tokens to add to the vocabulary; where embedding and head have no rows for them, these begin as the mean of the others. Full fine-tuning learns them; beside an adapter, train.lora.modules_to_save does.").known_as(&["add_special_tokens", "new_special_tokens", "special_tokens", "resize_vocab"]),
    key("model.save_dtype", one_of(SaveDtype::NAMES), Depends("base for method = \"full\", else f32"), "Number format of the saved weights; base means as the base model's files.").known_as(&["torch_dtype", "dtype"]),

    key("tokenizer", Kind::Table, Nothing, "The tokenizer of a new model; a base model brings its own."),
    key("tokenizer.path", Kind::Path, Nothing, "A folder with tokenizer.json to take over, or a model of the Hub that has one."),
    key("tokenizer.train", Kind::Table, Nothing, "Trains a byte-level BPE tokenizer."),
    key("tokenizer.train.vocab_size", Kind::Integer { least: 257, most: 1 << 20 }, Required, "Entries of the vocabulary, the 256 bytes and the special tokens among them."),
    key("tokenizer.train.special_tokens", Kind::Texts, Value("[\"<|endoftext|>\", \"<|im_start|>\", \"<|im_end|>\"]"), "Tokens that no merge touches; the first ends a text."),
    key("tokenizer.train.sources", Kind::Tables { like: SOURCE }, Depends("data.sources"), "The text it learns from; keys as in data.sources."),

    key("train", Kind::Table, Nothing, "What is trained and how."),
    key("train.method", Kind::Choice { now: MethodName::NAMES, later: &["series", "parallel", "prefix"] }, Depends("lora; full with [model.create]"), "What is trained: every weight, or an adapter."),
    key("train.lora", Kind::Table, Nothing, "The adapter of method = \"lora\"."),
    key("train.lora.rank", size(), Value("8"), "Rank of the added term.").known_as(&["r", "lora_r"]),
    key("train.lora.alpha", number(Interval::POSITIVE, "16"), Value("16.0"), "The added term is scaled by alpha / rank.").known_as(&["lora_alpha"]),
    key("train.lora.dropout", number(Interval::BELOW_ONE, "0.05"), Value("0.0"), "Chance that an input of the added term is zeroed in training.").known_as(&["lora_dropout"]),
    key("train.lora.targets", Kind::ChoiceOrTexts { now: &["all-linear"] }, Value("\"all-linear\""), "The linear layers that get one, by the last part of their names, such as [\"q_proj\", \"v_proj\"].").known_as(&["target_modules", "lora_target_modules"]),
    key("train.lora.rslora", Kind::Boolean, Value("false"), "Scales by alpha / sqrt(rank) instead (arXiv 2312.03732).").known_as(&["use_rslora"]),
    key("train.lora.modules_to_save", Kind::Texts, Nothing, "Embedding or head, by the names of their modules ([\"embed_tokens\", \"lm_head\"]), trained whole beside the adapter and saved with it: for tokens that the model does not know yet. They are held as f32.").known_as(&["additional_target", "lora_modules_to_save"]),
    key("train.lora.init", Kind::Path, Nothing, "A PEFT adapter, a folder or a name on the Hub, whose weights to start from; rank, alpha, targets and rslora are the adapter's own and need not be written."),
    key("train.epochs", number(Interval::EPOCHS, "3"), Depends("3, unless steps is written"), "Passes over the rows.").known_as(&["num_train_epochs", "num_epochs"]),
    key("train.steps", Kind::Integer { least: 1, most: 100_000_000 }, Nothing, "Optimiser steps, in place of epochs.").known_as(&["max_steps", "iterations"]),
    key("train.rows_per_step", at_least(1), Depends("32, unless tokens_per_step is written"), "Rows of one optimiser step; memory does not depend on it.").known_as(&["batch_size", "per_device_train_batch_size", "train_batch_size", "gradient_accumulation_steps"]),
    key("train.tokens_per_step", at_least(1), Nothing, "The most tokens of one optimiser step, in place of rows_per_step; a longer row makes a step of its own."),
    key("train.micro_batch_tokens", at_least(1), Value("2048"), "The most tokens of one forward pass, what rows begin with alike counted once; decides memory; the result only in rounding. A longer row goes alone.").known_as(&["micro_batch_size"]),
    key("train.recompute", one_of(RecomputeName::NAMES), Value("\"none\""), "What is computed again in the backward to save memory: cheap: norms and gated activations, a third less at hardly any time; block: whole layers, by far the least memory for a quarter to a third more time. The result is the same, bit for bit.").known_as(&["gradient_checkpointing", "activation_checkpointing", "grad_checkpoint"]),
    key("train.learning_rate", number(Interval::POSITIVE_TO_ONE, "2e-4"), Depends("2e-4 for lora, 5e-5 for full"), "The peak of the schedule.").known_as(&["lr"]),
    key("train.weight_decay", number(Interval::NOT_NEGATIVE, "0.01"), Value("0.0"), "Decoupled decay of all trained weights but norms and biases.").known_as(&["wd"]),
    key("train.adam", Kind::Table, Nothing, "Constants of AdamW (arXiv 1711.05101)."),
    key("train.adam.beta1", number(Interval::BELOW_ONE, "0.9"), Value("0.9"), "Decay of the mean of gradients.").known_as(&["adam_beta1"]),
    key("train.adam.beta2", number(Interval::BELOW_ONE, "0.999"), Value("0.999"), "Decay of the mean of their squares.").known_as(&["adam_beta2"]),
    key("train.adam.eps", number(Interval::POSITIVE, "1e-8"), Value("1e-8"), "Added to the root of the mean of squares.").known_as(&["adam_epsilon", "epsilon"]),
    key("train.adam.state", one_of(AdamState::NAMES), Value("\"f32\""), "How both means are held: 8bit takes a quarter of the memory and codes each block of 256 by its greatest (arXiv 2110.02861); weights of fewer than 4096 numbers keep f32.").known_as(&["optim", "optimizer", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit"]),
    key("train.max_grad_norm", number(Interval::POSITIVE, "1.0"), Value("1.0"), "Gradients are scaled down to this norm over all trained weights.").known_as(&["clip", "grad_clip", "gradient_clipping"]),
    key("train.schedule", Kind::Table, Nothing, "The course of the learning rate."),
    key("train.schedule.kind", one_of(ScheduleKind::NAMES), Value("\"linear\""), "The course after the warm-up.").known_as(&["lr_scheduler_type"]),
    key("train.schedule.warmup", Kind::FractionOrCount { unit: "steps" }, Value("0"), "Steps of rising learning rate from 0, or their fraction of all.").known_as(&["warmup_ratio", "warmup_steps"]),
    key("train.checkpoint", Kind::Table, Nothing, "What a stopped run goes on from."),
    key("train.checkpoint.every", at_least(1), Value("100"), "Steps from one checkpoint to the next.").known_as(&["save_steps"]),
    key("train.checkpoint.keep", at_least(1), Value("2"), "How many of the newest stay.").known_as(&["save_total_limit"]),
    key("train.evaluate", Kind::Table, Nothing, "Loss on test rows during training."),
    key("train.evaluate.every", at_least(0), Value("0"), "Steps from one evaluation to the next; 0: only at the end.").known_as(&["eval_steps"]),
    key("train.evaluate.rows", at_least(1), Value("200"), "The most test rows of one evaluation."),

    key("evaluate", Kind::Table, Nothing, "Scores of the models' answers on the test rows."),
    key("evaluate.metrics", Kind::Choices { now: Metric::NAMES }, Value("[\"exact-match\", \"rouge-l\", \"chrf\", \"perplexity\"]"), "The scores; rouge without -word counts characters, which suits Chinese; bleu chooses its tokenizer by the references."),
    key("evaluate.strategies", Kind::NamedTables, Depends("{ greedy = {} }"), "Ways of decoding, by names of your own: each a table of generation parameters as transformers names them."),
    key("evaluate.systems", Kind::Choices { now: System::NAMES }, Depends("[\"base\", \"tuned\"]; [\"tuned\"] with [model.create]"), "The models to score."),
    key("evaluate.rows", at_least(1), Value("200"), "The most test rows to answer."),
    key("evaluate.max_new_tokens", size(), Value("128"), "The longest answer, where a strategy does not say."),
    key("evaluate.batch", size(), Value("16"), "Prompts that are answered together.").known_as(&["batch_size", "per_device_eval_batch_size"]),
    key("evaluate.forgetting", Kind::Later { now: "now: a second recipe whose test rows are that set" }, Nothing, "A set that the model should not get worse on."),

    key("report", Kind::Table, Nothing, "The HTML page."),
    key("report.language", one_of(Language::NAMES), Value("\"en\""), "Its language."),
    key("report.examples", at_least(0), Value("12"), "Answers shown side by side."),

    key("collect", Kind::Table, Nothing, "Where the documents of a data set come from; for luthier build."),
    key("collect.web", Kind::Table, Nothing, "Pages to crawl, for luthier collect web; they land in pages.warc.gz, which then is a source."),
    key("collect.web.start", Kind::Texts, Required, "Addresses where the crawl begins.").known_as(&["urls", "start_urls", "seeds"]),
    key("collect.web.hosts", Kind::Texts, Depends("those of the start pages"), "Hosts it stays inside, with their port where that is not the usual one.").known_as(&["allowed_domains"]),
    key("collect.web.allow", Kind::Texts, Nothing, "Regular expressions of which an address must fit one; start pages need not."),
    key("collect.web.deny", Kind::Texts, Nothing, "Regular expressions of which an address must fit none."),
    key("collect.web.depth", at_least(0), Value("3"), "How many links away from a start page.").known_as(&["max_depth"]),
    key("collect.web.pages", at_least(1), Value("1000"), "The most addresses that are asked for.").known_as(&["max_pages"]),
    key("collect.web.delay", number(Interval::NOT_NEGATIVE, "1.0"), Value("1.0"), "Seconds between two requests to a host; robots.txt may ask for more.").known_as(&["download_delay"]),
    key("collect.web.timeout", number(Interval::POSITIVE, "30.0"), Value("30.0"), "Seconds that an answer may take."),
    key("collect.web.retries", Kind::Integer { least: 0, most: 20 }, Value("3"), "How often a request is sent again that failed or was put off, each time after a longer pause."),
    key("collect.web.patience", number(Interval::POSITIVE, "60.0"), Value("60.0"), "Seconds of the longest pause; a server that asks for a longer one is not asked again."),
    key("collect.web.page_bytes", Kind::Integer { least: 1024, most: 1 << 30 }, Value("8388608"), "The most bytes of a page."),
    key("collect.web.user_agent", Kind::Text, Depends("luthier and its version"), "How the crawler calls itself; robots.txt is read for its first word."),
    key("collect.common-crawl", Kind::Table, Nothing, "Records to read out of Common Crawl, for luthier collect common-crawl; they land in pages.warc.gz, which then is a source."),
    key("collect.common-crawl.urls", Kind::Texts, Required, "Addresses to look up: \"example.com/page\" is one, \"example.com/path/*\" all that begin so, \"example.com/*\" a host, \"*.example.com\" a domain with all its hosts.").known_as(&["url", "patterns"]),
    key("collect.common-crawl.crawls", Kind::Texts, Value("[\"latest\"]"), "Crawls in the order in which they are looked through, such as \"CC-MAIN-2024-22\"; latest is the newest one, asked for once and kept in DIR/index."),
    key("collect.common-crawl.languages", Kind::Texts, Nothing, "Languages of which a page must be in one, by the codes of the index: [\"zho\", \"eng\"]."),
    key("collect.common-crawl.mime", Kind::Texts, Value("[\"text/html\", \"application/xhtml+xml\", \"text/plain\"]"), "Media types of which the stated or the recognised one must be one."),
    key("collect.common-crawl.status", Kind::Integer { least: 100, most: 599 }, Value("200"), "The status with which the page was answered."),
    key("collect.common-crawl.from", Kind::Text, Nothing, "The earliest moment of a capture: 2024, 202405 or more digits of YYYYMMDDhhmmss."),
    key("collect.common-crawl.to", Kind::Text, Nothing, "The latest moment of a capture, as from."),
    key("collect.common-crawl.captures", one_of(&["newest", "all"]), Value("\"newest\""), "Which captures of an address are taken."),
    key("collect.common-crawl.truncated", Kind::Boolean, Value("false"), "Whether captures are taken that the crawler cut short."),
    key("collect.common-crawl.limit", at_least(1), Nothing, "The most records; no more of the index is looked through than they take.").known_as(&["pages", "max_pages"]),
    key("collect.common-crawl.delay", number(Interval::NOT_NEGATIVE, "1.0"), Value("1.0"), "Seconds between two requests to a server.").known_as(&["download_delay"]),
    key("collect.common-crawl.timeout", number(Interval::POSITIVE, "120.0"), Value("120.0"), "Seconds that an answer may take."),
    key("collect.common-crawl.retries", Kind::Integer { least: 0, most: 20 }, Value("5"), "How often a request is sent again that failed or was put off, each time after a longer pause."),
    key("collect.common-crawl.patience", number(Interval::POSITIVE, "120.0"), Value("120.0"), "Seconds of the longest pause; a server that asks for a longer one is not asked again."),
    key("collect.common-crawl.record_bytes", Kind::Integer { least: 1024, most: 1 << 25 }, Value("16777216"), "The most bytes of a record, inflated."),
    key("collect.common-crawl.user_agent", Kind::Text, Depends("luthier and its version"), "How the program calls itself."),
    key("collect.common-crawl.index", Kind::Text, Value("\"https://index.commoncrawl.org\""), "The address of the index; a mirror of it will do."),
    key("collect.common-crawl.data", Kind::Text, Value("\"https://data.commoncrawl.org\""), "The address under which the archives lie; it must answer ranges of bytes."),
    key("collect.sources", Kind::Tables { like: COLLECTED }, Required, "Where documents come from, in order: each a file or folder ({ path = ... }) or a data set of the Hub ({ dataset = ... })."),
    key("collect.sources[].path", Kind::Path, Nothing, "A file, or a folder of files: JSON (array, lines, document), CSV, TSV, Parquet, text, HTML, CoNLL-U, XML, WARC with WET and WAT, ARC; also as .gz, .zst, .bz2."),
    key("collect.sources[].dataset", Kind::Text, Nothing, "A data set of the Hugging Face Hub in place of a path: \"ORG/NAME\", or \"ORG/NAME@REVISION\" with a branch, a tag or a commit. Its commit is noted in ledger and card.").known_as(&["hub", "repo", "repo_id"]),
    key("collect.sources[].files", Kind::Texts, Depends("every file of a format that is read"), "Files of the data set: patterns such as \"data/train-*.parquet\"; a star stands for any characters, slashes too.").known_as(&["data_files", "allow_patterns"]),
    key("collect.sources[].format", one_of(&FileFormat::NAMES), Value("\"auto\""), "What the files are; auto sees it from their first bytes and their names."),
    key("collect.sources[].columns", Kind::Pairs { such_as: "text = \"body\"" }, Nothing, "Columns that become fields, for rows of no known shape: field = the column's path, such as title = \"meta.title\" or choices = \"options.*.text\"; with a ? behind it, it may be missing. Without it every column is a field.").known_as(&["fields", "mapping"]),
    key("collect.sources[].within", Kind::Text, Nothing, "The member of a JSON document whose list holds the rows; \"*\" where the members themselves are the rows."),
    key("collect.sources[].text_by", one_of(&["line", "paragraph", "file"]), Value("\"paragraph\""), "What is a document in a plain text."),
    key("collect.sources[].header", Kind::Texts, Nothing, "The names of a table's columns, where its first line is not a header."),
    key("collect.sources[].encoding", Kind::Text, Nothing, "The encoding, such as \"big5\"; by default seen from the bytes."),
    key("collect.sources[].xml", Kind::Table, Nothing, "Where the records of XML files lie."),
    key("collect.sources[].xml.record", Kind::Text, Required, "The element that is a record, such as \"tw-patent-grant\"."),
    key("collect.sources[].xml.fields", Kind::Pairs { such_as: "title = \"invention-title/chinese-title\"" }, Required, "Fields and the paths of their elements below the record; @name takes an attribute, * is any element."),
    key("collect.sources[].licence", Kind::Text, Nothing, "The licence as the publisher states it, for the data card; of a data set of the Hub its README says it.").known_as(&["license"]),
    key("collect.sources[].about", Kind::Text, Nothing, "What it is and where it is from; for the data card.").known_as(&["description"]),

    key("build", Kind::Table, Nothing, "How documents become the rows of a data set; for luthier build."),
    key("build.about", Kind::Text, Nothing, "What the data set is; for its card.").known_as(&["description"]),
    key("build.clean", Kind::Tables { like: "build.clean[]" }, Nothing, "Steps of cleaning, each with the options that belong to it, in order."),
    key("build.clean[].step", one_of(StepName::NAMES), Required, "Which step."),
    key("build.clean[].over", Kind::Texts, Depends("all that hold running text; text for clean-lines"), "The fields it looks at.").known_as(&["fields", "columns"]),
    key("build.clean[].form", one_of(NormalFormName::NAMES), Depends("nfc"), "Of normalise: the Unicode normal form; nfkc-but-punctuation leaves Chinese punctuation wide."),
    key("build.clean[].most_lost", number(Interval::SHARE, "0.001"), Depends("0.001"), "Of mojibake: the greatest share of characters that may be U+FFFD."),
    key("build.clean[].select", Kind::Pairs { such_as: "title = \"h1\"" }, Nothing, "Of select: fields and the CSS selectors of a page; @name behind one takes an attribute, a ? at the end allows that there is none."),
    key("build.clean[].keep", Kind::Texts, Nothing, "Of language: codes such as [\"zh\", \"en\"]; of script: [\"traditional\"] or [\"simplified\"]."),
    key("build.clean[].confidence", number(Interval::SHARE, "0.5"), Depends("0.0"), "Of language: how sure the detector must be."),
    key("build.clean[].share", number(Interval::SHARE, "0.9"), Depends("0.9"), "Of script: the least share of telling characters in that script."),
    key("build.clean[].keep_unknown", Kind::Boolean, Depends("true"), "Of script: whether documents without a telling character stay."),
    key("build.clean[].to", one_of(&["s2t", "s2tw", "s2twp", "t2s"]), Nothing, "Of convert: OpenCC's name of the conversion; s2twp writes with Taiwan's words."),
    key("build.clean[].tables", Kind::Path, Nothing, "Of convert: a folder with OpenCC's dictionaries as text, in place of those inside the program."),
    key("build.clean[].least", at_least(0), Depends("0"), "Of length: the fewest characters, white space aside; of main-text: the finder looks harder below it.").known_as(&["min", "minimum"]),
    key("build.clean[].most", at_least(1), Nothing, "Of length: the most characters.").known_as(&["max", "maximum"]),
    key("build.clean[].least_words", number(Interval::NOT_NEGATIVE, "50"), Depends("50 for quality, 3 for clean-lines"), "Of quality: the fewest words of a document; of clean-lines: of a line. Two Han characters count as a word."),
    key("build.clean[].stop_words", at_least(0), Depends("2"), "Of quality: how many different stop words there must be."),
    key("build.clean[].ends_with_mark", Kind::Boolean, Depends("true"), "Of clean-lines: whether a line must end with a mark that ends a sentence."),
    key("build.clean[].least_sentences", at_least(0), Depends("3"), "Of clean-lines: the fewest sentences of a document."),
    key("build.clean[].mask", Kind::Choices { now: &["email", "phone", "id"] }, Depends("all three"), "Of personal: what is masked; id: identity numbers of Taiwan."),
    key("build.duplicates", Kind::Table, Nothing, "Which documents count as duplicates; the first of them stays.").known_as(&["dedup"]),
    key("build.duplicates.exact", Kind::Boolean, Value("true"), "Documents that say the same but for white space."),
    key("build.duplicates.near", number(Interval::NEAR, "0.15"), Nothing, "Documents that differ from an earlier one in at most this share of their letters."),
    key("build.duplicates.over", Kind::Texts, Depends("all that hold running text"), "The fields that are compared, together."),
    key("build.split", Kind::Table, Nothing, "Which rows are held out; without it all are training rows."),
    key("build.split.test", number(Interval::BELOW_ONE, "0.05"), Value("0.05"), "The share that is held out."),
    key("build.split.by", Kind::Text, Nothing, "A field of which no value stands on both sides, such as a poem's author; by default each document goes by its id."),
    key("build.contamination", Kind::Table, Nothing, "Leaves training rows out that share a passage with a test row."),
    key("build.contamination.han", Kind::Integer { least: 4, most: 128 }, Value("15"), "The length of a passage in Chinese characters."),
    key("build.contamination.other", Kind::Integer { least: 4, most: 128 }, Value("50"), "The length of a passage in other characters."),
    key("build.contamination.over", Kind::Texts, Depends("all that hold running text"), "The fields that are compared, together."),
    key("build.contamination.against", Kind::Tables { like: COLLECTED }, Nothing, "Test sets of other origin that training rows are compared with as well; keys as in collect.sources."),
    key("build.cut", Kind::Tables { like: "build.cut[]" }, Nothing, "Fields that are cut before templates see them, where a sentence ends."),
    key("build.cut[].field", Kind::Text, Required, "The field."),
    key("build.cut[].characters", at_least(1), Required, "The most characters that stay."),
    key("build.phrasings", Kind::Tables { like: "build.phrasings[]" }, Nothing, "Ways to put the task, of which the seed draws one for each document: Jinja over its fields. Without any, documents are rows already.").known_as(&["templates", "prompts"]),
    key("build.phrasings[].instruction", Kind::Text, Required, "What is to be done."),
    key("build.phrasings[].input", Kind::Text, Value("\"\""), "What it is to be done with."),
    key("build.phrasings[].output", Kind::Text, Required, "What comes of it."),
    key("build.phrasings[].system", Kind::Text, Value("\"\""), "A system message; a row with one is written as messages."),
    key("build.phrasings[].weight", Kind::Integer { least: 1, most: 1000 }, Value("1"), "How often it is drawn in comparison to the others."),
    key("build.sample", at_least(1), Nothing, "Draws so many rows.").known_as(&["limit", "max_samples"]),
    key("build.balance", Kind::Table, Nothing, "Draws rows so that no value of a field stands out."),
    key("build.balance.by", Kind::Text, Required, "The field."),
    key("build.balance.most", at_least(1), Nothing, "At most so many rows of each value."),
    key("build.balance.level", Kind::Boolean, Value("false"), "As many rows of each value as the rarest one has."),
];

/// The declaration of a key, given with or without positions (`data.sources[2].path`).
pub fn spec(path: &str) -> Option<&'static KeySpec> {
    let mut declared = String::with_capacity(path.len());
    let mut skipping = false;
    for c in path.chars() {
        skipping = skipping && c != ']';
        if !skipping {
            declared.push(c);
        }
        skipping = skipping || c == '[';
    }
    let find = |path: &str| KEYS.iter().find(|spec| spec.path == path);
    find(&declared).or_else(|| {
        // A list of tables may take the keys of its elements from another one.
        let (list, rest) = declared.split_once("[]")?;
        match find(list)?.kind {
            Kind::Tables { like } => find(&format!("{like}{rest}")),
            _ => None,
        }
    })
}

/// The keys that stand directly in the table of that declared path; the top has the empty path.
pub(super) fn children(section: &str) -> impl Iterator<Item = &'static KeySpec> + Clone {
    KEYS.iter().filter(move |spec| spec.section() == section)
}

/// Every key with what it may hold, its default and a sentence: the text of `luthier help recipe`.
pub fn reference() -> String {
    let mut text = String::from(
        "A recipe is one TOML file. Relative paths start from the recipe's folder. Unknown keys are errors.\n",
    );
    write_section(&mut text, "");
    text
}

fn write_section(text: &mut String, section: &str) {
    let is_table = |spec: &KeySpec| matches!(spec.kind, Kind::Table);
    for spec in children(section).filter(|spec| !is_table(spec)) {
        let default = match spec.default {
            Required => String::from("required"),
            Nothing => String::from("optional"),
            Value(value) => format!("default {value}"),
            Depends(rule) => format!("default: {rule}"),
        };
        *text += &format!("\n  {}  ({default})\n", spec.name());
        *text += &match spec.kind {
            Kind::Later { now } => format!("      {}\n      Not supported yet in this version; {now}.\n", spec.help),
            kind => format!("      {}\n      Holds {kind}.\n", spec.help),
        };
        if let Kind::Choice { later, .. } = spec.kind
            && !later.is_empty()
        {
            *text += &format!("      Not yet: {}.\n", quoted(later));
        }
    }
    for spec in children(section) {
        match spec.kind {
            Kind::Table => {
                *text += &format!("\n[{}]  {}\n", spec.path, spec.help);
                write_section(text, spec.path);
            }
            Kind::Tables { like } if like.starts_with(spec.path) => {
                *text += &format!("\n[[{}]]  {}\n", spec.path, spec.help);
                write_section(text, like);
            }
            _ => {}
        }
    }
}
