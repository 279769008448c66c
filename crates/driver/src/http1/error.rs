use plimsoll_measure::Outcome;

/// Why a response could not be read. No message carries bytes of the answer: they may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The first line begins with another protocol or version.
    #[error("the answer does not begin with HTTP/1.0 or HTTP/1.1")]
    Version,
    /// The status is not three digits from 100 on, or the reason has forbidden characters.
    #[error("the status line is malformed")]
    StatusLine,
    /// A name is empty, has forbidden characters, is followed by blanks, or the line is folded.
    #[error("the name of a header is malformed")]
    HeaderName,
    /// A value has control characters.
    #[error("the value of a header is malformed")]
    HeaderValue,
    /// A carriage return without a line feed where a line of the head begins.
    #[error("a line of the head ends in a carriage return alone")]
    LineEnd,
    /// More than [`MAX_HEADERS`](super::MAX_HEADERS).
    #[error("the head has more than {} headers", super::MAX_HEADERS)]
    TooManyHeaders,
    /// More than [`MAX_HEAD`](super::MAX_HEAD).
    #[error("the head is larger than {} bytes", super::MAX_HEAD)]
    HeadTooLarge,
    /// More than [`MAX_INFORMATIONAL`](super::MAX_INFORMATIONAL).
    #[error("more than {} informational answers (1xx) came before the final one", super::MAX_INFORMATIONAL)]
    TooManyInformational,
    /// Status 101.
    #[error("the target switches to another protocol, which nobody asked for")]
    SwitchingProtocols,
    /// Not a number, larger than 64 bits, or several that differ.
    #[error("the content-length is not one number")]
    ContentLength,
    /// HTTP/1.0 knows no `transfer-encoding`, so nobody can say where the body ends.
    #[error("an HTTP/1.0 answer has a transfer-encoding")]
    TransferEncoding,
    /// Not a hexadecimal number of at most 16 digits.
    #[error("a chunk size is not a hexadecimal number of at most 16 digits")]
    ChunkSize,
    /// More than [`MAX_EXTENSIONS`](super::MAX_EXTENSIONS), or a line feed in one.
    #[error("chunk extensions are malformed or larger than {} bytes", super::MAX_EXTENSIONS)]
    ChunkExtension,
    /// What follows a chunk's data is not the end of a line.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A line of the trailer is not `name: value`.
    #[error("the trailer is malformed")]
    Trailer,
    /// More than [`MAX_TRAILERS`](super::MAX_TRAILERS) lines or [`MAX_TRAILER`](super::MAX_TRAILER) bytes.
    #[error("the trailer has more than {} lines or {} bytes", super::MAX_TRAILERS, super::MAX_TRAILER)]
    TrailerTooLarge,
    /// More than [`Want::max_body`](super::Want::max_body), received or announced.
    #[error("the body is larger than allowed")]
    BodyTooLarge,
    /// The stream ended and no byte of the answer had come.
    #[error("the connection ended before the answer began")]
    NoAnswer,
    /// The stream ended within the head, or after an informational answer.
    #[error("the connection ended within the head of the answer")]
    EndInHead,
    /// The stream ended within a body whose end was announced.
    #[error("the connection ended within the body of the answer")]
    EndInBody,
}

impl ReadError {
    /// The outcome of a request whose answer is this.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::BodyTooLarge => Outcome::TooLarge,
            Self::NoAnswer | Self::EndInHead | Self::EndInBody => Outcome::Reset,
            Self::Version
            | Self::StatusLine
            | Self::HeaderName
            | Self::HeaderValue
            | Self::LineEnd
            | Self::TooManyHeaders
            | Self::HeadTooLarge
            | Self::TooManyInformational
            | Self::SwitchingProtocols
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkEnd
            | Self::Trailer
            | Self::TrailerTooLarge => Outcome::Protocol,
        }
    }
}

impl From<httparse::Error> for ReadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::Version => Self::Version,
            httparse::Error::Status | httparse::Error::Token => Self::StatusLine,
            httparse::Error::HeaderName => Self::HeaderName,
            httparse::Error::HeaderValue => Self::HeaderValue,
            httparse::Error::NewLine => Self::LineEnd,
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
        }
    }
}
