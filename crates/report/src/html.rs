//! A page about one run, or about several side by side, that needs no network.
//!
//! Style and script are part of the page. It follows the reader's choice of light or dark, prints,
//! and fits a telephone; every table has headers and every chart a text, so that it can be heard.

mod compare;
mod measured;
mod page;
mod plots;
mod single;

pub(crate) use page::Page;
pub(crate) use single::{cells, table};

use crate::Run;

/// The style sheet of every report, exactly as it stands between its tags: what a server has to know
/// to allow this one and no other by its hash.
pub const STYLE: &str = concat!("\n", include_str!("html/style.css"));

/// The script of every report, likewise. Reports read well without it.
pub const SCRIPT: &str = concat!("\n", include_str!("html/script.js"));

/// The report of runs as one HTML document.
///
/// One run is told in full. Of several, key figures, verdicts and curves are set side by side first.
pub fn html(runs: &[Run]) -> String {
    let title = match runs {
        [] => "No run".to_owned(),
        [run] => format!("{} · {}", run.summary.plan, crate::words::verdict_word(run.verdict())),
        runs => format!("{} runs compared", runs.len()),
    };
    document(&title, |page| {
        if runs.len() > 1 {
            compare::section(page, runs);
        }
        for run in runs {
            single::article(page, run);
        }
    })
}

/// A whole document with style and script around its content.
pub(crate) fn document(title: &str, content: impl FnOnce(&mut Page)) -> String {
    whole(title, None, content)
}

/// The pages of a service, by where they are, in the order of their navigation.
const PAGES: [(&str, &str); 7] = [
    ("/#/runs", "Runs"),
    ("/#/compare", "Compare"),
    ("/#/plans", "Plans"),
    ("/#/schedules", "Schedules"),
    ("/sla", "SLAs"),
    ("/capacity", "Capacity"),
    ("/#/settings", "Settings"),
];

/// A document as a page of a service, that loads the service's own files beside its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServicePage {
    /// The page of the navigation that it belongs to, by where that is.
    pub(crate) under: &'static str,
    /// Whether it is that page, or lies below it.
    pub(crate) is_whole: bool,
    /// Whether it becomes another while somebody looks at it.
    pub(crate) changes: bool,
}

/// A whole document as a page of a service.
pub(crate) fn service_document(title: &str, around: ServicePage, content: impl FnOnce(&mut Page)) -> String {
    whole(title, Some(around), content)
}

fn whole(title: &str, around: Option<ServicePage>, content: impl FnOnce(&mut Page)) -> String {
    let mut page = Page::default();
    let changes = around.is_some_and(|around| around.changes);
    page.put(
        if changes {
            "<!doctype html>\n<html lang=\"en\" data-changes>\n"
        } else {
            "<!doctype html>\n<html lang=\"en\">\n"
        },
        &[],
    );
    page.put(
        "<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{} · Plimsoll</title>\n<style>",
        &[&title],
    );
    page.put(STYLE, &[]);
    page.put("</style>\n", &[]);
    if around.is_some() {
        page.put(
            "<link rel=\"icon\" href=\"/assets/icon.svg\">\n<script src=\"/assets/theme.js\"></script>\n\
             <link rel=\"stylesheet\" href=\"/assets/documents.css\">\n\
             <script src=\"/assets/documents.js\" defer></script>\n",
            &[],
        );
    }
    if changes {
        page.put("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n", &[]);
    }
    page.put("</head>\n<body>\n", &[]);
    if let Some(around) = around {
        top(&mut page, around);
    }
    page.put(if around.is_some() { "<main id=\"main\" tabindex=\"-1\">\n" } else { "<main>\n" }, &[]);
    content(&mut page);
    page.put("</main>\n<script>", &[]);
    page.put(SCRIPT, &[]);
    page.put("</script>\n</body>\n</html>\n", &[]);
    page.finish()
}

fn top(page: &mut Page, around: ServicePage) {
    page.put(
        "<a class=\"skip\" href=\"#main\">Skip to content</a>\n<header class=\"top\">\n\
         <a class=\"home\" href=\"/\"><img src=\"/assets/icon.svg\" alt=\"\" width=\"24\" height=\"24\">Plimsoll</a>\n\
         <nav aria-label=\"Pages\">",
        &[],
    );
    for (place, name) in PAGES {
        match (place == around.under, around.is_whole) {
            (true, true) => page.put("<a href=\"{}\" aria-current=\"page\">{}</a>", &[&place, &name]),
            (true, false) => page.put("<a href=\"{}\" aria-current=\"true\">{}</a>", &[&place, &name]),
            (false, _) => page.put("<a href=\"{}\">{}</a>", &[&place, &name]),
        };
    }
    page.put("</nav>\n<div id=\"me\" class=\"me\"></div>\n</header>\n", &[]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;

    #[test]
    fn the_page_stays_as_it_was_looked_at() {
        fixture::golden("report.html", &html(&[fixture::run()]));
        fixture::golden("compare.html", &html(&[fixture::run(), fixture::calm()]));
    }

    #[test]
    fn a_run_without_data_has_a_page() {
        let page = html(&[fixture::nothing()]);
        assert!(page.contains("No data."), "charts say so");
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn the_page_needs_no_network() {
        let page = html(&[fixture::run()]);
        // The target's address is text of the page; nothing is loaded from anywhere.
        for word in ["src=", "href=", "@import", "url(", "fetch(", "XMLHttpRequest"] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn a_server_can_allow_style_and_script_by_their_hash() {
        let page = html(&[fixture::run()]);
        assert!(page.contains(&format!("<style>{STYLE}</style>")));
        assert!(page.contains(&format!("<script>{SCRIPT}</script>")));
        assert!(!page.contains(" style=") && !page.contains(" onclick="), "nothing else is inline");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_text_of_a_plan_or_target_becomes_markup(text in "[<>\"'&/=a-z \u{0}-\u{1f}\u{202e}-]{0,24}") {
            let hostile = format!("{text}<img src=x onerror=alert(1)>\"'></script><script>{text}");
            let page = html(&[fixture::hostile(&hostile)]);
            prop_assert!(!page.contains("<img"), "{hostile}");
            prop_assert_eq!(page.matches("<script").count(), 1);
            prop_assert_eq!(page.matches("</script").count(), 1);
            prop_assert!(!page.contains("\"'>"));
            prop_assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
        }
    }
}
