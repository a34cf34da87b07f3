use rustix::process::{Resource, getrlimit, setrlimit};

use super::*;
use crate::transport::cpu_time;

/// Notes the CPU time of the background's thread at each tick, so many times.
struct Metered(Mutex<Vec<Duration>>);

const TICKS: usize = 200;

impl Ticking for Metered {
    fn tick(&self) -> bool {
        let mut times = lock(&self.0);
        times.push(cpu_time());
        times.len() < TICKS
    }

    fn stop_ticking(&self) -> bool {
        true
    }
}

fn cost_of_ticks() -> Duration {
    let metered = Arc::new(Metered(Mutex::default()));
    tick(Arc::clone(&metered) as Arc<dyn Ticking>);
    let deadline = Instant::now() + PATIENCE;
    while lock(&metered.0).len() < TICKS {
        assert!(Instant::now() < deadline, "it does not tick");
        thread::yield_now();
    }
    let times = lock(&metered.0);
    times[TICKS - 1] - times[0]
}

/// A cork's ticks cost the same, however many full sockets wait.
#[test]
fn ticks_look_at_no_waiting_socket() {
    const COUNT: usize = 1_000;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let deaf = Deaf::new();
    let sockets = deaf.full_sockets(COUNT).into_iter();
    let watched: Vec<_> = sockets.map(|socket| (enrolled(), socket)).collect();
    let few = cost_of_ticks();
    let resumed: Vec<_> = watched
        .iter()
        .map(|(timer, socket)| watch(timer, socket))
        .collect();
    let many = cost_of_ticks();
    assert!(many < 4 * few, "no socket: {few:?}, {COUNT}: {many:?}");
    assert!(
        resumed
            .iter()
            .all(|resumed| resumed.try_recv() == Err(mpsc::TryRecvError::Empty))
    );
    watched.iter().for_each(|(timer, _)| timer.dismiss());
}
