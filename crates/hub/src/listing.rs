//! What the Hub says of a revision: its commit and its files.

use serde::{Deserialize, Serialize};

use crate::error::HubError;
use crate::name::is_commit;

/// A commit and its files.
#[derive(Debug, PartialEq)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    files: Vec<(String, Option<u64>)>,
}

#[derive(Deserialize, Serialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize, Serialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
}

impl Listing {
    /// Reads the answer of `/api/models/ORG/NAME/revision/REVISION`, or of the same under `datasets`. The commit will name a folder, so it is checked.
    pub(crate) fn parse(url: &str, json: &[u8]) -> Result<Self, HubError> {
        let wrong = |answer: String| HubError::Answer { url: url.to_owned(), answer };
        let answer: Answer =
            serde_json::from_slice(json).map_err(|error| wrong(format!("with what is no list of files: {error}")))?;
        if !is_commit(&answer.sha) {
            return Err(wrong(format!("with the commit \"{}\", which is none", answer.sha.escape_debug())));
        }
        let files = answer.siblings.into_iter().map(|file| (file.rfilename, file.size)).collect();
        Ok(Self { commit: answer.sha, files })
    }

    /// The same answer again, as short as it can be.
    pub(crate) fn json(&self) -> String {
        let file = |(name, size): &(String, Option<u64>)| Sibling { rfilename: name.clone(), size: *size };
        let answer = Answer { sha: self.commit.clone(), siblings: self.files.iter().map(file).collect() };
        serde_json::to_string(&answer).expect("names and numbers")
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        self.files.iter().any(|(name, _)| name == file)
    }

    /// Bytes of a file, where the Hub says them.
    pub(crate) fn size(&self, file: &str) -> Option<u64> {
        self.files.iter().find(|(name, _)| name == file)?.1
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_could_leave_its_folder_is_refused() {
        let listing = |sha: &str| Listing::parse("http://hub", format!("{{\"sha\": \"{sha}\"}}").as_bytes());
        assert!(listing(&"a1".repeat(20)).is_ok());
        for sha in ["../../etc", "main", "", &"A1".repeat(20)] {
            assert!(matches!(listing(sha), Err(HubError::Answer { .. })), "{sha}");
        }
        assert!(Listing::parse("http://hub", b"<html>").unwrap_err().to_string().contains("http://hub"));
    }

    #[test]
    fn files_have_sizes_where_the_hub_says_them() {
        let json = format!(
            "{{\"sha\": \"{}\", \"gated\": false, \"siblings\": [{{\"rfilename\": \"a\", \"size\": 7}}, {{\"rfilename\": \"b\"}}]}}",
            "0".repeat(40)
        );
        let listing = Listing::parse("http://hub", json.as_bytes()).unwrap();
        assert_eq!((listing.has("a"), listing.has("c")), (true, false));
        assert_eq!((listing.size("a"), listing.size("b")), (Some(7), None));
        assert_eq!(listing.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Listing::parse("again", listing.json().as_bytes()).unwrap(), listing);
    }
}
