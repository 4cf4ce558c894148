//! Who is asked by clients.

use mqtt_codec::{Message, ReasonCode, Topic};

use super::Hooks;
use crate::panics::caught;
use crate::{ConnectionInfo, Moment};

impl Hooks {
    /// Whether what is published to this topic is a question to a module.
    pub fn is_question(&self, topic: &Topic) -> bool {
        self.asked.any() && self.asked.list.load().iter().any(|owned| owned.hook.topic() == topic.as_str())
    }

    /// Hands a question to the first who is asked by its topic; `None`: it is none. One that panics is logged, and refuses.
    pub fn ask(&self, client: &ConnectionInfo, question: &Message, moment: &mut dyn Moment) -> Option<ReasonCode> {
        if !self.asked.any() || !question.topic.as_str().starts_with('$') {
            return None;
        }
        let list = self.asked.list.load();
        let owned = list.iter().find(|owned| owned.hook.topic() == question.topic.as_str())?;
        let acting = moment.acting();
        moment.set_acting(owned.start.acts_after(acting));
        let code = caught(|| owned.hook.asked(client, question, moment)).unwrap_or_else(|why| {
            owned.start.complain("asked", &why);
            ReasonCode::UnspecifiedError
        });
        moment.set_acting(acting);
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::{Properties, Qos};

    use super::*;
    use crate::testing::{Recorder, foo};
    use crate::{Asked, Ctx};

    struct Oracle;

    impl Asked for Oracle {
        fn topic(&self) -> &str {
            "$oracle"
        }

        fn asked(&self, _: &ConnectionInfo, question: &Message, moment: &mut dyn Moment) -> ReasonCode {
            assert!(!question.payload.is_empty(), "nothing is asked");
            moment.publish(Message { topic: Topic::new("answers").unwrap(), ..question.clone() });
            ReasonCode::Success
        }
    }

    #[test]
    fn a_question_is_for_who_is_asked_while_its_module_runs() {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        let ask = |topic: &str, payload: &'static str| {
            let topic = Topic::new(topic).unwrap();
            let (qos, properties) = (Qos::AtMostOnce, Properties::EMPTY);
            let question = Message { topic, payload: payload.into(), qos, retain: false, properties };
            (hooks.ask(&foo(), &question, &mut host.moment()), host.take().len())
        };
        assert_eq!(ask("$oracle", "who"), (None, 0));
        let ctx = Ctx::new("oracle", 0, host.clone(), Arc::default());
        ctx.asked(Arc::new(Oracle));
        let entered = hooks.enter(ctx);
        assert!(hooks.is_question(&Topic::new("$oracle").unwrap()));
        assert_eq!(ask("$oracle", "who"), (Some(ReasonCode::Success), 1));
        assert_eq!(ask("$oracle", ""), (Some(ReasonCode::UnspecifiedError), 0));
        assert_eq!((ask("$oracle/a", "who"), ask("oracle", "who")), ((None, 0), (None, 0)));
        assert_eq!(entered.panics(), 1);
        drop(entered);
        assert_eq!(ask("$oracle", "who"), (None, 0));
    }
}
