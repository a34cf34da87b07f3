//! Listening Unix sockets, and the files that they leave behind.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{self, Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::{Errno, retry_on_intr};
use socket2::SockAddr;

use super::{BACKLOG, unix_socket};

/// The file of a listening socket, removed when dropped.
///
/// Two servers that are started at once could both find a stale file, and the second would remove
/// the fresh file of the first, which then listens where no client finds it. So who binds a path
/// holds a lock on another file beside it, until the socket is closed. As long as the lock is held,
/// the socket is alive. Once it is free, the file is stale.
#[derive(Debug)]
pub(in crate::transport) struct SocketFile {
    path: PathBuf,
    /// The file's identity. `None` before the socket is bound.
    id: Option<FileId>,
    // Dropped last: nobody else may bind the path before its file is gone.
    _lock: PathLock,
}

/// Listens at a path. The file of a server that has ended without removing it is replaced. The
/// file gets `mode`, or what the umask leaves.
///
/// # Errors
/// `AddrInUse` if a server listens there, `AlreadyExists` for a file that is no socket.
pub(in crate::transport) fn listen_at_path(
    path: &Path,
    mode: Option<u32>,
) -> io::Result<(OwnedFd, SocketFile)> {
    let mut file = SocketFile {
        path: path::absolute(path)?,
        id: None,
        _lock: PathLock::take(path)?,
    };
    remove_stale(path)?;
    let socket = unix_socket()?;
    socket.bind(&SockAddr::unix(path)?)?;
    file.id = Some(FileId::of(&fs::symlink_metadata(path)?));
    if let Some(mode) = mode {
        // Before it listens, nobody can connect.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Listens at a name of Linux's abstract namespace, which is gone with its socket.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::transport) fn listen_at_name(name: &[u8]) -> io::Result<OwnedFd> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let socket = unix_socket()?;
    let name = [b"\0", name].concat();
    socket.bind(&SockAddr::unix(OsStr::from_bytes(&name))?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::transport) fn listen_at_name(_: &[u8]) -> io::Result<OwnedFd> {
    let what = "only Linux has Unix sockets without a path";
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

/// Removes the file of a socket on which no server listens. The caller holds the lock. A server
/// that takes no lock is found by connecting to it.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        let what = "there is a file that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let probe = unix_socket()?;
    // A full backlog would block.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(in_use()),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another server listens there")
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another file in its place.
        let now = fs::symlink_metadata(&self.path).map(|file| FileId::of(&file));
        if self.id.is_some() && now.ok() == self.id {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A lock that the server at a path holds, and the file that it is on.
#[derive(Debug)]
struct PathLock {
    path: PathBuf,
    file: File,
}

impl PathLock {
    /// Takes the lock, without waiting for it.
    fn take(path: &Path) -> io::Result<Self> {
        let mut name = OsString::from(path::absolute(path)?);
        name.push(".lock");
        let path = PathBuf::from(name);
        loop {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(retry_on_intr(|| {
                open(&path, flags, Mode::RUSR | Mode::WUSR)
            })?);
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
            locked.map_err(|error| match error {
                Errno::WOULDBLOCK => in_use(),
                error => error.into(),
            })?;
            // The holder before removes the file with its lock. A lock on a removed file is none.
            let opened = FileId::of(&file.metadata()?);
            let named = fs::symlink_metadata(&path).map(|named| FileId::of(&named));
            if named.is_ok_and(|named| named == opened) {
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for PathLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // A forked child may have a copy of the descriptor, with which the lock would live on.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// The identity of a file: its device and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(file: &Metadata) -> Self {
        Self(file.dev(), file.ino())
    }
}
