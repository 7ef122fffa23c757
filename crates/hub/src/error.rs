//! What can go wrong between a name and its files, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::name::RepoKind;

/// Why a model or a data set of the Hub cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The text can be no name.
    #[error("\"{name}\" is {} on the Hub: {why}", match kind {
        RepoKind::Model => "neither a folder nor the name of a model",
        RepoKind::DataSet => "no name of a data set",
    })]
    Name {
        /// What was to be named.
        kind: RepoKind,
        /// As given.
        name: String,
        /// Which rule it breaks.
        why: String,
    },
    /// No such model or data set that this account may see, and no folder of that name.
    #[error(
        "there is {} on {endpoint}{}",
        match kind {
            RepoKind::Model => format!("neither a folder {repo} nor a model of that name"),
            RepoKind::DataSet => format!("no data set {repo}"),
        },
        if *token { ", or the account of your token may not see it" } else {
            "; if it is private or gated, give a token of an account that may read it in HF_TOKEN"
        }
    )]
    NotFound {
        /// What was asked for.
        kind: RepoKind,
        /// `ORG/NAME`.
        repo: String,
        /// The Hub that was asked.
        endpoint: String,
        /// Whether a token was shown.
        token: bool,
    },
    /// The name is that of the other kind.
    #[error("{repo} is a {} on {endpoint}, not a {}{}", kind.other().noun(), kind.noun(), match kind {
        RepoKind::Model => "; a recipe takes data sets in collect.sources, as dataset = \"ORG/NAME\"",
        RepoKind::DataSet => "; name the data set itself, whose address on the Hub begins with /datasets/",
    })]
    OtherKind {
        /// What was asked for.
        kind: RepoKind,
        /// `ORG/NAME`.
        repo: String,
        /// The Hub that was asked.
        endpoint: String,
    },
    /// It has no such branch, tag or commit.
    #[error(
        "{repo} has no revision \"{revision}\"; the branches and tags it has are listed at {endpoint}/{}{repo}/tree/main",
        kind.prefix()
    )]
    NoRevision {
        /// What was asked for.
        kind: RepoKind,
        /// `ORG/NAME`.
        repo: String,
        /// What was asked for.
        revision: String,
        /// The Hub that was asked.
        endpoint: String,
    },
    /// Its licence has to be accepted first.
    #[error(
        "{repo} is gated: {}, and accept its licence at {endpoint}/{}{repo} with that account",
        if *token { "the account of your token may not read it yet; log in" } else {
            "it needs a token; make one at https://huggingface.co/settings/tokens, give it in HF_TOKEN"
        },
        kind.prefix()
    )]
    Gated {
        /// What was asked for.
        kind: RepoKind,
        /// `ORG/NAME`.
        repo: String,
        /// The Hub that was asked.
        endpoint: String,
        /// Whether a token was shown.
        token: bool,
    },
    /// The token is none, or not any more.
    #[error(
        "{endpoint} does not know the token (HF_TOKEN, or the one that `hf auth login` stored); make a new one or take it away"
    )]
    Token {
        /// The Hub that was asked.
        endpoint: String,
    },
    /// It is there, but not what is needed of it.
    #[error("{repo} cannot be used: {why}")]
    Lacks {
        /// `ORG/NAME`.
        repo: String,
        /// What it lacks, and what to do.
        why: String,
    },
    /// It is not in the cache, and the network is not to be used.
    #[error(
        "{}of the {} {repo} the cache {} does not hold {missing}; the network is off (HF_HUB_OFFLINE or --offline)",
        no_folder(*kind, repo),
        kind.noun(),
        cache.display()
    )]
    NotCached {
        /// What was asked for.
        kind: RepoKind,
        /// The name, with its revision.
        repo: String,
        /// What is not there.
        missing: String,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// It is not in the cache, and nobody can be asked for it.
    #[error("{}{host} cannot be asked for a {} of the name {repo}: {why}", no_folder(*kind, repo), kind.noun())]
    NoNetwork {
        /// What was asked for.
        kind: RepoKind,
        /// The name, with its revision.
        repo: String,
        /// The host.
        host: String,
        /// What the system said.
        why: String,
    },
    /// Nobody answers, or not to the end.
    #[error("{host} cannot be reached: {why}; what has arrived stays, and the same command goes on there")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system said.
        why: String,
    },
    /// The Hub answered, but not with what was asked for.
    #[error("{url} answered {answer}")]
    Answer {
        /// The address.
        url: String,
        /// Status, or what is wrong with the answer.
        answer: String,
    },
    /// A file came otherwise than the Hub says it is.
    #[error("{file} of {repo} arrived damaged: {why}; run the same command again")]
    Damaged {
        /// `ORG/NAME`.
        repo: String,
        /// The file.
        file: String,
        /// What differs.
        why: String,
    },
    /// The index of a model's weights is none.
    #[error("{} {why}; remove it to fetch it again", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that no request can be made with.
    #[error("{name} is {why}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the cache cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the cache cannot be written.
    #[error("cannot write {}: {source}; HF_HOME chooses another folder for the cache", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk is full.
    #[error(
        "no room for {}: {source}; what has arrived stays: make room, or let HF_HOME point to another disk, and run the same command again",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a folder could stand in place of a name, its absence is said first.
fn no_folder(kind: RepoKind, repo: &str) -> String {
    match kind {
        RepoKind::Model => format!("there is no folder {repo}, and "),
        RepoKind::DataSet => String::new(),
    }
}

impl HubError {
    /// Whether the user can mend it by giving something else; the others are mishaps on the way.
    pub fn is_input(&self) -> bool {
        !matches!(
            self,
            Self::NoNetwork { .. }
                | Self::Unreachable { .. }
                | Self::Answer { .. }
                | Self::Damaged { .. }
                | Self::Read { .. }
                | Self::Write { .. }
                | Self::Full { .. }
        )
    }

    /// Whether the same request may well succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| {
            use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            let path = path.to_owned();
            match source.kind() {
                StorageFull | QuotaExceeded | FileTooLarge => Self::Full { path, source },
                _ => Self::Write { path, source },
            }
        }
    }
}
