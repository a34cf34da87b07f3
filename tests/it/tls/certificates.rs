//! Whom a client talks to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use landline::{Client, Error, Reply, Server, TlsOptions};

use crate::support::*;

/// A certificate that a client of `127.0.0.1` should not believe.
struct Bad {
    what: &'static str,
    certificate: Certificate,
    /// What the error says of it, without what OpenSSL's versions write differently.
    says: &'static str,
    /// Whether nothing is wrong but the name.
    is_name: bool,
}

fn bad_certificates() -> Vec<Bad> {
    let here = ["127.0.0.1"];
    let mut expired = params("expired", &here);
    expired.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let mut early = params("early", &here);
    early.not_before = rcgen::date_time_ymd(3001, 1, 1);
    let bad = |what, certificate, says| Bad {
        what,
        certificate,
        says,
        is_name: says == "IP address mismatch",
    };
    let (own, ip) = (params("own", &here), "IP address mismatch");
    vec![
        bad(
            "another name",
            TRUSTED.sign(params("a", &["example.org"])),
            ip,
        ),
        bad(
            "another address",
            TRUSTED.sign(params("b", &["127.0.0.2"])),
            ip,
        ),
        bad(
            "address as a name alone",
            TRUSTED.sign(params("127.0.0.1", &[])),
            ip,
        ),
        bad("expired", TRUSTED.sign(expired), "has expired"),
        bad("not yet valid", TRUSTED.sign(early), "not yet valid"),
        bad(
            "self-signed",
            Certificate::self_signed(&own),
            "signed certificate",
        ),
        bad(
            "unknown authority",
            Authority::new("unknown").sign(own),
            "unable to get local issuer certificate",
        ),
    ]
}

/// Starts a server that counts the requests its program gets.
#[track_caller]
fn counting(certificate: &Certificate) -> (TestServer, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let builder = Server::builder()
        .tls(certificate.identity())
        .on_request(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Reply::forbidden()
        });
    (TestServer::start(builder), requests)
}

/// Tells what a client of these options hears: the reply that is a refusal, or a TLS error's text.
#[track_caller]
fn verdict(options: TlsOptions, url: String) -> Result<(), String> {
    match connect_error(&Client::new().tls(options), url) {
        Error::Refused(refusal) if refusal.status == 403 => Ok(()),
        Error::Tls(text) => Err(text),
        error => panic!("{error:?}"),
    }
}

/// A certificate that is not for the host, not valid now or not signed by whom the client trusts is
/// refused, the error says which of it, and the server's program hears nothing of the client.
#[test]
fn bad_certificates_are_refused() {
    for bad in bad_certificates() {
        let (server, requests) = counting(&bad.certificate);
        let text = verdict(trust(&TRUSTED), server.url()).expect_err(bad.what);
        assert!(text.contains(bad.says), "{}: {text}", bad.what);
        settled("the server has given up", || server.connection_count() == 0);
        drop(server);
        assert_eq!(requests.load(Ordering::Relaxed), 0, "{}", bad.what);
    }
}

/// A name that the certificate does not have is told apart from an address.
#[test]
fn wrong_name_is_refused() {
    let (server, requests) = counting(&TRUSTED.sign(params("other", &["example.org"])));
    let url = format!("wss://localhost:{}", tcp_addr(&server).port());
    let text = verdict(trust(&TRUSTED), url).unwrap_err();
    assert!(text.to_lowercase().contains("hostname mismatch"), "{text}");
    assert_eq!(requests.load(Ordering::Relaxed), 0);
}

/// To a server that it does not believe, a client sends not one byte of its request.
#[test]
fn refused_server_gets_no_application_byte() {
    let server = RawServer::new();
    let url = secure_url(&server);
    let client = Client::new().tls(TlsOptions::new().only_these_roots());
    let connecting = std::thread::spawn(move || connect_error(&client, url));
    assert!(TlsPeer::accept(&server).is_err());
    assert!(matches!(connecting.join().unwrap(), Error::Tls(_)));
}

/// The right certificate is believed by name and by address.
#[test]
fn right_certificate_is_believed_by_name_and_address() {
    let (server, _) = counting(&LOCAL);
    let port = tcp_addr(&server).port();
    for host in ["localhost", "LOCALHOST", "127.0.0.1"] {
        assert_eq!(
            verdict(trust(&TRUSTED), format!("wss://{host}:{port}")),
            Ok(()),
            "{host}"
        );
    }
    let builder = Server::builder().tls(LOCAL.identity());
    let Ok(server) = builder.on_request(|_| Reply::forbidden()).bind("[::1]:0") else {
        return; // No IPv6 here.
    };
    assert_eq!(verdict(trust(&TRUSTED), server.url()), Ok(()));
}

/// `danger_accept_invalid_certs` accepts what nobody trusted has signed, or not for now.
#[test]
fn invalid_certificates_are_accepted_in_danger() {
    for bad in bad_certificates().into_iter().filter(|bad| !bad.is_name) {
        let (server, _) = counting(&bad.certificate);
        let options = trust(&TRUSTED).danger_accept_invalid_certs();
        assert_eq!(verdict(options, server.url()), Ok(()), "{}", bad.what);
    }
}

/// `danger_accept_invalid_hostnames` accepts another's certificate, and nothing else that is wrong.
#[test]
fn other_names_are_accepted_in_danger() {
    for bad in bad_certificates() {
        let (server, requests) = counting(&bad.certificate);
        let options = trust(&TRUSTED).danger_accept_invalid_hostnames();
        let verdict = verdict(options, server.url());
        assert_eq!(verdict.is_ok(), bad.is_name, "{}: {verdict:?}", bad.what);
        assert_eq!(requests.load(Ordering::Relaxed), usize::from(bad.is_name));
    }
}

/// The authorities trusted are the system's and those added, or those added alone.
#[test]
fn roots_are_added_to_the_systems_or_stand_alone() {
    let (server, _) = counting(&LOCAL);
    let (other, both) = (Authority::new("other"), Authority::new("both"));
    let bundle = both.pem() + &TRUSTED.pem();
    let new = TlsOptions::new;
    for (options, is_trusted) in [
        (new(), false),
        (new().only_these_roots(), false),
        (new().add_roots(other.pem()), false),
        (trust(&other), false),
        (new().add_roots(TRUSTED.pem()), true),
        (trust(&TRUSTED), true),
        (trust(&other).add_roots(TRUSTED.pem()), true),
        (new().add_roots(bundle).only_these_roots(), true),
    ] {
        let verdict = verdict(options.clone(), server.url());
        assert_eq!(verdict.is_ok(), is_trusted, "{options:?}: {verdict:?}");
    }
}

/// What is no PEM, or no key for its certificate, is reported where it is used.
#[test]
fn unreadable_certificates_are_reported() {
    let (server, _) = counting(&LOCAL);
    let pem = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n";
    let options = trust(&TRUSTED).add_roots(pem);
    assert!(verdict(options, server.url()).is_err());
    let broken = landline::Identity::from_pem("nothing", "at all");
    let bound = Server::builder()
        .tls(broken.clone())
        .on_request(|_| Reply::forbidden())
        .bind("127.0.0.1:0");
    assert!(matches!(bound, Err(Error::Tls(_))), "{bound:?}");
    assert!(matches!(server.set_tls(broken), Err(Error::Tls(_))));
    assert_eq!(verdict(trust(&TRUSTED), server.url()), Ok(()));
}

/// A new certificate is for the handshakes to come: what is open stays open.
#[test]
fn certificate_is_replaced_while_connections_stay() {
    let server = secure_echo(landline::Config::new());
    let (ws, mut messages) = trusting().open(server.url()).unwrap();
    let successor = Authority::new("successor");
    let next = successor.sign(params("next", &["127.0.0.1"]));
    server.set_tls(next.identity()).unwrap();
    assert!(matches!(
        connect_error(&trusting(), server.url()),
        Error::Tls(_)
    ));
    let client = Client::new().tls(trust(&successor));
    let (new, mut new_messages) = client.open(server.url()).unwrap();
    ws.send("old").unwrap();
    new.send("new").unwrap();
    assert_eq!(messages.recv().unwrap().as_text(), Some("old"));
    assert_eq!(new_messages.recv().unwrap().as_text(), Some("new"));
}

/// A server without TLS cannot be given it later.
#[test]
fn plain_server_takes_no_certificate() {
    let server = TestServer::echo();
    assert!(matches!(
        server.set_tls(LOCAL.identity()),
        Err(Error::Invalid(_))
    ));
    assert!(landline::open(server.url()).is_ok());
}

/// A server that asks for a client's certificate gets the one that the client was given, in DER, and
/// serves nobody who has none that it trusts.
#[test]
#[cfg(feature = "rustls")]
fn client_shows_its_certificate() {
    use landline::{ServerTls, TlsEngine};
    let tls = ServerTls::new(LOCAL.identity())
        .require_client_certificates(TRUSTED.pem())
        .engine(TlsEngine::Rustls);
    let (sender, shown) = std::sync::mpsc::channel();
    let server = Server::builder().tls(tls).on_request(move |request| {
        let _ = sender.send(request.peer_certificates().to_vec());
        Reply::forbidden()
    });
    let server = TestServer::start(server);
    let own = || params("client", &["client"]);
    for engine in [TlsEngine::Native, TlsEngine::Rustls] {
        let options = trust(&TRUSTED).engine(engine);
        let certificate = TRUSTED.sign(own());
        let known = options.clone().identity(certificate.identity());
        assert_eq!(verdict(known, server.url()), Ok(()), "{engine:?}");
        let native = native_tls::Certificate::from_pem(certificate.pem.as_bytes());
        // OpenSSL shows the authority's behind it.
        let der = native.unwrap().to_der().unwrap();
        assert_eq!(next(&shown).first().unwrap(), &der, "{engine:?}");
        let unknown = Authority::new("unknown").sign(own()).identity();
        for options in [options.clone(), options.identity(unknown)] {
            let error = connect_error(&Client::new().tls(options), server.url());
            let Error::Tls(text) = error else {
                panic!("{engine:?}: {error:?}");
            };
            let says = ["does not trust our certificate", "must show a certificate"];
            assert!(
                says.iter().any(|says| text.contains(says)),
                "{engine:?}: {text}"
            );
        }
    }
}

/// A client that shows no certificate has none, over TLS and without it.
#[test]
fn others_have_no_certificates() {
    let page = |request: &mut landline::Request| request.peer_certificates().len().to_string();
    let secure = secure(Server::builder().on_request(page));
    let mut peer = TlsPeer::dial(&secure);
    peer.send_bytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(peer.read_reply().body, "0");
    let plain = TestServer::start(Server::builder().on_request(page));
    assert_eq!(fetch(&plain, "GET /", &[]).body, "0");
}

/// Records of the keys are written where that was asked for, and nowhere else.
#[test]
#[cfg(feature = "rustls")]
fn keys_are_logged_in_danger() {
    use landline::{ServerTls, TlsEngine};
    let path = std::env::temp_dir().join(format!("landline-keys-{}", std::process::id()));
    alone_with(&[("SSLKEYLOGFILE", &path)], || {
        let path = std::path::PathBuf::from(std::env::var_os("SSLKEYLOGFILE").unwrap());
        let lines = || {
            std::fs::read_to_string(&path)
                .unwrap_or_default()
                .lines()
                .count()
        };
        let server = |change: fn(ServerTls) -> ServerTls| {
            let tls = change(ServerTls::new(LOCAL.identity()).engine(TlsEngine::Rustls));
            TestServer::start(
                Server::builder()
                    .tls(tls)
                    .on_request(|_| Reply::forbidden()),
            )
        };
        let (silent, telling) = (server(|tls| tls), server(ServerTls::danger_log_keys));
        let options = trust(&TRUSTED).engine(TlsEngine::Rustls);
        verdict(options.clone(), silent.url()).unwrap();
        assert_eq!(lines(), 0);
        verdict(options.clone(), telling.url()).unwrap();
        let by_server = lines();
        assert!(by_server > 0);
        verdict(options.danger_log_keys(), silent.url()).unwrap();
        assert!(lines() > by_server);
        let native = trust(&TRUSTED).danger_log_keys().engine(TlsEngine::Native);
        assert!(
            verdict(native, silent.url())
                .unwrap_err()
                .contains("only rustls")
        );
        std::fs::remove_file(&path).unwrap();
    });
}
