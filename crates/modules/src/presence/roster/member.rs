//! What is said of a client on the roster.

use minicbor::encode::{Error, Write};
use minicbor::{Decode, Decoder, Encode, Encoder, decode};
use mqtt_hooks::Tag;

/// Bytes of a client id.
const MAX_ID: usize = 4096;

/// Tags of a client, and characters of each.
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;

/// A client that is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// In the order in which they were said, none twice.
    pub(crate) tags: Vec<Box<str>>,
    /// Seconds.
    pub(crate) keep_alive: Option<u16>,
    /// Until then it need not be there: milliseconds since the Unix epoch.
    pub(crate) maintenance_until: Option<u64>,
}

/// Why something can't stand on the roster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongMember {
    #[error("clientid: wants 1 to {MAX_ID} bytes")]
    Id,
    #[error("tags: wants {MAX_TAGS} at the most")]
    Tags,
    #[error(
        "tags: {0:?} is no tag: 1 to {MAX_TAG} characters, without /, +, #, commas, semicolons and control characters"
    )]
    Tag(String),
}

impl Member {
    pub(crate) fn new(
        client_id: &str,
        tags: Vec<String>,
        keep_alive: Option<u16>,
        maintenance_until: Option<u64>,
    ) -> Result<Self, WrongMember> {
        if client_id.is_empty() || client_id.len() > MAX_ID {
            return Err(WrongMember::Id);
        }
        let mut member = Self { tags: Vec::new(), keep_alive, maintenance_until };
        for tag in tags {
            if !Tag::fits(&tag) {
                return Err(WrongMember::Tag(tag.chars().take(MAX_TAG + 1).collect()));
            }
            if !member.has_tag(&tag) {
                member.tags.push(tag.into());
            }
        }
        if member.tags.len() > MAX_TAGS { Err(WrongMember::Tags) } else { Ok(member) }
    }

    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }

    /// It need not be there.
    pub(crate) fn is_in_maintenance(&self, now_ms: u64) -> bool {
        self.maintenance_until.is_some_and(|until| until > now_ms)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("a Vec takes all bytes")
    }

    pub(super) fn read(record: &[u8]) -> Option<Self> {
        minicbor::decode(record).ok()
    }
}

/// Each field with a number that is never used for something else.
impl<C> Encode<C> for Member {
    fn encode<W: Write>(&self, out: &mut Encoder<W>, _: &mut C) -> Result<(), Error<W::Error>> {
        out.map(1 + u64::from(self.keep_alive.is_some()) + u64::from(self.maintenance_until.is_some()))?;
        out.u8(0)?.array(self.tags.len() as u64)?;
        for tag in &self.tags {
            out.str(tag)?;
        }
        if let Some(keep_alive) = self.keep_alive {
            out.u8(1)?.u16(keep_alive)?;
        }
        if let Some(until) = self.maintenance_until {
            out.u8(2)?.u64(until)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Member {
    fn decode(input: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let mut member = Self::default();
        for _ in 0..input.map()?.unwrap_or_default() {
            match input.u8()? {
                0 => {
                    member.tags =
                        input.array_iter::<&str>()?.map(|tag| tag.map(Into::into)).collect::<Result<_, _>>()?
                }
                1 => member.keep_alive = Some(input.u16()?),
                2 => member.maintenance_until = Some(input.u64()?),
                // Of a later version.
                _ => input.skip()?,
            }
        }
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(tags: &[&str]) -> Result<Member, WrongMember> {
        Member::new("c", tags.iter().map(|&tag| tag.to_owned()).collect(), None, None)
    }

    #[test]
    fn a_member_comes_back_as_it_was() {
        for (keep_alive, maintenance_until) in [(None, None), (Some(0), Some(u64::MAX)), (Some(60), None)] {
            let whole = Member { keep_alive, maintenance_until, ..member(&["a", "日本"]).unwrap() };
            assert_eq!(Member::read(&whole.write()), Some(whole.clone()));
            assert_eq!(Member::read(&whole.write()[..3]), None);
        }
    }

    #[test]
    fn what_can_t_stand_on_the_roster_is_refused() {
        assert_eq!(member(&["a", "b", "a"]).unwrap().tags, ["a".into(), "b".into()] as [Box<str>; 2]);
        for tag in ["", "a/b", "+", "#", "a,b", "a;b", "\n", &"x".repeat(65)] {
            assert!(matches!(member(&[tag]), Err(WrongMember::Tag(_))), "{tag:?}");
        }
        let many: Vec<_> = (0..17).map(|tag| tag.to_string()).collect();
        assert_eq!(Member::new("c", many, None, None), Err(WrongMember::Tags));
        for client_id in [String::new(), "x".repeat(4097)] {
            assert_eq!(Member::new(&client_id, Vec::new(), None, None), Err(WrongMember::Id));
        }
    }
}
