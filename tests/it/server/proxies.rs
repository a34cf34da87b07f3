//! Behind real proxies: nginx, HAProxy and Apache, as people set them up, wrongly and rightly. They
//! must be installed, so `.ci/proxies` asks for these tests by name.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use landline::{Reply, Request, Router, Server, ServerBuilder};

use crate::support::*;

/// The client's own address: the proxy's is another.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// The name and port under which the proxy is known.
const PUBLIC: &str = "app.example:8081";

/// A proxy before a server; it ends when dropped.
struct Proxy(Program);

impl Proxy {
    /// Starts a proxy. In its settings PORT stands for its own port, SERVER for the server's address,
    /// and FOLDER for its folder; `start` makes the command.
    #[track_caller]
    fn start(server: &Server, settings: &str, start: fn(&Path, &Path) -> Command) -> Self {
        let settings = settings.replace("SERVER", &server.local_addr().to_string());
        Self(Program::start(&settings, |folder, file, _| {
            start(folder, file)
        }))
    }

    /// Connects to it from the client's address.
    #[track_caller]
    fn dial(&self) -> RawPeer {
        RawPeer::dial_at(self.0.address, CLIENT)
    }

    /// Has it answer a plain request of HTTP/1.1 for the public name, with these lines.
    #[track_caller]
    fn fetch(&self, what: &str, lines: &str) -> PlainReply {
        let mut peer = self.dial();
        peer.send_bytes(format!(
            "{what} HTTP/1.1\r\nHost: {PUBLIC}\r\n{lines}Connection: close\r\n\r\n"
        ));
        peer.read_reply()
    }

    /// Has a page of the public name ask for a WebSocket, and returns the peer and the status.
    #[track_caller]
    fn upgrade(&self, lines: &str) -> (RawPeer, u16) {
        let mut peer = self.dial();
        let request = upgrade_request(self.0.address)
            .replace(&self.0.address.to_string(), PUBLIC)
            .replace(
                "\r\n\r\n",
                &format!("\r\nOrigin: http://{PUBLIC}\r\n{lines}\r\n"),
            );
        peer.send_bytes(request);
        let head = peer.read_head();
        let status = PlainReply::new(head, String::new()).status;
        (peer, status)
    }

    /// Expects all to be as without a proxy: pages, WebSockets, and who asks.
    #[track_caller]
    fn assert_right(&self) {
        // A client's own headers beside the proxy's say nothing.
        let forged = "Forwarded: for=192.0.2.66\r\nX-Forwarded-For: 192.0.2.66\r\n";
        let page = self.fetch("GET /who", forged);
        assert_eq!((page.status, &*page.body), (200, "127.0.0.2"));
        let own = format!("Origin: http://{PUBLIC}\r\nContent-Length: 3\r\n\r\nabc");
        let mut peer = self.dial();
        peer.send_bytes(format!("POST / HTTP/1.1\r\nHost: {PUBLIC}\r\n{own}"));
        assert!(peer.read_head().contains(" 200 "));
        let foreign = "Origin: http://other.example\r\nContent-Length: 0\r\n";
        assert_eq!(self.fetch("POST /", foreign).status, 403);
        let (mut peer, status) = self.upgrade(forged);
        assert_eq!(status, 101);
        assert_eq!(peer.read_frame(), Frame::text("127.0.0.2"));
        let long = Frame::new(opcode::BINARY, vec![7; 100_000]);
        for frame in [Frame::text("hello"), long] {
            peer.send(&frame);
            assert_eq!(peer.read_frame(), frame);
        }
        peer.send_close(4001, "bye");
        assert_eq!(peer.read_close(), Some(4001));
        peer.read_end();
    }
}

/// Says who asks, as a trusted proxy's header tells.
fn builder() -> ServerBuilder {
    saying_who()
        .trusted_proxies(["127.0.0.1"])
        .client_addr_header("X-Forwarded-For")
}

/// Says who asks, as this proxy tells by the PROXY protocol.
fn said_by_proxy(proxy: &str) -> ServerBuilder {
    saying_who().proxy_protocol([proxy])
}

/// Says who asks, on a page and to a WebSocket, which echoes behind that.
fn saying_who() -> ServerBuilder {
    let who = |request: &Request| {
        let client = request.client_addr();
        client.map_or("nobody".to_owned(), |client| client.to_string())
    };
    let router = Router::new()
        .get("/who", move |request| who(request))
        .post("/", |_| Reply::text("posted"))
        .websocket("/", move |ws, request| {
            ws.on_message(|ws, message| ws.send(message));
            ws.send(who(&request))
        });
    Server::builder()
        .router(router)
        .allow_hosts(["app.example"])
}

/// The settings of nginx, with these lines for what is passed on.
fn nginx(lines: &str) -> String {
    format!(
        "daemon off; pid FOLDER/pid; error_log FOLDER/log;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
            fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
            server {{
                listen 127.0.0.1:PORT;
                location / {{ proxy_pass http://SERVER; {lines} }}
            }}
        }}"
    )
}

const UPGRADING: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $http_connection;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";

fn start_nginx(folder: &Path, file: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(file);
    command
}

/// nginx as it comes speaks HTTP/1.0: a page is served, and a WebSocket's 426 says what is missing.
#[test]
#[ignore = "needs nginx, see .ci/proxies"]
fn nginx_by_default() {
    let server = TestServer::start(builder());
    let proxy = Proxy::start(
        &server,
        &nginx("proxy_set_header Host $http_host;"),
        start_nginx,
    );
    let page = proxy.fetch("GET /who", "");
    assert_eq!(page.status, 200);
    let reply = proxy.fetch("GET /", "");
    assert_eq!(reply.status, 426);
    assert!(reply.body.contains("HTTP/1.1"), "{reply:?}");
    assert_eq!(proxy.upgrade("").1, 426);
}

/// nginx with `Host $host` cuts off the port, so that the own pages look foreign: the log says which
/// line mends it.
#[test]
#[ignore = "needs nginx, see .ci/proxies"]
fn nginx_with_host_on_an_odd_port() {
    alone(|| {
        let logger = Logger::install(|_| {});
        let server = TestServer::start(builder());
        let settings = nginx(&format!("{UPGRADING} proxy_set_header Host $host;"));
        let proxy = Proxy::start(&server, &settings, start_nginx);
        assert_eq!(proxy.upgrade("").1, 403);
        let records = logger.so_far();
        let told = |record: &String| {
            record.starts_with("WARN ") && record.contains("proxy_set_header Host $http_host")
        };
        assert!(records.iter().any(told), "{records:#?}");
    });
}

/// nginx set up rightly is not there.
#[test]
#[ignore = "needs nginx, see .ci/proxies"]
fn nginx_rightly() {
    let server = TestServer::start(builder());
    let settings = nginx(&format!("{UPGRADING} proxy_set_header Host $http_host;"));
    Proxy::start(&server, &settings, start_nginx).assert_right();
}

/// nginx before a Unix socket: its peers have no address, and are trusted by name.
#[test]
#[ignore = "needs nginx, see .ci/proxies"]
fn nginx_before_a_unix_socket() {
    let folder = Folder::new();
    let server = on_unix_socket(builder().trusted_proxies(["unix"]), &folder);
    let settings = nginx(&format!("{UPGRADING} proxy_set_header Host $http_host;"));
    Proxy::start(&server, &settings, start_nginx).assert_right();
}

/// nginx's stream module speaks version 1 of the PROXY protocol.
#[test]
#[ignore = "needs nginx with its stream module, see .ci/proxies"]
fn nginx_stream_by_the_proxy_protocol() {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let server = TestServer::start(said_by_proxy("127.0.0.1"));
    let settings = format!(
        "load_module {MODULE}; daemon off; pid FOLDER/pid; error_log FOLDER/log; events {{}}
        stream {{ server {{ listen 127.0.0.1:PORT; proxy_pass SERVER; proxy_protocol on; }} }}"
    );
    Proxy::start(&server, &settings, start_nginx).assert_right();
}

/// The settings of HAProxy, with these lines and this server.
fn haproxy(lines: &str, server: &str) -> String {
    format!(
        "defaults
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
{lines}
listen all
    bind 127.0.0.1:PORT
    server one {server}
"
    )
}

fn start_haproxy(_: &Path, file: &Path) -> Command {
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    command
}

/// HAProxy passes all on, and adds who asks.
#[test]
#[ignore = "needs haproxy, see .ci/proxies"]
fn haproxy_by_its_header() {
    let server = TestServer::start(builder());
    let settings = haproxy("    mode http\n    option forwardfor", "SERVER");
    Proxy::start(&server, &settings, start_haproxy).assert_right();
}

/// HAProxy says who asks by the PROXY protocol, in both versions, as a proxy of HTTP and of TCP; and its
/// health checks are taken for what they are.
#[test]
#[ignore = "needs haproxy, see .ci/proxies"]
fn haproxy_by_the_proxy_protocol() {
    alone(|| {
        let logger = Logger::install(|_| {});
        for mode in ["http", "tcp"] {
            for version in ["send-proxy", "send-proxy-v2"] {
                let server = TestServer::start(said_by_proxy("127.0.0.1"));
                let check = "check inter 50ms check-send-proxy";
                let settings = haproxy(
                    &format!("    mode {mode}"),
                    &format!("SERVER {version} {check}"),
                );
                Proxy::start(&server, &settings, start_haproxy).assert_right();
            }
        }
        // A foreign page is one, as ever.
        let records = logger.so_far().into_iter();
        let warned: Vec<_> = records
            .filter(|record| record.starts_with("WARN"))
            .collect();
        let is_page = |record: &String| record.contains("its Origin \"http://other.example\"");
        assert!(warned.iter().all(is_page), "{warned:#?}");
    });
}

/// HAProxy before a Unix socket, likewise.
#[test]
#[ignore = "needs haproxy, see .ci/proxies"]
fn haproxy_before_a_unix_socket() {
    for version in ["send-proxy", "send-proxy-v2"] {
        let folder = Folder::new();
        let server = on_unix_socket(said_by_proxy("unix"), &folder);
        // HAProxy writes an address of this kind as a path alone.
        let path = server.local_addr().path().unwrap().display().to_string();
        let settings = haproxy("    mode http", &format!("{path} {version}"));
        Proxy::start(&server, &settings, start_haproxy).assert_right();
    }
}

/// Starts a server on a Unix socket that everybody may connect to, as proxies have users of their own.
fn on_unix_socket(builder: ServerBuilder, folder: &Folder) -> TestServer {
    let path = folder.file("a.sock");
    let address = format!("unix:{}", path.display());
    TestServer::of(builder.unix_mode(0o666).bind(address).unwrap())
}

/// The settings of Apache, with these lines for what is passed on.
fn apache(lines: &str) -> String {
    let modules = [
        "mpm_event",
        "authz_core",
        "proxy",
        "proxy_http",
        "proxy_wstunnel",
    ];
    let load =
        |name: &str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let modules: String = modules.map(load).concat();
    format!(
        "{modules}ServerName app.example\nServerRoot FOLDER\nPidFile FOLDER/pid\n\
        ErrorLog FOLDER/log\nListen 127.0.0.1:PORT\nDefaultRuntimeDir FOLDER\n\
        <IfModule unixd_module>\nUser nobody\nGroup nogroup\n</IfModule>\n\
        ProxyPass \"/\" \"http://SERVER/\" upgrade=websocket\n{lines}\n"
    )
}

fn start_apache(_: &Path, file: &Path) -> Command {
    let mut command = Command::new("apache2");
    command.arg("-DFOREGROUND").arg("-f").arg(file);
    command
}

/// Apache as it comes names the server itself as Host, so that the own pages look foreign.
#[test]
#[ignore = "needs apache2, see .ci/proxies"]
fn apache_by_default() {
    let server = TestServer::start(builder());
    let proxy = Proxy::start(&server, &apache(""), start_apache);
    assert_eq!(proxy.upgrade("").1, 403);
}

/// Apache that preserves the Host is not there.
#[test]
#[ignore = "needs apache2, see .ci/proxies"]
fn apache_rightly() {
    let server = TestServer::start(builder());
    Proxy::start(&server, &apache("ProxyPreserveHost On"), start_apache).assert_right();
}
