use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use tl_client::{Client, ClientError, Subscribe, Subscription, TransportKind, Update};
use tl_model::After;

use super::latencies::Latencies;
use super::numbers::Numbers;
use super::run::{Mark, Run};

/// Reads the channel and counts.
pub(super) struct Subscriber {
    updates: Subscription,
    run: Arc<Run>,
    delivered: Delivered,
}

/// What a subscriber was given.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// The numbers of the events, by their publishers.
    numbers: Vec<Numbers>,
    pub(super) deliveries: u64,
    /// Deliveries of events that had come before.
    pub(super) duplicates: u64,
    pub(super) gaps: u64,
    pub(super) reconnects: u64,
    pub(super) latencies: Latencies,
    /// When the last one came.
    pub(super) last_us: u64,
}

impl Subscriber {
    /// Subscribes, and waits until what is published from now on will come.
    pub(super) async fn attach(
        client: &Client,
        over: TransportKind,
        run: Arc<Run>,
    ) -> Result<Self, ClientError> {
        let subscribe = Subscribe::to([run.channel()]).after(After::Latest).over(over);
        let mut updates = client.apart()?.subscribe(subscribe);
        loop {
            let ended = || ClientError::Connection("the subscription has ended".into());
            match updates.next().await.ok_or_else(ended)?? {
                Update::CaughtUp(_) => break,
                Update::Disconnected { reason, .. } => {
                    return Err(ClientError::Connection(format!(
                        "a subscriber cannot read: {reason}"
                    )));
                }
                Update::Event(_) | Update::Gap { .. } => {}
            }
        }
        Ok(Self { updates, run, delivered: Delivered::default() })
    }

    /// Reads until the end of the run has come, or nobody waits for it any more.
    pub(super) async fn run(
        mut self,
        give_up: CancellationToken,
    ) -> Result<Delivered, ClientError> {
        loop {
            let update = tokio::select! {
                update = self.updates.next() => update,
                () = give_up.cancelled() => None,
            };
            let Some(update) = update else { return Ok(self.delivered) };
            match update? {
                Update::CaughtUp(_) => {}
                Update::Disconnected { .. } => self.delivered.reconnects += 1,
                Update::Event(event) => {
                    match self.run.mark(&event.event.data().unwrap_or_default()) {
                        Some(Mark::End) => return Ok(self.delivered),
                        Some(Mark::Event { publisher, number, sent_us }) => {
                            self.run.count_delivery();
                            self.delivered.take(publisher, number, sent_us, self.run.now_us());
                        }
                        None => {}
                    }
                }
                Update::Gap { .. } => self.delivered.gaps += 1,
            }
        }
    }
}

impl Delivered {
    /// How many events that have a receipt did not come. `receipts` are those of each publisher.
    pub(super) fn lost(&self, receipts: &[Numbers]) -> u64 {
        let none = Numbers::default();
        let came = self.numbers.iter().chain(std::iter::repeat(&none));
        receipts.iter().zip(came).map(|(receipts, came)| receipts.missing_in(came)).sum()
    }

    fn take(&mut self, publisher: u32, number: u64, sent_us: u64, now_us: u64) {
        let publisher = publisher as usize;
        if self.numbers.len() <= publisher {
            self.numbers.resize_with(publisher + 1, Numbers::default);
        }
        self.deliveries += 1;
        self.duplicates += u64::from(!self.numbers[publisher].insert(number));
        self.latencies.record(now_us.saturating_sub(sent_us));
        self.last_us = now_us;
    }
}

#[cfg(test)]
pub(super) fn delivered(events: &[(u32, u64)]) -> Delivered {
    let mut delivered = Delivered::default();
    for (publisher, number) in events {
        delivered.take(*publisher, *number, 1_000, 3_000);
    }
    delivered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_receipt_and_does_not_come_is_lost() {
        let mut receipts = vec![Numbers::default(), Numbers::default()];
        for (publisher, number) in [(0, 0), (0, 1), (0, 3), (1, 0)] {
            receipts[publisher].insert(number);
        }
        let lost = |events: &[(u32, u64)]| delivered(events).lost(&receipts);
        assert_eq!(lost(&[(0, 0), (0, 1), (0, 3), (1, 0)]), 0);
        assert_eq!(lost(&[(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]), 0, "2 has no receipt");
        assert_eq!(lost(&[(0, 3), (0, 3)]), 3);
        assert_eq!(lost(&[]), 4);
    }

    #[test]
    fn what_comes_twice_is_counted_once_each_time_too_often() {
        let delivered = delivered(&[(0, 1), (1, 1), (0, 1), (0, 0), (0, 1)]);
        assert_eq!((delivered.deliveries, delivered.duplicates), (5, 2));
        assert_eq!(delivered.latencies.summary().map(|it| it.max), Some(2_000));
    }
}
