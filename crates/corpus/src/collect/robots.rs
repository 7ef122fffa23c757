//! robots.txt, as RFC 9309 has it, and its crawl-delay.

use std::time::Duration;

/// The rules of one host for this crawler.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Robots {
    rules: Vec<Rule>,
    /// How long to wait between requests, where that is asked.
    pub(super) delay: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    allow: bool,
    pattern: String,
}

/// Of longer files the rest does not count (RFC 9309, section 2.5).
const LONGEST: usize = 500 << 10;

/// A longer delay is as good as a refusal; so much is waited.
const LONGEST_DELAY: f64 = 120.0;

impl Robots {
    /// Everything is allowed.
    pub(super) fn open() -> Self {
        Robots::default()
    }

    /// Nothing is allowed: the host cannot say what it wants.
    pub(super) fn closed() -> Self {
        Robots { rules: vec![Rule { allow: false, pattern: "/".to_owned() }], delay: None }
    }

    /// The rules of the groups for `agent`, such as `luthier`; without any, those for `*`.
    pub(super) fn parse(agent: &str, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
        let (mut own, mut all) = (Robots::default(), Robots::default());
        let (mut for_own, mut for_all, mut is_named) = (false, false, false);
        let mut naming = false;
        for line in text.trim_start_matches('\u{FEFF}').lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if key == "user-agent" {
                if !naming {
                    (for_own, for_all) = (false, false);
                }
                naming = true;
                let product: String =
                    value.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
                for_own |= product.eq_ignore_ascii_case(agent);
                for_all |= value == "*";
                is_named |= for_own;
                continue;
            }
            naming = false;
            let groups = [(for_own, &mut own), (for_all, &mut all)];
            for group in groups.into_iter().filter(|(holds, _)| *holds).map(|(_, group)| group) {
                match key.as_str() {
                    "allow" | "disallow" if !value.is_empty() => {
                        group.rules.push(Rule { allow: key == "allow", pattern: value.to_owned() });
                    }
                    "crawl-delay" => {
                        let seconds = value.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
                        group.delay = seconds.map(|seconds| Duration::from_secs_f64(seconds.min(LONGEST_DELAY)));
                    }
                    _ => {}
                }
            }
        }
        if is_named { own } else { all }
    }

    /// Whether a path, with its query, may be asked for: the longest pattern decides, and of two equally long ones the one that allows.
    pub(super) fn allows(&self, path: &str) -> bool {
        let matching = self.rules.iter().filter(|rule| matches(&rule.pattern, path));
        matching.max_by_key(|rule| (rule.pattern.len(), rule.allow)).is_none_or(|rule| rule.allow)
    }
}

/// Whether a pattern with `*` and a closing `$` fits the beginning of a path.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, to_end) = pattern.strip_suffix('$').map_or((pattern, false), |pattern| (pattern, true));
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return !to_end || rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() && to_end {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_decides_and_allow_wins_a_draw() {
        let text = "User-agent: *\nDisallow: /private/\nAllow: /private/open\nDisallow: /*.pdf$\nDisallow: /q?*sort=\n\
                    Disallow: /same\nAllow: /same # a comment\n";
        let robots = Robots::parse("luthier", text.as_bytes());
        for allowed in ["/", "/private/open/a", "/a.pdf?x", "/q?page=1", "/same", "/privat"] {
            assert!(robots.allows(allowed), "{allowed}");
        }
        for forbidden in ["/private/", "/private/a", "/a/b.pdf", "/q?a=1&sort=up"] {
            assert!(!robots.allows(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn a_group_for_this_crawler_stands_in_place_of_the_one_for_all() {
        let text =
            "User-agent: other\nUser-agent: Luthier/2\nCrawl-delay: 2.5\nDisallow: /a\n\nUser-agent: *\nDisallow: /\n";
        let robots = Robots::parse("luthier", text.as_bytes());
        assert!(!robots.allows("/a") && robots.allows("/b"));
        assert_eq!(robots.delay, Some(Duration::from_millis(2500)));
        assert!(!Robots::parse("another", text.as_bytes()).allows("/b"));
        assert!(Robots::parse("luthier", b"").allows("/"));
        assert!(Robots::parse("luthier", b"User-agent: *\nDisallow:\n").allows("/x"));
        assert!(!Robots::closed().allows("/") && Robots::open().allows("/"));
    }
}
