//! The sockets that receivers listen on, TCP and unix.
//!
//! Binding is apart from serving: a gateway binds every port before any answers, and hands the same socket to
//! the server of a new configuration without closing it. A unix socket leaves a file behind when its process
//! is killed; such a file is replaced only if nobody listens on it, and removed at the end if it is still
//! ours.

use crate::config::Endpoint;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcp, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnix, UnixStream};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// A socket that is served.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// A socket that is bound, served or not. While it lives the place is taken.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(StdTcp),
    Unix { listener: StdUnix, file: SocketFile },
}

impl Bound {
    /// Binds `endpoint`. A name is resolved here, and the first of its addresses that can be had is taken.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        let socket = match endpoint {
            Endpoint::Address(address) => tcp(*address)?,
            Endpoint::Name(host, port) => tcp((host.as_str(), *port))?,
            Endpoint::Unix { path, mode } => unix(path, *mode)?,
        };
        Ok(Self { socket })
    }

    /// Where it ended up; `None` for a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } => None,
        }
    }

    /// One more handle on the same socket, to be served; within a runtime.
    pub fn listener(&self) -> io::Result<Listener> {
        match &self.socket {
            Socket::Tcp(listener) => TcpListener::from_std(listener.try_clone()?).map(Listener::Tcp),
            Socket::Unix { listener, .. } => {
                UnixListener::from_std(listener.try_clone()?).map(Listener::Unix)
            }
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.socket {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(error) => error.fmt(f),
            },
            Socket::Unix { file, .. } => write!(f, "unix:{}", file.path.display()),
        }
    }
}

fn tcp(endpoint: impl ToSocketAddrs) -> io::Result<Socket> {
    let listener = StdTcp::bind(endpoint)?;
    listener.set_nonblocking(true)?;
    Ok(Socket::Tcp(listener))
}

fn unix(path: &Path, mode: u32) -> io::Result<Socket> {
    remove_stale(path)?;
    let listener = StdUnix::bind(path)?;
    // From here on the file is ours to remove, also when the next steps fail.
    let file = SocketFile::of(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(Socket::Unix { listener, file })
}

/// Removes the socket of a process that is gone; anything else that stands there is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let message = "there is a file of this name that is not a socket; it is left as it is";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens on it")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// The file of a unix socket, removed on drop unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            inode: (found.dev(), found.ino()),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let now = std::fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if now.is_ok_and(|inode| inode == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: &Path) -> Endpoint {
        Endpoint::Unix {
            path: path.to_owned(),
            mode: 0o640,
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("otlp.sock");
        // Dropping a listener leaves its file: what a killed process leaves.
        drop(StdUnix::bind(&path).unwrap());
        let bound = Bound::bind(&endpoint(&path)).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let error = Bound::bind(&endpoint(&path)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists(), "removed at the end");
    }

    #[test]
    fn a_file_that_is_not_a_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        assert!(Bound::bind(&endpoint(&path)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_socket_that_replaced_ours_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("otlp.sock");
        let bound = Bound::bind(&endpoint(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _other = StdUnix::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn names_are_resolved() {
        let bound = Bound::bind(&Endpoint::Name("localhost".to_owned(), 0)).unwrap();
        assert!(bound.address().unwrap().ip().is_loopback());
    }
}
