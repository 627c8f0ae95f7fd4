//! The one future that the handle's methods return.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Result;

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// The answer to a read or a write: a future that borrows nothing and can be spawned.
///
/// A local read is ready at once; a write starts when it is first polled.
#[must_use = "an answer does nothing until it is awaited"]
pub struct Answer<T>(Inner<T>);

enum Inner<T> {
    Ready(Option<Result<T>>),
    Pending(Boxed<T>),
}

// Nothing in it is ever pinned in place: the pending future is boxed.
impl<T> Unpin for Answer<T> {}

impl<T> Answer<T> {
    pub(crate) fn ready(result: Result<T>) -> Self {
        Answer(Inner::Ready(Some(result)))
    }

    pub(crate) fn pending(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Answer(Inner::Pending(Box::pin(future)))
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut self.0 {
            Inner::Ready(result) => {
                let result = result.take().expect("an answer is not awaited again after it was given");
                Poll::Ready(result)
            }
            Inner::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> std::fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}
