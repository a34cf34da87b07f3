//! Looking up names, on threads that may be abandoned: the system's resolver cannot be interrupted.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use url::Host;

use crate::canceller::Canceller;
use crate::error::about;
use crate::process::PerProcess;
use crate::sync::{Condvar, Mutex, lock, wait};

/// Returns the addresses of a host, with this port. A name is looked up, unless it always means this
/// machine.
///
/// # Errors
/// The system's error; `NotFound` for a name without an address; `TimedOut` at the deadline;
/// `ResourceBusy` while too many abandoned look-ups still run; any error once cancelled.
pub(crate) fn look_up(
    host: &Host<&str>,
    port: u16,
    deadline: Instant,
    canceller: &Canceller,
) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = match host {
        Host::Ipv4(ip) => return Ok(vec![(*ip, port).into()]),
        Host::Ipv6(ip) => return Ok(vec![(*ip, port).into()]),
        Host::Domain(name) if is_own_name(name) => OWN.map(|ip| (ip, 0).into()).to_vec(),
        Host::Domain(name) => RESOLVER.get().look_up(name, deadline, canceller)?,
    };
    for address in &mut addresses {
        address.set_port(port);
    }
    Ok(addresses)
}

/// Returns the one address of a link-local IPv6 address and its zone (RFC 4007, section 11), such as
/// `eth0`, with this port.
///
/// # Errors
/// As [`look_up`]: a zone that is not there counts as an unknown name.
pub(crate) fn look_up_zone(
    ip: Ipv6Addr,
    zone: &str,
    port: u16,
    deadline: Instant,
    canceller: &Canceller,
) -> io::Result<Vec<SocketAddr>> {
    let numeric = format!("{ip}%{zone}");
    let addresses = RESOLVER.get().look_up(&numeric, deadline, canceller)?;
    let with_port = |mut address: SocketAddr| {
        address.set_port(port);
        address
    };
    Ok(addresses.into_iter().map(with_port).collect())
}

/// Tells whether a name, in lower case, always means this machine. RFC 6761 6.3: `localhost` and the
/// names below it resolve to loopback addresses, and no query for them is sent.
pub(crate) fn is_own_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// The addresses of this machine's own names.
const OWN: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

static RESOLVER: PerProcess<Resolver> =
    PerProcess::new(Resolver::new(resolve), || Resolver::new(resolve));

/// The number of look-ups that may be abandoned. Each is a thread and a descriptor until the system
/// gives up.
const MOST_LEFT_BEHIND: usize = 16;

fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// The running look-ups of a process, one for each name.
struct Resolver {
    running: Mutex<BTreeMap<String, Arc<Lookup>>>,
    resolve: Resolve,
}

type Resolve = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// A running look-up. Its answer goes to all calls that ask for its name meanwhile.
struct Lookup {
    answer: Mutex<Option<Answer>>,
    answered: Condvar,
    waiting: AtomicUsize,
}

type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;

impl Resolver {
    const fn new(resolve: Resolve) -> Self {
        Self {
            running: Mutex::new(BTreeMap::new()),
            resolve,
        }
    }

    fn look_up(
        &'static self,
        name: &str,
        deadline: Instant,
        canceller: &Canceller,
    ) -> io::Result<Vec<SocketAddr>> {
        let lookup = self.join(name)?;
        let answer = lookup.wait(deadline, canceller);
        lookup.waiting.fetch_sub(1, Ordering::Relaxed);
        let answer = answer.ok_or(io::ErrorKind::TimedOut)?;
        answer.map_err(|error| io::Error::new(error.kind(), error))
    }

    /// Joins the running look-up of this name, or begins one.
    fn join(&'static self, name: &str) -> io::Result<Arc<Lookup>> {
        let mut running = lock(&self.running);
        if let Some(lookup) = running.get(name) {
            lookup.waiting.fetch_add(1, Ordering::Relaxed);
            return Ok(Arc::clone(lookup));
        }
        let is_left_behind = |lookup: &&Arc<Lookup>| lookup.waiting.load(Ordering::Relaxed) == 0;
        if running.values().filter(is_left_behind).count() >= MOST_LEFT_BEHIND {
            let what = format!(
                "{MOST_LEFT_BEHIND} look-ups of other names still run that nobody waits for any \
                 more: the system's resolver does not answer"
            );
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
        let lookup = self.begin(name)?;
        running.insert(name.to_owned(), Arc::clone(&lookup));
        Ok(lookup)
    }

    fn begin(&'static self, name: &str) -> io::Result<Arc<Lookup>> {
        let lookup = Arc::new(Lookup {
            answer: Mutex::new(None),
            answered: Condvar::new(),
            waiting: AtomicUsize::new(1),
        });
        let (looked_up, name) = (Arc::clone(&lookup), name.to_owned());
        let builder = thread::Builder::new().name("landline-lookup".into());
        let spawned = builder.spawn(move || {
            let answer = (self.resolve)(&name);
            // A later call asks anew: this answer is as old as its question.
            lock(&self.running).remove(&name);
            *lock(&looked_up.answer) = Some(answer.map_err(Arc::new));
            looked_up.answered.notify_all();
        });
        spawned.map_err(|error| about("starting a thread for the look-up", error))?;
        Ok(lookup)
    }
}

impl Lookup {
    /// Waits for the answer, until the deadline or a cancel.
    fn wait(self: &Arc<Self>, deadline: Instant, canceller: &Canceller) -> Option<Answer> {
        let lookup = Arc::clone(self);
        let _watch = canceller.on_cancel(move || {
            // A thread that looked before this statement is waiting by now.
            drop(lock(&lookup.answer));
            lookup.answered.notify_all();
        });
        let mut answer = lock(&self.answer);
        while answer.is_none() && Instant::now() < deadline && !canceller.is_cancelled() {
            answer = wait(&self.answered, answer, Some(deadline));
        }
        answer.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{LazyLock, MutexGuard};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// The machine's own names are looked up nowhere: even a passed deadline does not matter.
    #[test]
    fn own_names_are_not_looked_up() {
        for name in ["localhost", "localhost.", "a.b.localhost"] {
            let addresses =
                look_up(&Host::Domain(name), 80, Instant::now(), &Canceller::new()).unwrap();
            assert!(addresses.iter().all(|address| address.ip().is_loopback()));
            assert_eq!(addresses.len(), 2);
        }
        for name in ["localhost.example", "notlocalhost", "local"] {
            assert!(!is_own_name(name), "{name}");
        }
    }

    /// A zone becomes the number of its interface, by name or number; one that is not there is an error.
    #[test]
    fn zones_are_found() {
        let ip = "fe80::1".parse().unwrap();
        let find =
            |zone: &str| look_up_zone(ip, zone, 80, Instant::now() + PATIENCE, &Canceller::new());
        let addresses = find("1").unwrap();
        let [SocketAddr::V6(address)] = addresses[..] else {
            panic!("{addresses:?}")
        };
        assert_eq!((address.scope_id(), address.port()), (1, 80));
        find("no-such-zone").unwrap_err();
    }

    /// A resolver that is dead until it is told to answer: one look-up at each word.
    static DEAD: LazyLock<(Mutex<Sender<()>>, Mutex<Receiver<()>>)> = LazyLock::new(|| {
        let (sender, receiver) = channel();
        (Mutex::new(sender), Mutex::new(receiver))
    });
    static LOOKED_UP: AtomicUsize = AtomicUsize::new(0);
    /// The tests have one dead resolver.
    static TURN: Mutex<()> = Mutex::new(());

    fn resolve_late(name: &str) -> io::Result<Vec<SocketAddr>> {
        LOOKED_UP.fetch_add(1, Ordering::SeqCst);
        let _ = lock(&DEAD.1).recv();
        match name {
            "nowhere" => Err(io::Error::new(io::ErrorKind::NotFound, "there is none")),
            _ => Ok(vec![([127, 0, 0, 1], 0).into()]),
        }
    }

    fn dead_resolver() -> (&'static Resolver, MutexGuard<'static, ()>) {
        let turn = lock(&TURN);
        LOOKED_UP.store(0, Ordering::SeqCst);
        (Box::leak(Box::new(Resolver::new(resolve_late))), turn)
    }

    fn revive(count: usize) {
        let sender = lock(&DEAD.0);
        (0..count).for_each(|_| sender.send(()).unwrap());
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(1)
    }

    fn settled(what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "never came true: {what}");
            thread::yield_now();
        }
    }

    /// However often a name is asked for while the resolver is dead, one look-up runs; its answer is
    /// for all that wait then, an error too; and a later call asks anew.
    #[test]
    fn attempts_share_a_look_up() {
        let (resolver, _turn) = dead_resolver();
        for (name, found) in [("somewhere", true), ("nowhere", false)] {
            let before = LOOKED_UP.load(Ordering::SeqCst);
            for _ in 0..30 {
                let error = resolver
                    .look_up(name, soon(), &Canceller::new())
                    .unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            }
            let asking: Vec<_> = (0..3)
                .map(|_| {
                    thread::spawn(move || {
                        resolver.look_up(name, Instant::now() + PATIENCE, &Canceller::new())
                    })
                })
                .collect();
            let waiting = || {
                let running = lock(&resolver.running);
                running[name].waiting.load(Ordering::Relaxed)
            };
            settled("three wait", || waiting() == 3);
            settled("it runs", || LOOKED_UP.load(Ordering::SeqCst) > before);
            assert_eq!(LOOKED_UP.load(Ordering::SeqCst), before + 1);
            revive(1);
            for asking in asking {
                let answer = asking.join().unwrap();
                assert_eq!(answer.is_ok(), found);
                let kind = answer.err().map(|error| error.kind());
                assert_eq!(kind, (!found).then_some(io::ErrorKind::NotFound));
            }
            assert!(lock(&resolver.running).is_empty());
            revive(1);
            let again = resolver.look_up(name, Instant::now() + PATIENCE, &Canceller::new());
            assert_eq!(again.is_ok(), found);
        }
    }

    /// A cancel ends a wait for the resolver, and leaves the look-up to those who still wait.
    #[test]
    fn cancelled_look_ups_are_left_behind() {
        let (resolver, _turn) = dead_resolver();
        let canceller = Canceller::new();
        let look_up = |canceller: Canceller| {
            thread::spawn(move || {
                resolver.look_up("somewhere", Instant::now() + PATIENCE, &canceller)
            })
        };
        let (ends, stays) = (look_up(canceller.clone()), look_up(Canceller::new()));
        settled("both wait", || {
            let running = lock(&resolver.running);
            let lookup = running.get("somewhere");
            lookup.is_some_and(|lookup| lookup.waiting.load(Ordering::Relaxed) == 2)
        });
        canceller.cancel();
        ends.join().unwrap().unwrap_err();
        revive(1);
        stays.join().unwrap().unwrap();
    }

    /// With so many look-ups left behind no other begins, and the error says why; once they have their
    /// answers, names are looked up again. Those that somebody waits for do not count.
    #[test]
    fn few_look_ups_are_left_behind() {
        let (resolver, _turn) = dead_resolver();
        let waits = thread::spawn(|| {
            resolver.look_up("awaited", Instant::now() + PATIENCE, &Canceller::new())
        });
        settled("it runs", || LOOKED_UP.load(Ordering::SeqCst) == 1);
        for number in 0..MOST_LEFT_BEHIND {
            let error = resolver
                .look_up(&format!("name {number}"), soon(), &Canceller::new())
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        let error = resolver
            .look_up("one more", soon(), &Canceller::new())
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert!(
            error.to_string().contains("resolver does not answer"),
            "{error}"
        );
        // A call for one of those names waits for its look-up again.
        let again = resolver
            .look_up("name 0", soon(), &Canceller::new())
            .unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::TimedOut);
        revive(MOST_LEFT_BEHIND + 1);
        assert!(waits.join().unwrap().is_ok());
        settled("all have ended", || lock(&resolver.running).is_empty());
        revive(1);
        resolver
            .look_up("one more", Instant::now() + PATIENCE, &Canceller::new())
            .unwrap();
    }
}
