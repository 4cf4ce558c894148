//! What the remote broker is asked for.

use mqtt_codec::{
    Filter, Packet, PacketId, Properties, Qos, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    SubscribeOptions, Unsubscribe, Version,
};

use crate::mapping::Mapping;
use crate::trouble::Trouble;

/// Packet ids that are tried before it is given up.
const TRIES: u16 = 16;

/// What the remote broker has not confirmed.
///
/// The ids are the last ones, counted downwards: those of messages out are this broker's, which begins at the other end. Nothing goes
/// out before this is done. One may still be known there from before; a broker that says so is asked again by another.
#[derive(Debug)]
pub(crate) struct Subscribing {
    subscribe: Option<Subscribe>,
    unsubscribe: Option<Unsubscribe>,
    /// So many of the filters are of messages to be carried; behind them may be a probe's, without which all goes on.
    carried: usize,
    tries: u16,
    is_sent: bool,
}

impl Subscribing {
    /// `former` are filters of which the session there may still have subscriptions, `probe` is a [probe](crate::probe)'s. `None`: there is
    /// nothing to ask for.
    pub(crate) fn new(mapping: &Mapping, former: Vec<Filter>, probe: Option<Filter>, version: Version) -> Option<Self> {
        let mut ids = (0..=u16::MAX).rev().filter_map(PacketId::new);
        let wish = |filter: Filter, qos: Qos| {
            let is_v5 = version == Version::V5;
            let options = SubscribeOptions {
                qos,
                no_local: is_v5,
                retain_as_published: is_v5,
                retain_handling: RetainHandling::SendIfNew,
            };
            SubscribeFilter { filter, options }
        };
        let mut filters: Vec<_> = mapping.rules().iter().map(|rule| wish(rule.from.clone(), rule.qos)).collect();
        let carried = filters.len();
        filters.extend(probe.map(|probe| wish(probe, Qos::AtMostOnce)));
        let mut id = || ids.next();
        let subscribe = match (filters.is_empty(), id()) {
            (false, Some(packet_id)) => Some(Subscribe { packet_id, properties: Properties::EMPTY, filters }),
            _ => None,
        };
        let unsubscribe = match (former.is_empty(), id()) {
            (false, Some(packet_id)) => Some(Unsubscribe { packet_id, properties: Properties::EMPTY, filters: former }),
            _ => None,
        };
        let subscribing = Self { subscribe, unsubscribe, carried, tries: 0, is_sent: false };
        (!subscribing.is_done()).then_some(subscribing)
    }

    /// What is to be sent for it, the first time.
    pub(crate) fn take_packets(&mut self) -> Vec<Packet> {
        if std::mem::replace(&mut self.is_sent, true) {
            return Vec::new();
        }
        let subscribe = self.subscribe.clone().map(Packet::Subscribe);
        self.unsubscribe.clone().map(Packet::Unsubscribe).into_iter().chain(subscribe).collect()
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.subscribe.is_none() && self.unsubscribe.is_none()
    }

    /// What is to be sent next, if anything.
    pub(crate) fn note_suback(&mut self, ack: &SubAck) -> Result<Option<Packet>, Trouble> {
        let Some(subscribe) = self.subscribe.take_if(|asked| asked.packet_id == ack.packet_id) else { return Ok(None) };
        let refused = ack.reasons.iter().take(self.carried).position(|reason| reason.is_error());
        let Some(at) = refused else { return Ok(None) };
        let reason = ack.reasons[at];
        if reason == ReasonCode::PacketIdInUse && self.tries < TRIES {
            self.tries += 1;
            // One is the other request's.
            let lower = subscribe.packet_id.as_u16().saturating_sub(2);
            let packet_id = PacketId::new(lower).unwrap_or(subscribe.packet_id);
            let again = Subscribe { packet_id, ..subscribe };
            self.subscribe = Some(again.clone());
            return Ok(Some(Packet::Subscribe(again)));
        }
        let filter = subscribe.filters.get(at).map_or("", |wish| wish.filter.as_str());
        Err(Trouble::Subscription(filter.to_owned(), reason))
    }

    pub(crate) fn note_unsuback(&mut self, packet_id: PacketId) -> Result<Option<Packet>, Trouble> {
        // Whatever it says: such a subscription is not there any more, or never was.
        self.unsubscribe.take_if(|asked| asked.packet_id == packet_id);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Way;
    use crate::settings::Carried;

    fn asked() -> Subscribing {
        let entries = ["a", "b"].map(|topic| Carried { topic: topic.to_owned(), ..Carried::default() });
        let mapping = Mapping::new(&entries, Way::In).unwrap();
        Subscribing::new(&mapping, vec![Filter::new("c").unwrap()], Some(Filter::new("probe").unwrap()), Version::V5)
            .unwrap()
    }

    fn suback(id: u16, reasons: &[ReasonCode]) -> SubAck {
        let packet_id = PacketId::new(id).unwrap();
        SubAck { packet_id, reasons: reasons.to_vec(), properties: Properties::EMPTY }
    }

    #[test]
    fn it_is_done_when_all_is_confirmed() {
        let mut asked = asked();
        assert_eq!((asked.take_packets().len(), asked.take_packets().len()), (2, 0));
        assert!(asked.note_suback(&suback(65_535, &[ReasonCode::Success; 2])).unwrap().is_none());
        assert!(!asked.is_done());
        asked.note_unsuback(PacketId::new(65_534).unwrap()).unwrap();
        assert!(asked.is_done());
    }

    #[test]
    fn an_id_in_use_is_not_insisted_on() {
        let mut asked = asked();
        let again = asked.note_suback(&suback(65_535, &[ReasonCode::PacketIdInUse; 2])).unwrap();
        let Some(Packet::Subscribe(again)) = again else { panic!("{again:?}") };
        assert_eq!((again.packet_id.as_u16(), again.filters.len()), (65_533, 3));
        assert!(asked.note_suback(&suback(65_533, &[ReasonCode::Success; 2])).unwrap().is_none());
    }

    #[test]
    fn a_probe_that_is_refused_does_no_harm() {
        let mut asked = asked();
        let filters = |packet: &Packet| matches!(packet, Packet::Subscribe(asked) if asked.filters.len() == 3);
        assert!(asked.take_packets().iter().any(filters));
        let answer = [ReasonCode::Success, ReasonCode::Success, ReasonCode::NotAuthorized];
        assert!(asked.note_suback(&suback(65_535, &answer)).unwrap().is_none());
    }

    #[test]
    fn a_filter_that_is_refused_is_named() {
        let trouble = asked().note_suback(&suback(65_535, &[ReasonCode::Success, ReasonCode::NotAuthorized]));
        assert_eq!(trouble.unwrap_err().to_string(), "it refuses the subscription to \"b\": not_authorized");
    }
}
