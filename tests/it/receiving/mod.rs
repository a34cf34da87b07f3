//! What comes in, and who hears of it.

mod callbacks;
mod channels;
mod deadlines;
mod memory;
mod message_reader;
mod pulling;
mod violations;
