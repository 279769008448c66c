//! Profiles in [pprof's format](https://github.com/google/pprof/blob/main/proto/profile.proto), as Go's `net/http/pprof` and
//! profilers of most languages give them out: where a program spends its time or its memory.
//!
//! [`Profile::read`] reads one, [`Profile::top`] says which functions it is about, [`Profile::less`] takes another one off it, and
//! [`flame_graph`] draws it. The bytes are a stranger's: sizes, counts and depths are bounded, references that lead nowhere are
//! errors or nameless, and no bytes make it panic. Names are as the file has them; what is drawn is escaped.
//! Addresses without names stay addresses: there is no looking into programs here.

mod digest;
mod flame;
mod read;
mod top;
mod wire;

pub use digest::Digest;
pub use flame::{Flame, FlameBox, FlameCall, flame_graph};
pub use read::{Kind, LARGEST, Malformed, Profile, Stack};
pub use top::Row;
