//! Chunked bodies (RFC 9112, section 7.1), decoded as they come in.
//!
//! This does not use `httparse::parse_chunk_size`: that takes a size without digits for 0, and a
//! lone LF for a part of an extension. Request smuggling lives on peers that read the same bytes
//! differently (RFC 9112, section 11.2).

/// The most bytes of all lines together beyond [`LINES_PER_BYTE`], with extensions and trailers.
const MAX_LINES: u64 = 16 << 10;
/// The bytes of lines that each byte of data allows besides: chunks of one byte need five.
const LINES_PER_BYTE: u64 = 8;

/// A decoder of one body. It keeps its place in the body, but no bytes.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    max: u64,
    /// The number of bytes of data in all chunks whose size is known.
    announced: u64,
    /// The number of bytes of lines that may still come.
    allowance: u64,
}

/// The part that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a chunk's size.
    Size,
    /// More digits, or the byte behind them.
    Digits(u64),
    /// The extensions, up to the CR.
    Extension(u64),
    /// The LF after the size.
    SizeLf(u64),
    /// This many bytes of data.
    Data(u64),
    DataCr,
    DataLf,
    /// The first byte of a trailer, or of the blank line that ends them.
    Trailers,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// The reason why a body cannot be decoded any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkError {
    Malformed,
    /// The chunks announce more than is allowed.
    TooLarge,
}

impl Chunked {
    /// Begins a body of at most `max` bytes.
    pub(super) fn new(max: u64) -> Self {
        Self {
            state: State::Size,
            max,
            announced: 0,
            allowance: MAX_LINES,
        }
    }

    /// Tells whether the last chunk's size has come; only trailers may follow.
    pub(super) fn has_all_data(&self) -> bool {
        matches!(
            self.state,
            State::Trailers | State::Trailer | State::TrailerLf | State::EndLf | State::End
        )
    }

    /// Tells whether the body has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::End
    }

    /// Appends the data in `bytes`, which continue those of the last call. Returns how many of the
    /// bytes belong to the body: all, until it has ended.
    ///
    /// # Errors
    /// Returns the violation at the first byte that shows it.
    pub(super) fn decode(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<usize, ChunkError> {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            rest = match self.state {
                State::End => break,
                State::Data(left) => self.take_data(left, rest, data),
                _ => {
                    self.state = self.step(*first)?;
                    behind
                }
            };
        }
        Ok(bytes.len() - rest.len())
    }

    fn take_data<'a>(&mut self, left: u64, bytes: &'a [u8], data: &mut Vec<u8>) -> &'a [u8] {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let (taken, behind) = bytes.split_at(bytes.len().min(wanted));
        data.extend_from_slice(taken);
        self.state = match left - taken.len() as u64 {
            0 => State::DataCr,
            left => State::Data(left),
        };
        behind
    }

    /// Takes one byte that is not data.
    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.allowance = self.allowance.checked_sub(1).ok_or(ChunkError::Malformed)?;
        match (self.state, byte) {
            (State::Size, _) => digit(0, byte),
            (State::Digits(size) | State::Extension(size), b'\r') => Ok(State::SizeLf(size)),
            // RFC 9112 7.1.1: extensions follow a semicolon, perhaps behind white space. Unknown
            // ones MUST be ignored, and none is known here.
            (State::Digits(size), b';' | b' ' | b'\t') => Ok(State::Extension(size)),
            (State::Digits(size), _) => digit(size, byte),
            (State::Extension(size), _) if is_text(byte) => Ok(State::Extension(size)),
            (State::SizeLf(size), b'\n') => self.begin_chunk(size),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            // RFC 9112 7.1.2: trailers may be discarded.
            (State::Trailers, b'\r') => Ok(State::EndLf),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::Trailers | State::Trailer, _) if is_text(byte) => Ok(State::Trailer),
            (State::TrailerLf, b'\n') => Ok(State::Trailers),
            (State::EndLf, b'\n') => Ok(State::End),
            _ => Err(ChunkError::Malformed),
        }
    }

    fn begin_chunk(&mut self, size: u64) -> Result<State, ChunkError> {
        let announced = self.announced.checked_add(size);
        self.announced = announced
            .filter(|announced| *announced <= self.max)
            .ok_or(ChunkError::TooLarge)?;
        self.allowance = self
            .allowance
            .saturating_add(size.saturating_mul(LINES_PER_BYTE));
        Ok(match size {
            0 => State::Trailers,
            _ => State::Data(size),
        })
    }
}

/// Adds a digit to a size. RFC 9112 7.1: large sizes MUST NOT overflow.
fn digit(size: u64, byte: u8) -> Result<State, ChunkError> {
    let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Malformed)?;
    let size = size
        .checked_mul(16)
        .and_then(|size| size.checked_add(digit.into()));
    size.map(State::Digits).ok_or(ChunkError::Malformed)
}

/// Tells whether a byte may stand in an extension or a trailer. RFC 9110 5.5: they have no control
/// characters except tabs.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
