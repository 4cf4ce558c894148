//! The data types of section 1.5, as nom parsers.

use bytes::Bytes;
use bytestring::ByteString;
use nom::IResult;
use nom::error::{ErrorKind, ParseError};

use crate::topic::TopicError;
use crate::{DecodeError, Filter, PacketId, PacketType, TextError, Topic};

/// What a parser of this crate returns.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Failure>;

/// A [`DecodeError`] as nom carries it.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) DecodeError);

// What nom's own parsers find wrong is always that the input is too short.
impl ParseError<&[u8]> for Failure {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self(DecodeError::Truncated)
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

impl From<DecodeError> for nom::Err<Failure> {
    fn from(error: DecodeError) -> Self {
        Self::Failure(Failure(error))
    }
}

/// Ends a parser's run: all of the input must be used up.
pub(crate) fn finish<T>(parsed: Parsed<'_, T>) -> Result<T, DecodeError> {
    match unwrap(parsed)? {
        ([], value) => Ok(value),
        (rest, _) => Err(DecodeError::TrailingBytes(rest.len() as u32)),
    }
}

/// What a parser read and what it left.
pub(crate) fn unwrap<T>(parsed: Parsed<'_, T>) -> Result<(&[u8], T), DecodeError> {
    parsed.map_err(|error| match error {
        nom::Err::Error(Failure(error)) | nom::Err::Failure(Failure(error)) => error,
        nom::Err::Incomplete(_) => DecodeError::Truncated,
    })
}

/// A variable byte integer's value and length; `None`: more bytes are needed. [MQTT-1.5.5-1]
pub(crate) fn peek_var_int(input: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (index, &byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return if byte == 0 && index > 0 { Err(DecodeError::VarIntPadded) } else { Ok(Some((value, index + 1))) };
        }
    }
    if input.len() < 4 { Ok(None) } else { Err(DecodeError::VarIntTooLong) }
}

/// A variable byte integer.
pub(crate) fn var_int(input: &[u8]) -> Parsed<'_, u32> {
    match peek_var_int(input)? {
        Some((value, len)) => Ok((&input[len..], value)),
        None => Err(DecodeError::Truncated.into()),
    }
}

/// Binary data: a two byte length and so many bytes.
pub(crate) fn binary(input: &[u8]) -> Parsed<'_, &[u8]> {
    if let Some((len, rest)) = input.split_first_chunk()
        && let Some((data, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
    {
        return Ok((rest, data));
    }
    Err(DecodeError::Truncated.into())
}

/// A part with a variable byte integer in front that tells its length.
pub(crate) fn section(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = var_int(input)?;
    let (section, rest) = rest.split_at_checked(len as usize).ok_or(DecodeError::Truncated)?;
    Ok((rest, section))
}

/// A packet id. [MQTT-2.2.1-3]
pub(crate) fn packet_id(packet: PacketType) -> impl Fn(&[u8]) -> Parsed<'_, PacketId> {
    move |input| {
        let (id, rest) = input.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let id = PacketId::new(u16::from_be_bytes(*id)).ok_or(DecodeError::PacketIdZero(packet))?;
        Ok((rest, id))
    }
}

/// The whole bytes of a packet, and slices of it that share its memory.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a>(pub(crate) &'a Bytes);

impl Frame<'_> {
    /// `part` must be a part of this frame.
    pub(crate) fn share(self, part: &[u8]) -> Bytes {
        self.0.slice_ref(part)
    }

    /// Text with no control character but what people need to write lines.
    pub(crate) fn text(self, part: &[u8]) -> Result<ByteString, TextError> {
        let text = ByteString::try_from(self.share(part)).map_err(|_| TextError::Utf8)?;
        check_null(part)?;
        Ok(text)
    }

    /// Text that names something: a client id, a user name.
    pub(crate) fn name(self, part: &[u8]) -> Result<ByteString, TextError> {
        let text = self.text(part)?;
        if text.chars().any(char::is_control) { Err(TextError::Control) } else { Ok(text) }
    }

    pub(crate) fn topic(self, part: &[u8]) -> Result<Topic, DecodeError> {
        let text = ByteString::try_from(self.share(part)).map_err(|_| DecodeError::Text(TextError::Utf8))?;
        Topic::new(text).map_err(DecodeError::Topic)
    }

    pub(crate) fn filter(self, part: &[u8]) -> Result<Filter, DecodeError> {
        let text = ByteString::try_from(self.share(part)).map_err(|_| DecodeError::Text(TextError::Utf8))?;
        Filter::received(text).map_err(DecodeError::Filter)
    }
}

/// Checks text that is kept as bytes.
pub(crate) fn check_text(part: &[u8]) -> Result<(), TextError> {
    std::str::from_utf8(part).map_err(|_| TextError::Utf8)?;
    check_null(part)
}

/// Checks the topic of a PUBLISH while it is still bytes.
pub(crate) fn check_publish_topic(part: &[u8]) -> Result<(), DecodeError> {
    if crate::topic::is_plain(part) {
        return Ok(());
    }
    let text = std::str::from_utf8(part).map_err(|_| DecodeError::Text(TextError::Utf8))?;
    crate::topic::check_topic(text).map_err(DecodeError::Topic)
}

/// Checks a response topic, which is kept as bytes.
pub(crate) fn check_topic(part: &[u8]) -> Result<(), DecodeError> {
    let text = std::str::from_utf8(part).map_err(|_| DecodeError::Text(TextError::Utf8))?;
    crate::topic::check_topic(text).map_err(|error| match error {
        TopicError::Null => DecodeError::Text(TextError::Null),
        error => DecodeError::ResponseTopic(error),
    })
}

fn check_null(part: &[u8]) -> Result<(), TextError> {
    // [MQTT-1.5.4-2]
    if part.contains(&0) { Err(TextError::Null) } else { Ok(()) }
}
