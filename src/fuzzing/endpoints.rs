//! Two endpoints that talk: their sending sides over wires that take any number of bytes, and their
//! decoders.

mod endpoint;
mod tape;

use self::endpoint::Endpoint;
use super::input::Input;
use crate::protocol::Role;

/// Checks two endpoints: whatever they do, and however their wires take it, each sends at most one
/// Close and nothing behind it, neither breaks the protocol, messages come whole and in order, each
/// is accounted for, and each endpoint ends once.
pub fn endpoints(data: &[u8]) {
    let mut input = Input::new(data);
    let mut both = [Role::Client, Role::Server].map(|role| Endpoint::new(role, &mut input));
    let mut steps = 0;
    while !input.is_empty() && steps < MOST {
        let which = input.byte();
        let [one, other] = &mut both;
        match which & 1 {
            0 => one.act(which >> 1, other, &mut input),
            _ => other.act(which >> 1, one, &mut input),
        }
        steps += 1;
    }
    let undisturbed = both.iter().all(Endpoint::is_undisturbed);
    settle(&mut both);
    both[0].close(1000);
    settle(&mut both);
    let [one, other] = &mut both;
    one.end();
    other.end();
    one.check(other, undisturbed);
    other.check(one, undisturbed);
}

/// The most steps.
const MOST: usize = 2_000;

/// Lets everything leave and arrive.
fn settle([one, other]: &mut [Endpoint; 2]) {
    loop {
        let moved = one.drain() | other.drain();
        if !(one.read_all(other) | other.read_all(one) | moved) {
            return;
        }
    }
}
