//! The few lines of YAML at the head of a README of the Hub, of which one key is wanted.

/// The licence that a README states: `license: mit`, a list of several, or the name of one of its own where it is `other`.
pub(crate) fn licence(readme: &str) -> Option<String> {
    let mut lines = readme.trim_start_matches('\u{FEFF}').lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let matter: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let licence = values(&matter, "license").join(", ");
    let own = values(&matter, "license_name").join(", ");
    match (licence.as_str(), own.as_str()) {
        ("" | "other", "") => (!licence.is_empty()).then_some(licence),
        ("" | "other", _) => Some(own),
        _ => Some(licence),
    }
}

/// The values of a key at the left edge: behind it, in brackets, or below it with hyphens.
fn values(matter: &[&str], key: &str) -> Vec<String> {
    let behind = |line: &&str| line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')).map(str::to_owned);
    let Some(at) = matter.iter().position(|line| behind(line).is_some()) else { return Vec::new() };
    let first = behind(&matter[at]).unwrap_or_default();
    let first = first.split(" #").next().unwrap_or_default().trim();
    let below = || matter[at + 1..].iter().map_while(|line| line.trim_start().strip_prefix("- "));
    let list: Vec<&str> = match first.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        Some(list) => list.split(',').collect(),
        None if first.is_empty() => below().collect(),
        None => vec![first],
    };
    let plain = list.into_iter().map(|value| value.trim().trim_matches(['"', '\'']).to_owned());
    plain.filter(|value| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_read_however_it_is_written() {
        let read = |matter: &str| licence(&format!("---\n{matter}\n---\n# A data set\nlicense: none of it\n"));
        for (matter, expected) in [
            ("license: cc-by-4.0", Some("cc-by-4.0")),
            ("language:\n- zh\nlicense: \"mit\"  # ours", Some("mit")),
            ("license:\n- mit\n- apache-2.0\ntags:\n- poems", Some("mit, apache-2.0")),
            ("license: [mit, 'odc-by']", Some("mit, odc-by")),
            ("license: other\nlicense_name: poets\nlicense_link: LICENSE", Some("poets")),
            ("license: other", Some("other")),
            ("dataset_info:\n  license: inner", None),
            ("tags: []", None),
        ] {
            assert_eq!(read(matter).as_deref(), expected, "{matter}");
        }
        assert_eq!(licence("\u{FEFF}---\r\nlicense: mit\r\n---\r\n").as_deref(), Some("mit"));
        for none in ["", "# A data set\n---\nlicense: mit\n---\n", "---\n---\n"] {
            assert_eq!(licence(none), None, "{none}");
        }
    }
}
