//! `luthier chat` in a terminal: what a person sees who sits before it.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use luthier_fixtures::repository;
use ptyprocess::{PtyProcess, WaitStatus};

use crate::chat::ADAPTER;
use crate::command::{QWEN, command};

/// How long a screen may take to show what is waited for, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a chat in it.
struct Terminal {
    process: PtyProcess,
    keyboard: std::fs::File,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    fn open(columns: u16, rows: u16, arguments: &[&str]) -> Self {
        let mut command = command(&[&["chat"], arguments].concat());
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        let mut process = PtyProcess::spawn(command).expect("the binary starts in a terminal");
        process.set_window_size(columns, rows).expect("the terminal has a size");
        let keyboard = process.get_raw_handle().expect("the terminal has a keyboard");
        let mut from = process.get_raw_handle().expect("the terminal has a screen");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { process, keyboard, output, screen: vt100::Parser::new(rows, columns, 1000) }
    }

    fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen is as it should be; returns it.
    #[track_caller]
    fn until(&mut self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        while !is_there(&self.shown()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(error) => panic!("{what}: {error}; the screen is\n{}", self.shown()),
            }
        }
        self.shown()
    }

    /// Types a line when the prompt is there, and sees it.
    #[track_caller]
    fn types(&mut self, line: &str) {
        self.until("the prompt", |screen| screen.trim_end().ends_with("\n>") || screen.trim_end() == ">");
        self.keyboard.write_all(format!("{line}\r").as_bytes()).expect("the keyboard works");
        let echo = format!("> {line}");
        self.until("the line that was typed", |screen| screen.contains(&echo));
    }

    /// It left by itself and well.
    #[track_caller]
    fn has_left(mut self) {
        // Its terminal is gone when it is.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it stays; the screen is\n{}", self.shown()),
            }
        }
        assert!(matches!(self.process.wait(), Ok(WaitStatus::Exited(_, 0))));
    }
}

/// What of a screen is the last line that is not empty, the prompt aside.
fn last_line(screen: &str) -> &str {
    screen.lines().rev().find(|line| !line.trim().is_empty() && line.trim() != ">").unwrap_or_default()
}

#[test]
fn a_chinese_conversation_is_answered_set_and_left() {
    let mut terminal = Terminal::open(80, 50, &["--model", QWEN, "--max-new-tokens", "6", "--do-sample=false"]);
    terminal.types("你好，請說一句話。");
    let screen = terminal.until("the counts", |screen| screen.contains("tokens/s"));
    assert!(screen.contains("> 你好，請說一句話。") && screen.contains("Ctrl-C interrupts an answer"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    terminal.types("/set do_sample true");
    terminal.types("/set temperature 0.5");
    terminal.types("/show");
    terminal.until("the parameters", |screen| screen.contains("conversation  1 turns"));
    terminal.types("/set temperature 0");
    terminal.until("an error", |screen| screen.contains("\nerror: `temperature` is 0"));
    terminal.types("/quit");
    terminal.has_left();
}

#[test]
fn ctrl_c_interrupts_an_answer_keeps_what_was_said_and_the_chat_goes_on() {
    let endless = ["--model", QWEN, "--max-new-tokens", "100000", "--min-new-tokens", "100000", "--do-sample=false"];
    let mut terminal = Terminal::open(80, 50, &endless);
    terminal.types("你好");
    terminal.until("the beginning of an answer", |screen| {
        screen.lines().any(|line| {
            !line.trim().is_empty() && !line.starts_with('>') && !line.contains("Ctrl-C") && !line.contains("context")
        })
    });
    terminal.keyboard.write_all(b"\x03").expect("the keyboard works");
    terminal.until("the counts", |screen| last_line(screen).contains("interrupted]"));
    terminal.types("/show");
    terminal.until("the parameters", |screen| screen.contains("conversation  1 turns"));
    // At the prompt the first Ctrl-C is a question, the second an answer.
    terminal.until("the prompt", |screen| screen.trim_end().ends_with("\n>"));
    terminal.keyboard.write_all(b"\x03").expect("the keyboard works");
    terminal.until("the question", |screen| screen.trim_end().ends_with("Ctrl-C again leaves\n>"));
    terminal.keyboard.write_all(b"\x03").expect("the keyboard works");
    terminal.has_left();
}

#[test]
fn base_and_tuned_stand_side_by_side_where_there_is_room_and_below_each_other_where_not() {
    let adapter = repository().join(ADAPTER).display().to_string();
    let arguments = ["--model", QWEN, "--adapter", &adapter, "--max-new-tokens", "12", "--do-sample=false"];
    for (columns, together) in [(80, true), (140, true), (50, false)] {
        let mut terminal = Terminal::open(columns, 30, &arguments);
        terminal.types("/compare on");
        terminal.types("你好");
        let screen = terminal.until("both counts", |screen| screen.matches("tokens/s").count() == 2);
        let heading = screen.lines().find(|line| line.starts_with("--- base")).expect("a heading");
        assert_eq!(heading.contains("--- tuned"), together, "{columns} columns:\n{screen}");
        assert_eq!(screen.contains("[base: 12 tokens"), together, "{screen}");
        assert!(screen.contains("--- tuned"), "{screen}");
        terminal.types("/quit");
        terminal.has_left();
    }
}
