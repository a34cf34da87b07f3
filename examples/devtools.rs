//! Asks a browser several things at once: `devtools URL`, with the URL that
//! `chromium --headless --remote-debugging-port=0` prints. Each call has an id, and so has its answer.
#![allow(clippy::print_stdout, reason = "its output")]

use crossbeam_channel::{Receiver, Sender, bounded, select};
use landline::{Message, Outcome};
use std::{collections::HashMap, env, thread};

fn main() -> Outcome {
    let url = env::args().nth(1).ok_or("usage: devtools URL")?;
    let (caller, calls) = bounded(16);
    let answering = thread::spawn(move || answer(&url, &calls));
    thread::scope(|scope| {
        for method in ["Browser.getVersion", "Target.getTargets", "No.such"] {
            let (sender, answer) = bounded(1);
            let _ = caller.send((method, sender));
            scope.spawn(move || println!("{method}: {:?}", answer.recv()));
        }
    });
    drop(caller);
    answering.join().map_err(|_| "a thread has panicked")?
}

/// Gives each answer to its caller. Those that still wait at the end are told by their channels.
fn answer(url: &str, calls: &Receiver<(&str, Sender<Message>)>) -> Outcome {
    let (ws, messages) = landline::open(url)?;
    let messages = messages.into_receiver(64);
    let mut waiting = HashMap::new();
    for id in 0.. {
        select! {
            recv(calls) -> call => {
                let Ok((method, caller)) = call else { break };
                let id = format!(r#"{{"id":{id}"#);
                ws.send(format!(r#"{id},"method":"{method}"}}"#))?;
                waiting.insert(id, caller);
            }
            recv(messages) -> message => {
                let message = message?;
                let id = message.as_text().and_then(|text| text.split([',', '}']).next());
                if let Some(caller) = id.and_then(|id| waiting.remove(id)) {
                    let _ = caller.send(message);
                }
            }
        }
    }
    Ok(())
}
