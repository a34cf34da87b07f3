//! What the command line says: [`Options`].

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use landline::{Client, Compression, Config, Identity, TlsOptions};

/// Talk to a WebSocket server.
///
/// Each line of the input is sent as a message, and each message that comes is printed. At the end of
/// the input (Ctrl-D) the connection is closed, and what still comes is printed. The exit status is 0
/// after an ordinary end, and 1 after any other.
#[derive(Parser)]
#[command(name = "landline", version, after_help = AFTER)]
pub(crate) struct Options {
    /// The server: ws://, wss:// or `ws+unix:/run/app.sock:/path`; without a scheme it is ws://
    url: String,

    /// Send a header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// Offer a subprotocol; may be given several times
    #[arg(short, long, value_name = "NAME")]
    subprotocol: Vec<String>,

    /// Send this Origin, as a page does
    #[arg(short, long)]
    origin: Option<String>,

    /// Send a user and a password (Basic)
    #[arg(short, long, value_name = "NAME:PASSWORD", conflicts_with = "bearer")]
    user: Option<String>,

    /// Send a token (Bearer)
    #[arg(short, long, value_name = "TOKEN")]
    bearer: Option<String>,

    /// Offer to compress messages (permessage-deflate)
    #[arg(short = 'z', long)]
    compress: bool,

    /// Follow up to ten redirects
    #[arg(short = 'L', long)]
    location: bool,

    /// Trust these certificates too, in PEM
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    cacert: Option<PathBuf>,

    /// Show this certificate, in PEM
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    cert: Option<PathBuf>,

    /// The key of --cert, if it is in a file of its own
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    key: Option<PathBuf>,

    /// Trust any certificate
    #[arg(short = 'k', long, help_heading = "TLS")]
    insecure: bool,

    /// Go through this proxy: http://, https://, socks5:// or socks5h://; by default that of the
    /// environment
    #[arg(short, long, value_name = "URL", help_heading = "Getting there")]
    proxy: Option<String>,

    /// Go through no proxy
    #[arg(long, conflicts_with = "proxy", help_heading = "Getting there")]
    no_proxy: bool,

    /// Give up connecting after so long
    #[arg(long, value_name = "SECONDS", help_heading = "Getting there", value_parser = seconds)]
    connect_timeout: Option<Duration>,

    /// Connect again after each end that was not asked for
    #[arg(short, long, help_heading = "Getting there")]
    pub(crate) reconnect: bool,

    /// Send this message, print one answer, and exit; may be given several times
    #[arg(
        short = 'x',
        long = "execute",
        value_name = "TEXT",
        help_heading = "Messages"
    )]
    pub(crate) execute: Vec<String>,

    /// Exit once so many messages have come, whether or not the input has ended
    #[arg(
        short = 'n',
        long = "messages",
        value_name = "COUNT",
        help_heading = "Messages"
    )]
    messages: Option<u64>,

    /// Stay connected at the end of the input
    #[arg(long, help_heading = "Messages")]
    pub(crate) keep_open: bool,

    /// Read each line as the hexadecimal digits of a binary message, and print those that come whole
    #[arg(long, help_heading = "Messages")]
    pub(crate) binary: bool,

    /// Ping so many times, a second apart, print each round trip, and exit
    #[arg(long, value_name = "COUNT", conflicts_with = "execute", help_heading = "Messages",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ping: Option<u32>,

    /// Take lines that begin with a slash for commands: /ping, /close [CODE [REASON]]
    #[arg(long, help_heading = "Messages")]
    pub(crate) slash: bool,

    /// Print when each message has come
    #[arg(short, long, help_heading = "Messages")]
    pub(crate) timestamps: bool,

    /// Say nothing but errors on standard error
    #[arg(short, long, help_heading = "Messages")]
    pub(crate) quiet: bool,
}

const AFTER: &str = "On a terminal lines can be edited, and there are colours, unless NO_COLOR is set. Binary \
    messages are printed in hexadecimal digits, on a terminal the first of them. The environment's proxies \
    (https_proxy, no_proxy and the others) count as with curl.";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Options {
    /// Returns the URL, with a scheme.
    pub(crate) fn url(&self) -> String {
        let is_whole = self.url.contains("://") || self.url.contains("+unix:");
        match is_whole {
            true => self.url.clone(),
            false => format!("ws://{}", self.url),
        }
    }

    /// Returns after how many messages to exit.
    pub(crate) fn wanted(&self) -> Option<u64> {
        let answers = Some(self.execute.len() as u64).filter(|count| *count > 0);
        self.messages.or(answers)
    }

    /// Makes the client.
    pub(crate) fn client(&self) -> Result<Client, Box<dyn Error>> {
        let mut client = Client::new()
            .config(self.config())
            .tls(self.tls()?)
            .subprotocols(&self.subprotocol)
            .redirects(if self.location { 10 } else { 0 });
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                return Err(format!("the header {header:?} has no colon").into());
            };
            client = client.header(name.trim(), value.trim());
        }
        if let Some(origin) = &self.origin {
            client = client.header("Origin", origin);
        }
        if let Some(user) = &self.user {
            let credentials = data_encoding::BASE64.encode(user.as_bytes());
            client = client.header("Authorization", format!("Basic {credentials}"));
        }
        if let Some(token) = &self.bearer {
            client = client.header("Authorization", format!("Bearer {token}"));
        }
        client = match &self.proxy {
            Some(proxy) => client.proxy(proxy),
            None if self.no_proxy => client.no_proxy(),
            None => client,
        };
        Ok(match self.connect_timeout {
            Some(timeout) => client.connect_timeout(timeout),
            None => client,
        })
    }

    fn config(&self) -> Config {
        let compression = self.compress.then(Compression::new);
        Config::new()
            .handshake_timeout(HANDSHAKE)
            .compression(compression)
    }

    fn tls(&self) -> Result<TlsOptions, Box<dyn Error>> {
        let mut options = TlsOptions::new();
        if let Some(file) = &self.cacert {
            options = options.add_roots(read(file)?);
        }
        if let Some(file) = &self.cert {
            let chain = read(file)?;
            let key = self.key.as_ref().map_or(Ok(chain.clone()), read)?;
            options = options.identity(Identity::from_pem(chain, key));
        }
        if self.insecure {
            options = options
                .danger_accept_invalid_certs()
                .danger_accept_invalid_hostnames();
        }
        Ok(options)
    }
}

/// The time for connecting and the handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}
