//! `Write`: samples come with the names of their stacks, the stacks when they are asked for.
//!
//! Asked for are those that the tenant's agents did not send lately. Each profile is stored with
//! all of its stacks, so known ones are kept as a whole.

use std::time::Duration;

use bytes::Bytes;
use cairn_model::Limits;
use cairn_parca::{Asked, Stacks};
use cairn_wal::Digest;
use cairn_wire::parca::profilestore::v1alpha1 as wire;
use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::{Status, Streaming};

use super::super::caller::Caller;
use super::{decoded, malformed, refusal, store_decoded};
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::Door;

/// Agents give up after that long.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a conversation has come.
enum State {
    Begun,
    /// Unknown stacks of these were asked for.
    Asked(Box<Asked>, Digest),
    Over,
}

struct Conversation {
    ingester: Ingester,
    caller: Caller,
    inbound: Streaming<wire::WriteRequest>,
    /// Bytes of the records so far.
    received: usize,
    state: State,
}

/// What is answered: a request for stacks, then nothing more once everything is stored.
pub(super) fn answers(
    ingester: Ingester,
    caller: Caller,
    inbound: Streaming<wire::WriteRequest>,
) -> BoxStream<'static, Result<wire::WriteResponse, Status>> {
    let conversation = Conversation {
        ingester,
        caller,
        inbound,
        received: 0,
        state: State::Begun,
    };
    let next = |mut conversation: Conversation| async {
        match conversation.next().await {
            Ok(None) => None,
            Ok(Some(record)) => {
                let record = record.into();
                Some((Ok(wire::WriteResponse { record }), conversation))
            }
            Err(error) => {
                let status = refusal(
                    &conversation.ingester,
                    (Door::Write, &conversation.caller),
                    &error,
                );
                conversation.state = State::Over;
                Some((Err(status), conversation))
            }
        }
    };
    futures::stream::unfold(conversation, next).boxed()
}

impl Conversation {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => Ok(None),
            State::Begun => {
                let (asked, sent) = self.ask().await?;
                let held = &self.caller.held;
                held.hold(asked.bytes(), &self.ingester).await?;
                if asked.unknown().is_empty() {
                    self.store((asked, sent), Stacks::default()).await?;
                    return Ok(None);
                }
                let request = cairn_parca::request(asked.unknown());
                self.state = State::Asked(asked, sent);
                Ok(Some(request))
            }
            State::Asked(asked, sent) => {
                let record = self.record().await?;
                let limits = self.limits_for(record.len());
                let read = move || cairn_parca::stacks(&record, &limits);
                let stacks = self.ingester.cx().compute(read).await.map_err(malformed)?;
                self.store((asked, sent), stacks).await?;
                Ok(None)
            }
        }
    }

    /// Reads samples, which tell what is sent again, and finds out which of their stacks are known.
    async fn ask(&mut self) -> Result<(Box<Asked>, Digest), Error> {
        let record = self.record().await?;
        let limits = self.limits_for(record.len());
        let known = self.ingester.stacks().of(&self.caller.tenant);
        let read = move || {
            let samples = cairn_parca::samples(&record, &limits)?;
            let asked = known.with(|known| known.ask(samples, &limits));
            Ok((Box::new(asked), Digest::of(&[&record])))
        };
        let read = self.ingester.cx().compute(read).await;
        read.map_err(malformed)
    }

    async fn store(
        &self,
        (asked, sent): (Box<Asked>, Digest),
        stacks: Stacks,
    ) -> Result<(), Error> {
        let limits = self.limits_for(self.received + asked.bytes());
        let known = self.ingester.stacks().of(&self.caller.tenant);
        let join = move || {
            known.with(|known| known.add(&asked, &stacks));
            let joined = asked.join(&stacks, &limits)?;
            Ok(decoded(joined, sent))
        };
        let joined = self.ingester.cx().compute(join).await;
        self.ingester.stacks().shrink();
        let joined = joined.map_err(malformed)?;
        store_decoded(&self.ingester, &self.caller, Door::Write, joined).await
    }

    /// For records of so many bytes.
    fn limits_for(&self, bytes: usize) -> Limits {
        self.ingester.limits_for(&self.caller.tenant, bytes)
    }

    /// The agent's next message.
    async fn record(&mut self) -> Result<Bytes, Error> {
        let clock = self.ingester.cx().clock();
        let message = tokio::select! {
            message = self.inbound.message() => message,
            () = clock.sleep(PATIENCE) => return Err(Error::SlowBody(PATIENCE)),
        };
        let message = message.map_err(|status| match self.caller.held.is_counted() {
            // Admission refused it, by the code that agents understand.
            true => Error::Stream {
                code: cairn_wire::code_of(&status),
                text: status.message().to_owned(),
            },
            false => Error::stream(&status),
        })?;
        let message = message.ok_or_else(|| {
            Error::Malformed("the stream ended before its stacks came".to_owned())
        })?;
        let held = &self.caller.held;
        held.settle(message.record.len(), &self.ingester).await?;
        self.received += message.record.len();
        Ok(message.record)
    }
}
