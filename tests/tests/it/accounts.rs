//! The admin port: keys, the password, and EMQ X's way to ask whether one is right.

use std::net::SocketAddr;

use serde_json::json;

use crate::broker::Broker;
use crate::http::{Answer, basic, request};

async fn start(password: Option<&str>) -> Option<(Broker, SocketAddr, String)> {
    let broker = Broker::with(|config| {
        config.admin.bind = Some(([127, 0, 0, 1], 0).into());
        config.admin.password = password.map(str::to_owned);
    });
    let broker = broker.await?;
    let addr = broker.server().addresses().admin.expect("it is on");
    let password = password.or_else(|| broker.server().made_password()).expect("one of them").to_owned();
    Some((broker, addr, basic("admin", &password)))
}

async fn ask(addr: SocketAddr, line: &str, who: &str, body: &str) -> Answer {
    request(addr, line, &[who.to_owned()], body).await
}

#[tokio::test]
async fn a_key_allows_what_its_role_says_until_it_is_taken_back() {
    let Some((_broker, addr, admin)) = start(None).await else { return };
    let mut keys = Vec::new();
    for (name, role) in [("looks", "viewer"), ("changes", "admin")] {
        let body = json!({"name": name, "role": role}).to_string();
        let made = ask(addr, "POST /api/v4/admin/keys", &admin, &body).await.json();
        assert_eq!((&made["code"], &made["data"]["role"]), (&json!(0), &json!(role)), "{made}");
        keys.push(basic(name, made["data"]["secret"].as_str().unwrap()));
        let again = ask(addr, "POST /api/v4/admin/keys", &admin, &body).await;
        assert_eq!(again.status, 409, "{again:?}");
    }
    for body in ["{\"name\":\"a b\"}", "{\"name\":\"x\",\"role\":\"god\"}", "{}", "", "{\"name\":\"x\",\"more\":1}"] {
        assert_eq!(ask(addr, "POST /api/v4/admin/keys", &admin, body).await.status, 400, "{body}");
    }
    let listed = ask(addr, "GET /api/v4/admin/keys", &keys[0], "").await;
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2);
    assert!(!listed.body.contains("digest") && !listed.body.contains("secret"), "{listed:?}");
    let me = ask(addr, "GET /api/v4/admin/whoami", &keys[0], "").await.json();
    assert_eq!(me["data"], json!({"name": "looks", "role": "viewer", "login": false}));
    assert_eq!(ask(addr, "DELETE /api/v4/admin/keys/changes", &keys[0], "").await.status, 403);
    assert_eq!(ask(addr, "DELETE /api/v4/admin/keys/looks", &keys[1], "").await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, "GET /api/v4/admin/whoami", &keys[0], "").await.status, 401);
    for name in ["looks", "local", "admin"] {
        assert_eq!(ask(addr, &format!("DELETE /api/v4/admin/keys/{name}"), &admin, "").await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn another_password_ends_all_logins() {
    let Some((_broker, addr, admin)) = start(None).await else { return };
    let put = |password: &str| json!({ "password": password }).to_string();
    assert_eq!(ask(addr, "PUT /api/v4/admin/password", &admin, &put("short")).await.status, 400);
    assert_eq!(ask(addr, "PUT /api/v4/admin/password", &admin, &put("long enough")).await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, "GET /api/v4/admin/whoami", &admin, "").await.status, 401);
    let form = ["content-type: application/x-www-form-urlencoded".to_owned()];
    let login = request(addr, "POST /login", &form, "username=admin&password=long+enough").await;
    let cookie = format!("cookie: {}", login.cookie());
    let me = ask(addr, "GET /api/v4/admin/whoami", &cookie, "").await.json();
    assert_eq!(me["data"], json!({"name": "admin", "role": "admin", "login": true}));
    let admin = basic("admin", "long enough");
    assert_eq!(ask(addr, "PUT /api/v4/admin/password", &admin, &put("longer still")).await.status, 200);
    assert_eq!(ask(addr, "GET /api/v4/admin/whoami", &cookie, "").await.status, 401);
}

#[tokio::test]
async fn a_configured_password_is_not_changed_here() {
    let Some((_broker, addr, admin)) = start(Some("open sesame")).await else { return };
    let body = json!({"password": "long enough"}).to_string();
    assert_eq!(ask(addr, "PUT /api/v4/admin/password", &admin, &body).await.status, 409);
    assert_eq!(ask(addr, "GET /api/v4/admin/whoami", &admin, "").await.status, 200);
}

/// Adds an operator, and returns how they come in.
async fn operator(addr: SocketAddr, admin: &str, name: &str, role: &str) -> String {
    let body = json!({"username": name, "password": "long enough", "tags": "", "role": role}).to_string();
    assert_eq!(ask(addr, "POST /api/v4/users", admin, &body).await.json(), json!({"code": 0}), "{name}");
    basic(name, "long enough")
}

#[tokio::test]
async fn each_role_may_do_what_it_says_and_no_more() {
    let Some((_broker, addr, admin)) = start(None).await else { return };
    let viewer = operator(addr, &admin, "views", "viewer").await;
    let shift = operator(addr, &admin, "works", "operator").await;
    let chief = operator(addr, &admin, "rules", "admin").await;
    let ban = json!({"as": "clientid", "who": "x"}).to_string();
    let message = json!({"topic": "a", "payload": "", "clientid": "x"}).to_string();
    let user = json!({"username": "more", "password": "long enough"}).to_string();
    let nothing = String::new();
    for (line, body, least) in [
        ("GET /api/v4/users", &nothing, 0),
        ("GET /api/v4/clients", &nothing, 0),
        ("POST /api/v4/banned", &ban, 1),
        ("DELETE /api/v4/banned/clientid/x", &nothing, 1),
        ("POST /api/v4/mqtt/publish", &message, 1),
        ("DELETE /api/v4/clients/x", &nothing, 1),
        ("PUT /api/v4/listeners/mqtt/restart", &nothing, 1),
        ("PUT /api/v4/modules/presence/unload", &nothing, 2),
        ("PUT /api/v4/modules/presence/load", &nothing, 2),
        ("POST /api/v4/users", &user, 2),
        ("PUT /api/v4/users/views", &json!({"role": "viewer"}).to_string(), 2),
        ("DELETE /api/v4/users/more", &nothing, 2),
        ("GET /api/v4/auth/users", &nothing, 0),
        ("POST /api/v4/auth/users", &user, 2),
        ("POST /api/v4/admin/keys", &json!({"name": "k"}).to_string(), 2),
    ] {
        for (rank, who) in [&viewer, &shift, &chief].into_iter().enumerate() {
            let answer = ask(addr, line, who, body).await;
            if rank < least {
                assert_eq!(answer.status, 403, "{line} {rank} {answer:?}");
                assert!(answer.body.contains("needs the role"), "{answer:?}");
            } else {
                assert_ne!(answer.status, 403, "{line} {rank} {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn there_is_always_somebody_who_may_change_everything() {
    let Some((_broker, addr, admin)) = start(None).await else { return };
    let second = operator(addr, &admin, "second", "admin").await;
    let put = async |who: &str, name: &str, body: serde_json::Value| {
        ask(addr, &format!("PUT /api/v4/users/{name}"), who, &body.to_string()).await.json()["code"].clone()
    };
    assert_eq!(ask(addr, "DELETE /api/v4/users/admin", &second, "").await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, "GET /api/v4/users", &admin, "").await.status, 401);
    assert_eq!(put(&second, "second", json!({"role": "operator"})).await, 106);
    assert_eq!(ask(addr, "DELETE /api/v4/users/second", &second, "").await.json()["code"], 106);
    assert_eq!(ask(addr, "GET /api/v4/users", &second, "").await.json()["data"][0]["role"], "admin");
    for (name, body, code) in [
        ("nobody", json!({"role": "viewer"}), 105),
        ("second", json!({"password": "short"}), 108),
        ("second", json!({"role": "god"}), 108),
        ("second", json!({"tags": "x".repeat(257)}), 108),
        ("second", json!({"tags": "first now"}), 0),
    ] {
        assert_eq!(put(&second, name, body.clone()).await, code, "{name} {body}");
    }
    for (name, code) in [("second", 113), ("local", 113), ("a b", 108), ("", 104)] {
        let body = json!({"username": name, "password": "long enough"}).to_string();
        assert_eq!(ask(addr, "POST /api/v4/users", &second, &body).await.json()["code"], code, "{name}");
    }
    // The way back in, from the broker's own machine.
    let body = json!({"password": "back again"}).to_string();
    assert_eq!(ask(addr, "PUT /api/v4/admin/password", &second, &body).await.json(), json!({"code": 0}));
    let me = ask(addr, "GET /api/v4/admin/whoami", &basic("admin", "back again"), "").await.json();
    assert_eq!(me["data"]["role"], "admin");
}

#[tokio::test]
async fn another_role_or_password_ends_the_logins_of_whom_it_is_about() {
    let Some((_broker, addr, admin)) = start(None).await else { return };
    let form = ["content-type: application/x-www-form-urlencoded".to_owned()];
    let mut cookies = Vec::new();
    for name in ["one", "other"] {
        operator(addr, &admin, name, "operator").await;
        let login = request(addr, "POST /login", &form, &format!("username={name}&password=long+enough")).await;
        cookies.push(format!("cookie: {}", login.cookie()));
    }
    let is_in = async |n: usize| ask(addr, "GET /api/v4/admin/whoami", &cookies[n], "").await.status == 200;
    assert!(is_in(0).await && is_in(1).await);
    ask(addr, "PUT /api/v4/users/one", &admin, &json!({"tags": "x"}).to_string()).await;
    assert!(is_in(0).await, "nothing has changed that matters");
    ask(addr, "PUT /api/v4/users/one", &admin, &json!({"role": "admin"}).to_string()).await;
    assert!(!is_in(0).await && is_in(1).await);
    let change = |old: &str, new: &str| json!({"old_pwd": old, "new_pwd": new}).to_string();
    let other = basic("other", "long enough");
    let wrong = ask(addr, "PUT /api/v4/change_pwd/other", &other, &change("wrong", "longer still")).await;
    assert_eq!(wrong.json()["code"], 114);
    let foreign = ask(addr, "PUT /api/v4/change_pwd/one", &other, &change("long enough", "longer still")).await;
    assert_eq!(foreign.status, 403);
    let short = ask(addr, "PUT /api/v4/change_pwd/other", &other, &change("long enough", "short")).await;
    assert_eq!(short.json()["code"], 108);
    let changed = ask(addr, "PUT /api/v4/change_pwd/other", &other, &change("long enough", "longer still")).await;
    assert_eq!(changed.json(), json!({"code": 0}));
    assert!(!is_in(1).await);
    assert_eq!(ask(addr, "GET /api/v4/users", &other, "").await.status, 401);
    assert_eq!(ask(addr, "GET /api/v4/users", &basic("other", "longer still"), "").await.status, 200);
    ask(addr, "DELETE /api/v4/users/other", &admin, "").await;
    assert_eq!(ask(addr, "GET /api/v4/users", &basic("other", "longer still"), "").await.status, 401);
}

#[tokio::test]
async fn the_password_of_the_configuration_holds_whoever_else_there_is() {
    let Some((_broker, addr, admin)) = start(Some("open sesame")).await else { return };
    let second = operator(addr, &admin, "second", "admin").await;
    let users = ask(addr, "GET /api/v4/users", &second, "").await.json();
    assert_eq!(
        users["data"][0],
        json!({"username": "admin", "tags": "administrator", "role": "admin", "created_at": null})
    );
    assert_eq!(ask(addr, "DELETE /api/v4/users/admin", &second, "").await.json()["code"], 102);
    let role = json!({"role": "viewer"}).to_string();
    assert_eq!(ask(addr, "PUT /api/v4/users/admin", &second, &role).await.json()["code"], 102);
    assert_eq!(ask(addr, "PUT /api/v4/users/second", &second, &role).await.json(), json!({"code": 0}));
    assert_eq!(ask(addr, "GET /api/v4/users", &admin, "").await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_says_who_it_is_and_nobody_else_does() {
    for (trusted, is_believed) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let broker = Broker::with(|config| {
            config.admin.bind = Some(([127, 0, 0, 1], 0).into());
            config.admin.password = Some("open sesame".to_owned());
            config.admin.trusted_proxies = vec![trusted.parse().unwrap()];
            config.admin.user_header = Some("X-Forwarded-User".to_owned());
        });
        let Some(broker) = broker.await else { return };
        let addr = broker.server().addresses().admin.expect("it is on");
        operator(addr, &basic("admin", "open sesame"), "jo", "operator").await;
        let said = |name: &str| format!("x-forwarded-user: {name}");
        let me = async |headers: &[String]| request(addr, "GET /api/v4/admin/whoami", headers, "").await;
        let status = async |headers: &[String]| me(headers).await.status;
        assert_eq!(status(&[]).await, 401, "nobody says anything");
        assert_eq!(status(&[said("")]).await, 401, "the proxy knows nobody");
        if !is_believed {
            assert_eq!(status(&[said("jo")]).await, 401);
            assert_eq!(status(&[said("jo"), basic("admin", "open sesame")]).await, 200);
            continue;
        }
        let found = me(&[said("jo"), basic("proxy", "its own")]).await.json();
        assert_eq!(found["data"], json!({"name": "jo", "role": "operator", "login": true}));
        assert_eq!(me(&[said("admin")]).await.json()["data"]["role"], "admin");
        assert_eq!(status(&[said("nobody")]).await, 403);
        assert_eq!(status(&[said("jo"), said("admin")]).await, 403, "somebody else has said it too");
        // A browser says it for every page, so it needs the page's token to change something, and the page to be ours.
        let page = request(addr, "GET /", &[said("jo")], "").await;
        let (_, rest) = page.body.split_once("name=csrf content=\"").expect("a token");
        let token = format!("x-csrf-token: {}", rest.split('"').next().unwrap());
        let restart = async |headers: &[String]| {
            request(addr, "PUT /api/v4/listeners/mqtt/restart", &[&[said("jo")], headers].concat(), "").await.status
        };
        assert_eq!(restart(&[]).await, 403);
        assert_eq!(restart(&["x-csrf-token: x".to_owned()]).await, 403);
        assert_eq!(restart(&[token.clone(), "sec-fetch-site: cross-site".to_owned()]).await, 403);
        assert_eq!(restart(std::slice::from_ref(&token)).await, 200);
        let unload = request(addr, "PUT /api/v4/modules/presence/unload", &[said("jo"), token], "").await;
        assert_eq!(unload.status, 403, "the role is the operator's");
    }
}

#[tokio::test]
async fn auth_answers_as_emqx_does() {
    let Some((_broker, addr, _)) = start(Some("open sesame")).await else { return };
    for (body, code) in [
        (json!({"username": "admin", "password": "open sesame"}), 0),
        (json!({"username": "admin", "password": "wrong"}), 103),
        (json!({"username": "nobody", "password": "open sesame"}), 103),
        (json!({"username": "", "password": "x"}), 104),
        (json!({"username": "admin"}), 104),
    ] {
        let answer = request(addr, "POST /api/v4/auth", &[], &body.to_string()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (200, &json!(code)), "{body}");
    }
    assert_eq!(request(addr, "POST /api/v4/auth", &[], "{").await.status, 400);
    let (guess, right) =
        (r#"{"username":"admin","password":"guess"}"#, r#"{"username":"admin","password":"open sesame"}"#);
    for _ in 0..9 {
        assert_eq!(request(addr, "POST /api/v4/auth", &[], guess).await.status, 200);
    }
    let answer = request(addr, "POST /api/v4/auth", &[], right).await;
    assert_eq!((answer.status, &answer.json()["code"]), (200, &json!(0)), "slowed down by wrong ones, and let in");
}
