//! What the kernel knows of a connection.

use std::process::Command;

use super::RawPeer;

impl RawPeer {
    /// Returns how many segments with data have come in; `None` where `ss` cannot tell.
    #[track_caller]
    pub(crate) fn data_segments_in(&self) -> Option<usize> {
        let (own, other) = (
            self.stream.local_addr().unwrap(),
            self.stream.peer_addr().unwrap(),
        );
        let filter = [
            format!("sport = :{}", own.port()),
            format!("dport = :{}", other.port()),
        ];
        let mut ss = Command::new("ss");
        ss.args([
            "--tcp",
            "--info",
            "--no-header",
            "--numeric",
            &filter[0],
            "and",
            &filter[1],
        ]);
        let told = String::from_utf8(ss.output().ok()?.stdout).unwrap();
        let (_, rest) = told.split_once("data_segs_in:")?;
        rest.split_whitespace().next()?.parse().ok()
    }
}
