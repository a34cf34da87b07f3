//! The echo server with yawc, on tokio and hyper.

use std::error::Error;

use futures_util::{StreamExt, future};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use yawc::{CompressionLevel, HttpResponse, Options, WebSocket};

use crate::messages::level;
use crate::shared::process::announce;

pub(crate) fn serve_yawc() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) {
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(upgrade));
    // The load hangs up when it is done.
    drop(connection.with_upgrades().await);
}

async fn upgrade(request: Request<Incoming>) -> yawc::Result<HttpResponse> {
    let options = Options::default().with_compression_level(CompressionLevel::new(level().into()));
    let (response, upgraded) = WebSocket::upgrade_with_options(request, options)?;
    tokio::spawn(async move {
        let (sink, frames) = upgraded.await?.split();
        // What came with one read leaves with one flush.
        let echoes = frames.filter(|frame| future::ready(!frame.opcode().is_control()));
        echoes.map(Ok).forward(sink).await
    });
    Ok(response)
}
