//! Clients that are away cost who publishes at QoS 0 nothing but a look.
//!
//! A session may be left behind for ever, and as many as there is memory for. Nobody keeps a message at QoS 0 for one, so each of
//! them is brought one such message while it is away, which is dropped and counted; from then on the router
//! [passes over](mqtt_router::Router::receivers) it, until it is back.

use mqtt_router::Attendance;

use crate::client::{ClientRef, Standing, State};
use crate::delivery::routes::Routes;

/// One with more subscriptions is not passed over: to say so of each, when it has gone and when it is back, would take others' time.
/// There is no memory for many of those.
const MOST_SUBSCRIPTIONS: usize = 1024;

impl Routes<ClientRef> {
    /// A message has been dropped because this client is away: no more of those are brought to it.
    pub(super) fn pass_over(&self, client: &ClientRef, state: &mut State) {
        if state.standing == Standing::Wanted
            // One that is about to be in is not away any more.
            && state.connection().is_none()
            && state.session.subscriptions_len() <= MOST_SUBSCRIPTIONS
        {
            state.standing = Standing::PassedOver;
            self.set_attendance_of(client, state, Attendance::Absent);
        }
    }

    /// The client is about to be back. To be called under the lock under which it gets its connection.
    pub(crate) fn look_at_again(&self, client: &ClientRef, state: &mut State) {
        if state.standing == Standing::PassedOver {
            state.standing = Standing::Wanted;
            self.set_attendance_of(client, state, Attendance::Present);
        }
    }

    fn set_attendance_of(&self, client: &ClientRef, state: &State, attendance: Attendance) {
        for (filter, ..) in state.session.subscriptions() {
            self.router.set_attendance_at(filter, client, attendance);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::{Filter, Message, Properties, Qos, SubscribeOptions, Topic};
    use mqtt_session::{Publication, Session};

    use super::*;
    use crate::broker::Broker;
    use crate::config::Config;
    use crate::delivery::batch::in_batch;
    use crate::delivery::publishing::Sender;
    use crate::store::durable::Durable;
    use crate::store::past::Past;
    use crate::watch::metrics::Metric;

    fn publish(broker: &Arc<Broker>, qos: Qos) {
        let topic = Topic::new("t").unwrap();
        let message = Message { topic, payload: "x".into(), qos, retain: false, properties: Properties::EMPTY };
        let now = broker.clock.now();
        in_batch(broker, |batch| {
            assert!(broker.publish(&Publication::new(message, now), Sender::default(), now, batch, |_| {}));
        });
    }

    #[test]
    fn one_who_is_away_is_brought_what_nobody_keeps_for_it_once() {
        let broker = Arc::new(Broker::new(Config::default(), Durable::none(), &Past::default()));
        let client = ClientRef::new("a".into(), Session::new(Arc::default()));
        for (filter, qos) in [("t", Qos::AtLeastOnce), ("#", Qos::AtMostOnce), ("+", Qos::AtMostOnce)] {
            let (filter, options) =
                (Filter::new(filter).unwrap(), SubscribeOptions { qos, ..SubscribeOptions::default() });
            let mut state = client.state.lock();
            broker.routes.add(&filter, &client, &state.session, options, None, 100).unwrap();
            state.session.subscribe(&filter, options, None);
        }
        for round in 1..3 {
            (0..5).for_each(|_| publish(&broker, Qos::AtMostOnce));
            publish(&broker, Qos::AtLeastOnce);
            let mut state = client.state.lock();
            assert_eq!((state.session.drops().offline, state.session.queue_len()), (round, round as usize));
            broker.routes.look_at_again(&client, &mut state);
        }
        assert_eq!(broker.watched.metrics.total(Metric::NoSubscribers), 0);
    }
}
