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
