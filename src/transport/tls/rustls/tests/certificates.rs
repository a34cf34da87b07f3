//! Which certificates each side accepts, and which it refuses to show.

use super::*;

/// The name that is asked for picks the certificate; without one, or with another, it is the
/// first.
#[test]
fn sni_picks_the_certificate() {
    let ca = Ca::new("CA");
    let server = ServerTls::new(ca.sign(&["a.test"])).identity_for("B.test", ca.sign(&["b.test"]));
    let acceptor = acceptor(server.engine(TlsEngine::Rustls));
    for connector in connectors(|| ca.trusted()) {
        for (host, is_right) in [("a.test", true), ("b.test", true), ("c.test", false)] {
            let (client, _) = shake(&connector, host, &acceptor);
            assert_eq!(client.is_ok(), is_right, "{host}");
        }
    }
    for connector in connectors(|| ca.trusted().without_sni()) {
        assert!(shake(&connector, "a.test", &acceptor).0.is_ok());
        assert!(shake(&connector, "b.test", &acceptor).0.is_err());
    }
}

/// Where clients must show a certificate, none and one of another CA are refused.
#[test]
fn client_certificates_are_demanded() {
    let (ca, other) = (Ca::new("CA"), Ca::new("another CA"));
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let server = ServerTls::new(ca.sign(&["localhost"]))
            .require_client_certificates(ca.pem.as_bytes())
            .min_version(version);
        let acceptor = acceptor(server.engine(TlsEngine::Rustls));
        let known = connectors(|| ca.trusted().identity(ca.sign(&["a client"])));
        for connector in known {
            open(&connector, &acceptor);
        }
        for connector in connectors(|| ca.trusted()) {
            let (_, server) = shake(&connector, "localhost", &acceptor);
            assert_tls(server, "sent no certificates");
        }
        let unknown = ca.trusted().identity(other.sign(&["a client"]));
        let unknown = tls::Connector::new(&unknown.engine(TlsEngine::Rustls)).unwrap();
        let (client, server) = shake(&unknown, "localhost", &acceptor);
        assert!(server.is_err());
        // With TLS 1.3 the client was done before it was judged.
        if let Ok(mut client) = client {
            let error = client.engine.read(&mut [0; 16]).unwrap_err();
            assert!(error.to_string().contains("alert"), "{error}");
        }
    }
}

/// Each bad certificate is refused with words of its own, and the server is told by an alert.
#[test]
fn bad_certificates_are_told_apart() {
    let (ca, other) = (Ca::new("CA"), Ca::new("another CA"));
    let expired = ca.sign_with(&["localhost"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = ca.sign_with(&["localhost"], |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let cases = [
        (ca.sign(&["other.test"]), "for another host"),
        (ca.sign(&["127.0.0.1"]), "for another host"),
        (expired, "has expired"),
        (early, "not yet valid"),
        (other.sign(&["localhost"]), "a CA that is not trusted"),
        (self_signed(&["localhost"], IsCa::NoCa), "self-signed"),
        (self_signed(&["localhost"], IS_CA), "self-signed"),
    ];
    let connector = &connectors(|| ca.trusted())[0];
    for (identity, words) in cases {
        let acceptor = acceptor(ServerTls::new(identity).engine(TlsEngine::Rustls));
        let (client, server) = shake(connector, "localhost", &acceptor);
        assert_tls(client, words);
        assert_tls(server, "alert");
    }
}

/// More certificates than rustls follows stand between a server's and the root.
#[test]
fn too_many_intermediates_are_told() {
    let root = Ca::new("CA");
    let options = connector(root.trusted());
    let (mut issuer, mut chain) = (root, String::new());
    for number in 0..8 {
        let name = format!("intermediate {number}");
        let next = issuer.sign_ca(&name);
        chain = next.pem.clone() + &chain;
        issuer = next;
    }
    let mut params = params("a host", &["localhost"]);
    params.is_ca = IsCa::NoCa;
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, &issuer.issuer).unwrap().pem();
    let identity = Identity::from_pem(own + &chain, key.serialize_pem());
    let acceptor = acceptor(ServerTls::new(identity).engine(TlsEngine::Rustls));
    assert_tls(
        shake(&options, "localhost", &acceptor).0,
        "too many certificates",
    );
}

/// Addresses are hosts too, and a certificate must name them.
#[test]
fn addresses_are_hosts() {
    let ca = Ca::new("CA");
    let connector = &connectors(|| ca.trusted())[0];
    let named = acceptor(ServerTls::new(ca.sign(&["127.0.0.1", "::1"])).engine(TlsEngine::Rustls));
    let unnamed = acceptor(ServerTls::new(ca.sign(&["localhost"])).engine(TlsEngine::Rustls));
    for host in ["127.0.0.1", "::1"] {
        assert!(shake(connector, host, &named).0.is_ok(), "{host}");
        assert_tls(shake(connector, host, &unnamed).0, "for another host");
    }
    for host in ["", "a b", "[::1]", "a..b"] {
        assert!(connector.begin(host, Pipe::default()).is_err(), "{host}");
    }
}

/// Danger skips what it names and nothing else.
#[test]
fn danger_skips_what_it_names() {
    let (ca, other) = (Ca::new("CA"), Ca::new("another CA"));
    let expired = ca.sign_with(&["localhost"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let any_host = connector(ca.trusted().danger_accept_invalid_hostnames());
    let anyone = connector(ca.trusted().danger_accept_invalid_certs());
    let cases = [
        (ca.sign(&["other.test"]), true),
        (other.sign(&["localhost"]), false),
        (expired, false),
        (self_signed(&["localhost"], IS_CA), false),
    ];
    for (identity, is_for_any_host) in cases {
        let acceptor = acceptor(ServerTls::new(identity).engine(TlsEngine::Rustls));
        let (client, _) = shake(&any_host, "localhost", &acceptor);
        assert_eq!(client.is_ok(), is_for_any_host);
        assert!(shake(&anyone, "localhost", &acceptor).0.is_ok());
    }
}

/// A certificate for any host must be shown by the owner of its key; where any certificate will do, a
/// key says nothing more.
#[test]
fn other_names_need_the_key() {
    let ca = Ca::new("CA");
    let (chain, _) = identity(&ca.sign(&["localhost"])).unwrap();
    let (_, key) = identity(&ca.sign(&["localhost"])).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let stolen = Arc::new(CertifiedKey::new(chain, key));
    for version in [&version::TLS12, &version::TLS13] {
        let acceptor = rustls_acceptor(stolen.clone(), version);
        let any_host = connector(ca.trusted().danger_accept_invalid_hostnames());
        assert_tls(shake(&any_host, "localhost", &acceptor).0, "BadSignature");
        let anyone = connector(ca.trusted().danger_accept_invalid_certs());
        assert!(shake(&anyone, "localhost", &acceptor).0.is_ok());
    }
}

/// A host with a dot at its end is asked for, and known, without it (RFC 6066, section 3).
#[test]
fn the_dot_at_the_end_is_left_out() {
    let ca = Ca::new("CA");
    let acceptor = acceptor(ServerTls::new(ca.sign(&["a.test"])).engine(TlsEngine::Rustls));
    for connector in connectors(|| ca.trusted()) {
        let pipe = Pipe::default();
        let _step = connector.begin("a.test.", pipe.clone()).unwrap();
        let hello = pipe.take_outgoing();
        let has = |name: &[u8]| hello.windows(name.len()).any(|bytes| bytes == name);
        assert!(has(b"a.test") && !has(b"a.test."));
        assert!(shake(&connector, "a.test.", &acceptor).0.is_ok());
    }
}

/// OpenSSL matches no name with an underscore under a wildcard, and the error says so.
#[test]
#[cfg(feature = "tls")]
fn underscores_are_explained() {
    let ca = Ca::new("CA");
    let acceptor = acceptor(ServerTls::new(ca.sign(&["*.example.org"])).engine(TlsEngine::Native));
    let [rustls, native] = &connectors(|| ca.trusted())[..] else {
        panic!("there are two engines");
    };
    let host = "my_host.example.org";
    assert!(shake(rustls, host, &acceptor).0.is_ok());
    for (host, is_explained) in [(host, true), ("my-host.example.com", false)] {
        let Err(error) = shake(native, host, &acceptor).0 else {
            panic!("OpenSSL matches {host}");
        };
        let text = native.explain(host, error).to_string();
        assert_eq!(
            text.contains("an underscore under a wildcard"),
            is_explained,
            "{text}"
        );
    }
}

/// A client that asks for TLS 1.3 does not speak TLS 1.2, nor does such a server.
#[test]
fn the_lowest_version_is_kept() {
    let ca = Ca::new("CA");
    let own = certified_key(&ca.sign(&["localhost"]), &provider()).unwrap();
    let old = rustls_acceptor(own, &version::TLS12);
    for connector in connectors(|| ca.trusted().min_version(TlsVersion::Tls13)) {
        let (client, server) = shake(&connector, "localhost", &old);
        assert!(client.is_err() && server.is_err());
    }
}

/// What cannot be read, or only the other engine can, is an error.
#[test]
fn what_cannot_be_had_is_an_error() {
    let ca = Ca::new("CA");
    let good = ca.sign(&["localhost"]);
    let IdentitySource::Pem { chain, key } = &*good.0 else {
        panic!("it is PEM");
    };
    let foreign_key = KeyPair::generate().unwrap().serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (Identity::from_pkcs12(*b"", ""), "only native-tls"),
        (
            Identity::from_pem(*b"", key.clone()),
            "no certificate in the PEM",
        ),
        (Identity::from_pem(chain.clone(), *b""), "private key"),
        (Identity::from_pem(chain.clone(), foreign_key), "key"),
        (Identity::from_pem(broken, key.clone()), "certificate"),
    ];
    for (identity, words) in cases {
        assert_tls(Acceptor::new(&ServerTls::new(identity.clone())), words);
        let client = Connector::new(&ca.trusted().identity(identity));
        assert!(words == "certificate" || words == "key" || client.is_err());
    }
    let broken = TlsOptions::new().only_these_roots().add_roots(broken);
    assert_tls(Connector::new(&broken), "root certificate");
    let none = TlsOptions::new().only_these_roots();
    assert_tls(Connector::new(&none), "roots");
}
