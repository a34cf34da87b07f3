//! The negotiation of permessage-deflate (RFC 7692, section 7.1).

use http::HeaderMap;

use super::client::bad_handshake;
use super::extensions::{Extension, Parameter, extensions};
use crate::{AgreedCompression, Compression, Error};

const NAME: &str = "permessage-deflate";
const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";
/// The window where none is named, and the largest there is.
const WIDEST: u8 = 15;
/// The smallest window that can be compressed with: zlib makes 9 of 8.
const NARROWEST: u8 = 9;

/// The parameters of one offer or answer.
#[derive(Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The value, which an offer need not have: it then says that one may be chosen.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Reads the parameters, or returns `None` if one is unknown, malformed or there twice. RFC 7692
    /// 7.1: such an offer MUST be declined, and such an answer MUST fail the connection.
    fn of(extension: &Extension) -> Option<Self> {
        let mut parameters = Self::default();
        for parameter in &extension.parameters {
            parameters.set(parameter)?;
        }
        Some(parameters)
    }

    fn set(&mut self, Parameter { name, value }: &Parameter) -> Option<()> {
        let is_repeated = match (name.as_str(), value) {
            (SERVER_TAKEOVER, None) => {
                std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            (CLIENT_TAKEOVER, None) => {
                std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            (SERVER_WINDOW, Some(bits)) => {
                let bits = window_bits(bits)?;
                self.server_max_window_bits.replace(bits).is_some()
            }
            (CLIENT_WINDOW, bits) => {
                let bits = match bits {
                    Some(bits) => Some(window_bits(bits)?),
                    None => None,
                };
                self.client_max_window_bits.replace(bits).is_some()
            }
            _ => return None,
        };
        (!is_repeated).then_some(())
    }
}

/// Reads a window. RFC 7692 7.1.2: a number from 8 to 15 without leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    let bits = text.parse().ok()?;
    ((8..=15).contains(&bits) && !text.starts_with(['0', '+'])).then_some(bits)
}

/// Answers the first offer that can be taken. Returns the agreed terms and the text of the answer.
pub(crate) fn answer_offers(
    offers: &HeaderMap,
    settings: &Compression,
) -> Option<(AgreedCompression, String)> {
    let ours = extensions(offers)
        .flatten()
        .filter(|offer| offer.name == NAME);
    ours.filter_map(|offer| Parameters::of(&offer))
        .find_map(|offer| answer_offer(&offer, settings))
}

fn answer_offer(offer: &Parameters, settings: &Compression) -> Option<(AgreedCompression, String)> {
    let asked = offer.server_max_window_bits;
    // Nothing else that was offered could keep us within 256 bytes.
    if asked.is_some_and(|bits| bits < NARROWEST) {
        return None;
    }
    let takes_over = settings.context_takeover == Some(true) && !offer.server_no_context_takeover;
    let peer_takes_over = settings.peer_context_takeover && !offer.client_no_context_takeover;
    let window = asked.unwrap_or(WIDEST).min(settings.window_bits);
    let mut answer = NAME.to_owned();
    if !takes_over {
        answer = answer + "; " + SERVER_TAKEOVER;
    }
    if !peer_takes_over {
        answer = answer + "; " + CLIENT_TAKEOVER;
    }
    if asked.is_some() {
        answer = format!("{answer}; {SERVER_WINDOW}={window}");
    }
    let agreed = AgreedCompression {
        context_takeover: takes_over,
        window_bits: window,
        peer_context_takeover: peer_takes_over,
        // The decompressor has its widest window anyway: a narrower one would save nothing.
        peer_window_bits: WIDEST,
    };
    Some((agreed, answer))
}

/// Returns the offer of a client. Every server takes it: some refuse a list, or further parameters, or
/// drop the connection.
pub(super) fn offer(settings: &Compression) -> String {
    let mut offer = format!("{NAME}; {CLIENT_WINDOW}");
    if !settings.peer_context_takeover {
        offer = offer + "; " + SERVER_TAKEOVER;
    }
    // RFC 7692 7.1.1.2: a hint, by which the server may save a decompressor.
    if settings.context_takeover == Some(false) {
        offer = offer + "; " + CLIENT_TAKEOVER;
    }
    offer
}

/// Reads a server's answer to a client that offers compression if it has `settings`. An answer that
/// lacks what was asked for is taken as it stands: it only costs memory.
///
/// # Errors
/// [`Error::Handshake`] for an extension that was not offered, and for parameters that are malformed.
pub(super) fn read_answer(
    response: &HeaderMap,
    settings: Option<&Compression>,
) -> Result<Option<AgreedCompression>, Error> {
    let mut chosen = extensions(response);
    let Some(extension) = chosen.next() else {
        return Ok(None);
    };
    let (Some(settings), Some(extension), None) = (settings, extension, chosen.next()) else {
        return bad_handshake("the server chose an extension that was not offered");
    };
    if extension.name != NAME {
        return bad_handshake("the server chose an extension that was not offered");
    }
    let own_window = |answer: &Parameters| match answer.client_max_window_bits {
        None => Some(WIDEST),
        // RFC 7692 7.1.2.2: in an answer it has a value.
        Some(bits) => bits,
    };
    let answer = Parameters::of(&extension);
    let Some((answer, window)) = answer.and_then(|answer| {
        let window = own_window(&answer)?;
        Some((answer, window))
    }) else {
        return bad_handshake("the server's parameters of permessage-deflate are malformed");
    };
    Ok(Some(AgreedCompression {
        context_takeover: settings.context_takeover != Some(false)
            && !answer.client_no_context_takeover,
        window_bits: window.min(settings.window_bits),
        peer_context_takeover: !answer.server_no_context_takeover,
        peer_window_bits: answer.server_max_window_bits.unwrap_or(WIDEST),
    }))
}

#[cfg(test)]
mod tests;
