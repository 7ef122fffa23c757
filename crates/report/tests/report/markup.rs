//! A page is sound when its tags nest, its ids are unique, its references lead somewhere on it, and nothing is loaded from outside.

use std::collections::BTreeSet;

const VOID: [&str; 5] = ["meta", "link", "br", "img", "input"];

/// Everything below holds for our own markup only because every text of the data is escaped: a `<` is always ours.
pub(crate) fn assert_sound(html: &str) {
    let body = html.strip_prefix("<!doctype html>").expect("a page begins with its doctype");
    let style = body.find("<style>").zip(body.find("</style>")).expect("the style stands in the page");
    let css = &body[style.0..style.1];
    assert!(!css.contains("url(http") && !css.contains("@import"), "the style loads something");
    let without_style = format!("{}{}", &body[..style.0], &body[style.1 + "</style>".len()..]);
    let tags = tags(&without_style);
    assert_nested(&tags);
    assert_references(&tags);
    let known: BTreeSet<char> = ['\n', '\t'].into();
    assert!(body.chars().all(|c| !c.is_control() || known.contains(&c)), "a control character is on the page");
}

fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag is closed").0).collect()
}

fn assert_nested(tags: &[&str]) {
    let mut open = Vec::new();
    for tag in tags {
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "not a tag of ours: <{tag}>");
        assert!(!["script", "iframe", "object", "img"].contains(&name), "<{tag}> on the page");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes something else");
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn assert_references(tags: &[&str]) {
    let values = |attribute: &str| -> Vec<String> {
        let start = format!(" {attribute}=\"");
        tags.iter().filter_map(|tag| Some(tag.split_once(&start)?.1.split('"').next()?.to_owned())).collect()
    };
    let ids = values("id");
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an id stands twice");
    for reference in values("aria-labelledby").iter().flat_map(|ids| ids.split(' ')) {
        assert!(unique.contains(&reference.to_owned()), "nothing has the id {reference}");
    }
    for link in values("href") {
        let local = link.strip_prefix('#').is_some_and(|id| unique.contains(&id.to_owned()));
        assert!(local || link == "data:,", "a link leads off the page: {link}");
    }
    assert!(values("src").is_empty(), "something is loaded");
}
