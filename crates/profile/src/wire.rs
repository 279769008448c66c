//! Fields of a message in protobuf's wire format, without making anything of them that could be larger than they are.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed size: no field that is read here is.
    Fixed,
}

impl<'a> Value<'a> {
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Bytes(_) | Self::Fixed => None,
        }
    }

    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) | Self::Fixed => None,
        }
    }

    /// The numbers of a repeated field, packed together or one by one; `None` once where they are broken.
    pub(crate) fn numbers(self) -> impl Iterator<Item = Option<u64>> + 'a {
        let (mut rest, mut single) = match self {
            Self::Number(number) => (&[][..], Some(Some(number))),
            Self::Bytes(bytes) => (bytes, None),
            Self::Fixed => (&[][..], Some(None)),
        };
        std::iter::from_fn(move || {
            if let Some(single) = single.take() {
                return Some(single);
            }
            (!rest.is_empty()).then(|| {
                let number = varint(&mut rest);
                rest = if number.is_none() { &[] } else { rest };
                number
            })
        })
    }
}

/// The fields of a message with their numbers; `None` once where it is broken, and then no more.
pub(crate) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Option<(u64, Value<'_>)>> {
    std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| {
            let field = field(&mut rest);
            rest = if field.is_none() { &[] } else { rest };
            field
        })
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Number(varint(rest)?),
        1 => take(rest, 8).map(|_| Value::Fixed)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Value::Fixed)?,
        // Groups are of a protobuf before this format.
        _ => return None,
    };
    Some((key >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        let part = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_may_be() {
        for (bytes, expected) in [
            (&[0x00][..], Some(0)),
            (&[0xac, 0x02][..], Some(300)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..], Some(u64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02][..], None),
            (&[0x80][..], None),
            (&[][..], None),
        ] {
            assert_eq!(varint(&mut &bytes[..]), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_broken_field_ends_a_message() {
        let message = [0x08, 0x05, 0x12, 0x02, b'h', b'i', 0x1a, 0x7f];
        let found: Vec<_> = fields(&message).collect();
        assert_eq!(found, [Some((1, Value::Number(5))), Some((2, Value::Bytes(b"hi"))), None]);
        assert_eq!(Value::Bytes(&[1, 2, 0x80]).numbers().collect::<Vec<_>>(), [Some(1), Some(2), None]);
    }
}
