use super::*;

fn close(code: u16) -> CloseFrame {
    CloseFrame::cut_to_fit(code.into(), "why")
}

/// Calls one of a life's functions. Tells whether that did something, where it says so.
fn take(life: &mut Life, step: &str) -> bool {
    match step {
        "close" => return life.close(Initiator::Local),
        "violate" => life.fail(Error::Protocol {
            code: CloseCode::PROTOCOL_ERROR,
            what: "bad frame".into(),
        }),
        "be_slow" => life.fail(Error::TooSlow),
        "fail" => life.fail(Error::Callback("oops".into())),
        "leave_unfinished" => life.fail(Error::Unfinished),
        "encode" => life.encode_close(close(1000)),
        "leave" => life.send_close(Instant::now()),
        "receive" => life.receive_close(close(4001)),
        "receive_1001" => life.receive_close(close(1001)),
        "end_input" => life.end_input(),
        "lose" => {
            let error = io::ErrorKind::BrokenPipe.into();
            let ended = life.end_sending(CloseCause::Lost(Some(error)));
            if ended {
                life.fail_sending();
            }
            return ended;
        }
        "end" => return life.end_sending(CloseCause::Finished),
        "cut" => return life.cut(CloseCause::Aborted),
        "expire" => return life.cut(CloseCause::Timeout(Timeout::Pong)),
        "finish" => {
            let (event, _) = life.tell(0);
            life.finish(event, Instant::now());
        }
        step => panic!("there is no {step}"),
    }
    false
}

/// Returns a life after these steps.
fn after(steps: &str) -> Life {
    let mut life = Life::new();
    for step in steps.split_whitespace() {
        take(&mut life, step);
    }
    life
}

/// Writes a state down: how far the sending has ended, and the reading.
fn state(life: &Life) -> String {
    format!("{:?}/{:?}", life.sending, life.reading)
}

/// Every function from every state leads where the table says, and tells (!) whether it did something;
/// where the table says nothing, nothing changes.
#[test]
fn each_step_leads_from_each_state_to_the_next() {
    let states = [
        "",
        "close",
        "close encode",
        "lose",
        "receive",
        "receive encode",
        "end_input end",
        "cut",
        "cut finish",
    ];
    let table = "
        close     Open/Open>Closing/Open!
        violate   Open/Open>Closing/Open
        receive   Open/Open>Closing/Over Closing/Open>Closing/Over Closed/Open>Closed/Over
                  Over/Open>Over/Over
        end_input Open/Open>Closing/Over Closing/Open>Closing/Over Closed/Open>Closed/Over
                  Over/Open>Over/Over
        encode    Open/Open>Closed/Open Closing/Open>Closed/Open Closing/Over>Closed/Over
        leave
        end       Open/Open>Over/Open! Closing/Open>Over/Open! Closed/Open>Over/Open!
                  Closing/Over>Over/Over! Closed/Over>Over/Over!
        cut       Open/Open>Over/Cut! Closing/Open>Over/Cut! Closed/Open>Over/Cut!
                  Over/Open>Over/Cut! Closing/Over>Over/Cut! Closed/Over>Over/Cut!
                  Over/Over>Over/Cut!
        finish    Open/Open>Open/Finished Closing/Open>Closing/Finished
                  Closed/Open>Closed/Finished Over/Open>Over/Finished
                  Closing/Over>Closing/Finished Closed/Over>Closed/Finished
                  Over/Over>Over/Finished Over/Cut>Over/Finished";
    let mut step = "";
    let mut changes = Vec::new();
    let mut steps = Vec::new();
    for word in table.split_whitespace() {
        match word.split_once('>') {
            Some((from, to)) => changes.push((step, from, to)),
            None => {
                step = word;
                steps.push(step);
            }
        }
    }
    for (step, history) in steps
        .iter()
        .flat_map(|step| states.map(|state| (*step, state)))
    {
        let mut life = after(history);
        let from = state(&life);
        let told = if take(&mut life, step) { "!" } else { "" };
        let change = changes
            .iter()
            .find(|change| (change.0, change.1) == (step, &*from));
        let expected = change.map_or(&*from, |change| change.2);
        assert_eq!(state(&life) + told, expected, "{step} from {from}");
    }
}

/// What is asked of a life follows from where it stands.
#[test]
fn questions_are_answered_by_the_state() {
    let asked = |steps: &str| {
        let life = after(steps);
        let sending = [life.is_open(), life.is_closed(), life.is_sending_over()];
        let more = [
            life.is_cut(),
            life.has_write_failed(),
            life.close_left_at().is_some(),
        ];
        [sending, more]
            .concat()
            .into_iter()
            .map(u8::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(""), [1, 0, 0, 0, 0, 0]);
    assert_eq!(asked("close"), [0, 0, 0, 0, 0, 0]);
    assert_eq!(asked("close encode"), [0, 1, 0, 0, 0, 0]);
    assert_eq!(asked("close encode leave"), [0, 1, 0, 0, 0, 1]);
    assert_eq!(asked("lose"), [0, 1, 1, 0, 1, 0]);
    assert_eq!(asked("lose cut"), [0, 1, 1, 1, 1, 0]);
    assert_eq!(asked("cut"), [0, 1, 1, 1, 0, 0]);
}

/// Code, reason and the rest of what is told: a failure that could be told keeps its own; else the
/// first Close received counts, whoever began, clean or not; else it is 1006.
#[test]
fn what_is_told_follows_from_what_happened() {
    // What happened: code and reason, who began it, whether it is clean, whether it is ordinary.
    let table = "
        close encode leave receive end:    4001 why, this side, clean, ordinary
        close receive encode leave end:    4001 why, this side, clean, ordinary
        receive encode leave end:          4001 why, the peer, clean
        receive_1001 encode leave end:     1001 why, the peer, clean, ordinary
        receive receive_1001 end:          4001 why, the peer
        receive lose:                      4001 why, the peer
        receive_1001 lose:                 1001 why, the peer, ordinary
        receive encode lose:               4001 why, the peer
        close encode leave end_input lose: 1006, this side, ordinary
        lose receive:                      4001 why, the peer
        lose close receive:                4001 why, the peer
        close lose receive:                4001 why, this side, ordinary
        lose end_input:                    1006, the peer
        lose expire:                       1006, this side
        violate encode leave end:          1002 bad frame, this side
        violate encode leave receive:      1002 bad frame, this side, clean
        violate fail be_slow lose:         1002 bad frame, this side
        receive violate:                   1002 bad frame, the peer
        be_slow receive lose:              1008 too slow, this side
        fail encode leave receive:         1011 why, this side, clean
        fail cut:                          1011, this side
        close encode leave violate receive: 4001 why, this side, clean
        expire:                            1006, this side
        receive expire:                    4001 why, the peer
        close encode leave expire:         1006, this side
        cut:                               1006, this side";
    for (happened, expected) in table.lines().filter_map(|line| line.split_once(':')) {
        let (event, _) = after(happened).tell(7);
        let mut told = event.code().as_u16().to_string();
        if !event.reason().is_empty() {
            told += &format!(" {}", event.reason());
        }
        told += &format!(", {}", event.initiator());
        told += if event.is_clean() { ", clean" } else { "" };
        told += if event.is_ordinary() {
            ", ordinary"
        } else {
            ""
        };
        assert_eq!(
            (&*told, event.undelivered()),
            (expected.trim(), 7),
            "{happened}"
        );
    }
}

/// Which Closes were seen is told beside the code; ours only once it is with the kernel.
#[test]
fn both_close_codes_are_told() {
    let codes = |steps: &str| {
        let (event, _) = after(steps).tell(0);
        (
            event.sent_code().map(u16::from),
            event.received_code().map(u16::from),
        )
    };
    assert_eq!(codes("receive encode"), (None, Some(4001)));
    assert_eq!(codes("receive encode leave"), (Some(1000), Some(4001)));
    assert_eq!(codes("close encode encode leave"), (Some(1000), None));
    assert_eq!(codes("cut encode leave"), (None, None));
}

/// A deadline is told as a timeout and as the error, unless all was said before, or it ends no more
/// than what another end has left.
#[test]
fn a_deadline_is_told_where_it_ended_something() {
    let timeout = |steps: &str| {
        let (event, error) = after(steps).tell(0);
        assert_eq!(
            matches!(error, Some(Error::Timeout(_))),
            event.timeout().is_some()
        );
        event.timeout()
    };
    assert_eq!(timeout("expire"), Some(Timeout::Pong));
    assert_eq!(timeout("close encode leave expire"), Some(Timeout::Pong));
    assert_eq!(
        timeout("lose expire"),
        Some(Timeout::Pong),
        "it ended the reading"
    );
    assert_eq!(timeout("lose receive expire"), None);
    assert_eq!(timeout("cut expire"), None);
    assert_eq!(
        timeout("close encode leave receive expire"),
        None,
        "all was said"
    );
}

/// The system's error is given out once, and only where it ended the connection.
#[test]
fn a_loss_is_taken_once() {
    let mut life = after("lose");
    assert_eq!(
        life.take_loss().map(|error| error.kind()),
        Some(io::ErrorKind::BrokenPipe)
    );
    assert!(life.take_loss().is_none());
    assert!(after("cut lose").take_loss().is_none());
}

/// A callback's failure explains a message that it left unfinished, on its own thread alone.
#[test]
fn a_callback_explains_what_it_left_unfinished() {
    let mut life = after("leave_unfinished");
    assert!(life.explain_unfinished("oops"));
    assert!(matches!(life.tell(0).1, Some(Error::Callback(text)) if text == "oops"));
    let mut life = after("leave_unfinished");
    let elsewhere = thread::scope(|scope| scope.spawn(|| life.explain_unfinished("oops")).join());
    assert_eq!(elsewhere.ok(), Some(false));
    assert!(!after("violate").explain_unfinished("oops"));
}

/// The event is there once the program has been told.
#[test]
fn the_event_is_kept() {
    assert!(after("cut").event().is_none());
    let life = after("close encode leave receive end finish");
    assert_eq!(life.event().map(|event| event.code()), Some(4001.into()));
}

/// A limit of the program's own that closed the connection is told, and is no failure, unless a deadline
/// cuts what it has begun to close.
#[test]
fn a_limit_is_told_unless_a_deadline_cuts() {
    for cut in [false, true] {
        let mut life = Life::new();
        let close = CloseFrame::cut_to_fit(CloseCode::GOING_AWAY, "");
        life.close(Initiator::Local);
        life.note_limit(Some(Timeout::Idle));
        life.encode_close(close.clone());
        life.send_close(Instant::now());
        if cut {
            life.cut(CloseCause::Timeout(Timeout::Close));
        } else {
            life.receive_close(close);
            life.end_sending(CloseCause::Finished);
        }
        let (event, error) = life.tell(0);
        let told = if cut { Timeout::Close } else { Timeout::Idle };
        assert_eq!(event.timeout(), Some(told));
        assert_eq!((error.is_some(), event.is_ordinary()), (cut, !cut));
        assert_eq!(event.sent_code(), Some(CloseCode::GOING_AWAY));
    }
}
