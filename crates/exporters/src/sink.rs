use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use plimsoll_exposition::Report;
use plimsoll_run::{RunEvent, Started};

use crate::Answer;

/// A part of what one event means for a sink: it can be sent alone, whatever comes before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How many series it tells about, each at one second: its points.
    pub points: u64,
    /// Which lane it takes. Pieces of one lane stay in order; a series always takes the same.
    pub lane: u8,
    /// Its bytes, in a form that this sink can send later.
    pub body: Vec<u8>,
}

/// How much one request may carry. A single piece may have more: it is then a request of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Points.
    pub points: u64,
    /// Bytes of bodies, before compression.
    pub bytes: usize,
    /// Lanes, each with at most one request at a time; at least one.
    pub lanes: u8,
}

/// Turns the events of one run into pieces. What it sums up, it sums up from the start of the run: so
/// a run that is replayed from its record gives the same points again.
pub trait Encoder: Send + Debug {
    /// What an event means; `report` is the event as readings, where it has any. Of the last event of a run the counts of
    /// exported points are not known yet.
    fn encode(&mut self, event: &RunEvent, report: Option<&Report>) -> Vec<Piece>;
}

/// A destination of measurements.
pub trait Sink: Send + Sync + Debug {
    /// Its name in counts, metrics and notes, which is its key in a plan.
    fn name(&self) -> &'static str;

    /// What tells it from other destinations of its name, without secrets: what waits for it is sent
    /// by whoever has a sink of the same name and identity.
    fn identity(&self) -> String;

    /// How much one request may carry.
    fn limits(&self) -> Limits;

    /// An encoder for a run.
    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder>;

    /// Sends pieces of one lane, in order, as one request.
    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer>;

    /// Two pieces that say the same as one; `None`: it cannot be divided.
    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]>;

    /// A server's words without what must not be shown.
    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }

    /// The most series of a run that were beyond its budget; 0 where all were told.
    fn overflowed(&self) -> u64 {
        0
    }
}

/// Why a sink cannot be set up: told before the run.
#[derive(Debug, thiserror::Error)]
#[error("{sink}: {reason}")]
pub struct SinkError {
    /// The sink's name.
    pub sink: &'static str,
    /// What is wrong with its settings, without secrets.
    pub reason: String,
}

impl SinkError {
    /// For a sink of this name.
    pub fn new(sink: &'static str, reason: impl Into<String>) -> Self {
        Self { sink, reason: reason.into() }
    }
}

/// Pieces of one body form each, as lines one below the other; a longer line is a piece of its own.
pub(crate) fn lines_as_pieces(lines: &[String], limits: Limits) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for line in lines {
        match pieces.last_mut() {
            Some(last) if last.points < limits.points && last.body.len() + line.len() < limits.bytes => {
                last.body.push(b'\n');
                last.body.extend_from_slice(line.as_bytes());
                last.points += 1;
            }
            _ => pieces.push(Piece { points: 1, lane: 0, body: line.clone().into_bytes() }),
        }
    }
    pieces
}

/// The lines of pieces, one below the other.
pub(crate) fn lines_of(pieces: &[Piece]) -> Vec<u8> {
    let bodies: Vec<&[u8]> = pieces.iter().map(|piece| piece.body.as_slice()).collect();
    bodies.join(&b'\n')
}

/// Two pieces of about half the lines, one point each; `None`: it has but one.
pub(crate) fn halves_of_lines(piece: &Piece) -> Option<[Piece; 2]> {
    halves_of_entries(piece, 1)
}

/// Two pieces of about half the points, so many lines each; `None`: it has but one.
pub(crate) fn halves_of_entries(piece: &Piece, lines: u64) -> Option<[Piece; 2]> {
    let points = piece.points / 2;
    let nth = usize::try_from(points.checked_mul(lines)?).ok()?.checked_sub(1)?;
    let (middle, _) = piece.body.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(nth)?;
    let part = |points, body: &[u8]| Piece { points, lane: piece.lane, body: body.to_vec() };
    Some([part(points, &piece.body[..middle]), part(piece.points - points, &piece.body[middle + 1..])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(lengths: &[usize]) -> Vec<String> {
        lengths.iter().map(|length| "x".repeat(*length)).collect()
    }

    #[test]
    fn a_piece_is_halved_down_to_one_line() {
        let [piece] = lines_as_pieces(&lines(&[1, 2, 3]), Limits { points: 9, bytes: 99, lanes: 1 })
            .try_into()
            .unwrap();
        let [first, second] = halves_of_lines(&piece).unwrap();
        assert_eq!((first.body, first.points), (b"x".to_vec(), 1));
        assert_eq!((second.body.as_slice(), second.points), (b"xx\nxxx".as_slice(), 2));
        assert_eq!(halves_of_lines(&Piece { points: 1, ..piece }), None);
    }

    proptest! {
        #[test]
        fn pieces_hold_every_line_within_their_limits(
            lengths in prop::collection::vec(1_usize..30, 0..20), points in 1_u64..6, bytes in 1_usize..80,
        ) {
            let lines = lines(&lengths);
            let pieces = lines_as_pieces(&lines, Limits { points, bytes, lanes: 1 });
            prop_assert_eq!(pieces.iter().map(|piece| piece.points).sum::<u64>(), lines.len() as u64);
            prop_assert_eq!(String::from_utf8(lines_of(&pieces)).unwrap(), lines.join("\n"));
            for piece in pieces {
                prop_assert!(piece.points <= points);
                prop_assert!(piece.points == 1 || piece.body.len() <= bytes);
            }
        }
    }
}
