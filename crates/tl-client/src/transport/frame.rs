use std::collections::VecDeque;
use std::time::Duration;

use tl_model::Position;
use tl_wire::generated::throughline::v1::server_frame::Frame;

use super::{Ended, Step};
use crate::error::ClientError;
use crate::session::problem;
use crate::subscription::Update;

/// What a frame brings to the one subscription of its session or call.
pub(super) fn steps(frame: Frame) -> Result<VecDeque<Step>, Ended> {
    let mut steps = VecDeque::new();
    match frame {
        Frame::Events(events) => {
            for draft in events.events {
                let event = draft.receive();
                let event = event.map_err(|error| ClientError::Protocol(error.to_string()))?;
                steps.push_back(Step::Update(Update::Event(Box::new(event))));
            }
        }
        Frame::CaughtUp(caught_up) => {
            steps.push_back(Step::Update(Update::CaughtUp(position(&caught_up.cursor)?)));
        }
        Frame::Gap(gap) => {
            let (after, through) = (position(&gap.after)?, position(&gap.cursor)?);
            steps.push_back(Step::Update(Update::Gap { after, through }));
        }
        Frame::Subscribed(subscribed) => {
            steps.push_back(Step::Progress(position(&subscribed.cursor)?));
        }
        Frame::Heartbeat(heartbeat) => {
            for place in heartbeat.places {
                steps.push_back(Step::Progress(position(&place.cursor)?));
            }
        }
        Frame::GoingAway(going_away) => {
            let retry_after = Duration::from_millis(going_away.reconnect_after_ms.into());
            let error = ClientError::Connection("the server is about to stop".into());
            return Err(Ended { error, retry_after: Some(retry_after) });
        }
        Frame::Error(error) => {
            let error = problem(error.problem.as_option())?;
            return Err(ClientError::Refused(error).into());
        }
        Frame::Pong(_) | Frame::Receipts(_) | Frame::Unsubscribed(_) | Frame::Welcome(_) => {}
    }
    Ok(steps)
}

fn position(cursor: &str) -> Result<Position, ClientError> {
    cursor.parse().map_err(|_| ClientError::Protocol(format!("`{cursor}` is no cursor")))
}

#[cfg(test)]
mod tests {
    use tl_wire::generated::throughline::v1 as contract;

    use super::*;

    #[test]
    fn who_is_told_to_go_comes_back_when_it_was_told() {
        let going_away = contract::GoingAway { reconnect_after_ms: 1_500, ..Default::default() };
        let Err(ended) = steps(going_away.into()) else { panic!("it goes on") };
        assert_eq!(ended.retry_after, Some(Duration::from_millis(1_500)));
        assert!(ended.error.is_retryable());
    }

    #[test]
    fn a_place_that_is_none_is_not_passed_over() {
        let caught_up = contract::CaughtUp { cursor: "here".into(), ..Default::default() };
        let Err(ended) = steps(caught_up.into()) else { panic!("it is taken") };
        assert!(matches!(ended.error, ClientError::Protocol(_)), "{}", ended.error);
    }
}
