//! The cache of the Hub's own programs: `models--ORG--NAME`, or `datasets--ORG--NAME`, with `blobs`, `snapshots` and `refs`.
//!
//! Beside them lies in `listings` what the Hub said of a data set's commit: which files it has. The cache alone cannot tell whether all
//! are there.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::HubError;
use crate::listing::Listing;
use crate::name::{RepoName, is_commit};
use crate::needs::{Want, has_vocabulary, shards};

/// The part of the cache that a model or a data set has.
#[derive(Debug)]
pub(crate) struct RepoCache {
    dir: PathBuf,
    locks: PathBuf,
}

/// A commit that is in the cache, as far as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(crate) commit: String,
    pub(crate) dir: PathBuf,
}

impl RepoCache {
    pub(crate) fn new(cache: &Path, repo: &RepoName) -> Self {
        let name = format!("{}--{}", repo.kind().plural(), repo.id().replace('/', "--"));
        Self { locks: cache.join(".locks").join(&name), dir: cache.join(name) }
    }

    /// The commit that a revision is: itself, or what a branch was when it was asked for last.
    pub(crate) fn cached(&self, repo: &RepoName) -> Option<Cached> {
        let commit = if repo.is_commit() {
            repo.revision().to_owned()
        } else {
            let noted = fs::read_to_string(self.dir.join("refs").join(repo.revision())).ok()?;
            noted.trim().to_owned()
        };
        let dir = self.snapshot(&commit);
        (is_commit(&commit) && dir.is_dir()).then_some(Cached { commit, dir })
    }

    /// The folder of a commit.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.dir.join("snapshots").join(commit)
    }

    /// Where the bytes with that hash lie.
    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.dir.join("blobs").join(etag)
    }

    /// What the Hub said of a commit, where that was noted.
    pub(crate) fn listing(&self, commit: &str) -> Option<Listing> {
        let json = fs::read(self.listing_file(commit)).ok()?;
        Listing::parse("the cache", &json).ok().filter(|listing| listing.commit == commit)
    }

    /// Notes what the Hub says of a commit.
    pub(crate) fn note_listing(&self, listing: &Listing) -> Result<(), HubError> {
        let path = self.listing_file(&listing.commit);
        luthier_files::write_atomically(&path, |file| file.write_all(listing.json().as_bytes()))
            .map_err(HubError::write(&path))
    }

    fn listing_file(&self, commit: &str) -> PathBuf {
        self.dir.join("listings").join(format!("{commit}.json"))
    }

    /// Notes which commit a branch or tag is. Written at once, so that processes that note the same do not disturb one another; what a
    /// kill leaves of it is no commit and not followed.
    pub(crate) fn note(&self, repo: &RepoName, commit: &str) -> Result<(), HubError> {
        let path = self.dir.join("refs").join(repo.revision());
        if repo.is_commit() || fs::read_to_string(&path).is_ok_and(|noted| noted.trim() == commit) {
            return Ok(());
        }
        let folder = path.parent().expect("a revision lies in refs");
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, commit)).map_err(HubError::write(&path))
    }

    /// Lets a commit's file be that blob.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let folder = self.snapshot(commit);
        let pointer = folder.join(file);
        if pointer.exists() {
            return Ok(());
        }
        let parent = pointer.parent().unwrap_or(&folder);
        // Out of the folders inside the commit's, and out of its own and `snapshots`.
        let up = "../".repeat(2 + file.matches('/').count());
        let linked = fs::create_dir_all(parent).and_then(|()| {
            // A link whose blob somebody removed.
            if pointer.is_symlink() {
                fs::remove_file(&pointer)?;
            }
            point(&self.blob(etag), &Path::new(&up).join("blobs").join(etag), &pointer)
        });
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && pointer.exists() => Ok(()),
            linked => linked.map_err(HubError::write(&pointer)),
        }
    }

    /// Waits until no other process fetches that blob, and keeps others waiting for as long as the result lives. Where files cannot be
    /// locked there is no lock.
    pub(crate) fn lock(&self, etag: &str) -> Option<File> {
        fs::create_dir_all(&self.locks).ok()?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::options().create(true).append(true).open(path).ok()?;
        match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => file.lock().is_ok().then_some(file),
            Err(TryLockError::Error(_)) => None,
        }
    }
}

/// A symbolic link where the system has them, else another name for the same file, else a copy.
fn point(blob: &Path, relative: &Path, pointer: &Path) -> io::Result<()> {
    symlink(relative, pointer).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(drop)),
    })
}

#[cfg(unix)]
fn symlink(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(windows)]
fn symlink(to: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(to, at)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Cached {
    fn has(&self, file: &str) -> bool {
        self.dir.join(file).is_file()
    }

    /// What of `want` is not there, in words that go on after "does not hold"; none if all that is indispensable is.
    pub(crate) fn missing(&self, want: Want) -> Option<String> {
        let is_there = |file: &str| self.has(file);
        match want.weights(&is_there) {
            Err(missing) => Some(missing.to_owned()),
            Ok(Some(index)) if index.ends_with(".json") => match shards(&self.dir.join(index)) {
                Ok(shards) => shards.into_iter().find(|shard| !self.has(shard)),
                Err(error) => Some(error.to_string()),
            },
            Ok(_) => None,
        }
    }

    /// Whether nobody needs to be asked: all that is indispensable is there, and what is not is not the tokenizer, which others who
    /// fill the cache may have left out.
    pub(crate) fn is_complete(&self, want: Want) -> bool {
        let is_there = |file: &str| self.has(file);
        self.missing(want).is_none() && (want == Want::Adapter || has_vocabulary(&is_there) || !self.has("config.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(files: &[&str]) -> (tempfile::TempDir, Cached) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), r#"{"weight_map": {"a": "m-1.bin", "b": "m-2.bin"}}"#).unwrap();
        }
        let dir = folder.path().to_owned();
        (folder, Cached { commit: "0".repeat(40), dir })
    }

    #[test]
    fn weights_of_which_a_shard_is_missing_are_not_there() {
        let (_folder, some) = cached(&["config.json", "pytorch_model.bin.index.json", "m-2.bin"]);
        assert_eq!(some.missing(Want::Model).as_deref(), Some("m-1.bin"));
        assert_eq!(some.missing(Want::Description), None);
        let (_folder, all) = cached(&["config.json", "pytorch_model.bin.index.json", "m-1.bin", "m-2.bin"]);
        assert_eq!(all.missing(Want::Model), None);
    }

    #[test]
    fn a_model_without_any_tokenizer_serves_but_is_not_complete() {
        let (_folder, bare) = cached(&["config.json", "model.safetensors"]);
        assert_eq!((bare.missing(Want::Model), bare.is_complete(Want::Model)), (None, false));
        let (_folder, whole) = cached(&["config.json", "model.safetensors", "tokenizer.json"]);
        assert!(whole.is_complete(Want::Model));
    }

    #[test]
    fn a_noted_branch_that_names_no_commit_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let repo = RepoName::parse("org/small").unwrap();
        let cache = RepoCache::new(folder.path(), &repo);
        let refs = folder.path().join("models--org--small/refs");
        fs::create_dir_all(&refs).unwrap();
        fs::create_dir_all(folder.path().join("models--org--small/snapshots")).unwrap();
        fs::write(refs.join("main"), "..").unwrap();
        assert_eq!(cache.cached(&repo), None);
        let commit = "a".repeat(40);
        fs::create_dir_all(cache.snapshot(&commit)).unwrap();
        cache.note(&repo, &commit).unwrap();
        assert_eq!(cache.cached(&repo).unwrap().commit, commit);
        assert_eq!(fs::read_to_string(refs.join("main")).unwrap(), commit);
    }

    #[test]
    fn a_commits_file_is_a_link_to_its_blob_that_survives_a_move_of_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let repo = RepoName::parse("org/small").unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let cache = RepoCache::new(&here, &repo);
        fs::create_dir_all(cache.blob("x").parent().unwrap()).unwrap();
        fs::write(cache.blob("abc"), "bytes").unwrap();
        let commit = "b".repeat(40);
        cache.link(&commit, "config.json", "abc").unwrap();
        cache.link(&commit, "config.json", "abc").unwrap();
        cache.link(&commit, "data/deep/rows.jsonl", "abc").unwrap();
        fs::rename(&here, &there).unwrap();
        let moved = RepoCache::new(&there, &repo).snapshot(&commit);
        for file in ["config.json", "data/deep/rows.jsonl"] {
            assert_eq!(fs::read_to_string(moved.join(file)).unwrap(), "bytes", "{file}");
        }
    }
}
