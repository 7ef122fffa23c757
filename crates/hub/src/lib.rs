//! Models and data sets by their names on the Hugging Face Hub.
//!
//! A person writes `ORG/NAME` or `ORG/NAME@REVISION` where a folder could stand ([`RepoName`]; a folder that exists wins). [`Hub::find`]
//! gives the folder it means: one of the Hub's ordinary cache, which Python's programs share, filled with just the files that are
//! needed ([`Want`]). A commit that is there is used without a question; the Hub is asked once for the commit of a branch, and where
//! it cannot be reached the commit of last time serves. Offline no socket is ever opened: there is no client then.
//!
//! A data set ([`Hub::data_set`]) is any of the files of its repository, picked by patterns; beside the names of its files comes the
//! licence that its README states.
//!
//! How servers are asked at all, here and by those who collect pages, says [`http`].
//!
//! A file lies under the hash of its bytes (`blobs`), a commit is a folder of links to them (`snapshots`), and `refs` says which
//! commit a branch was at last. A file that is fetched grows beside its place, is checked, and takes it by a rename; one that broke off
//! goes on where it stopped. A branch is noted only when all its files are there.
//!
//! ```
//! use luthier_hub::RepoName;
//!
//! let name = RepoName::parse("Qwen/Qwen2.5-0.5B@refs/pr/1")?;
//! assert_eq!((name.id(), name.revision()), ("Qwen/Qwen2.5-0.5B", "refs/pr/1"));
//! assert!(RepoName::parse("./models").is_err());
//! # Ok::<(), luthier_hub::HubError>(())
//! ```

#![forbid(unsafe_code)]

mod cache;
mod client;
mod data_set;
mod download;
mod error;
mod front_matter;
pub mod http;
mod hub;
mod listing;
mod name;
mod needs;
mod settings;

pub use data_set::{DataSet, Pick};
pub use error::HubError;
pub use hub::{Found, Hub, Origin, Progress};
pub use name::{RepoKind, RepoName};
pub use needs::Want;
pub use settings::{Settings, Token};
