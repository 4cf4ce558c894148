//! Subscriptions, and the filters that messages are routed by.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use mqtt_codec::Filter;
use mqtt_operate::{Operate, SubscriptionQuery, SubscriptionState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::check_node;
use crate::asking::with_broker;
use crate::extract::{Path, Query};
use crate::guard::Caller;
use crate::reply::{Data, Listed, Paging, Refusal};
use crate::{Admission, lists, other_nodes};

/// A client's subscription.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscription {
    node: String,
    clientid: String,
    /// The filter, with `$share/group/` if it is shared.
    topic: String,
    qos: u8,
}

impl Subscription {
    fn new(node: &str, state: SubscriptionState) -> Self {
        Self {
            node: node.to_owned(),
            clientid: state.client_id,
            topic: state.filter.as_str().to_owned(),
            qos: state.options.qos as u8,
        }
    }
}

/// EMQ X's filters; all that are given must hold.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    clientid: Option<String>,
    /// The filter, with or without `$share/group/`.
    topic: Option<String>,
    /// 0, 1 or 2
    qos: Option<u8>,
    /// The group it is shared in.
    share: Option<String>,
    /// A filter that the subscription's own matches, taken for a topic.
    #[serde(rename = "_match_topic")]
    match_topic: Option<String>,
}

impl Which {
    /// `clientid` apart, which is looked up.
    const fn is_empty(&self) -> bool {
        self.topic.is_none() && self.qos.is_none() && self.share.is_none() && self.match_topic.is_none()
    }

    fn wants(&self, state: &SubscriptionState) -> bool {
        let filter = &state.filter;
        self.topic.as_ref().is_none_or(|topic| topic == filter.as_str() || topic == filter.pattern())
            && self.qos.is_none_or(|qos| qos == state.options.qos as u8)
            && self.share.as_deref().is_none_or(|share| filter.group() == Some(share))
            && self.match_topic.as_ref().is_none_or(|wanted| matches(filter, wanted))
    }

    /// EMQ X looks for what is no filter all the same, and finds what nobody has asked for.
    fn checked(self) -> Result<Self, Refusal> {
        let wrong = self.match_topic.as_deref().and_then(|wanted| Some((wanted, why_no_filter(wanted)?)));
        match wrong {
            None => Ok(self),
            Some((wanted, why)) => Err(Refusal::unreadable(format!("_match_topic: {wanted:?}: {why}"))),
        }
    }
}

/// Why it is none, with the place.
fn why_no_filter(text: &str) -> Option<String> {
    let why = Filter::new(text.to_owned()).err()?;
    let levels = text.split('/').count();
    let is_wrong = |(level, text): (usize, &str)| match text {
        "#" => level < levels,
        "+" => false,
        text => text.contains(['+', '#']),
    };
    let place = (1..).zip(text.split('/')).find(|&level| is_wrong(level));
    Some(place.map_or_else(|| why.to_string(), |(level, text)| format!("{why}: level {level}, {text:?}")))
}

/// Like a topic, but it may have wildcards: each is a level as others are.
fn matches(filter: &Filter, wanted: &str) -> bool {
    let mut levels = filter.pattern().split('/');
    if filter.pattern().starts_with('$') && wanted.starts_with(['+', '#']) {
        return false;
    }
    for level in wanted.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(own)) if level == own => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// A page of the subscriptions, by client id and filter. `meta.count` is -1 where there is a filter.
#[utoipa::path(get, path = "/subscriptions", tag = "subscriptions", params(Paging, Which),
    responses((status = OK, body = Listed<Subscription>)))]
pub(super) async fn list(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Query(paging): Query<Paging>,
    Query(which): Query<Which>,
) -> Result<Response, Refusal> {
    let which = which.checked()?;
    lists::list(&shared, &caller, move |broker| page(broker, paging, &which)).await
}

/// A page of the subscriptions on a node.
#[utoipa::path(get, path = "/nodes/{node}/subscriptions", tag = "subscriptions",
    params(("node", description = "its name"), Paging, Which), responses((status = OK, body = Listed<Subscription>)))]
pub(super) async fn list_of_node(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path(node): Path<String>,
    Query(paging): Query<Paging>,
    Query(which): Query<Which>,
) -> Result<Response, Refusal> {
    check_node(&shared, &node)?;
    let which = which.checked()?;
    lists::list(&shared, &caller, move |broker| page(broker, paging, &which)).await
}

fn page(broker: &dyn Operate, paging: Paging, which: &Which) -> Listed<Subscription> {
    let node = broker.node_name();
    let wanted = |state: &SubscriptionState| which.wants(state);
    let wanted: Option<&dyn Fn(&SubscriptionState) -> bool> = if which.is_empty() { None } else { Some(&wanted) };
    let client_id = which.clientid.as_deref();
    let query = SubscriptionQuery { client_id, skip: paging.skip(), limit: paging.limit(), wanted };
    let page = broker.subscriptions(&query);
    let count = if which.is_empty() && client_id.is_none() { broker.subscriptions_len() as i64 } else { -1 };
    let rows = page.rows.into_iter().map(|state| Subscription::new(node, state)).collect();
    Listed::new(rows, paging, count, page.has_more).behind(page.skipped, paging)
}

fn all_of(broker: &dyn Operate, client_id: &str) -> Data<Vec<Subscription>> {
    let node = broker.node_name();
    let limit = Paging::MAX;
    let page = broker.subscriptions(&SubscriptionQuery { client_id: Some(client_id), skip: 0, limit, wanted: None });
    Data::new(page.rows.into_iter().map(|state| Subscription::new(node, state)).collect())
}

/// A client's subscriptions, 10,000 at most, at whichever node it is.
#[utoipa::path(get, path = "/subscriptions/{clientid}", tag = "subscriptions", params(("clientid", description = "its id")),
    responses((status = OK, body = Data<Vec<Subscription>>)))]
pub(super) async fn of_client(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path(client_id): Path<String>,
) -> Result<Response, Refusal> {
    if let Some(node) = shared.broker.node_of(&client_id) {
        return Ok(other_nodes::ask_of_client(&shared, &caller, &node, "subscriptions", &client_id).await);
    }
    lists::list(&shared, &caller, move |broker| all_of(broker, &client_id)).await
}

/// The subscriptions of a node's client.
#[utoipa::path(get, path = "/nodes/{node}/subscriptions/{clientid}", tag = "subscriptions",
    params(("node", description = "its name"), ("clientid", description = "its id")),
    responses((status = OK, body = Data<Vec<Subscription>>)))]
pub(super) async fn of_client_on_node(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Path((node, client_id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    check_node(&shared, &node)?;
    lists::list(&shared, &caller, move |broker| all_of(broker, &client_id)).await
}

/// A filter that someone has subscribed with.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// The filter, without `$share/group/`.
    topic: String,
    node: String,
}

/// A page of the filters that there are subscriptions for, in order.
#[utoipa::path(get, path = "/routes", tag = "subscriptions", params(Paging),
    responses((status = OK, body = Listed<Route>)))]
pub(super) async fn routes(
    State(shared): Admission,
    Extension(caller): Extension<Caller>,
    Query(paging): Query<Paging>,
) -> Result<Response, Refusal> {
    let answer = lists::list(&shared, &caller, move |broker| {
        let node = broker.node_name();
        let page = broker.routes(paging.skip(), paging.limit());
        let rows = page.rows.into_iter().map(|topic| Route { topic, node: node.to_owned() }).collect();
        Listed::new(rows, paging, broker.routes_len() as i64, page.has_more)
    });
    answer.await
}

/// Whether there are subscriptions with a filter: a list of one route, or none.
#[utoipa::path(get, path = "/routes/{topic}", tag = "subscriptions", params(("topic", description = "the filter")),
    responses((status = OK, body = Data<Vec<Route>>)))]
pub(super) async fn route(State(shared): Admission, Path(topic): Path<String>) -> Result<Data<Vec<Route>>, Refusal> {
    let answer = with_broker(&shared, move |broker| {
        let node = broker.node_name();
        let is_there = broker.has_route(&topic);
        Data::new(is_there.then_some(Route { topic, node: node.to_owned() }).into_iter().collect())
    });
    answer.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_of_a_subscription_are_matched_like_other_levels() {
        for (filter, wanted, expected) in [
            ("a/b", "a/+", true),
            ("a/#", "a/+", true),
            ("a/#", "a/#", true),
            ("a/b/c", "a/+", false),
            ("a", "a/#", true),
            ("$share/g/a/b", "a/#", true),
            ("$SYS/#", "#", false),
        ] {
            assert_eq!(matches(&Filter::new(filter).unwrap(), wanted), expected, "{filter} {wanted}");
        }
    }
}
