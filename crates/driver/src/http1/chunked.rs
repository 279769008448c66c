//! The body of `transfer-encoding: chunked` (RFC 9112, section 7.1).

use super::ReadError;
use super::reader::Body;

/// The most bytes of chunk extensions in one body. Nobody reads them, so more is an attack.
pub const MAX_EXTENSIONS: u16 = 16 * 1024 - 1;

/// The most bytes of a trailer, its line ends included. With the empty line after it, it is below 16 KiB.
pub const MAX_TRAILER: u16 = 16 * 1024 - 3;

/// The most lines of a trailer, as many as a head may have headers.
pub const MAX_TRAILERS: u8 = 100;

/// As many digits as 64 bits have.
const MAX_DIGITS: u8 = 16;

/// Where in a chunked body the next byte belongs.
#[derive(Debug, Clone, Copy)]
enum Place {
    Size,
    /// Blanks after the size.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a line after the last chunk.
    TrailerLine,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// Reads the chunks of one body. The trailer is checked and dropped.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    /// Digits of the size so far.
    digits: u8,
    trailers: u8,
    trailer: u16,
    extensions: u16,
    /// Bytes of the chunk still to come; while its size is read, the size so far.
    left: u64,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { place: Place::Size, digits: 0, trailers: 0, trailer: 0, extensions: 0, left: 0 }
    }

    /// Takes the next bytes: `Some(n)` when the body ends after `n` of them.
    pub(super) fn read(&mut self, input: &[u8], body: &mut Body) -> Result<Option<usize>, ReadError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if matches!(self.place, Place::Data) {
                let rest = input.get(at..).unwrap_or_default();
                let piece = rest.get(..usize::try_from(self.left).unwrap_or(usize::MAX)).unwrap_or(rest);
                body.take(piece)?;
                self.left -= piece.len() as u64;
                at += piece.len();
                if self.left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            at += 1;
            if matches!((self.place, byte), (Place::EndLf, b'\n')) {
                return Ok(Some(at));
            }
            self.place = self.step(byte, body)?;
        }
        Ok(None)
    }

    fn step(&mut self, byte: u8, body: &Body) -> Result<Place, ReadError> {
        match self.place {
            Place::Size => self.size(byte),
            Place::Blank => match byte {
                b'\r' => Ok(Place::SizeLf),
                b';' => Ok(Place::Extension),
                b' ' | b'\t' => self.extension(Place::Blank),
                _ => Err(ReadError::ChunkSize),
            },
            Place::Extension => match byte {
                b'\r' => Ok(Place::SizeLf),
                b'\n' => Err(ReadError::ChunkExtension),
                _ => self.extension(Place::Extension),
            },
            Place::SizeLf => {
                expect(byte, b'\n', ReadError::ChunkSize)?;
                if self.left == 0 {
                    return Ok(Place::TrailerLine);
                }
                body.allow(self.left)?;
                Ok(Place::Data)
            }
            // Data is taken in one piece by the caller.
            Place::Data | Place::DataCr => {
                expect(byte, b'\r', ReadError::ChunkEnd)?;
                Ok(Place::DataLf)
            }
            Place::DataLf => {
                expect(byte, b'\n', ReadError::ChunkEnd)?;
                (self.left, self.digits) = (0, 0);
                Ok(Place::Size)
            }
            Place::TrailerLine | Place::TrailerName | Place::TrailerValue | Place::TrailerLf => {
                self.trailer(byte)
            }
            Place::EndLf => Err(ReadError::Trailer),
        }
    }

    fn size(&mut self, byte: u8) -> Result<Place, ReadError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.digits == 0 => return Err(ReadError::ChunkSize),
            b'\r' => return Ok(Place::SizeLf),
            b';' => return Ok(Place::Extension),
            b' ' | b'\t' => return self.extension(Place::Blank),
            _ => return Err(ReadError::ChunkSize),
        };
        if self.digits == MAX_DIGITS {
            return Err(ReadError::ChunkSize);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(Place::Size)
    }

    /// Counts a byte that nobody reads.
    fn extension(&mut self, next: Place) -> Result<Place, ReadError> {
        if self.extensions == MAX_EXTENSIONS {
            return Err(ReadError::ChunkExtension);
        }
        self.extensions += 1;
        Ok(next)
    }

    fn trailer(&mut self, byte: u8) -> Result<Place, ReadError> {
        let next = match (self.place, byte) {
            // The line after the last one is not part of the trailer.
            (Place::TrailerLine, b'\r') => return Ok(Place::EndLf),
            (Place::TrailerLine | Place::TrailerName, byte) if is_token(byte) => Place::TrailerName,
            (Place::TrailerName, b':') => Place::TrailerValue,
            (Place::TrailerValue, b'\r') => Place::TrailerLf,
            (Place::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Place::TrailerValue,
            (Place::TrailerLf, b'\n') => Place::TrailerLine,
            _ => return Err(ReadError::Trailer),
        };
        if matches!(next, Place::TrailerLine) {
            self.trailers += 1;
        }
        self.trailer += 1;
        if self.trailers > MAX_TRAILERS || self.trailer > MAX_TRAILER {
            return Err(ReadError::TrailerTooLarge);
        }
        Ok(next)
    }
}

fn expect(found: u8, due: u8, otherwise: ReadError) -> Result<(), ReadError> {
    if found == due { Ok(()) } else { Err(otherwise) }
}

/// Characters of a header's name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
