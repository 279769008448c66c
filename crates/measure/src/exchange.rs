use std::sync::Arc;

/// What went over the wire of a request that is kept whole: enough to see why it failed or took so long.
///
/// Whoever makes it takes out what must not be shown; here it is only bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// HTTP method.
    pub method: String,
    /// The URL as it was asked for.
    pub url: String,
    /// Headers of the answer, where they were read.
    pub headers: Vec<(String, String)>,
    /// How the body of the answer begins, where it was read: at most [`Exchange::MOST_BODY`] bytes.
    pub body: Option<String>,
}

impl Exchange {
    /// How much of a body is kept, in bytes.
    pub const MOST_BODY: usize = 1024;
    /// How many headers are kept.
    const MOST_HEADERS: usize = 40;
    /// How much of a header's value is kept, in bytes.
    const MOST_VALUE: usize = 256;
    /// How much of a URL is kept, in bytes.
    const MOST_URL: usize = 1024;

    /// The same with nothing beyond its bounds, to be shared.
    pub fn bounded(mut self) -> Arc<Self> {
        shorten(&mut self.url, Self::MOST_URL);
        self.headers.truncate(Self::MOST_HEADERS);
        for (name, value) in &mut self.headers {
            shorten(name, Self::MOST_VALUE);
            shorten(value, Self::MOST_VALUE);
        }
        self.body.iter_mut().for_each(|body| shorten(body, Self::MOST_BODY));
        Arc::new(self)
    }
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "ü".repeat(5000);
        let exchange = Exchange {
            method: "GET".to_owned(),
            url: long.clone(),
            headers: vec![(long.clone(), long.clone()); 100],
            body: Some(format!("a{long}")),
        };
        let kept = exchange.bounded();
        assert_eq!((kept.url.len(), kept.headers.len()), (1024, 40));
        assert!(kept.headers.iter().all(|(name, value)| name.len() == 256 && value.len() == 256));
        assert_eq!(kept.body.as_ref().map(String::len), Some(1023), "no character is cut in two");
    }
}
