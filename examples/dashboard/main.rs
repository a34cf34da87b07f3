//! A server that shows its own load, live, to any number of viewers: `dashboard [ADDR]`. Open it in a
//! browser, and connect clients to its `/echo`. Its `/metrics` is for Prometheus.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use landline::{Config, Group, Reply, Request, Router, Server, SlowPeers};

const PAGE: &str = include_str!("dashboard.html");
const TICK: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Only the newest values count: they replace those that a viewer's connection has not taken yet.
    let viewers = Group::with_slow_peers(SlowPeers::DropOldest);
    let joining = viewers.clone();
    let newest = Config::new().max_queue_messages(1);
    let router = Router::new()
        .get("/", |_| Reply::html(PAGE))
        .get("/metrics", metrics)
        .websocket("/echo", |ws, _| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .scope("/live", |live| {
            live.config(newest).websocket("", move |ws, _| {
                joining.join(ws);
            })
        });
    let server = Server::builder()
        .router(router)
        .bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on http://{}", server.local_addr());
    let start = Instant::now();
    loop {
        thread::sleep(TICK);
        viewers.send(values(&server, start));
    }
}

/// Returns what a page draws, as JSON. They are counts from the start, so that a value left out
/// spoils no rate.
fn values(server: &Server, start: Instant) -> String {
    let counters = server.counters();
    format!(
        r#"{{"time":{:.3},"connections":{},"messages":{},"queued":{},"cpu":{:.4}}}"#,
        start.elapsed().as_secs_f64(),
        counters.open,
        counters.traffic.messages_in + counters.traffic.messages_out,
        counters.traffic.queued_bytes,
        cpu_seconds(),
    )
}

/// Answers in the text format of Prometheus.
fn metrics(request: &mut Request) -> Reply {
    let counters = request.server().counters();
    let traffic = counters.traffic;
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: f64| {
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    };
    let count = |value: u64| value as f64;
    add(
        "websocket_connections",
        "gauge",
        "Open connections.",
        count(counters.open as u64),
    );
    add(
        "websocket_opened_total",
        "counter",
        "Connections opened.",
        count(counters.opened),
    );
    add(
        "websocket_refused_total",
        "counter",
        "Connections refused.",
        count(counters.refused),
    );
    add(
        "websocket_messages_received_total",
        "counter",
        "Messages received.",
        count(traffic.messages_in),
    );
    add(
        "websocket_messages_sent_total",
        "counter",
        "Messages sent.",
        count(traffic.messages_out),
    );
    add(
        "websocket_received_bytes_total",
        "counter",
        "Payload bytes received.",
        count(traffic.bytes_in),
    );
    add(
        "websocket_sent_bytes_total",
        "counter",
        "Payload bytes sent.",
        count(traffic.bytes_out),
    );
    add(
        "websocket_queued_bytes",
        "gauge",
        "Bytes that wait to be sent.",
        count(traffic.queued_bytes),
    );
    add(
        "websocket_dropped_total",
        "counter",
        "Messages left out for slow peers.",
        count(traffic.dropped),
    );
    add(
        "process_cpu_seconds_total",
        "counter",
        "CPU time of the process.",
        cpu_seconds(),
    );
    Reply::text(text).header("Content-Type", "text/plain; version=0.0.4")
}

/// Returns the CPU time of this process.
#[cfg(unix)]
fn cpu_seconds() -> f64 {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Returns 0: std does not know the CPU time.
#[cfg(not(unix))]
fn cpu_seconds() -> f64 {
    0.0
}
