//! What a connection reads from and writes to, watched.
//!
//! Counts what is read, so that a silent connection can be told from a slow one, and gives a client that does
//! not read its answers a limited time. A plain TCP connection pays two branches and one addition a call for
//! it.

use super::pings::{GO_AWAY, PingPolicy, PingWatch};
use super::pulse::Pulse;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub(super) enum Raw {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// A connected socket, with or without TLS.
#[derive(Debug)]
pub(super) enum Stream {
    /// Without.
    Plain(Raw),
    /// With.
    Tls(Box<TlsStream<Raw>>),
}

/// Calls a method of whichever stream it is.
macro_rules! either {
    ($self:expr, $a:path | $b:path, $stream:ident => $call:expr) => {
        match $self {
            $a($stream) => $call,
            $b($stream) => $call,
        }
    };
}

macro_rules! delegate {
    ($type:ty, $a:path | $b:path) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                either!(self.get_mut(), $a | $b, it => Pin::new(it).poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                either!(self.get_mut(), $a | $b, it => Pin::new(it).poll_write(cx, buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                either!(self.get_mut(), $a | $b, it => Pin::new(it).poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                either!(self, $a | $b, it => it.is_write_vectored())
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self.get_mut(), $a | $b, it => Pin::new(it).poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self.get_mut(), $a | $b, it => Pin::new(it).poll_shutdown(cx))
            }
        }
    };
}

delegate!(Raw, Raw::Tcp | Raw::Unix);
delegate!(Stream, Stream::Plain | Stream::Tls);

/// A stream under watch.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    pulse: Arc<Pulse>,
    pings: Option<PingWatch>,
    write_within: Duration,
    /// Runs while a write waits for the client to read.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// Watches `stream`; a write may wait for `write_within`, and an HTTP/2 client may ping as `pings` says.
    pub(super) fn new(
        stream: Stream,
        pulse: Arc<Pulse>,
        write_within: Duration,
        pings: Option<PingPolicy>,
    ) -> Self {
        Self {
            stream,
            pulse,
            pings: pings.map(PingWatch::new),
            write_within,
            stalled: None,
        }
    }

    /// Says why the connection ends, if that can be said at once.
    fn say_farewell(&mut self, cx: &mut Context<'_>, pings: &PingWatch) {
        self.pulse.pings_too_often();
        if pings.may_write() {
            let _ = Pin::new(&mut self.stream).poll_write(cx, GO_AWAY);
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
    }

    /// What a write came to, unless it waits for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let within = self.write_within;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        this.pulse.has_read(read);
        if let Some(pings) = &mut this.pings
            && pings.inbound(read, &this.pulse)
            && let Some(pings) = this.pings.take()
        {
            this.say_farewell(cx, &pings);
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let (Some(pings), Poll::Ready(Ok(len))) = (&mut this.pings, &outcome) {
            pings.outbound(&buf[..*len]);
        }
        this.in_time(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if let (Some(pings), Poll::Ready(Ok(len))) = (&mut this.pings, &outcome) {
            let mut left = *len;
            for buf in bufs {
                let part = left.min(buf.len());
                pings.outbound(&buf[..part]);
                left -= part;
            }
        }
        this.in_time(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.in_time(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.in_time(cx, outcome)
    }
}
