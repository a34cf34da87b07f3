//! Records: how long they are, and how many a key is good for.

use std::cell::RefCell;
use std::io::IoSlice;

use rustls::SupportedCipherSuite;

use super::*;
use crate::protocol::Role;
use crate::transport::tls::{ConnectorEngine, wants_input};

/// Returns a server and a client that share AES-GCM and TLS 1.2, and may use a key for so many records.
fn wearing(limit: u64) -> (tls::Acceptor, tls::Connector) {
    let ca = Ca::new("CA");
    let server = ServerTls::new(ca.sign(&["localhost"])).engine(TlsEngine::Rustls);
    let (mut acceptor, mut connector) = (acceptor(server), connector(ca.trusted()));
    let suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(limited_suite(limit))));
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![suite],
        ..ring::default_provider()
    });
    if let AcceptorEngine::Rustls(Acceptor(config)) = &mut acceptor.engine {
        let versions = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS12]);
        let resolver = config.cert_resolver.clone();
        let limited = versions.unwrap().with_no_client_auth();
        *config = Arc::new(limited.with_cert_resolver(resolver));
    }
    if let ConnectorEngine::Rustls(Connector(config)) = &mut connector.engine {
        let versions = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS12]);
        let verifier = server_verifier(&ca.trusted(), provider).unwrap();
        let limited = versions.unwrap().dangerous();
        let limited = limited.with_custom_certificate_verifier(verifier);
        *config = Arc::new(limited.with_no_client_auth());
    }
    (acceptor, connector)
}

fn limited_suite(limit: u64) -> rustls::Tls12CipherSuite {
    let whole = ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let SupportedCipherSuite::Tls12(whole) = whole else {
        panic!("it is of TLS 1.2");
    };
    rustls::Tls12CipherSuite {
        common: rustls::crypto::CipherSuiteCommon {
            suite: whole.common.suite,
            hash_provider: whole.common.hash_provider,
            confidentiality_limit: limit,
        },
        prf_provider: whole.prf_provider,
        kx: whole.kx,
        sign: whole.sign,
        aead_alg: whole.aead_alg,
    }
}

/// With AES-GCM in TLS 1.2 a key may be used for so many records (RFC 9325, section 4.4). Before that
/// the connection says that it is worn out; beyond it a write is an error, and what counts as sent has
/// arrived.
#[test]
fn used_up_keys_are_told_before_and_behind() {
    wear_out(1 << 11);
}

/// The same holds of the limit that rustls has.
#[test]
#[ignore = "two minutes of a CPU in a release build"]
fn the_real_limit_is_told_before_and_behind() {
    wear_out(1 << 24);
}

#[track_caller]
fn wear_out(limit: u64) {
    let (acceptor, connector) = wearing(limit);
    for role in [Role::Client, Role::Server] {
        let (client, server) = open(&connector, &acceptor);
        let (near, mut far) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        let pipe = near.pipe.clone();
        let session = Session::new(near.engine, near.pipe, MAX_RECORD_SIZE);
        let (mut sent, mut limit_at, mut arrived) = (0, None, 0);
        let error = loop {
            let left = RefCell::new(Vec::new());
            let outcome = session.try_send(&[IoSlice::new(b"12345678")], |bytes| {
                left.borrow_mut().extend_from_slice(bytes);
                Ok(bytes.len())
            });
            far.pipe.feed(&left.take());
            match outcome {
                Ok(plain) => sent += plain,
                Err(error) => break error,
            }
            arrived += far.read().len();
            assert_eq!(arrived, sent);
            if session.nears_key_limit() {
                limit_at.get_or_insert(sent as u64 / 8);
            }
        };
        let (sent, limit_at) = (sent as u64 / 8, limit_at.expect("it said so before"));
        assert_eq!(limit_at, limit - limit / 64, "{role:?}");
        assert!(limit_at < sent && sent < limit, "{role:?}: {sent}");
        assert!(error.to_string().contains("used up its keys"), "{error}");
        assert!(!wants_input(&error) && pipe.outgoing_len() == 0);
    }
}

/// No other engine, version or suite has such a limit.
#[test]
fn other_keys_do_not_wear_out() {
    for (client, server) in opened() {
        let tls12 = |engine: &dyn Engine| engine.record_limit();
        for limit in [tls12(&*client.engine), tls12(&*server.engine)] {
            assert!(limit.is_none_or(|limit| limit == 1 << 24), "{limit:?}");
        }
        drop((client, server));
    }
}

/// A record holds as much as was set and no more, in both roles and with each engine.
#[test]
fn records_are_as_short_as_wanted() {
    const SIZE: usize = 512;
    let ca = Ca::new("CA");
    let engines = [TlsEngine::Rustls, TlsEngine::Native];
    for engine in engines
        .into_iter()
        .take(1 + usize::from(cfg!(feature = "tls")))
    {
        let options = ca.trusted().engine(engine).max_record_size(SIZE);
        let connector = tls::Connector::new(&options).unwrap();
        let own = ServerTls::new(ca.sign(&["localhost"])).engine(engine);
        let acceptor = tls::Acceptor::new(&own.max_record_size(SIZE)).unwrap();
        let (client, server) = open(&connector, &acceptor);
        for (side, size) in [
            (client, connector.max_record),
            (server, acceptor.max_record),
        ] {
            let session = Session::new(side.engine, side.pipe, size);
            let lengths = record_lengths(&session, &[&[7; 3], &[8; 2 * SIZE]]);
            let seal = lengths[0] - SIZE;
            assert!(seal < 64, "{lengths:?}");
            assert_eq!(lengths, [SIZE + seal, SIZE + seal, 3 + seal], "{engine:?}");
        }
        for size in [0, 63, MAX_RECORD_SIZE + 1] {
            let options = ca.trusted().engine(engine).max_record_size(size);
            assert_tls(tls::Connector::new(&options), "records of");
        }
    }
}

/// A header and what stands behind it share a record.
#[test]
fn a_header_shares_its_record() {
    for (client, server) in opened() {
        for side in [client, server] {
            let session = Session::new(side.engine, side.pipe, MAX_RECORD_SIZE);
            let lengths = record_lengths(&session, &[&[7; 10], &[8; 40_000]]);
            let full = lengths.iter().filter(|length| **length >= MAX_RECORD_SIZE);
            assert_eq!((lengths.len(), full.count()), (3, 2), "{lengths:?}");
        }
    }
}

/// Sends the parts and returns how long the records are that leave.
fn record_lengths(session: &Session, parts: &[&[u8]]) -> Vec<usize> {
    let left = RefCell::new(Vec::new());
    let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let plain = session.try_send(&parts, |bytes| {
        left.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    });
    assert_eq!(plain.unwrap(), parts.iter().map(|part| part.len()).sum());
    let (bytes, mut lengths, mut at) = (left.take(), Vec::new(), 0);
    while at < bytes.len() {
        let length = usize::from(u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]));
        lengths.push(length);
        at += 5 + length;
    }
    lengths
}
