//! Running the binary, the fixtures it runs on, and what can be said of the outcome.

use std::io::Write;
use std::process::{Command, Stdio};

use luthier_fixtures::{json, repository};
use serde_json::Value;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary with these arguments.
pub(crate) fn luthier<A: AsRef<str>>(arguments: &[A]) -> Outcome {
    luthier_reading("", arguments)
}

/// Runs it with a text on stdin.
pub(crate) fn luthier_reading<A: AsRef<str>>(stdin: &str, arguments: &[A]) -> Outcome {
    run(command(arguments), stdin)
}

/// The binary with these arguments, for which the Hub is out of reach and its cache empty.
pub(crate) fn command<A: AsRef<str>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luthier"));
    command.args(arguments.iter().map(AsRef::as_ref)).current_dir(repository());
    for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "SSL_CERT_FILE"] {
        command.env_remove(name);
    }
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", repository().join("no/such/folder"));
    command
}

/// Runs a command with a text on stdin.
pub(crate) fn run(mut command: Command, stdin: &str) -> Outcome {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    // A command that refuses its arguments closes stdin unread.
    let _ = child.stdin.take().expect("stdin is piped").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("the binary ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Outcome {
    /// It ended well.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It named what is wrong with the input, printed no results, and did not panic.
    #[track_caller]
    pub(crate) fn refuses(self, parts: &[&str]) {
        assert_eq!(self.code, Some(2), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
        }
    }

    /// The JSON of each line of stdout.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

/// The models under `fixtures/models`; all have goldens, these two a tokenizer.
pub(crate) const LLAMA: &str = "fixtures/models/llama-mha-untied";
pub(crate) const QWEN: &str = "fixtures/models/qwen2-bias-tied";

/// What the Python reference computes for a fixture model.
pub(crate) fn golden(model: &str) -> Value {
    json(&repository().join(model).join("golden.json"))
}

/// A folder of the test's own, gone when it ends.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder is made");
        std::fs::write(&path, text).expect("a file is written");
        path.display().to_string()
    }

    /// A copy of a fixture model, to be spoilt.
    pub(crate) fn copy_of(&self, model: &str) -> String {
        let to = self.0.path().join("model");
        std::fs::create_dir_all(&to).expect("a folder is made");
        for entry in std::fs::read_dir(repository().join(model)).expect("a fixture") {
            let entry = entry.expect("a fixture's file");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file is copied");
        }
        to.display().to_string()
    }
}
