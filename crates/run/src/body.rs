use std::sync::Arc;

use crate::Template;

/// What a request sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A text whose holes are filled for each request.
    Text(Template, BodyKind),
    /// The bytes of a file, as they are.
    File(Arc<[u8]>),
    /// The parts of a `multipart/form-data` body (RFC 7578), in their order. Its boundary, and with it the
    /// `content-type`, is chosen when all of them are known.
    Multipart(Vec<FormPart>),
}

/// How values are escaped when they are filled into a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// As they are.
    #[default]
    Text,
    /// As the inside of a JSON string.
    Json,
    /// As `application/x-www-form-urlencoded`.
    Form,
}

/// One part of a `multipart/form-data` body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormPart {
    /// The name of its field.
    pub name: String,
    /// The name of its file; `None`: it is no file.
    pub filename: Option<Template>,
    /// Its own `content-type`.
    pub media_type: Option<String>,
    /// What it holds.
    pub content: PartContent,
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartContent {
    /// A text whose holes are filled for each request.
    Text(Template),
    /// The bytes of a file.
    File(Arc<[u8]>),
}

impl Body {
    /// Every template in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (text, parts) = match self {
            Self::Text(template, _) => (Some(template), &[][..]),
            Self::File(_) => (None, &[][..]),
            Self::Multipart(parts) => (None, parts.as_slice()),
        };
        let in_parts = parts.iter().flat_map(|part| {
            let text = match &part.content {
                PartContent::Text(template) => Some(template),
                PartContent::File(_) => None,
            };
            part.filename.iter().chain(text)
        });
        text.into_iter().chain(in_parts)
    }

    /// The same with every template replaced by what `change` makes of it.
    #[must_use]
    pub fn map(&self, change: impl Fn(&Template) -> Template) -> Self {
        match self {
            Self::Text(template, kind) => Self::Text(change(template), *kind),
            Self::File(bytes) => Self::File(Arc::clone(bytes)),
            Self::Multipart(parts) => {
                let part = |part: &FormPart| FormPart {
                    filename: part.filename.as_ref().map(&change),
                    content: match &part.content {
                        PartContent::Text(template) => PartContent::Text(change(template)),
                        PartContent::File(bytes) => PartContent::File(Arc::clone(bytes)),
                    },
                    ..part.clone()
                };
                Self::Multipart(parts.iter().map(part).collect())
            }
        }
    }
}
