//! Who gives clients tags.

use super::Hooks;
use crate::panics::caught;
use crate::{ConnectionInfo, Said, Tags};

impl Hooks {
    /// True if [`Self::tags`] asks anyone.
    pub fn has_tagging(&self) -> bool {
        self.tagging.any()
    }

    /// The tags of a client that comes in, by all who give some. One that panics is logged, and gives none.
    pub fn tags(&self, client: &ConnectionInfo, said: &Said<'_>) -> Tags {
        if !self.tagging.any() {
            return Tags::default();
        }
        let mut tags = Vec::new();
        for owned in self.tagging.list.load().iter() {
            let before = tags.len();
            if let Err(why) = caught(|| owned.hook.tags(client, said, &mut tags)) {
                owned.start.complain("tags", &why);
                tags.truncate(before);
            }
        }
        Tags::new(tags)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::Properties;

    use super::*;
    use crate::testing::{Recorder, foo};
    use crate::{Ctx, Origin, Tag, Tagging};

    struct Gives(&'static str);

    impl Tagging for Gives {
        fn tags(&self, _: &ConnectionInfo, said: &Said<'_>, tags: &mut Vec<Tag>) {
            tags.push(Tag { name: self.0.into(), origin: Origin::Proven });
            assert!(self.0 != "wrong" || said.claims.is_some(), "it has no claims");
        }
    }

    #[test]
    fn tags_are_given_while_that_is_on_and_none_by_who_panics() {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        let ctx = Ctx::new("m", 0, host, Arc::default());
        let on = ctx.tag_when(Arc::new(Gives("right")));
        ctx.tag_when(Arc::new(Gives("wrong"))).set(true);
        let entered = hooks.enter(ctx);
        let said = Said { properties: &Properties::EMPTY, claims: None, subject: &[] };
        assert!(hooks.tags(&foo(), &said).is_empty());
        on.set(true);
        let names = |tags: &Tags| tags.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&hooks.tags(&foo(), &said)), ["right"]);
        assert_eq!(entered.panics(), 2);
        drop(entered);
        assert!(!hooks.has_tagging() && hooks.tags(&foo(), &said).is_empty());
    }
}
