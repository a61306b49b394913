//! The body of an answer: whole, or in pieces that come over time.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

use super::connection::Flight;

/// Pieces of a streamed answer that wait for a slow client; beyond it, the sender waits for room.
const PIECES: usize = 16;

/// The body of an answer.
#[derive(Debug, Default)]
pub struct Body {
    content: Content,
    /// Until the body is gone, its request counts as in flight.
    flight: Option<Arc<Flight>>,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(mpsc::Receiver<Bytes>),
}

/// Where the pieces of a streamed body go in; the body ends when it is dropped.
#[derive(Clone, Debug)]
pub struct BodySender(mpsc::Sender<Bytes>);

impl BodySender {
    /// Waits for room and sends one piece.
    ///
    /// # Errors
    /// Gives the piece back when the client is gone.
    pub async fn send(&self, piece: Bytes) -> Result<(), Bytes> {
        self.0.send(piece).await.map_err(|error| error.0)
    }

    /// Returns once the client is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Body {
    /// No content.
    pub fn empty() -> Self {
        Self::default()
    }

    /// All of it at once.
    pub fn whole(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let content = if content.is_empty() { Content::Empty } else { Content::Whole(content) };
        Self { content, flight: None }
    }

    /// In pieces, of which a bounded number waits for the client.
    pub fn stream() -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(PIECES);
        (BodySender(sender), Self { content: Content::Stream(receiver), flight: None })
    }

    pub(super) fn counted(mut self, flight: Arc<Flight>) -> Self {
        self.flight = Some(flight);
        self
    }
}

impl From<Bytes> for Body {
    fn from(content: Bytes) -> Self {
        Self::whole(content)
    }
}

impl From<Vec<u8>> for Body {
    fn from(content: Vec<u8>) -> Self {
        Self::whole(content)
    }
}

impl From<String> for Body {
    fn from(content: String) -> Self {
        Self::whole(content)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        match &mut this.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(content) => {
                let content = std::mem::take(content);
                this.content = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(content))))
            }
            Content::Stream(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(content) => SizeHint::with_exact(content.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}
