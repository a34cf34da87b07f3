//! What becomes of what was sent, as the sender is told it.

mod killed;
