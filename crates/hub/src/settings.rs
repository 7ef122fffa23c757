//! Where the Hub is, where its cache lies, and whose token is shown: the variables of Python's `huggingface_hub`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The Hub itself.
const ENDPOINT: &str = "https://huggingface.co";

/// How the Hub is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the Hub, without a slash at its end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Folder of the cache (`HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `~/.cache/huggingface/hub`).
    pub cache: PathBuf,
    /// Token of the user's account (`HF_TOKEN`, or the file that `hf auth login` writes).
    pub token: Option<Token>,
    /// Whether the cache is all there is (`HF_HUB_OFFLINE`).
    pub offline: bool,
    /// A file of certificates to trust in place of those built in (`SSL_CERT_FILE`).
    pub certificates: Option<PathBuf>,
    /// How long to wait before a download that broke off is taken up again; four times as long before each later attempt.
    pub patience: Duration,
}

/// A token; messages never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token without the white space around it; none if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Settings {
    /// What the environment says.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// What these variables say; an empty one counts as not set.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let user = get("HOME").or_else(|| get("USERPROFILE")).map_or_else(std::env::temp_dir, PathBuf::from);
        let path = |name: &str| get(name).map(|value| expanded(&value, &user));
        let home = path("HF_HOME")
            .unwrap_or_else(|| path("XDG_CACHE_HOME").unwrap_or_else(|| user.join(".cache")).join("huggingface"));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home.join("hub"));
        let on = |name: &str| get(name).is_some_and(|value| is_on(&value));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = get("HF_TOKEN").or_else(|| get("HUGGING_FACE_HUB_TOKEN")).and_then(|text| Token::new(&text));
        let stored = || std::fs::read_to_string(&token_file).ok().and_then(|text| Token::new(&text));
        Self {
            endpoint: get("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()).trim_end_matches('/').to_owned(),
            cache,
            token: if on("HF_HUB_DISABLE_IMPLICIT_TOKEN") { None } else { token.or_else(stored) },
            offline: on("HF_HUB_OFFLINE") || (get("HF_HUB_OFFLINE").is_none() && on("TRANSFORMERS_OFFLINE")),
            certificates: path("SSL_CERT_FILE"),
            patience: Duration::from_millis(250),
        }
    }
}

fn is_on(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str())
}

/// `~/x` as the user's.
fn expanded(value: &str, user: &Path) -> PathBuf {
    match value.strip_prefix('~') {
        Some("") => user.to_owned(),
        Some(rest) if rest.starts_with(['/', '\\']) => user.join(&rest[1..]),
        _ => PathBuf::from(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Settings {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::from_variables(find)
    }

    #[test]
    fn the_cache_lies_where_python_puts_it() {
        let cache = |variables: &[(&str, &str)]| with(variables).cache.display().to_string();
        assert_eq!(cache(&[("HOME", "/u")]), "/u/.cache/huggingface/hub");
        assert_eq!(cache(&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")]), "/x/huggingface/hub");
        assert_eq!(cache(&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")]), "/u/hf/hub");
        assert_eq!(cache(&[("HOME", "/u"), ("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")]), "/old");
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")]), "/new");
        assert_eq!(cache(&[("HOME", "/u"), ("HF_HUB_CACHE", "")]), "/u/.cache/huggingface/hub");
    }

    #[test]
    fn offline_is_what_python_takes_for_it() {
        let offline = |value: &str| with(&[("HF_HUB_OFFLINE", value)]).offline;
        assert!(["1", "true", "YES", "On"].into_iter().all(offline));
        assert!(!["0", "false", "", "2"].into_iter().any(offline));
        assert!(with(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(!with(&[("TRANSFORMERS_OFFLINE", "1"), ("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn a_token_comes_from_its_variable_or_its_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        std::fs::write(folder.path().join("token"), " hf_file\n").unwrap();
        let token = |variables: &[(&str, &str)]| with(variables).token.map(|token| token.secret().to_owned());
        assert_eq!(token(&[("HF_HOME", &home)]).as_deref(), Some("hf_file"));
        assert_eq!(token(&[("HF_HOME", &home), ("HF_TOKEN", "hf_mine")]).as_deref(), Some("hf_mine"));
        assert_eq!(token(&[("HF_HOME", &home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let elsewhere = folder.path().join("other").display().to_string();
        assert_eq!(token(&[("HF_HOME", &home), ("HF_TOKEN_PATH", &elsewhere)]), None);
        assert!(!format!("{:?}", with(&[("HF_TOKEN", "hf_mine")])).contains("hf_mine"));
    }

    #[test]
    fn an_endpoint_loses_the_slash_at_its_end() {
        assert_eq!(with(&[]).endpoint, "https://huggingface.co");
        assert_eq!(with(&[("HF_ENDPOINT", "http://mirror:8080/")]).endpoint, "http://mirror:8080");
    }
}
