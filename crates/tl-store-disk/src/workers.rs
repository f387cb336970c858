use tokio::task::{JoinError, spawn_blocking};

/// Whose threads do the work of a store.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Workers {
    /// The store's own and the runtime's: nobody who calls is held up.
    #[default]
    Threads,
    /// The caller's, who waits for all of it. What happens, and in which order, then depends on the
    /// calls alone, so a simulation can repeat it.
    Caller,
}

impl Workers {
    /// Does work that may block.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Threads => spawn_blocking(work).await,
            Self::Caller => Ok(work()),
        }
    }
}
