//! Nodes of a cluster as an operator sees them at another one.

use std::net::SocketAddr;

use mqtt_codec::{Qos, ReasonCode, Version};
use serde_json::{Value, json};

use crate::admin::ask;
use crate::client::{Client, keeping};
use crate::cluster::{Node, nodes};

fn admin_of(node: &Node) -> SocketAddr {
    node.broker.server().addresses().admin.expect("it is on")
}

/// Asks until the answer is the one that is waited for: how far a node has read is not told.
async fn until(admin: SocketAddr, path: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        let answer = ask(admin, &format!("GET /api/v4{path}")).await;
        if answer.status == 200 && is_it(&answer.json()) {
            return answer.json();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_found_at_whichever_node_it_is() {
    let Some([a, b, _c]) = nodes().await else { return };
    let admin = admin_of(&a);
    let mut client = b.connect("it/one ?").await;
    client.subscribe("x/y", Qos::AtLeastOnce).await;
    let (away, _) = Client::connect_with(b.broker.addr, keeping(Version::V5, "away")).await;
    away.leave().await;
    let is_found = |answer: &Value| !answer["data"].as_array().unwrap().is_empty();
    let found = until(admin, "/clients/it%2Fone%20%3F", is_found).await;
    let found = &found["data"][0];
    assert_eq!((&found["node"], &found["clientid"]), (&json!("b@2"), &json!("it/one ?")));
    assert_eq!((&found["connected"], &found["subscriptions_cnt"]), (&json!(true), &json!(1)));
    let found = until(admin, "/subscriptions/it%2Fone%20%3F", is_found).await;
    assert_eq!((&found["data"][0]["node"], &found["data"][0]["topic"]), (&json!("b@2"), &json!("x/y")));
    let found = until(admin, "/clients/away", is_found).await;
    assert_eq!((&found["data"][0]["node"], &found["data"][0]["connected"]), (&json!("b@2"), &json!(false)));
    let none = ask(admin, "GET /api/v4/clients/nobody").await;
    assert_eq!((none.status, &none.json()["data"]), (200, &json!([])));
    // Ended from here as well, by who says where it is, and by no one else.
    let kicked = ask(admin, "DELETE /api/v4/nodes/c@3/clients/it%2Fone%20%3F").await;
    assert_eq!(kicked.status, 404);
    client.ping().await;
    let kicked = ask(admin, "DELETE /api/v4/nodes/b@2/clients/it%2Fone%20%3F").await;
    assert_eq!(kicked.json(), json!({"code": 0}));
    client.expect_disconnect(ReasonCode::AdministrativeAction).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_says_of_itself_it_says_at_each_other_one() {
    let Some([a, b, c]) = nodes().await else { return };
    let clients: Vec<_> = [b.connect("one").await, b.connect("two").await].into();
    for admin in [&a, &b, &c].map(admin_of) {
        let page = until(admin, "/nodes/b@2/clients?_limit=1&_page=2", |page| page["meta"]["count"] == 2).await;
        assert_eq!((&page["data"][0]["clientid"], &page["meta"]["hasnext"]), (&json!("two"), &json!(false)));
        let stats = until(admin, "/nodes/b%402/stats", |_| true).await;
        assert_eq!(stats["data"]["connections.count"], 2);
        let metrics = until(admin, "/nodes/b@2/metrics", |_| true).await;
        assert_eq!(metrics["data"]["client.connected"], 2);
        let node = until(admin, "/nodes/b@2", |_| true).await;
        assert_eq!((&node["data"]["node"], &node["data"]["connections"]), (&json!("b@2"), &json!(2)));
        let cluster = until(admin, "/nodes/b@2/cluster", |_| true).await;
        assert_eq!((&cluster["data"]["node"], &cluster["data"]["live"]), (&json!("b@2"), &json!(true)));
        for path in ["listeners", "alarms", "subscriptions", "clients/username/nobody"] {
            until(admin, &format!("/nodes/b@2/{path}"), |answer| answer["code"] == 0).await;
        }
        assert_eq!(ask(admin, "GET /api/v4/nodes/b@2/nothing").await.status, 404);
    }
    drop(clients);
    // What would change something is for that node's own port.
    let answer = ask(admin_of(&a), "DELETE /api/v4/nodes/b@2/alarms/deactivated").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let refused = ask(admin_of(&a), "GET /api/v4/nodes/b@2/clients?_limit=x").await;
    assert_eq!(refused.json()["code"], 108, "{refused:?}");
    assert_eq!(ask(admin_of(&a), "GET /api/v4/nodes/d@4/clients").await.status, 404);
    c.broker.shutdown().await;
    let gone = ask(admin_of(&a), "GET /api/v4/nodes/c@3/clients").await;
    assert_eq!(gone.status, 503, "{gone:?}");
    assert_eq!(gone.json()["message"], "c@3: the node does not live");
}

fn texts<'a>(page: &'a Value, key: &str) -> Vec<&'a str> {
    page["data"].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap()).collect()
}

/// Node by node, and the same whichever is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_hold_what_all_nodes_have() {
    let Some([a, b, c]) = nodes().await else { return };
    let mut clients = Vec::new();
    for (node, ids) in [(&a, ["a/1", "a 2", "a3"].as_slice()), (&c, &["c1", "c2", "c3", "c4"]), (&b, &["b1"])] {
        for id in ids {
            let mut client = node.connect(id).await;
            client.subscribe(&format!("of/{id}"), Qos::AtLeastOnce).await;
            clients.push(client);
        }
    }
    let all = ["a 2", "a/1", "a3", "b1", "c1", "c2", "c3", "c4"];
    for admin in [&a, &b, &c].map(admin_of) {
        let page = until(admin, "/clients", |page| page["meta"]["count"] == 8).await;
        assert_eq!((texts(&page, "clientid"), &page["meta"]["hasnext"]), (all.to_vec(), &json!(false)));
        assert_eq!(texts(&page, "node"), ["a@1", "a@1", "a@1", "b@2", "c@3", "c@3", "c@3", "c@3"]);
        assert_eq!(page.get("missing"), None);
        for (path, key) in [("clients", "clientid"), ("subscriptions", "clientid")] {
            for limit in 1..=9 {
                let mut found = Vec::new();
                for number in 1..=8_usize.div_ceil(limit) {
                    let page = until(admin, &format!("/{path}?_page={number}&_limit={limit}"), |_| true).await;
                    assert_eq!((&page["meta"]["count"], &page["meta"]["page"]), (&json!(8), &json!(number)));
                    assert_eq!(page["meta"]["hasnext"], number * limit < 8, "{path} {limit} {page}");
                    found.extend(texts(&page, key).into_iter().map(str::to_owned));
                }
                assert_eq!(found, all, "{path} {limit}");
                let beyond = until(admin, &format!("/{path}?_page=9&_limit={limit}"), |_| true).await;
                assert_eq!((texts(&beyond, key), &beyond["meta"]["hasnext"]), (Vec::new(), &json!(false)));
            }
        }
        for limit in 1..=9 {
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let page = until(admin, &format!("/clients?_limit={limit}{after}"), |_| true).await;
                assert_eq!(page["meta"]["count"], 8);
                found.extend(texts(&page, "clientid").into_iter().map(str::to_owned));
                let Some(next) = page["meta"]["next"].as_str() else { break };
                after = format!("&_after={}", next.replace('/', "%2F").replace(' ', "%20").replace('@', "%40"));
            }
            assert_eq!(found, all, "{limit}");
        }
        let some = until(admin, "/clients?_like_clientid=2&_limit=1&_page=2", |_| true).await;
        assert_eq!((texts(&some, "clientid"), &some["meta"]["hasnext"]), (vec!["c2"], &json!(false)));
        let one = until(admin, "/clients?clientid=b1", |_| true).await;
        assert_eq!(texts(&one, "node"), ["b@2"]);
        let shared = until(admin, "/subscriptions?topic=of/c1", |_| true).await;
        assert_eq!(texts(&shared, "clientid"), ["c1"]);
        assert_eq!(texts(&until(admin, "/clients/username/nobody", |_| true).await, "node"), [""; 0]);
        let refused = ask(admin, "GET /api/v4/clients?_limit=x").await;
        assert_eq!(refused.json()["code"], 108, "{refused:?}");
        let refused = ask(admin, "GET /api/v4/subscriptions?_match_topic=a%23").await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!(108)), "{refused:?}");
        let refused = ask(admin, "GET /api/v4/clients?_after=x").await;
        assert_eq!(refused.json()["code"], 108, "{refused:?}");
    }
    c.broker.shutdown().await;
    let admin = admin_of(&a);
    let page = until(admin, "/clients", |page| page["meta"]["count"] == 4).await;
    assert_eq!(texts(&page, "clientid"), all[..4]);
}
