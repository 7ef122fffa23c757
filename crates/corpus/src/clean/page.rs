//! Text out of pages: the main text, or what CSS selectors name.
//!
//! The main text is found by `dom_smoothie`, which follows Mozilla's Readability.js, the reader view of Firefox. Pages that would take
//! the parser without end (nested a hundred thousand deep, or very long) are turned away before they are parsed.

use dom_query::{Document as Page, Matcher};
use dom_smoothie::{Config, Readability, TextMode};

use super::{Step, Verdict};
use crate::document::Document;
use crate::error::CorpusError;

/// How large a page may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageBounds {
    /// Bytes of HTML.
    pub bytes: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Elements altogether.
    pub elements: usize,
}

impl Default for PageBounds {
    fn default() -> Self {
        PageBounds { bytes: 8 << 20, depth: 512, elements: 100_000 }
    }
}

/// Elements without an end tag, and those whose end tag pages may leave out: they count as no nesting.
const UNNESTED: [&[u8]; 29] = [
    b"area",
    b"base",
    b"br",
    b"col",
    b"embed",
    b"hr",
    b"img",
    b"input",
    b"link",
    b"meta",
    b"param",
    b"source",
    b"track",
    b"wbr",
    b"p",
    b"li",
    b"dt",
    b"dd",
    b"td",
    b"th",
    b"tr",
    b"tbody",
    b"thead",
    b"tfoot",
    b"option",
    b"html",
    b"body",
    b"head",
    b"colgroup",
];

impl PageBounds {
    /// Whether a page is within the bounds.
    ///
    /// # Errors
    /// Which bound it breaks.
    pub fn check(&self, html: &str) -> Result<(), String> {
        if html.len() > self.bytes {
            return Err(format!("the page has {} bytes, more than {}", html.len(), self.bytes));
        }
        let bytes = html.as_bytes();
        let (mut depth, mut elements) = (0usize, 0usize);
        for at in memchr::memchr_iter(b'<', bytes) {
            let rest = &bytes[at + 1..];
            let (closes, rest) = rest.strip_prefix(b"/").map_or((false, rest), |rest| (true, rest));
            let length = rest.iter().take(16).take_while(|b| b.is_ascii_alphanumeric()).count();
            if length == 0 {
                continue;
            }
            let name = &rest[..length];
            let nests = !UNNESTED.iter().any(|known| known.eq_ignore_ascii_case(name));
            if closes {
                depth = depth.saturating_sub(usize::from(nests));
            } else {
                elements += 1;
                depth += usize::from(nests);
            }
            if depth > self.depth {
                return Err(format!("its elements are nested deeper than {}", self.depth));
            }
            if elements > self.elements {
                return Err(format!("it has more than {} elements", self.elements));
            }
        }
        Ok(())
    }
}

/// Finds the main text of a page: field `html` goes, `text` and `title` come, and `author` and `published` where the page names them.
#[derive(Debug, Clone, Default)]
pub struct MainText {
    /// How large a page may be.
    pub bounds: PageBounds,
    /// The fewest characters a main text may have; the finder looks harder below it.
    pub least: usize,
}

impl Step for MainText {
    fn name(&self) -> &'static str {
        "main-text"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let Some(html) = document.fields.remove("html") else { return Verdict::Kept };
        if let Err(why) = self.bounds.check(&html) {
            return Verdict::dropped("page out of bounds", why);
        }
        let config = Config {
            text_mode: TextMode::Formatted,
            char_threshold: if self.least == 0 { 250 } else { self.least },
            max_elements_to_parse: self.bounds.elements,
            ..Config::default()
        };
        let article = Readability::new(html, None, Some(config)).and_then(|mut page| page.parse());
        let article = match article {
            Ok(article) => article,
            Err(error) => return Verdict::dropped("no main text", error.to_string()),
        };
        let text = article.text_content.trim();
        if text.is_empty() {
            return Verdict::dropped("no main text", "nothing on the page reads as its main text");
        }
        document.fields.set("title", article.title.trim());
        document.fields.set("text", text);
        for (field, found) in [("author", &article.byline), ("published", &article.published_time)] {
            if let Some(found) = found {
                document.fields.set(field, found.trim());
            }
        }
        Verdict::Changed("main text")
    }
}

/// Takes fields out of a page by CSS selectors.
pub struct Selectors {
    fields: Vec<Selected>,
    /// How large a page may be.
    pub bounds: PageBounds,
}

struct Selected {
    field: String,
    matcher: Matcher,
    attribute: Option<String>,
    optional: bool,
}

impl Selectors {
    /// Pairs of field and selector. `h1.title` takes the text of all elements that match, one a line; `a.next@href` an attribute; with a
    /// `?` behind it, a page may have no such element.
    ///
    /// # Errors
    /// When a selector does not parse.
    pub fn new<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Self, CorpusError> {
        let mut fields = Vec::new();
        for (field, selector) in pairs {
            let (selector, optional) =
                selector.strip_suffix('?').map_or((selector, false), |selector| (selector, true));
            let (selector, attribute) = match selector.rsplit_once('@') {
                Some((selector, attribute)) => (selector, Some(attribute.to_owned())),
                None => (selector, None),
            };
            let matcher = Matcher::new(selector).map_err(|error| {
                CorpusError::setting("select", format!("{selector:?} is no CSS selector: {error:?}"))
            })?;
            fields.push(Selected { field: field.to_owned(), matcher, attribute, optional });
        }
        Ok(Selectors { fields, bounds: PageBounds::default() })
    }
}

impl Step for Selectors {
    fn name(&self) -> &'static str {
        "select"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        let Some(html) = document.fields.remove("html") else { return Verdict::Kept };
        if let Err(why) = self.bounds.check(&html) {
            return Verdict::dropped("page out of bounds", why);
        }
        let page = Page::from(html);
        for Selected { field, matcher, attribute, optional } in &self.fields {
            let mut texts = Vec::new();
            for element in page.select_matcher(matcher).nodes() {
                let text = match attribute {
                    Some(name) => element.attr(name).map(|value| value.trim().to_owned()),
                    None => Some(element.formatted_text().trim().to_owned()),
                };
                texts.extend(text.filter(|text| !text.is_empty()));
            }
            if texts.is_empty() && !optional {
                return Verdict::dropped("nothing selected", format!("no element of the page gives `{field}`"));
            }
            if !texts.is_empty() {
                document.fields.set(field.as_str(), texts.join("\n"));
            }
        }
        Verdict::Changed("selected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::tests::document;

    const PAGE: &str = "<html><head><title>雨夜寄北</title></head><body><nav><a href='/a'>首頁</a> <a href='/b'>詩人</a></nav>\
        <article><h1>雨夜寄北</h1><p class='body'>君問歸期未有期，巴山夜雨漲秋池。何當共剪西窗燭，卻話巴山夜雨時。</p>\
        <p class='body'>這首詩是李商隱寫給遠方友人的，前兩句寫眼前的雨，後兩句寫將來重逢，那時再說今夜的雨。全詩用同一場雨連起今天和將來。</p>\
        </article><footer>版權所有</footer></body></html>";

    #[test]
    fn the_main_text_leaves_navigation_and_footer_behind() {
        let mut page = document(&[("html", PAGE)]);
        assert_eq!(MainText { least: 60, ..MainText::default() }.apply(&mut page), Verdict::Changed("main text"));
        let text = page.text("text");
        assert!(text.contains("巴山夜雨漲秋池") && text.contains("重逢"), "{text}");
        assert!(!text.contains("首頁") && !text.contains("版權"), "{text}");
        assert_eq!(page.text("title"), "雨夜寄北");
        assert_eq!(page.fields.get("html"), None);
    }

    #[test]
    fn selectors_take_texts_and_attributes() {
        let step =
            Selectors::new([("title", "h1"), ("body", "p.body"), ("links", "nav a@href"), ("date", "time?")]).unwrap();
        let mut page = document(&[("html", PAGE)]);
        assert_eq!(step.apply(&mut page), Verdict::Changed("selected"));
        assert_eq!(page.text("title"), "雨夜寄北");
        assert_eq!(page.text("links"), "/a\n/b");
        assert_eq!(page.text("body").lines().count(), 2, "{}", page.text("body"));
        let missing = Selectors::new([("x", "table")]).unwrap().apply(&mut document(&[("html", PAGE)]));
        assert!(matches!(missing, Verdict::Dropped(reason) if reason.label == "nothing selected"));
        assert!(Selectors::new([("x", "p[")]).is_err());
    }

    #[test]
    fn pages_without_end_are_turned_away_before_they_are_parsed() {
        let bounds = PageBounds::default();
        let deep = "<div>".repeat(10_000_000 / 5);
        assert!(bounds.check(&deep[..4_000_000]).unwrap_err().contains("nested deeper"));
        assert!(bounds.check(&"<p>x".repeat(200_000)).unwrap_err().contains("elements"));
        assert!(bounds.check(&"x".repeat(9 << 20)).unwrap_err().contains("bytes"));
        assert_eq!(bounds.check(&"<ul>".repeat(3)), Ok(()));
        assert_eq!(bounds.check(&"<ul><li>x<li>y</ul>".repeat(3000)), Ok(()));
    }
}
