//! Credentials that are made anew for requests, and how bodies may come.

use std::fmt;

use crate::{AwsCredentials, Secret};

/// Credentials that are made for each request to the target. What is the same each time is a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Digest (RFC 7616): the target asks, and requests answer.
    Digest {
        /// The user name.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// OAuth 2.0 client credentials (RFC 6749, section 4.4).
    OAuth2(OAuth2),
    /// AWS Signature Version 4.
    Aws(AwsSigning),
}

impl Auth {
    /// Its word in plans.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Digest { .. } => "digest",
            Self::OAuth2(_) => "oauth2",
            Self::Aws(_) => "aws",
        }
    }
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// The token endpoint.
    pub token_url: String,
    /// Who asks.
    pub client_id: Secret,
    /// How it shows that.
    pub client_secret: Secret,
    /// What for, where it says so.
    pub scope: Option<String>,
    /// For whom, where it says so.
    pub audience: Option<String>,
    /// Whether id and secret stand in the body, in place of an `authorization` header.
    pub in_body: bool,
}

/// How requests to AWS are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSigning {
    /// Like `eu-central-1`.
    pub region: String,
    /// Like `execute-api` or `s3`.
    pub service: String,
    /// By whom.
    pub credentials: AwsCredentials,
}

/// How a body may be coded (RFC 9110, section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// GZIP (RFC 1952).
    Gzip,
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878), with a window of at most 8 MB (RFC 9659).
    Zstd,
    /// zlib (RFC 1950).
    Deflate,
}

impl Coding {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Brotli, Self::Zstd, Self::Deflate];

    /// Its name in headers and plans.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
