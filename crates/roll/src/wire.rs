//! Numbers, texts and bytes as records have them.

use bytes::{Buf, BufMut, Bytes};
use bytestring::ByteString;

use crate::Error;

/// Numbers are written in groups of seven bits, the lowest first; the high bit says that more follow.
pub(crate) fn put_number(mut number: u64, out: &mut impl BufMut) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Behind their length.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut impl BufMut) {
    put_number(bytes.len() as u64, out);
    out.put_slice(bytes);
}

pub(crate) fn take_number(input: &mut impl Buf, what: &'static str) -> Result<u64, Error> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = input.try_get_u8().map_err(|_| Error::Short(what))?;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return Err(Error::Malformed(what));
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Error::Malformed(what))
}

/// A number that is at most `most`.
pub(crate) fn take_up_to(input: &mut impl Buf, most: u64, what: &'static str) -> Result<u64, Error> {
    let number = take_number(input, what)?;
    if number > most { Err(Error::TooLong(what)) } else { Ok(number) }
}

/// The length is believed only as far as there are bytes: no memory is taken for what is not there.
pub(crate) fn take_bytes(input: &mut Bytes, most: usize, what: &'static str) -> Result<Bytes, Error> {
    let len = take_up_to(input, most as u64, what)? as usize;
    if input.len() < len { Err(Error::Short(what)) } else { Ok(input.split_to(len)) }
}

pub(crate) fn take_text(input: &mut Bytes, most: usize, what: &'static str) -> Result<ByteString, Error> {
    ByteString::try_from(take_bytes(input, most, what)?).map_err(|_| Error::Malformed(what))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_comes_back(number: u64, shift in 0..64) {
            let number = number >> shift;
            let mut out = BytesMut::new();
            put_number(number, &mut out);
            prop_assert_eq!(take_number(&mut out.freeze(), "it"), Ok(number));
        }
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for (bytes, error) in [
            (&[][..], Error::Short("it")),
            (&[0x80; 3], Error::Short("it")),
            (&[0xff; 11], Error::Malformed("it")),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Error::Malformed("it")),
        ] {
            assert_eq!(take_number(&mut &*bytes, "it"), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn a_length_is_believed_only_as_far_as_there_are_bytes() {
        let mut input = Bytes::from_static(&[5, 1, 2]);
        assert_eq!(take_bytes(&mut input, 10, "it"), Err(Error::Short("it")));
        let mut input = Bytes::from_static(&[5, 1, 2]);
        assert_eq!(take_bytes(&mut input, 4, "it"), Err(Error::TooLong("it")));
    }
}
