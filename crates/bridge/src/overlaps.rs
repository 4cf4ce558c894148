//! Topics that would go round.
//!
//! With MQTT 5 a broker sends nobody what it has published itself (No Local), and a message names the brokers that it has passed. 3.1.1
//! has neither, so what would go round by the settings of this broker alone is refused here.

use crate::mapping::Mapping;
use crate::plan::Plan;
use mqtt_codec::Version;

/// Whether `plan` goes together with itself and with the others there are.
///
/// # Errors
/// It names both topics.
pub(crate) fn check(plan: &Plan, others: &[Plan]) -> Result<(), String> {
    if plan.version < Version::V5
        && !plan.try_private
        && let Some(both) = echo(plan)
    {
        return Err(format!(
            "{both}: with protocol 4 and without try_private the remote broker sends back what it is sent"
        ));
    }
    for other in others.iter().filter(|other| is_same_remote(plan, other)) {
        let pairs = [(&plan.out, &other.out, "out"), (&plan.r#in, &other.r#in, "in")];
        for (one, another, way) in pairs {
            if let Some((one, another)) = first(one, another, |rule| &rule.from) {
                return Err(format!(
                    "{way} has {one:?}, and {way} of the bridge {:?} to the same broker has {another:?}: their messages would come twice",
                    other.name
                ));
            }
        }
        // What one brings is no message of the other's own, so nothing keeps the other from taking it back.
        let rounds = [(&plan.out, &other.r#in, "out", "in"), (&plan.r#in, &other.out, "in", "out")];
        for (one, another, way, back) in rounds {
            if let Some((one, another)) = first_of_round(one, another) {
                return Err(format!(
                    "{way} has {one:?}, and {back} of the bridge {:?} to the same broker has {another:?}: a message would go round; put both into one bridge",
                    other.name
                ));
            }
        }
    }
    Ok(())
}

/// What goes out and would come in again, if the remote broker sent it back: both, named.
pub(crate) fn echo(plan: &Plan) -> Option<String> {
    let (out, back) = first_of_round(&plan.out, &plan.r#in)?;
    Some(format!("out has {out:?} and in has {back:?}"))
}

/// Where messages are published by the one, the other takes them from.
fn first_of_round(one: &Mapping, another: &Mapping) -> Option<(String, String)> {
    one.rules().iter().find_map(|rule| {
        let back = another.rules().iter().find(|back| rule.to.overlaps(&back.from))?;
        Some((rule.from.as_str().to_owned(), back.from.as_str().to_owned()))
    })
}

fn first(
    one: &Mapping,
    another: &Mapping,
    side: fn(&crate::mapping::Rule) -> &mqtt_codec::Filter,
) -> Option<(String, String)> {
    one.rules().iter().find_map(|rule| {
        let found = another.rules().iter().find(|other| side(rule).overlaps(side(other)))?;
        Some((side(rule).as_str().to_owned(), side(found).as_str().to_owned()))
    })
}

fn is_same_remote(one: &Plan, other: &Plan) -> bool {
    one.remote.host.eq_ignore_ascii_case(&other.remote.host) && one.remote.port == other.remote.port
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::tests::plans;

    #[track_caller]
    fn wrong(bridges: &Value, part: &str) {
        let why = plans(bridges).unwrap_err();
        assert!(why.contains(part), "{why}");
    }

    #[test]
    fn what_3_1_1_would_send_back_is_refused_with_both_names() {
        let mut bridge = json!([{"name": "a", "remote": "mqtt://h", "protocol": 4, "try_private": false,
            "out": [{"topic": "a/#", "remote_prefix": "x/"}], "in": [{"topic": "x/+/b"}]}]);
        wrong(&bridge, "out has \"a/#\" and in has \"x/+/b\"");
        bridge[0]["in"][0]["topic"] = json!("y/#");
        plans(&bridge).unwrap();
        bridge[0]["in"][0]["topic"] = json!("x/#");
        bridge[0]["try_private"] = json!(true);
        plans(&bridge).unwrap();
    }

    #[test]
    fn two_bridges_to_one_broker_carry_nothing_twice_or_round() {
        let two = |one: Value, other: Value, remote: &str| {
            let mut bridges = json!([{"name": "a", "remote": "mqtt://h"}, {"name": "b", "remote": remote}]);
            for (bridge, more) in bridges.as_array_mut().unwrap().iter_mut().zip([one, other]) {
                bridge.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            }
            bridges
        };
        let (out, r#in) = (json!({"out": [{"topic": "a/#"}]}), json!({"in": [{"topic": "#"}]}));
        wrong(&two(out.clone(), out.clone(), "mqtt://H:1883"), "their messages would come twice");
        wrong(&two(out.clone(), r#in.clone(), "mqtt://h"), "a message would go round");
        wrong(&two(r#in.clone(), out.clone(), "mqtt://h"), "a message would go round");
        plans(&two(out.clone(), r#in, "mqtt://i")).unwrap();
        plans(&two(out, json!({"in": [{"topic": "b/#"}]}), "mqtt://h")).unwrap();
    }
}
