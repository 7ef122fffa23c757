//! From a name to a folder: what is cached, what is asked, what is fetched.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::cache::{Cached, RepoCache};
use crate::client::Client;
use crate::download::Download;
use crate::error::HubError;
use crate::listing::Listing;
use crate::name::RepoName;
use crate::needs::{Want, model_weights, shards};
use crate::settings::Settings;

/// Hears how a download goes.
type Watch = Box<dyn Fn(&Progress<'_>) + Send + Sync>;

/// The Hub and its cache.
pub struct Hub {
    pub(crate) settings: Settings,
    watch: Option<Watch>,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// `ORG/NAME`.
    pub repo: &'a str,
    /// The file that grows now.
    pub file: &'a str,
    /// Bytes that are there, of all files that are fetched together.
    pub done: u64,
    /// Bytes of all of them.
    pub total: u64,
}

/// The folder of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The folder.
    pub dir: PathBuf,
    /// Which commit of the Hub it is; none for a folder of the user's.
    pub origin: Option<Origin>,
    /// What the user should know: that the Hub could not be asked.
    pub notice: Option<String>,
}

/// Where a folder of the cache comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `ORG/NAME`.
    pub repo: String,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit that it is.
    pub commit: String,
    /// Bytes of the model's weights on the Hub, where it was asked and said so; they may be there or not.
    pub weights: Option<u64>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Display for Origin {
    /// `ORG/NAME@COMMIT`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.commit)
    }
}

impl Hub {
    /// A Hub that is used so. Nothing is opened yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, watch: None }
    }

    /// The same with somebody who hears of downloads.
    #[must_use]
    pub fn watched(self, watch: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        Self { watch: Some(Box::new(watch)), ..self }
    }

    /// The folder that `given` means: `path`, where a folder of that name would lie, if it exists; else the model of that name. What
    /// can be no name of the Hub is a path, whether it exists or not.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn find(&self, given: &str, path: &Path, want: Want) -> Result<Found, HubError> {
        match RepoName::unless_path(given, path)? {
            None => Ok(Found { dir: path.to_owned(), origin: None, notice: None }),
            Some(repo) => self.fetch(&repo, want),
        }
    }

    /// The folder of a model of the Hub, with all that is wanted of it.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn fetch(&self, repo: &RepoName, want: Want) -> Result<Found, HubError> {
        let cache = RepoCache::new(&self.settings.cache, repo);
        let cached = cache.cached(repo);
        if let Some(cached) = cached.as_ref().filter(|cached| repo.is_commit() && cached.is_complete(want)) {
            return Ok(found(repo, cached.clone(), None, None));
        }
        if self.settings.offline {
            return self.without_network(repo, cached, want);
        }
        let client = Client::new(&self.settings)?;
        match client.listing(repo) {
            Ok(listing) => self.fill(&client, &cache, repo, &listing, want),
            Err(HubError::Unreachable { host, why }) => {
                let Some(cached) = cached.filter(|cached| cached.missing(want).is_none()) else {
                    return Err(HubError::NoNetwork { kind: repo.kind(), repo: repo.to_string(), host, why });
                };
                let commit = &cached.commit;
                let notice = format!("{host} cannot be asked ({why}); {repo} is taken from the cache, commit {commit}");
                Ok(found(repo, cached, None, Some(notice)))
            }
            Err(error) => Err(error),
        }
    }

    fn without_network(&self, repo: &RepoName, cached: Option<Cached>, want: Want) -> Result<Found, HubError> {
        let missing = match cached {
            None => format!("the revision {}", repo.revision()),
            Some(cached) => match cached.missing(want) {
                None => return Ok(found(repo, cached, None, None)),
                Some(missing) => missing,
            },
        };
        Err(self.not_cached(repo, missing))
    }

    pub(crate) fn not_cached(&self, repo: &RepoName, missing: String) -> HubError {
        let cache = self.settings.cache.clone();
        HubError::NotCached { kind: repo.kind(), repo: repo.to_string(), missing, cache }
    }

    /// Fetches what a commit has of what is wanted, small files first: where the weights are, all else is.
    fn fill(
        &self,
        client: &Client,
        cache: &RepoCache,
        repo: &RepoName,
        listing: &Listing,
        want: Want,
    ) -> Result<Found, HubError> {
        let is_there = |file: &str| listing.has(file);
        let weights = want.weights(&is_there).map_err(|missing| {
            let why = format!("it does not hold {missing}{}", want.remedy(&is_there));
            HubError::Lacks { repo: repo.id().to_owned(), why }
        })?;
        let (commit, dir) = (&listing.commit, cache.snapshot(&listing.commit));
        let index = weights.filter(|file| file.ends_with(".json"));
        let mut small = want.small_files(&is_there);
        small.extend(index);
        self.fetch_files(client, cache, repo, commit, &small)?;
        match (index, weights) {
            (Some(index), _) => {
                let shards = shards(&dir.join(index))?;
                let shards: Vec<&str> = shards.iter().map(String::as_str).collect();
                self.fetch_files(client, cache, repo, commit, &shards)?;
            }
            (None, Some(file)) => self.fetch_files(client, cache, repo, commit, &[file])?,
            (None, None) => {}
        }
        cache.note(repo, commit)?;
        let cached = Cached { commit: commit.clone(), dir };
        Ok(found(repo, cached, weight_bytes(listing), None))
    }

    /// Fetches those of these files that are not there.
    pub(crate) fn fetch_files(
        &self,
        client: &Client,
        cache: &RepoCache,
        repo: &RepoName,
        commit: &str,
        files: &[&str],
    ) -> Result<(), HubError> {
        let dir = cache.snapshot(commit);
        let missing = files.iter().filter(|file| !dir.join(file).is_file());
        let remotes = missing.map(|file| client.remote(repo, commit, file)).collect::<Result<Vec<_>, _>>()?;
        let total = remotes.iter().filter_map(|remote| remote.size).sum();
        let mut before = 0;
        for remote in &remotes {
            let mut received = |bytes: u64| {
                if let Some(watch) = &self.watch {
                    watch(&Progress { repo: repo.id(), file: &remote.file, done: before + bytes, total });
                }
            };
            Download { client, cache, repo, remote, patience: self.settings.patience }.run(&mut received)?;
            cache.link(commit, &remote.file, &remote.etag)?;
            before += remote.size.unwrap_or(0);
        }
        Ok(())
    }
}

fn found(repo: &RepoName, cached: Cached, weights: Option<u64>, notice: Option<String>) -> Found {
    let (repo, revision) = (repo.id().to_owned(), repo.revision().to_owned());
    let origin = Origin { repo, revision, commit: cached.commit, weights };
    Found { dir: cached.dir, origin: Some(origin), notice }
}

/// Bytes of a model's weights; of shards, of all files called like them.
fn weight_bytes(listing: &Listing) -> Option<u64> {
    let file = model_weights(&|file| listing.has(file))?;
    let Some(whole) = file.strip_suffix(".index.json") else { return listing.size(file) };
    let (stem, end) = whole.split_once('.')?;
    let is_shard = |name: &&str| name.starts_with(&format!("{stem}-")) && name.ends_with(&format!(".{end}"));
    listing.names().filter(is_shard).map(|name| listing.size(name)).sum()
}
