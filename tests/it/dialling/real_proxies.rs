//! Through squid, tinyproxy, microsocks and dante, as people set them up, and behind HAProxy and stunnel
//! that speak TLS for them. They must be installed, so `.ci/tunnels` asks for these tests by name.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use landline::{Client, Config, Error};
use rustix::process::Signal;

use super::{assert_echo, error_of};
use crate::support::*;

const SQUID: &str = "http_port 127.0.0.1:PORT
    pid_filename none
    cache_log FOLDER/cache.log
    access_log none
    cache deny all
    pinger_enable off
    shutdown_lifetime 0 seconds
    coredump_dir FOLDER
    hosts_file none
    ";

/// Starts squid with these rules.
fn squid(rules: &str) -> Program {
    Program::start(&format!("{SQUID}\n{rules}\n"), |folder, file, _| {
        // As root it becomes another user.
        open_to_all(folder);
        let mut command = Command::new("squid");
        command.args(["-N", "-f"]).arg(file);
        command
    })
}

/// The rules of squid for one user, whatever the password's spelling in the file.
const ONE_USER: &str =
    "auth_param basic program /usr/lib/squid/basic_ncsa_auth FOLDER/settings.users
    acl known proxy_auth REQUIRED
    http_access allow known
    http_access deny all";

fn squid_for_one_user() -> Program {
    Program::start(&format!("{SQUID}\n{ONE_USER}\n"), |folder, file, _| {
        open_to_all(folder);
        // MD5 by crypt(3), of "se:cret".
        let user = "us er:$1$salt$CRYPTED\n".replace("$1$salt$CRYPTED", &crypted("se:cret"));
        fs::write(folder.join("settings.users"), user).unwrap();
        let mut command = Command::new("squid");
        command.args(["-N", "-f"]).arg(file);
        command
    })
}

fn crypted(password: &str) -> String {
    let output = Command::new("openssl")
        .args(["passwd", "-1", password])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

fn tinyproxy(lines: &str) -> Program {
    let settings = format!("Port PORT\nListen 127.0.0.1\nTimeout 60\n{lines}\n");
    Program::start(&settings, |_, file, _| {
        let mut command = Command::new("tinyproxy");
        command.args(["-d", "-c"]).arg(file);
        command
    })
}

fn microsocks(arguments: &'static [&'static str]) -> Program {
    Program::start("", move |_, _, port| {
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
        command.args(arguments);
        command
    })
}

fn dante() -> Program {
    let settings = "logoutput: stderr
        internal: 127.0.0.1 port = PORT
        external: lo
        clientmethod: none
        socksmethod: none
        client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
        socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }";
    Program::start(settings, |_, file, _| {
        let mut command = Command::new("danted");
        command.arg("-f").arg(file);
        command
    })
}

/// Writes the certificate of this machine with its key.
fn write_certificate(folder: &Path) {
    let pem = format!("{}{}", LOCAL.pem, LOCAL.key);
    fs::write(folder.join("local.pem"), pem).unwrap();
}

fn stunnel(to: &Program) -> Program {
    let settings = format!(
        "foreground = yes\npid =\n[proxy]\naccept = 127.0.0.1:PORT\nconnect = {}\n\
         cert = FOLDER/local.pem\nTIMEOUTclose = 0\n",
        to.address
    );
    Program::start(&settings, |folder, file, _| {
        write_certificate(folder);
        let mut command = Command::new("stunnel4");
        command.arg(file);
        command
    })
}

fn haproxy(to: &Program) -> Program {
    let settings = format!(
        "defaults\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen proxy\n mode tcp\n bind 127.0.0.1:PORT ssl crt FOLDER/local.pem\n server proxy {}\n",
        to.address
    );
    Program::start(&settings, |folder, file, _| {
        write_certificate(folder);
        let mut command = Command::new("haproxy");
        command.arg("-f").arg(file);
        command
    })
}

/// Expects all to be through a proxy as without: messages of any size with and without TLS; and an error
/// in time that names the proxy where the server is not there, and where the proxy stands still or goes.
#[track_caller]
fn assert_right(proxy: &Program, scheme: &str, user: &str) {
    let url = format!("{scheme}://{user}{}", proxy.address);
    let client = trusting().proxy(&url);
    let plain = TestServer::echo();
    assert_echo(&client, &plain.url());
    let secure = secure_echo(Config::new());
    assert_echo(&client, &secure.url());

    let error = error_of(&client, &format!("ws://{}/", dead_port()));
    let named = matches!(error, Error::Proxy(_) | Error::ProxyRefused(_));
    assert!(named && error.is_transient(), "{error:?}");
    assert!(
        error.to_string().contains(&proxy.address.to_string()),
        "{error}"
    );

    let (ws, mut messages) = client.open(secure.url()).unwrap();
    ws.send("hello").unwrap();
    messages.recv().unwrap();
    proxy.signal(Signal::STOP);
    let hasty = client.clone().connect_timeout(ms(200));
    let error = error_of(&hasty, &plain.url());
    let Error::Proxy(source) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), ErrorKind::TimedOut, "{error}");
    proxy.signal(Signal::CONT);
    ws.send("hello").unwrap();
    messages.recv().unwrap();
    assert!(messages.close().is_clean());
    assert_echo(&client, &plain.url());
}

/// squid leads to any server that its rules allow, and says what it does not allow.
#[test]
#[ignore = "needs squid, see .ci/tunnels"]
fn squid_connects() {
    assert_right(&squid("http_access allow all"), "http", "");
    let proxy = squid("http_access deny all");
    let error = error_of(
        &Client::new().proxy(proxy.address.to_string()),
        "ws://127.0.0.1:1/",
    );
    let Error::ProxyRefused(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.status, 403);
    assert!(!error.is_transient() && refusal.body.len() > 1_000);
}

/// squid with users lets those in that it knows; others get 407 with its page.
#[test]
#[ignore = "needs squid, see .ci/tunnels"]
fn squid_knows_its_users() {
    let proxy = squid_for_one_user();
    assert_right(&proxy, "http", "us%20er:se%3Acret@");
    for user in ["", "us%20er:wrong@"] {
        let client = Client::new().proxy(format!("http://{user}{}", proxy.address));
        let error = error_of(&client, "ws://127.0.0.1:1/");
        let Error::ProxyRefused(refusal) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(refusal.status, 407);
        assert!(refusal.headers.contains_key("proxy-authenticate"));
        assert!(refusal.body.len() > 1_000 && !error.is_transient());
    }
}

/// tinyproxy answers in HTTP/1.0, and its refusals have no length.
#[test]
#[ignore = "needs tinyproxy, see .ci/tunnels"]
fn tinyproxy_connects() {
    assert_right(&tinyproxy(""), "http", "");
    let proxy = tinyproxy("BasicAuth user secret");
    assert_right(&proxy, "http", "user:secret@");
    let error = error_of(
        &Client::new().proxy(proxy.address.to_string()),
        "ws://127.0.0.1:1/",
    );
    let Error::ProxyRefused(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.status, 407);
}

/// microsocks connects, with and without a user.
#[test]
#[ignore = "needs microsocks, see .ci/tunnels"]
fn microsocks_connects() {
    let proxy = microsocks(&[]);
    assert_right(&proxy, "socks5", "");
    assert_right(&proxy, "socks5h", "");
    let proxy = microsocks(&["-u", "user", "-P", "se:cret"]);
    assert_right(&proxy, "socks5h", "user:se:cret@");
    for user in ["", "user:wrong@"] {
        let client = Client::new().proxy(format!("socks5h://{user}{}", proxy.address));
        let error = error_of(&client, "ws://127.0.0.1:1/");
        let Error::Proxy(source) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(source.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(!error.is_transient());
    }
}

/// dante connects.
#[test]
#[ignore = "needs dante, see .ci/tunnels"]
fn dante_connects() {
    assert_right(&dante(), "socks5", "");
}

/// A proxy behind stunnel or HAProxy is spoken to by TLS, and TLS to the server goes within.
#[test]
#[ignore = "needs stunnel, HAProxy and squid, see .ci/tunnels"]
fn proxies_speak_tls() {
    let proxy = squid_for_one_user();
    for front in [stunnel(&proxy), haproxy(&proxy)] {
        assert_right(&front, "https", "us%20er:se%3Acret@");
        let untrusting = Client::new().proxy(format!("https://{}", front.address));
        let error = error_of(&untrusting, "ws://127.0.0.1:1/");
        assert!(matches!(error, Error::Tls(_)), "{error:?}");
    }
}

/// A proxy that ends takes its connections along, and that is told; nothing is left.
#[test]
#[ignore = "needs microsocks, see .ci/tunnels"]
fn proxies_may_end() {
    alone(|| {
        let server = TestServer::echo();
        let before = Resources::now();
        let proxy = microsocks(&[]);
        let client = Client::new().proxy(format!("socks5h://{}", proxy.address));
        let (ws, mut messages) = client.open(server.url()).unwrap();
        proxy.signal(Signal::KILL);
        let end = messages.recv().unwrap_err();
        assert!(!ws.wait_closed().unwrap().is_clean(), "{end:?}");
        drop((ws, messages, proxy));
        before.settle_back();
    });
}
