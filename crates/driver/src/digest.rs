//! Digest access authentication (RFC 7616).

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

/// What a target asks, and how often it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether the session's own secret is made of nonces too (`-sess`).
    is_session: bool,
    /// As the target writes the algorithm, if it does.
    algorithm_name: Option<String>,
    /// `qop=auth`; without it the older form of RFC 2069.
    has_quality: bool,
    count: u32,
}

/// In the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha512_256,
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        let hash = match self {
            Self::Md5 => Md5::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
            Self::Sha512_256 => Sha512_256::digest(text).to_vec(),
        };
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The strongest challenge that can be answered, of the values of `www-authenticate`.
pub(crate) fn best<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let challenges = values.flat_map(challenges).filter_map(|(scheme, parameters)| {
        if scheme.eq_ignore_ascii_case("digest") { Challenge::of(&parameters) } else { None }
    });
    challenges.max_by_key(|challenge| challenge.algorithm)
}

impl Challenge {
    fn of(parameters: &[(String, String)]) -> Option<Self> {
        let get = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let named = get("algorithm");
        let name = named.unwrap_or("MD5");
        let lower = name.to_ascii_lowercase();
        let (plain, is_session) =
            lower.strip_suffix("-sess").map_or((lower.as_str(), false), |name| (name, true));
        let algorithm = match plain {
            "md5" => Algorithm::Md5,
            "sha-256" => Algorithm::Sha256,
            "sha-512-256" => Algorithm::Sha512_256,
            _ => return None,
        };
        let has_quality = match get("qop") {
            None => false,
            Some(all) if all.split(',').any(|quality| quality.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
        };
        Some(Self {
            realm: get("realm")?.to_owned(),
            nonce: get("nonce")?.to_owned(),
            opaque: get("opaque").map(str::to_owned),
            algorithm,
            is_session,
            algorithm_name: named.map(str::to_owned),
            has_quality,
            count: 0,
        })
    }

    /// How often it was answered.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The value of `authorization` for another request. `ours` is a nonce of the client's own.
    ///
    /// With H the algorithm (RFC 7616, section 3.4.1): response = H(H(A1) : nonce : count : ours : auth : H(A2)), where
    /// A1 = user : realm : password and A2 = method : uri.
    pub(crate) fn answer(
        &mut self,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        ours: &str,
    ) -> String {
        self.count = self.count.saturating_add(1);
        let Self { realm, nonce, algorithm, count, .. } = &*self;
        let hash = |text: &str| algorithm.hash(text);
        let mut a1 = hash(&format!("{user}:{realm}:{password}"));
        if self.is_session {
            a1 = hash(&format!("{a1}:{nonce}:{ours}"));
        }
        let a2 = hash(&format!("{method}:{uri}"));
        let response = if self.has_quality {
            hash(&format!("{a1}:{nonce}:{count:08x}:{ours}:auth:{a2}"))
        } else {
            hash(&format!("{a1}:{nonce}:{a2}"))
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            quoted(uri)
        );
        // Writing into a text cannot fail.
        if let Some(name) = &self.algorithm_name {
            let _ = write!(value, ", algorithm={name}");
        }
        if self.has_quality {
            let _ = write!(value, ", qop=auth, nc={count:08x}");
        }
        if self.has_quality || self.is_session {
            let _ = write!(value, ", cnonce=\"{ours}\"");
        }
        if let Some(opaque) = &self.opaque {
            let _ = write!(value, ", opaque={}", quoted(opaque));
        }
        value
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

type Parameters = Vec<(String, String)>;

/// The challenges of one header field (RFC 9110, section 11.6.1): schemes with their parameters. What
/// is none of that ends the list.
fn challenges(text: &str) -> Vec<(String, Parameters)> {
    let mut all: Vec<(String, Parameters)> = Vec::new();
    let mut left = text.trim_start();
    while !left.is_empty() {
        let end = left.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(left.len());
        let (word, rest) = left.split_at(end);
        let rest = rest.trim_start();
        match (rest.strip_prefix('='), all.last_mut()) {
            (Some(value), Some((_, parameters))) if !word.is_empty() => {
                let Some((value, rest)) = value_of(value.trim_start()) else { break };
                parameters.push((word.to_owned(), value));
                left = rest;
            }
            (None, _) if !word.is_empty() => {
                all.push((word.to_owned(), Vec::new()));
                left = rest;
            }
            _ => break,
        }
        left = left.trim_start_matches([',', ' ', '\t']);
    }
    all
}

/// A token or a quoted text at the beginning, and what follows it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if is_escaped => {
                value.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Some((value, &inside[at + 1..])),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of RFC 7616, section 3.9.1.
    const ASKED: [&str; 2] = [
        "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
        "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
    ];

    #[test]
    fn the_examples_of_the_standard_are_answered_as_there() {
        for (asked, response) in [
            (ASKED[0], "8ca523f5e9506fed4657c9700eebdbec"),
            (ASKED[1], "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let mut challenge = best([asked].into_iter()).unwrap();
            let ours = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let answer = challenge.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", ours);
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains("qop=auth, nc=00000001, cnonce=\"f2/"), "{answer}");
            let again = challenge.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", ours);
            assert!(again.contains("nc=00000002") && !again.contains(response), "{again}");
        }
    }

    #[test]
    fn the_older_form_is_answered_without_a_count() {
        // The example of RFC 2069 with its erratum's response.
        let asked = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let mut challenge = best([asked].into_iter()).unwrap();
        let answer = challenge.answer("Mufasa", "CircleOfLife", "GET", "/dir/index.html", "unused");
        assert!(answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{answer}");
        assert!(!answer.contains("nc=") && !answer.contains("cnonce"), "{answer}");
    }

    #[test]
    fn the_strongest_challenge_that_is_understood_is_taken() {
        let algorithm = |values: &[&str]| best(values.iter().copied()).map(|challenge| challenge.algorithm);
        assert_eq!(algorithm(&ASKED), Some(Algorithm::Sha256));
        let one_line =
            format!("Basic realm=\"a, b\", {}, Digest realm=\"x\", nonce=\"y\", algorithm=MD6", ASKED[0]);
        assert_eq!(algorithm(&[&one_line]), Some(Algorithm::Md5));
        for nothing in [
            "",
            "Basic realm=\"a\"",
            "Digest",
            "Digest realm=\"a\"",
            "Digest realm=\"a\", nonce=\"b",
            "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"",
            "=,=",
        ] {
            assert_eq!(algorithm(&[nothing]), None, "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_target_asks_is_read_or_not(text in "(?s).{0,200}", more in "[Dd]igest( ?[a-z]{1,6}=\"?[a-z\\\\]{0,5}\"?,? ?){0,6}") {
            let _ = best([text.as_str(), more.as_str()].into_iter());
        }
    }
}
