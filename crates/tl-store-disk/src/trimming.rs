//! Letting go of what the rules no longer keep: the oldest segments as a whole, then what is left of others
//! is copied forward. One piece of work after the other, beside the writer.

use std::io;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use tl_model::Rules;
use tl_store::{AppendError, TrimError};

use crate::DiskStore;
use crate::compaction::{Budget, Compaction};

impl DiskStore {
    pub(crate) async fn trim_expired(&self, rules: Rules, now_ms: u64) -> Result<(), TrimError> {
        // One that counts what another has dropped would drop too much.
        let compaction = self.compaction.clone().lock_owned().await;
        let (sealer, rules) = (self.sealer.clone(), Arc::new(rules));
        let shared = rules.clone();
        let expired = self.work(move || {
            sealer.forget_dropped()?;
            sealer.seal();
            sealer.expired(&shared, now_ms)
        });
        if let Some(last) = expired.await? {
            self.writer.drop_segments(last).await.map_err(stopped)?;
        }
        let sealer = self.sealer.clone();
        self.work(move || sealer.forget_dropped()).await?;
        self.compact(compaction, rules, now_ms).await
    }

    /// Copies forward what outlives its neighbours, as much as is to be done at once.
    async fn compact(
        &self,
        mut compaction: OwnedMutexGuard<Compaction>,
        rules: Arc<Rules>,
        now_ms: u64,
    ) -> Result<(), TrimError> {
        let mut budget = Budget::new(self.site.segment_bytes);
        let mut has_compacted = false;
        loop {
            let (site, rules) = (self.site.clone(), rules.clone());
            let found;
            let finding = self.work(move || {
                let judge = site.sealer.judge(&rules, now_ms);
                let found = compaction.find(&site, &judge, &mut budget)?;
                Ok((found, compaction, budget))
            });
            (found, compaction, budget) = finding.await?;
            let Some(replacement) = found else { break };
            has_compacted = true;
            self.writer.flush().await.map_err(stopped)?;
            let site = self.site.clone();
            let putting = self.work(move || {
                compaction.put(&site, replacement)?;
                Ok(compaction)
            });
            compaction = putting.await?;
        }
        let sealer = self.sealer.clone();
        let write_checkpoint = move || {
            sealer.write_last_checkpoint();
            Ok(())
        };
        if has_compacted { self.work(write_checkpoint).await } else { Ok(()) }
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, TrimError> {
        // It goes on when nobody waits for it any more: until then nobody else may open the log.
        let held = self.directory.clone();
        let work = move || {
            let _held = held;
            work()
        };
        let done = self.workers.run(work).await.map_err(|error| TrimError(error.to_string()))?;
        done.map_err(|error| TrimError(error.to_string()))
    }
}

fn stopped(error: AppendError) -> TrimError {
    TrimError(error.to_string())
}
