//! A data set: which of its files are wanted, and how they come into the cache.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::cache::{Cached, RepoCache};
use crate::client::Client;
use crate::error::HubError;
use crate::front_matter;
use crate::hub::{Hub, Origin};
use crate::listing::Listing;
use crate::name::RepoName;

/// Where a data set says what it is.
const README: &str = "README.md";

/// So many files are named where none is the right one.
const NAMED: usize = 12;

/// Which files of a data set are wanted.
#[derive(Clone, Copy)]
pub enum Pick<'p> {
    /// Those whose names fit a pattern: `*` stands for any characters, `?` for one; what ends with `/` is a folder with all in it.
    /// A pattern that fits none is an error.
    Matching(&'p [String]),
    /// Those of which this is true, and at least one.
    Each(&'p dyn Fn(&str) -> bool),
}

/// A data set's files in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// The folder of the commit.
    pub dir: PathBuf,
    /// The files that are wanted, by their paths in the folder, in the order of their names.
    pub files: Vec<String>,
    /// Which commit it is.
    pub origin: Origin,
    /// The licence that its README states.
    pub licence: Option<String>,
    /// What the user should know: that the Hub could not be asked.
    pub notice: Option<String>,
}

impl Hub {
    /// The files of a data set, with its README; a commit that is there is used without a question, and offline rules are those of
    /// models.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn data_set(&self, repo: &RepoName, pick: Pick<'_>) -> Result<DataSet, HubError> {
        let cache = RepoCache::new(&self.settings.cache, repo);
        let cached = cache.cached(repo);
        if repo.is_commit()
            && let Some(cached) = &cached
            && let Some(listing) = cache.listing(&cached.commit)
        {
            let files = picked(repo, listing.names(), pick)?;
            if first_missing(cached, &listing, &files).is_none() {
                return Ok(data_set(repo, cached.clone(), files, None));
            }
        }
        if self.settings.offline {
            return self.cached_data_set(repo, &cache, cached, pick);
        }
        let client = Client::new(&self.settings)?;
        match client.listing(repo) {
            Ok(listing) => self.fill_data_set(&client, &cache, repo, &listing, pick),
            Err(HubError::Unreachable { host, why }) => {
                let mut found = self.cached_data_set(repo, &cache, cached, pick).map_err(|error| match error {
                    HubError::NotCached { kind, repo, .. } => {
                        HubError::NoNetwork { kind, repo, host: host.clone(), why: why.clone() }
                    }
                    error => error,
                })?;
                let commit = &found.origin.commit;
                let notice = format!("{host} cannot be asked ({why}); {repo} is taken from the cache, commit {commit}");
                found.notice = Some(match found.notice {
                    Some(more) => format!("{notice}; {more}"),
                    None => notice,
                });
                Ok(found)
            }
            Err(error) => Err(error),
        }
    }

    /// What the cache holds, all of it where the commit's list of files was noted.
    fn cached_data_set(
        &self,
        repo: &RepoName,
        cache: &RepoCache,
        cached: Option<Cached>,
        pick: Pick<'_>,
    ) -> Result<DataSet, HubError> {
        let Some(cached) = cached else {
            return Err(self.not_cached(repo, format!("the revision {}", repo.revision())));
        };
        if let Some(listing) = cache.listing(&cached.commit) {
            let files = picked(repo, listing.names(), pick)?;
            return match first_missing(&cached, &listing, &files) {
                Some(missing) => Err(self.not_cached(repo, missing)),
                None => Ok(data_set(repo, cached, files, None)),
            };
        }
        let mut there = Vec::new();
        names_in(&cached.dir, "", &mut there).map_err(HubError::read(&cached.dir))?;
        let files = picked(repo, there.iter().map(String::as_str), pick)
            .map_err(|_| self.not_cached(repo, "the files that are wanted".to_owned()))?;
        let notice = format!(
            "which files {repo} has was never asked from here; the {} that the cache holds are taken",
            files.len()
        );
        Ok(data_set(repo, cached, files, Some(notice)))
    }

    fn fill_data_set(
        &self,
        client: &Client,
        cache: &RepoCache,
        repo: &RepoName,
        listing: &Listing,
        pick: Pick<'_>,
    ) -> Result<DataSet, HubError> {
        let files = picked(repo, listing.names(), pick)?;
        let commit = &listing.commit;
        if listing.has(README) {
            self.fetch_files(client, cache, repo, commit, &[README])?;
        }
        let wanted: Vec<&str> = files.iter().map(String::as_str).collect();
        self.fetch_files(client, cache, repo, commit, &wanted)?;
        cache.note_listing(listing)?;
        cache.note(repo, commit)?;
        let cached = Cached { commit: commit.clone(), dir: cache.snapshot(commit) };
        Ok(data_set(repo, cached, files, None))
    }
}

fn data_set(repo: &RepoName, cached: Cached, files: Vec<String>, notice: Option<String>) -> DataSet {
    let readme = fs::read_to_string(cached.dir.join(README)).unwrap_or_default();
    let (id, revision) = (repo.id().to_owned(), repo.revision().to_owned());
    let origin = Origin { repo: id, revision, commit: cached.commit, weights: None };
    DataSet { dir: cached.dir, files, origin, licence: front_matter::licence(&readme), notice }
}

/// The first of the wanted files that is not there.
fn first_missing(cached: &Cached, listing: &Listing, files: &[String]) -> Option<String> {
    let readme = listing.has(README).then_some(README);
    let mut wanted = readme.into_iter().chain(files.iter().map(String::as_str));
    wanted.find(|file| !cached.dir.join(file).is_file()).map(str::to_owned)
}

/// The files that are wanted, each once.
fn picked<'n>(repo: &RepoName, names: impl Iterator<Item = &'n str>, pick: Pick<'_>) -> Result<Vec<String>, HubError> {
    let mut names: Vec<&str> = names.filter(|name| is_inside(name)).collect();
    names.sort_unstable();
    let lacks = |why: String| HubError::Lacks { repo: repo.id().to_owned(), why };
    let held = || {
        let more = if names.len() > NAMED { ", ..." } else { "" };
        format!("it holds {}{more}", names[..names.len().min(NAMED)].join(", "))
    };
    if let Pick::Matching(patterns) = pick
        && let Some(pattern) = patterns.iter().find(|pattern| !names.iter().any(|name| fits(pattern, name)))
    {
        return Err(lacks(format!("no file of it fits {pattern:?}; {}", held())));
    }
    let wanted = |name: &str| match pick {
        Pick::Matching(patterns) => patterns.iter().any(|pattern| fits(pattern, name)),
        Pick::Each(wanted) => wanted(name),
    };
    let files: Vec<String> = names.iter().filter(|name| wanted(name)).map(|name| (*name).to_owned()).collect();
    if files.is_empty() {
        let copy = format!("of many data sets the Hub keeps a copy in Parquet as {}@refs/convert/parquet", repo.id());
        return Err(lacks(format!("none of its files is of a format that is read; {}; {copy}", held())));
    }
    Ok(files)
}

/// Whether a name leads to a file inside the folder: it comes from the Hub, and becomes a path.
fn is_inside(name: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !name.is_empty()
        && !name.contains(['\\', ':'])
        && !name.contains(char::is_control)
        && name.split('/').all(|part| !part.is_empty())
        && Path::new(name).components().all(plain)
}

/// Whether a name fits a pattern, as Python's `fnmatch` and the Hub's own programs have it: a star passes over slashes too.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern = if pattern.ends_with('/') { format!("{pattern}*") } else { pattern.to_owned() };
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how much of the name it takes.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                None => return false,
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The names of all files under a folder of the cache.
fn names_in(dir: &Path, inside: &str, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
        if entry.path().is_dir() {
            names_in(&entry.path(), &name, names)?;
        } else if entry.path().is_file() {
            names.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_hubs_own_programs() {
        for (pattern, name, expected) in [
            ("data/train-*.parquet", "data/train-00000-of-00002.parquet", true),
            ("data/train-*.parquet", "data/test-00000-of-00001.parquet", false),
            ("*.jsonl", "deep/er/rows.jsonl", true),
            ("rows.jsonl", "rows.jsonl", true),
            ("rows.jsonl", "old/rows.jsonl", false),
            ("data/", "data/a/b.csv", true),
            ("data/", "database.csv", false),
            ("詩?.json", "詩一.json", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_not_taken() {
        let repo = RepoName::data_set("org/poems").unwrap();
        let names = [
            "../x.json",
            "/etc/x.json",
            "a/../../x.json",
            "a\\x.json",
            "C:x.json",
            "a//x.json",
            "good/x.json",
            "./x.json",
        ];
        let files = picked(&repo, names.into_iter(), Pick::Matching(&["*.json".to_owned()])).unwrap();
        assert_eq!(files, ["good/x.json"]);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let repo = RepoName::data_set("org/poems").unwrap();
        let told = |pick: Pick<'_>| picked(&repo, ["b.png", "a.zip"].into_iter(), pick).unwrap_err().to_string();
        let patterns = ["a.*".to_owned(), "train/*".to_owned()];
        assert_eq!(
            told(Pick::Matching(&patterns)),
            "org/poems cannot be used: no file of it fits \"train/*\"; it holds a.zip, b.png"
        );
        let told = told(Pick::Each(&|name| name.ends_with(".json")));
        assert!(
            told.contains("none of its files is of a format") && told.contains("org/poems@refs/convert/parquet"),
            "{told}"
        );
    }
}
