//! Deadlines on a connection's bytes: for the headers of a request, for the pause between two, for taking the answer.
//!
//! They are kept here and not in the HTTP library because there one limit serves for headers and for idleness alike, and
//! nothing bounds the first bytes of a connection or a client that stops reading. While a request is in flight there is
//! no deadline on reading: whoever reads a body sets its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::connection::Connection;

/// What every HTTP/2 connection begins with.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection, read to tell HTTP/2 from HTTP/1, to be read again.
pub(super) struct Opening {
    bytes: [u8; PREFACE.len()],
    from: usize,
    to: usize,
}

impl Opening {
    /// Nothing was read.
    pub(super) fn none() -> Self {
        Self { bytes: [0; PREFACE.len()], from: 0, to: 0 }
    }

    /// Reads as many bytes as are needed to tell. Whether it is HTTP/2 is the second value.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Self, bool)> {
        use tokio::io::AsyncReadExt;
        let mut opening = Self::none();
        while opening.to < PREFACE.len() {
            let read = stream.read(&mut opening.bytes[opening.to..]).await?;
            opening.to += read;
            if read == 0 || !PREFACE.starts_with(&opening.bytes[..opening.to]) {
                return Ok((opening, false));
            }
        }
        Ok((opening, true))
    }
}

/// A stream with deadlines.
pub(super) struct Guard<T> {
    stream: T,
    opening: Opening,
    connection: Arc<Connection>,
    /// Several requests at once: bytes between requests need not be the beginning of one.
    multiplexed: bool,
    /// How many requests had ended when `deadline` was set.
    ended: u32,
    within_head: bool,
    deadline: Instant,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<T> Guard<T> {
    /// From now on the first request must come within the time for headers.
    pub(super) fn new(stream: T, opening: Opening, connection: Arc<Connection>, multiplexed: bool) -> Self {
        let deadline = Instant::now() + connection.rules.header_timeout;
        Self {
            stream,
            opening,
            ended: connection.ended(),
            connection,
            multiplexed,
            within_head: true,
            deadline,
            reading: None,
            writing: None,
        }
    }

    /// Moves the deadline on when a request has ended.
    fn settle(&mut self) {
        let ended = self.connection.ended();
        if ended != self.ended {
            self.ended = ended;
            self.within_head = false;
            self.deadline = Instant::now() + self.connection.rules.idle_timeout;
        }
    }

    /// Bytes came: between requests, they begin the next one's headers.
    fn heard(&mut self) {
        if self.multiplexed || self.connection.in_flight() > 0 {
            return;
        }
        self.settle();
        if !self.within_head {
            self.within_head = true;
            self.deadline = Instant::now() + self.connection.rules.header_timeout;
        }
    }

    /// Nothing came: an error once the deadline has passed.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.connection.in_flight() > 0 {
            self.look_again(cx);
            return Poll::Pending;
        }
        self.settle();
        let deadline = self.deadline;
        let timer = self.reading.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // A timer that is early is wound again when it rings; that is cheaper than winding it at each request.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// While a request is in flight nobody may ask for bytes again when it has ended, since whoever asked is still to be
    /// told; so that the pause after it is noticed, the timer rings now and then.
    fn look_again(&mut self, cx: &mut Context<'_>) {
        let pause = self.connection.rules.header_timeout.min(self.connection.rules.idle_timeout);
        let timer = self.reading.get_or_insert_with(|| Box::pin(sleep(pause)));
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(Instant::now() + pause);
        }
    }

    /// Turns a write that has waited too long into an error.
    fn written<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let limit: Duration = self.connection.rules.write_timeout;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Opening { bytes, from, to } = &mut this.opening;
        if *from < *to {
            let taken = buffer.remaining().min(*to - *from);
            buffer.put_slice(&bytes[*from..*from + taken]);
            *from += taken;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending => this.wait(cx).map(Err),
            ready => {
                if buffer.filled().len() > before {
                    this.heard();
                }
                ready
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        this.written(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
