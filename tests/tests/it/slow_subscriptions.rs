//! Who takes long to acknowledge.

use mqtt_codec::{Qos, Version};
use mqtt_modules::Modules;
use serde_json::json;

use crate::{
    admin::{self, ask, send},
    client::{Client, message, retained},
    clock,
};

const MODULE: &str = "slow_subscriptions";
const PATH: &str = "GET /api/v4/slow_subscriptions";

#[tokio::test]
async fn the_client_that_takes_long_is_listed_and_no_other() {
    let Some((broker, admin)) = admin::start().await else { return };
    let registry = broker.server().registry();
    registry.configure(MODULE, json!({"threshold": 900})).await.unwrap();
    registry.start(MODULE).await.unwrap();
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(retained("a/kept", "x", Qos::AtLeastOnce)).await;
    let (mut quick, mut slow) = (
        Client::connect(broker.addr, Version::V3_1_1, "quick").await,
        Client::connect(broker.addr, Version::V5, "slow").await,
    );
    for client in [&mut quick, &mut slow] {
        client.subscribe("a/#", Qos::ExactlyOnce).await;
    }
    quick.take().await;
    let kept = slow.receive_publish().await;
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        publisher.publish(message(&format!("a/{}", qos as u8), "x", qos)).await;
        quick.take().await;
    }
    let late = [slow.receive_publish().await, slow.receive_publish().await];
    clock::wait(broker.addr, 1).await;
    slow.acknowledge(&kept).await;
    for publish in &late {
        slow.acknowledge(publish).await;
    }
    slow.ping().await;
    let listed = ask(admin, PATH).await.json();
    let rows = listed["data"].as_array().unwrap();
    let mut topics: Vec<_> = rows.iter().map(|row| row["topic"].as_str().unwrap()).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["a/1", "a/2"], "not what was retained: {listed}");
    for row in rows {
        assert_eq!((&row["clientid"], &row["node"]), (&json!("slow"), &json!("rollcall@127.0.0.1")));
        assert!(row["timespan"].as_u64().unwrap() >= 900, "{row}");
        assert!(row["last_update_time"].as_u64().unwrap() > 1_600_000_000_000, "{row}");
    }
    assert_eq!(send(admin, "DELETE /api/v4/slow_subscriptions", "").await.json(), json!({"code": 0}));
    assert_eq!(ask(admin, PATH).await.json()["data"], json!([]));
    let metrics = ask(admin, "GET /metrics").await.body;
    assert!(metrics.contains("rollcall_slow_subscriptions_slow_total 2"), "{metrics}");
}
