//! Values that a recipe picks from a fixed list: the list is declared once, as an enum with its names.

/// Declares an enum whose variants are written in a recipe as the given names.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant),+ }

        impl $name {
            /// Every value, as a recipe writes it.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The value as a recipe writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of that name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice! {
    /// How the rows of a file are laid out.
    RowFormat {
        /// Told row by row, from the fields.
        Auto = "auto",
        /// `instruction`, `input` (may be empty), `output`.
        Alpaca = "alpaca",
        /// `prompt`, `completion`.
        PromptCompletion = "prompt-completion",
        /// `input`, `target`.
        InputTarget = "input-target",
        /// OpenAI's `messages`, each with `role` and `content`.
        Messages = "messages",
        /// `text`, learned whole.
        Text = "text",
    }
}
choice! {
    /// Which rows a source gives.
    Part {
        /// Training rows, all of them.
        Train = "train",
        /// Held-out rows, all of them; they never reach training.
        Test = "test",
        /// Plain text for a model from scratch, divided by the split like a source without a part.
        Pretraining = "pretraining",
    }
}
choice! {
    /// A seeded generator of rows that comes with the program.
    Generator {
        /// Descriptions of invented devices and their titles, in Traditional Chinese and English.
        Devices = "devices",
    }
}
choice! {
    /// Which tokens carry a label.
    TrainOn {
        /// Every answer and its end-of-turn.
        Answers = "answers",
        /// The last answer of a conversation and its end-of-turn.
        LastAnswer = "last-answer",
        /// All that follows the last prompt, as scripts have it that only mask the prompt.
        Completion = "completion",
        /// Every token.
        All = "all",
    }
}
choice! {
    /// What becomes of a row longer than `max_length`; the ledger counts it, whichever.
    Overlong {
        /// The row is left out.
        Drop = "drop",
        /// Tokens of the prompt are cut from its front; the answer stays whole.
        TruncatePrompt = "truncate-prompt",
        /// Tokens are cut from the end, answers included.
        TruncateEnd = "truncate-end",
        /// Training does not start.
        Refuse = "refuse",
    }
}
choice! {
    /// How the split chooses its test rows.
    SplitBy {
        /// By a hash of the row: a row stays on its side when others come or go.
        Hash = "hash",
        /// The last rows of the sources.
        Order = "order",
    }
}
choice! {
    /// Which rows count as duplicates.
    Dedup {
        /// None.
        None = "none",
        /// Rows of the same text.
        Exact = "exact",
    }
}
choice! {
    /// Decoder families that can be created from scratch.
    Architecture {
        /// `LlamaForCausalLM`.
        Llama = "llama",
        /// `Qwen2ForCausalLM` (bias on query, key and value).
        Qwen2 = "qwen2",
    }
}
choice! {
    /// How frozen weights are held in memory.
    Store {
        /// 32-bit floating point.
        F32 = "f32",
        /// bfloat16.
        Bf16 = "bf16",
        /// Signed bytes, and a scale for every 128 numbers.
        Int8 = "int8",
        /// Sixteen levels, and a scale for every 64 numbers (arXiv 2305.14314).
        Nf4 = "nf4",
    }
}
choice! {
    /// The number format of saved weights.
    SaveDtype {
        /// As the base model's files have it.
        Base = "base",
        /// 32-bit floating point.
        F32 = "f32",
        /// bfloat16.
        Bf16 = "bf16",
        /// IEEE half precision.
        F16 = "f16",
    }
}
choice! {
    /// What is trained, by its name in a recipe.
    MethodName {
        /// Every weight.
        Full = "full",
        /// Low-rank terms beside frozen linear layers (arXiv 2106.09685).
        Lora = "lora",
    }
}
choice! {
    /// What the backward makes again rather than keeping it.
    RecomputeName {
        /// Nothing.
        None = "none",
        /// Norms and gated activations.
        Cheap = "cheap",
        /// Whole blocks.
        Block = "block",
    }
}
choice! {
    /// How the optimiser's running means are held in memory.
    AdamState {
        /// 8 bytes for each trained number.
        F32 = "f32",
        /// 2 bytes for each, and scales.
        EightBit = "8bit",
    }
}
choice! {
    /// The course of the learning rate after the warm-up.
    ScheduleKind {
        /// Stays at its peak.
        Constant = "constant",
        /// Falls in a straight line to zero.
        Linear = "linear",
        /// Falls along half a cosine to zero.
        Cosine = "cosine",
    }
}
choice! {
    /// A score of answers against references; names as in the evaluation's own list, and perplexity.
    Metric {
        /// Share of answers equal to the reference.
        ExactMatch = "exact-match",
        /// ROUGE-1 over characters.
        Rouge1 = "rouge-1",
        /// ROUGE-2 over characters.
        Rouge2 = "rouge-2",
        /// ROUGE-L over characters.
        RougeL = "rouge-l",
        /// ROUGE-L over words.
        RougeLWord = "rouge-l-word",
        /// BLEU as sacreBLEU computes it; the references choose the tokenizer.
        Bleu = "bleu",
        /// BLEU with sacreBLEU's tokenizer `zh`.
        BleuZh = "bleu-zh",
        /// BLEU with sacreBLEU's tokenizer `13a`.
        Bleu13a = "bleu-13a",
        /// BLEU over characters.
        BleuChar = "bleu-char",
        /// chrF as sacreBLEU computes it.
        Chrf = "chrf",
        /// chrF with words and pairs of words.
        ChrfPlusPlus = "chrf++",
        /// F1 over the characters of both answers.
        CharF1 = "char-f1",
        /// Perplexity of the reference answers.
        Perplexity = "perplexity",
    }
}
choice! {
    /// A model whose answers are scored.
    System {
        /// The base model as it came.
        Base = "base",
        /// The model after training.
        Tuned = "tuned",
    }
}
choice! {
    /// The language of the report.
    Language {
        /// English.
        En = "en",
        /// Traditional Chinese.
        ZhHant = "zh-Hant",
    }
}
choice! {
    /// A step of cleaning.
    StepName {
        /// Control characters go, line ends become one.
        ControlCharacters = "control-characters",
        /// A Unicode normal form.
        Normalise = "normalise",
        /// Text that was decoded by a wrong encoding is mended or dropped.
        Mojibake = "mojibake",
        /// The main text of a page.
        MainText = "main-text",
        /// Parts of a page by CSS selectors.
        Select = "select",
        /// Documents in given languages.
        Language = "language",
        /// Documents in one script of Chinese.
        Script = "script",
        /// From one script to the other.
        Convert = "convert",
        /// Documents of a length.
        Length = "length",
        /// Gopher's filters of quality.
        Quality = "quality",
        /// Gopher's filters of repetition.
        Repetition = "repetition",
        /// C4's filters of lines.
        CleanLines = "clean-lines",
        /// Personal data is masked.
        Personal = "personal",
    }
}
choice! {
    /// A Unicode normal form.
    NormalFormName {
        /// Composed.
        Nfc = "nfc",
        /// Compatibly composed.
        Nfkc = "nfkc",
        /// The same, while Chinese punctuation keeps its width.
        NfkcButPunctuation = "nfkc-but-punctuation",
    }
}
