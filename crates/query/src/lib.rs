//! What can be asked of a body: JSONPath, XPath, JSON Schema and regular expressions, within bounds.
//!
//! Whoever is asked may answer with anything: JSON a megabyte deep, XML that nests without end, a text that
//! makes other engines of expressions think for a week. So each kind of question states how large a thing it
//! looks at, and what is beyond is no match rather than a crash. Questions come from plans and are checked
//! before any load: what a plan may ask is checked here once, for the reader of plans and for the driver.
//!
//! Nothing here resolves a reference, fetches a schema or expands an entity.

mod json_path;
mod regular;
mod schema;
mod xpath;

pub use json_path::{JsonPath, MOST_JSON_DEPTH, json};
pub use regular::{MOST_REGEX_BYTES, regular};
pub use schema::{Schema, SchemaError};
pub use xpath::{LONGEST_XPATH, MOST_XML_BYTES, MOST_XML_DEPTH, XPath, Xml};
