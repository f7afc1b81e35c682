//! A stream whose other end has to read: one that does not, or too slowly, for too long, is given up,
//! with all that waits for it. And one whose other end may finish its sentence: a connection that is closed
//! while a refused body still comes would be reset, and the refusal lost (RFC 9112 §9.6).

use core::future::Future as _;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long the other end may take nothing.
const LONGEST: Duration = Duration::from_secs(20);
/// How long it may take until everything that there is to write is written: an answer, or the events
/// that wait.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// How long the other end may go on sending after the last word was said to it.
const LINGER: Duration = Duration::from_secs(1);
/// Most bytes of that which are read.
const LINGER_BYTES: usize = 4 << 20;

/// A stream with a limit for how long a write may wait.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// When a write that waits now is given up.
    limit: Option<Pin<Box<Sleep>>>,
    /// When all that is not yet written is given up; since the first write of it that waited.
    whole: Option<Pin<Box<Sleep>>>,
    /// Until when it is read after the last word, and how many bytes may still come.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Patient<S> {
    /// A stream with that limit.
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            limit: None,
            whole: None,
            linger: None,
        }
    }

    fn limited<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.limit = None;
            return result;
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(LONGEST)));
        let whole = self
            .whole
            .get_or_insert_with(|| Box::pin(sleep(LONGEST_ANSWER)));
        // Both are to wake.
        let is_over = [limit, whole].map(|limit| limit.as_mut().poll(context).is_ready());
        if is_over.contains(&true) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// Reads what still comes after the last word, and forgets it.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (until, left) = self
            .linger
            .get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        let mut scratch = [0; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if (1..*left).contains(&buffer.filled().len()) => {
                    *left -= buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return until.as_mut().poll(context),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limited(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limited(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        if result.is_ready() {
            // Nobody flushes before everything is written.
            self.whole = None;
        }
        self.limited(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let result = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.limited(context, result))?;
        }
        self.poll_linger(context).map(Ok)
    }
}
