//! What a scrape reads: text, OpenMetrics text, or protobuf with native histograms.

pub mod protobuf;
pub mod scrape;
mod text;

use crate::Family;

/// A form of exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
    /// Length-delimited `io.prometheus.client.MetricFamily` messages; the only one with native histograms.
    Protobuf,
}

impl Format {
    /// The form an `Accept` header asks for; plain text where it asks for none of ours, because an
    /// answer in a form that every scraper knows is of more use than none.
    ///
    /// Of equal weights the richer form wins.
    pub fn negotiate(accept: &str) -> Self {
        let ranges: Vec<(Vec<Self>, u32)> = accept.split(',').filter_map(range).collect();
        let weight = |format: Self| {
            ranges.iter().filter(|(formats, _)| formats.contains(&format)).map(|(_, weight)| *weight).max()
        };
        [Self::Protobuf, Self::OpenMetrics, Self::Text]
            .into_iter()
            .filter_map(|format| weight(format).map(|weight| (format, weight)))
            .filter(|(_, weight)| *weight > 0)
            // The first of equals, where `max_by_key` takes the last.
            .reduce(|best, other| if other.1 > best.1 { other } else { best })
            .map_or(Self::Text, |(format, _)| format)
    }

    /// What stands in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Writes families in this form.
    pub fn encode(self, families: &[Family]) -> Vec<u8> {
        match self {
            Self::Text => text::encode(families, text::Dialect::Classic).into_bytes(),
            Self::OpenMetrics => text::encode(families, text::Dialect::OpenMetrics).into_bytes(),
            Self::Protobuf => protobuf::encode(families),
        }
    }
}

/// The forms a media range covers and its weight in thousandths; `None`: none of ours.
fn range(text: &str) -> Option<(Vec<Format>, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let parameters: Vec<(String, &str)> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
        .collect();
    let parameter = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    let is = |name: &str, allowed: &[&str]| parameter(name).is_none_or(|value| allowed.contains(&value));
    let formats = match media.as_str() {
        "application/vnd.google.protobuf"
            if is("proto", &["io.prometheus.client.MetricFamily"]) && is("encoding", &["delimited"]) =>
        {
            vec![Format::Protobuf]
        }
        "application/openmetrics-text" if is("version", &["1.0.0", "0.0.1"]) => vec![Format::OpenMetrics],
        "text/plain" if is("version", &["0.0.4"]) => vec![Format::Text],
        "text/*" | "*/*" => vec![Format::Text],
        _ => return None,
    };
    let weight = match parameter("q") {
        Some(weight) => weight.parse::<f64>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        None => 1.0,
    };
    Some((formats, (weight * 1000.0) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_scraper_gets_the_form_it_likes_best() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let with_native = format!(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,{prometheus_2}"
        );
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let cases = [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, */*;q=0.1", Format::Text),
            ("application/json", Format::Text),
            ("text/plain", Format::Text),
            (prometheus_2, Format::OpenMetrics),
            (prometheus_3, Format::OpenMetrics),
            (&with_native, Format::Protobuf),
            ("application/vnd.google.protobuf;proto=other;encoding=delimited", Format::Text),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Format::Text),
            (
                "application/openmetrics-text; version=\"1.0.0\" ; q=0.9, text/plain;q=0.8",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("APPLICATION/OPENMETRICS-TEXT", Format::OpenMetrics),
            (",;,=,q=;q=nan", Format::Text),
        ];
        for (accept, expected) in cases {
            assert_eq!(Format::negotiate(accept), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(accept in ".*") {
            Format::negotiate(&accept);
        }
    }
}
