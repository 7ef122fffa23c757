//! Which files of a published data set hold its rows: those whose names are of a format that is read, but not what says something of
//! the set itself.

use std::path::Path;

use super::FileFormat;

/// Files that describe a data set, as they are called on the Hugging Face Hub and elsewhere.
const ABOUT: [&str; 6] =
    ["dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json", "croissant.json"];

/// How the names of texts begin that are not the data.
const TEXTS: [&str; 6] = ["readme", "license", "licence", "notice", "citation", "requirements"];

impl FileFormat {
    /// Whether a file of that name, with its folders, holds rows of a data set.
    #[must_use]
    pub fn holds_rows(name: &str) -> bool {
        let own = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let is_about = ABOUT.contains(&own.as_str()) || TEXTS.iter().any(|begin| own.starts_with(begin));
        let is_hidden = name.split('/').any(|part| part.starts_with('.'));
        let is_data = Self::of_name(Path::new(name)).is_some() && !own.ends_with(".md");
        is_data && !is_about && !is_hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_from_what_is_said_of_them() {
        for data in ["data/train-00000-of-00002.parquet", "rows.jsonl.gz", "a.csv", "poems.txt", "tw/詩.json"] {
            assert!(FileFormat::holds_rows(data), "{data}");
        }
        for other in [
            "README.md",
            "notes.md",
            "LICENSE.txt",
            "dataset_infos.json",
            ".cache/a.json",
            "data/.a.json",
            "a.png",
            "a.py",
            "a.arrow",
        ] {
            assert!(!FileFormat::holds_rows(other), "{other}");
        }
    }
}
