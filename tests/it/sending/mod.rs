//! What leaves, in which order, and what becomes of it.

mod backpressure;
mod contention;
mod deliveries;
mod drained;
mod echoes;
mod full_queue;
mod order;
mod overflow;
mod splitting;
mod writer;
