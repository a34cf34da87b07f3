//! The comparison of clients.

use std::error::Error;
use std::process;
use std::time::Duration;

use crate::clients::{CLIENTS, Client, TOGETHER};
use crate::servers::DRAIN;
use crate::shared::options::Options;
use crate::shared::process::Process;
use crate::shared::table::{self, CPU};
use crate::shared::usage::Usage;
use crate::shared::window::{Window, repeat, take_turns};

/// Bytes of payload in a message.
const SIZES: [usize; 5] = [32, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

const WINDOW: Duration = Duration::from_millis(60);

pub(crate) fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let clients = options.choose(CLIENTS, |client| client.name)?;
    let names: Vec<_> = clients.iter().map(|client| client.name).collect();
    let sizes = options.number("--size")?.map(|size| vec![size]);
    let peer = Process::start(&DRAIN)?;
    for size in sizes.unwrap_or(SIZES.to_vec()) {
        let connect = |client: &&Client| (client.connect)(peer.address, size);
        let mut pushes = clients.iter().map(connect).collect::<Result<Vec<_>, _>>()?;
        if let Some(messages) = options.number("--messages")? {
            for push in &mut pushes {
                push(messages)?;
            }
            // Without the ends, which cost more than many messages.
            drop(peer);
            process::exit(0);
        }
        // Time is asked for as seldom as that a window is not much longer than it should be.
        let step = TOGETHER * (64_usize << 10).div_ceil(size.max(1) * TOGETHER);
        let length = options.window(WINDOW);
        let windows = take_turns(&mut pushes, options.windows, |push| {
            let step = || push(step).map(|()| step);
            Window::measure(Usage::of_this_thread, || repeat(length, step))
        })?;
        table::print(&format!("{size} B"), &names, &windows, &[CPU]);
    }
    Ok(())
}
