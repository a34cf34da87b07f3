//! The control groups of this process, and their limits.

use std::fs;
use std::path::{Path, PathBuf};

use super::read_number;

/// The control groups of a process, of both versions: each controller is in one version.
#[derive(Debug)]
pub(crate) struct ControlGroups {
    /// The contents of `/proc/PID/cgroup`: a line `ID:CONTROLLERS:PATH` for each hierarchy.
    memberships: String,
    /// The contents of `/proc/PID/mountinfo`: the mounts of the hierarchies.
    mounts: String,
}

impl ControlGroups {
    /// Finds the groups of this process; none if the system has none.
    pub(crate) fn of_this_process() -> Self {
        let read = |name| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        Self {
            memberships: read("cgroup"),
            mounts: read("mountinfo"),
        }
    }

    /// Returns the lowest number in a controller's files, of the group of this process and of those
    /// above it. The file may have another name in version 1.
    pub(crate) fn lowest(&self, controller: &str, in_v1: &str, in_v2: &str) -> Option<u64> {
        let old = self.paths(&Version::One(controller), in_v1);
        let new = self.paths(&Version::Two, in_v2);
        old.into_iter().chain(new).filter_map(read_number).min()
    }

    /// Returns the paths that a file may have, in the group and in those above it.
    fn paths(&self, version: &Version<'_>, file: &str) -> Vec<PathBuf> {
        let group = self.memberships.lines().find_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (controllers, path) = line.split_once(':')?;
            version.is_named_by(controllers).then_some(path)
        });
        let mount = self
            .mounts
            .lines()
            .filter_map(Mount::parse)
            .find(|mount| version.is_mounted_by(mount));
        let (Some(group), Some(mount)) = (group, mount) else {
            return Vec::new();
        };
        // In a container the mount may be of the group itself, or of one above it.
        let below = Path::new(group).strip_prefix(mount.root);
        let below = below.unwrap_or(Path::new(""));
        let groups = below.ancestors();
        groups
            .map(|group| Path::new(mount.point).join(group).join(file))
            .collect()
    }
}

/// A hierarchy of control groups.
enum Version<'a> {
    /// Version 1, with the name of a controller. Such a hierarchy is for one controller or several.
    One(&'a str),
    /// Version 2: the one hierarchy of all other controllers.
    Two,
}

impl Version<'_> {
    fn is_named_by(&self, controllers: &str) -> bool {
        match self {
            Self::One(name) => controllers.split(',').any(|one| one == *name),
            Self::Two => controllers.is_empty(),
        }
    }

    fn is_mounted_by(&self, mount: &Mount<'_>) -> bool {
        match self {
            Self::One(_) => mount.kind == "cgroup" && self.is_named_by(mount.options),
            Self::Two => mount.kind == "cgroup2",
        }
    }
}

/// A line of `mountinfo`.
struct Mount<'a> {
    /// The mounted part of the file system.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    /// The options. In version 1 they name the controllers too.
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        // There may be any number of optional fields before the dash.
        let (place, system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let mut system = system.split(' ');
        Some(Self {
            root: place.next()?,
            point: place.next()?,
            kind: system.next()?,
            options: system.nth(1)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(memberships: &str, mounts: &str, expected: &[&str]) {
        let groups = ControlGroups {
            memberships: memberships.into(),
            mounts: mounts.into(),
        };
        let mut paths = groups.paths(&Version::One("pids"), "pids.max");
        paths.extend(groups.paths(&Version::Two, "pids.max"));
        let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(paths, expected);
    }

    const V2: &str =
        "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const V1: &str = "40 31 0:37 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids";

    /// The group and all above it are asked, in the one hierarchy of version 2.
    #[test]
    fn version_2() {
        check(
            "0::/system.slice/chat.service\n",
            V2,
            &[
                "/sys/fs/cgroup/system.slice/chat.service/pids.max",
                "/sys/fs/cgroup/system.slice/pids.max",
                "/sys/fs/cgroup/pids.max",
            ],
        );
    }

    /// In version 1 the controller has a hierarchy of its own, or one with others; that of version 2
    /// may be beside it.
    #[test]
    fn version_1() {
        check(
            "9:name=systemd:/chat\n8:pids:/chat\n1:cpu,cpuacct:/\n",
            V1,
            &[
                "/sys/fs/cgroup/pids/chat/pids.max",
                "/sys/fs/cgroup/pids/pids.max",
            ],
        );
        check(
            "3:cpu,pids:/\n0::/\n",
            "38 31 0:35 / /cg/cpu,pids rw - cgroup none rw,cpu,pids\n\
             41 31 0:38 / /cg/unified rw - cgroup2 none rw",
            &["/cg/cpu,pids/pids.max", "/cg/unified/pids.max"],
        );
    }

    /// In a container the group itself is what is mounted, or the path is that of another namespace.
    #[test]
    fn containers() {
        let mounted = "40 31 0:37 /docker/1f /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids";
        let own = "/sys/fs/cgroup/pids/pids.max";
        check("8:pids:/docker/1f\n", mounted, &[own]);
        let below = "/sys/fs/cgroup/pids/below/pids.max";
        check("8:pids:/docker/1f/below\n", mounted, &[below, own]);
        check("8:pids:/../elsewhere\n", mounted, &[own]);
    }

    /// Where nothing is mounted or nothing is said, nothing is found.
    #[test]
    fn nothing_to_find() {
        for (memberships, mounts) in [
            ("", ""),
            ("0::/\n", ""),
            ("", V2),
            ("8:pids\n::\n", "29 22 -"),
        ] {
            check(memberships, mounts, &[]);
        }
    }

    /// What stands in the files of this machine is read.
    #[test]
    fn numbers_are_read() {
        let groups = ControlGroups::of_this_process();
        assert_eq!(groups.lowest("pids", "no-such-file", "no-such-file"), None);
    }
}
