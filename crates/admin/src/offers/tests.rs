use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body as HttpBody;
use axum::http;
use futures_util::StreamExt;
use mqtt_hooks::route::{Feed, Handle, Position, Returns, Route, Takes};
use serde_json::json;
use tower::Service as _;

use super::*;

struct Echo;

#[async_trait::async_trait]
impl Handle for Echo {
    async fn handle(&self, request: Request) -> Result<Answer, Refused> {
        let said = (request.part("name"), request.number("n")?, &request.body);
        match said.0 {
            "conflict" => Err(Refused::Conflict("it is so already".to_owned())),
            "word" => Err(Refused::Coded { code: 112, message: "not_found".to_owned() }),
            "panic" => panic!("on purpose"),
            "list" => Answer::list(
                &[1, 2],
                Position { limit: 2, has_next: true, next: Some("2".to_owned()), ..Position::default() },
            ),
            _ => Answer::data(&said),
        }
    }
}

struct Left(u8);

#[async_trait::async_trait]
impl Feed for Left {
    async fn next(&mut self) -> Option<Event> {
        self.0 = self.0.checked_sub(1)?;
        Some(Event { name: "left", id: Some(self.0.to_string()), data: Json::new(&self.0).ok()? })
    }
}

struct Count;

#[async_trait::async_trait]
impl Handle for Count {
    async fn handle(&self, _: Request) -> Result<Answer, Refused> {
        Ok(Answer::Events(Box::new(Left(2))))
    }
}

/// What a module might offer.
pub(crate) fn offers() -> Vec<Offer> {
    let name = |route: Route| route.parameter("name", Takes::Text, "Which.").parameter("n", Takes::Number, "How many.");
    let routes = [
        name(Route::get("/echo/things/{name}", "Says it.", Echo)),
        name(Route::new(Method::Put, "/echo/things/{name}", "Takes it.", Echo)).body(json!({})).while_running(),
        name(Route::get("/echo/lists/{name}", "Lists it.", Echo)).returns(Returns::List(json!({ "type": "integer" }))),
        Route::new(Method::Delete, "/echo", "Forgets it.", Echo).returns(Returns::Done),
        Route::get("/echo/count", "Counts.", Count).returns(Returns::Events),
    ];
    routes.map(|route| Offer { module: "echo", route }).into()
}

async fn ask(router: &mut Router, method: &str, path: &str, body: &'static str) -> (u16, String) {
    let request = http::Request::builder().method(method).uri(path).body(HttpBody::from(body)).unwrap();
    let response = router.call(request).await.unwrap();
    let (status, mut body) = (response.status().as_u16(), response.into_body().into_data_stream());
    let mut text = String::new();
    while let Some(piece) = body.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    (status, text)
}

#[tokio::test]
async fn what_a_module_answers_is_wrapped_as_everything_is() {
    let runs = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&runs);
    let is_running = Box::new(move |module: &str| module == "echo" && seen.load(Ordering::Relaxed));
    let desk = Arc::new(Desk { is_running, streams: Arc::default(), lists: Arc::default() });
    let mut router = serve(Router::<()>::new(), offers(), &desk);
    for (method, path, body, status, answer) in [
        ("GET", "/echo/things/a%2Fb?n=7&other=1", "", 200, r#"{"code":0,"data":["a/b",7,null]}"#),
        ("PUT", "/echo/things/a", r#"{"b":1}"#, 200, r#"{"code":0,"data":["a",null,{"b":1}]}"#),
        ("PUT", "/echo/things/a", "{", 400, r#"{"message":"not_json"}"#),
        ("GET", "/echo/things/%ff", "", 400, ""),
        ("GET", "/echo/things/a?n=x", "", 400, ""),
        ("GET", "/echo/things/conflict", "", 409, r#"{"message":"it is so already"}"#),
        ("GET", "/echo/things/word", "", 200, r#"{"code":112,"message":"not_found"}"#),
        ("GET", "/echo/things/panic", "", 500, ""),
        ("GET", "/echo/lists/list", "", 200, r#"{"code":0,"data":[1,2],"meta":{"limit":2,"hasnext":true,"next":"2"}}"#),
        ("GET", "/echo/count", "", 200, "event: left\ndata: 1\nid: 1\n\nevent: left\ndata: 0\nid: 0\n\n"),
    ] {
        let answered = ask(&mut router, method, path, body).await;
        assert_eq!(answered.0, status, "{method} {path}: {answered:?}");
        assert!(answer.is_empty() || answered.1 == answer, "{method} {path}: {answered:?}");
    }
    runs.store(false, Ordering::Relaxed);
    assert_eq!(ask(&mut router, "PUT", "/echo/things/a", "{}").await.0, 404);
    assert_eq!(ask(&mut router, "GET", "/echo/things/a", "").await.0, 200);
}
