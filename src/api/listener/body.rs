//! The body of an answer: whole, or in pieces that come over time.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use hyper::body::{Bytes, Frame, SizeHint};

use super::connection::Flight;

/// The body of an answer.
#[derive(Debug, Default)]
pub struct Body {
    content: Content,
    /// Until the body is gone, its request counts as in flight.
    flight: Option<Arc<Flight>>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Whole(_) => "Whole(..)",
            Self::Stream(_) => "Stream(..)",
        })
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

    /// In pieces. The next is asked for when the client has taken the one before; they are dropped when it goes away.
    pub fn stream(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { content: Content::Stream(Box::pin(pieces)), flight: None }
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
            Content::Stream(pieces) => {
                pieces.as_mut().poll_next(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
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
