//! XPath 1.0 over XML.
//!
//! The library walks elements by calling itself and trusts expressions to name only what it knows, so both
//! are looked at before it is asked. HTML is no XML and is not read: what a browser forgives is refused.

use std::fmt;

use sxd_document::Package;
use sxd_xpath::{Context, Factory, Value};

/// The largest body that is read as XML, in bytes.
pub const MOST_XML_BYTES: usize = 1 << 20;

/// How deep elements may nest.
pub const MOST_XML_DEPTH: usize = 128;

/// The most attributes of one element: setting one looks at all others.
const MOST_ATTRIBUTES: usize = 1000;

/// The longest expression, in characters.
pub const LONGEST_XPATH: usize = 1000;

/// How deep brackets may nest in an expression.
const MOST_BRACKETS: usize = 32;

/// Functions of XPath 1.0 that are there, and tests of nodes that look like them.
const FUNCTIONS: [&str; 29] = [
    "boolean",
    "ceiling",
    "comment",
    "concat",
    "contains",
    "count",
    "false",
    "floor",
    "last",
    "local-name",
    "name",
    "namespace-uri",
    "node",
    "normalize-space",
    "not",
    "number",
    "position",
    "processing-instruction",
    "round",
    "starts-with",
    "string",
    "string-length",
    "substring",
    "substring-after",
    "substring-before",
    "sum",
    "text",
    "translate",
    "true",
];

/// An XML document.
pub struct Xml(Package);

impl fmt::Debug for Xml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xml").finish_non_exhaustive()
    }
}

impl Xml {
    /// A body as XML; `None` of what is none, or is larger than [`MOST_XML_BYTES`], or nests deeper than
    /// [`MOST_XML_DEPTH`]. Entities of its own are not expanded: a document that uses one is none.
    pub fn read(body: &[u8]) -> Option<Self> {
        if body.len() > MOST_XML_BYTES {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim();
        if depth(text)? > MOST_XML_DEPTH {
            return None;
        }
        sxd_document::parser::parse(text).ok().map(Self)
    }
}

/// How deep the elements of a document nest at most. `None`: it ends within a tag, or one has too many
/// attributes. Of what is no XML it may be too much and never too little.
fn depth(text: &str) -> Option<usize> {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        rest = if let Some(comment) = rest.strip_prefix("<!--") {
            after(comment, "-->")?
        } else if rest.starts_with("<![CDATA[") {
            after(rest, "]]>")?
        } else if rest.starts_with("<?") {
            after(rest, "?>")?
        } else if let Some(declaration) = rest.strip_prefix("<!") {
            // What is in it and looks like an element counts as one.
            declaration
        } else if rest.starts_with("</") {
            open = open.saturating_sub(1);
            after(rest, ">")?
        } else {
            let tag = end_of_tag(rest)?;
            open += 1;
            deepest = deepest.max(open);
            open -= usize::from(rest[..tag].ends_with('/'));
            &rest[tag + 1..]
        };
    }
    Some(deepest)
}

/// What follows the first `end`.
fn after<'t>(text: &'t str, end: &str) -> Option<&'t str> {
    text.find(end).map(|at| &text[at + end.len()..])
}

/// Where the `>` of an opening tag stands, which is not one within a value.
fn end_of_tag(tag: &str) -> Option<usize> {
    let (mut quote, mut attributes) = (None, 0);
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return (attributes <= MOST_ATTRIBUTES).then_some(at),
            (None, b'"' | b'\'') => (quote, attributes) = (Some(byte), attributes + 1),
            (Some(begun), _) if begun == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// An XPath 1.0 expression.
#[derive(Debug)]
pub struct XPath(sxd_xpath::XPath);

impl XPath {
    /// The expression in a text.
    ///
    /// # Errors
    /// In words: it is none, or asks for what is not there: prefixes of namespaces, variables, functions that
    /// XPath 1.0 does not have.
    pub fn new(text: &str) -> Result<Self, String> {
        checked(text)?;
        match Factory::new().build(text) {
            Ok(Some(built)) => Ok(Self(built)),
            Ok(None) => Err("it is empty".to_owned()),
            Err(error) => Err(in_words(&error.to_string())),
        }
    }

    /// What it finds in a document, as text: of nodes the one that `choose` takes by its position among so
    /// many, in the order of the document; of an expression that is a text, a number or true or false, that.
    pub fn find(&self, xml: &Xml, choose: impl FnOnce(usize) -> Option<usize>) -> Option<String> {
        let document = xml.0.as_document();
        let value = self.0.evaluate(&Context::new(), document.root()).ok()?;
        match value {
            Value::Nodeset(nodes) => {
                let nodes = nodes.document_order();
                nodes.get(choose(nodes.len())?).map(|node| node.string_value())
            }
            other => choose(1).filter(|chosen| *chosen == 0).map(|_| other.into_string()),
        }
    }
}

/// The library's name of a mistake as words: `EmptyPredicate` is an empty predicate.
fn in_words(error: &str) -> String {
    let word =
        |c: char| if c.is_ascii_uppercase() { format!(" {}", c.to_ascii_lowercase()) } else { c.to_string() };
    match error.chars().all(|c| c.is_ascii_alphabetic()) {
        true => error.chars().map(word).collect::<String>().trim().to_owned(),
        false => error.to_owned(),
    }
}

/// Looks for what the library would not survive, or would only refuse when it is asked.
fn checked(text: &str) -> Result<(), String> {
    if text.chars().count() > LONGEST_XPATH {
        return Err(format!("it has more than {LONGEST_XPATH} characters"));
    }
    let (mut depth, mut quote, mut name) = (0_usize, None, String::new());
    let mut previous = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if let Some(begun) = quote {
            quote = (character != begun).then_some(begun);
            continue;
        }
        match character {
            '"' | '\'' => quote = Some(character),
            '$' => return Err("there are no variables".to_owned()),
            ':' if previous != ':' && characters.peek() != Some(&':') => {
                return Err(
                    "prefixes of namespaces are not known: write `*[local-name() = 'name']`".to_owned()
                );
            }
            '(' if !name.is_empty() && !FUNCTIONS.contains(&name.as_str()) && !is_operator(&name) => {
                return Err(format!("there is no function `{name}`"));
            }
            _ => {}
        }
        depth += usize::from(matches!(character, '(' | '['));
        depth = depth.saturating_sub(usize::from(matches!(character, ')' | ']')));
        if depth > MOST_BRACKETS {
            return Err(format!("its brackets nest deeper than {MOST_BRACKETS}"));
        }
        if character.is_alphanumeric() || matches!(character, '-' | '_' | '.') {
            if previous.is_whitespace() {
                name.clear();
            }
            name.push(character);
        } else if !character.is_whitespace() {
            name.clear();
        }
        previous = character;
    }
    Ok(())
}

/// A word that may stand before a bracket without being a function.
fn is_operator(name: &str) -> bool {
    matches!(name, "and" | "or" | "div" | "mod")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHOP: &str = r#"<?xml version="1.0"?>
        <shop><item id="a1"><price>5</price></item><!-- <item> --><item id="b2"><price>7.5</price></item><empty/></shop>"#;

    fn first(expression: &str, body: &str) -> Option<String> {
        let xml = Xml::read(body.as_bytes())?;
        XPath::new(expression).unwrap().find(&xml, |count| (count > 0).then_some(0))
    }

    #[test]
    fn expressions_find_texts() {
        for (expression, found) in [
            ("//item[2]/@id", Some("b2")),
            ("/shop/item/price", Some("5")),
            ("count(//item)", Some("2")),
            ("sum(//price)", Some("12.5")),
            ("//item[price > 6]/@id = 'b2'", Some("true")),
            ("string(//item[@id='b2']/price)", Some("7.5")),
            ("//empty", Some("")),
            ("//nothing", None),
            ("//*[local-name() = 'price' and (. > 6)]", Some("7.5")),
            ("concat('a:$(', \"[\")", Some("a:$([")),
            ("/shop/child::item/descendant::price", Some("5")),
        ] {
            assert_eq!(first(expression, SHOP).as_deref(), found, "{expression}");
        }
        let xml = Xml::read(SHOP.as_bytes()).unwrap();
        let last = XPath::new("//price").unwrap().find(&xml, |count| count.checked_sub(1));
        assert_eq!(last.as_deref(), Some("7.5"), "in the order of the document");
        let named = "<e:envelope xmlns:e='urn:e'><e:body>5</e:body></e:envelope>";
        assert_eq!(first("//*[local-name() = 'body']", named).as_deref(), Some("5"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for (expression, part) in [
            ("", "empty"),
            ("//", ""),
            ("//item[", "empty predicate"),
            ("//e:item", "prefixes"),
            ("$x", "variables"),
            ("matches(//item, 'a')", "no function `matches`"),
            ("id('a')", "no function `id`"),
            (&"(".repeat(40), "deeper than 32"),
            (&"a/".repeat(501), "more than 1000"),
        ] {
            let error = XPath::new(expression).unwrap_err();
            assert!(error.contains(part), "{expression}: {error}");
        }
    }

    #[test]
    fn what_is_no_xml_is_none() {
        for body in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<html><br></html>",
            "<a>&nbsp;</a>",
            "<a b=1/>",
            "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>",
            "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>",
        ] {
            assert!(Xml::read(body.as_bytes()).is_none(), "{body}");
        }
        assert!(Xml::read(b"<a>\xff</a>").is_none());
        assert!(Xml::read("\u{feff}<a/>".as_bytes()).is_some());
    }

    #[test]
    fn the_largest_documents_are_read_on_a_small_stack() {
        let nested = |depth: usize| "<a b='>'>".repeat(depth) + &"</a>".repeat(depth);
        let work = move || {
            assert!(Xml::read(nested(MOST_XML_DEPTH).as_bytes()).is_some());
            assert_eq!(first("//a[not(a)]/@b", &nested(MOST_XML_DEPTH)).as_deref(), Some(">"));
            assert_eq!(first("string(/)", &nested(MOST_XML_DEPTH)).as_deref(), Some(""));
            for depth in [MOST_XML_DEPTH + 1, 100_000] {
                assert!(Xml::read(nested(depth).as_bytes()).is_none());
            }
            assert!(Xml::read("<a>".repeat(MOST_XML_BYTES / 3).as_bytes()).is_none());
            let wide = format!("<a>{}</a>", "<b/>".repeat(MOST_XML_BYTES / 4 - 2));
            assert_eq!(first("count(//b)", &wide), Some((MOST_XML_BYTES / 4 - 2).to_string()));
            let attributes: String = (0..=MOST_ATTRIBUTES).map(|n| format!(" b{n}=''")).collect();
            assert!(Xml::read(format!("<a{attributes}/>").as_bytes()).is_none());
            let too_large = format!("<a>{}</a>", " ".repeat(MOST_XML_BYTES));
            assert!(Xml::read(too_large.as_bytes()).is_none());
            for long in [
                "1+".repeat(499) + "1",
                "-".repeat(999) + "1",
                "a/".repeat(499) + "a",
                "a|".repeat(499) + "a",
            ] {
                if let Ok(path) = XPath::new(&long) {
                    let _ = path.find(&Xml::read(b"<a/>").unwrap(), Some);
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
    }

    fn deepest(element: sxd_document::dom::Element<'_>) -> usize {
        let children = element.children().into_iter().filter_map(|child| child.element());
        1 + children.map(deepest).max().unwrap_or(0)
    }

    fn pieces() -> impl Strategy<Value = String> {
        const PIECES: [&str; 24] = [
            "<a>",
            "</a>",
            "<b c='>'>",
            "</b>",
            "<d/>",
            "<e f=\"</a>\"/>",
            "text",
            "<!--",
            "-->",
            "<!-- <a> -->",
            "<![CDATA[",
            "]]>",
            "<![CDATA[<a>]]>",
            "<?pi <a>?>",
            "&amp;",
            "&#x41;",
            "&x;",
            "<",
            ">",
            "/",
            "'",
            "<?xml version='1.0'?>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]>",
            "é",
        ];
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_document_is_deeper_than_it_was_taken_for(body in pieces(), wrap in any::<bool>()) {
            let body = if wrap { format!("<r>{body}</r>") } else { body };
            if let Ok(package) = sxd_document::parser::parse(body.trim()) {
                let root = package.as_document().root().children().into_iter().find_map(|child| child.element());
                let real = root.map_or(0, deepest);
                let taken = depth(body.trim());
                prop_assert!(taken.is_none_or(|taken| taken >= real), "{body}: {real} deep, taken for {taken:?}");
            }
            if let Some(xml) = Xml::read(body.as_bytes()) {
                prop_assert!(XPath::new("string(/)").unwrap().find(&xml, Some).is_none_or(|text| text.len() <= body.len()));
            }
        }

        #[test]
        fn whatever_is_asked_is_refused_or_answered(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "//", "/", "a", "*", "[", "]", "(", ")", "1", ".", "..", "@", "::", ":", "child", "text()", "'", "\"x\"", "$", "-",
                "+", "=", "!=", "<", " and ", " div ", "|", "count", "last()", "position()", ",", "not", "é", " ", "id", "namespace::*", "self",
            ]), 0..14)
        ) {
            let text = pieces.concat();
            if let Ok(path) = XPath::new(&text) {
                let _ = path.find(&Xml::read(SHOP.as_bytes()).unwrap(), Some);
            }
        }
    }
}
