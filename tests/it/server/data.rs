//! What a program keeps with a connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use landline::{Client, Request, Server, Upgrade};

use crate::support::*;

#[derive(Clone, Debug, PartialEq)]
struct User(String);

struct Room(u32);

/// A connection keeps one value of each type, for every handle; a new value replaces the old one, which
/// is dropped at once if nobody holds it.
#[test]
fn connections_keep_a_value_of_each_type() {
    let server = TestServer::echo();
    let ws = landline::connect(server.url(), |_| ()).unwrap();
    assert!(ws.data::<User>().is_none());
    ws.set_data(User("Ada".into()));
    ws.clone().set_data(Room(7));
    let ada = ws.data::<User>().unwrap();
    assert!(Arc::ptr_eq(&ada, &ws.clone().data().unwrap()));
    ws.set_data(User("Grace".into()));
    assert_eq!(ws.data(), Some(Arc::new(User("Grace".into()))));
    assert_eq!((&*ada.0, ws.data::<Room>().unwrap().0), ("Ada", 7));
    assert_eq!(Arc::strong_count(&ada), 1);
    assert!(ws.data::<String>().is_none());
    // It outlives the connection, but not its handles.
    ws.close();
    ws.wait_closed().unwrap();
    let grace = ws.data::<User>().unwrap();
    drop(ws);
    settled("nobody else holds it", || Arc::strong_count(&grace) == 1);
}

/// What the program has put into the request's extensions is the connection's data, from the first
/// callback on and for who lists the connections; the request keeps its own.
#[test]
fn data_begins_with_what_the_request_carried() {
    let (heard, said) = mpsc::channel();
    let builder = Server::builder()
        .should_upgrade(|request: &mut Request| {
            let name = request.cookie("user").unwrap_or("nobody").to_owned();
            request.extensions_mut().insert(User(name));
            Ok(Upgrade::new())
        })
        .on_upgrade(move |ws, request| {
            let of_request = request.extensions().get::<User>().cloned();
            heard.send((of_request, ws.data::<User>(), ws.data::<User>()))
        });
    let server = TestServer::start(builder);
    let client = Client::new().header("Cookie", "a=b; user=Ada");
    let _ws = client.connect(server.url(), |_| ()).unwrap();
    let (of_request, first, again) = next(&said);
    assert_eq!(of_request, Some(User("Ada".into())));
    assert_eq!(first.as_deref(), of_request.as_ref());
    assert!(Arc::ptr_eq(&first.unwrap(), &again.unwrap()));
    let names: Vec<_> = server
        .connections()
        .iter()
        .map(|ws| ws.data::<User>())
        .collect();
    assert_eq!(names, [Some(Arc::new(User("Ada".into())))]);
}

/// A value whose clone panics answers 500; one whose drop panics ends nothing else.
#[test]
fn data_that_panics_costs_its_connection_alone() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Bad(bool);
    impl Clone for Bad {
        fn clone(&self) -> Self {
            assert!(!self.0, "it does not clone");
            Self(self.0)
        }
    }
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
            panic!("it does not drop");
        }
    }
    let builder = Server::builder()
        .should_upgrade(|request: &mut Request| {
            let clones_badly = request.path() == "/bad";
            request.extensions_mut().insert(Bad(clones_badly));
            Ok(Upgrade::new())
        })
        .on_upgrade(|ws, _| {
            ws.set_data(Worse);
            ws.on_text(|ws, text| ws.send(text));
        });
    let server = TestServer::start(builder);
    let head = PlainReply::new(
        RawPeer::asking(
            &server,
            &upgrade_request("localhost").replace("GET /", "GET /bad"),
        )
        .read_head(),
        String::new(),
    );
    assert_eq!(head.status, 500);
    for round in 1..=3 {
        let mut peer = RawPeer::client_of(&server);
        peer.send_text("hello");
        assert_eq!(peer.read_frame(), Frame::text("hello"));
        drop(peer);
        settled("it is dropped", || DROPS.load(Ordering::Relaxed) == round);
    }
    settled("no thread is left", || server.connection_count() == 0);
}

/// The `Debug` of a handle says who it is, for logs: the id, the peer, and the path without its query.
#[test]
fn handles_say_who_they_are() {
    let (sender, receiver) = mpsc::channel();
    let builder = Server::builder().on_upgrade(move |ws, _| sender.send(ws.clone()));
    let server = TestServer::start(builder);
    let ws = landline::connect(server.url() + "/rooms/7?token=secret", |_| ()).unwrap();
    let served = next(&receiver);
    assert_eq!((ws.path(), served.path()), ("/rooms/7", "/rooms/7"));
    for handle in [&ws, &served] {
        let (id, peer) = (handle.id(), handle.peer_addr());
        let expected = format!("id: {id}, peer_addr: {peer}, path: \"/rooms/7\", open: true");
        let shown = format!("{handle:?}");
        assert!(shown.contains(&expected), "{shown}");
    }
}

/// A cookie is found by its name, in any of the lines; the first of a name counts, and quotes do not.
#[test]
fn cookies_are_found_by_name() {
    for (lines, name, expected) in [
        (&["a=1; b=2"][..], "b", Some("2")),
        (&["a=1;b=2"], "b", Some("2")),
        (&["a=1", "b=2; a=3"], "b", Some("2")),
        (&["a=1; a=2"], "a", Some("1")),
        (&["a=\"x y\""], "a", Some("x y")),
        (&["a=\"x"], "a", Some("\"x")),
        (&["a=\""], "a", Some("\"")),
        (&["a="], "a", Some("")),
        (&["a=b=c=="], "a", Some("b=c==")),
        (&["ab=1; A=2"], "a", None),
        (&["a; b=1"], "a", None),
        (&["\u{e9}=1; b=2"], "b", Some("2")),
        (&[], "a", None),
    ] {
        let mut request = http::Request::get("/");
        for line in lines {
            request = request.header("Cookie", line.as_bytes());
        }
        let request = Request::from(request.body(Default::default()).unwrap());
        assert_eq!(request.cookie(name), expected, "{lines:?}");
    }
}
