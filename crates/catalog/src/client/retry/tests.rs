use std::sync::Mutex;

use super::*;
use crate::Refused;
use crate::state::tests::{commit, tenant, writer};
use crate::{JobId, Ticket, Work};

/// Answers every try from a list, then never.
async fn told(command: Command, answers: Vec<Attempt>) -> Result<Reply, Error> {
    let answers = Mutex::new(answers.into_iter());
    let next = || answers.lock().expect("no test panics with it").next();
    let retry = Retry::new(Duration::from_millis(300), 7);
    let attempt = || -> BoxFuture<'_, Attempt> {
        match next() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    };
    retry.apply(&command, attempt).await
}

fn gap(flushed_lsn: u64) -> Attempt {
    let writer = writer("w");
    Attempt::Refused(Refused::Gap {
        writer,
        flushed_lsn,
    })
}

fn lost() -> Attempt {
    Attempt::Unknown("lost".to_owned())
}

fn not_done() -> Attempt {
    Attempt::NotDone("no leader".to_owned())
}

const TICKET: Ticket = Ticket {
    job: JobId(3),
    token: 4,
};

#[tokio::test]
async fn what_a_lost_answer_would_have_said_is_told_by_the_refusal_of_the_repetition() {
    let gone = || Attempt::Refused(Refused::NoJob(JobId(3)));
    let recover = Command::Recover {
        ticket: TICKET,
        lsn_from: 3,
        lsn_to: 4,
        blocks: vec![],
        at_unix_ms: 0,
        is_last: true,
    };
    let offer = Command::Offer {
        work: Work::Merge {
            tenant: tenant("t"),
            inputs: vec![],
        },
    };
    let done = |result: Result<Reply, Error>| result.expect("it is done");
    assert_eq!(
        done(told(commit(1, (1, 4), vec![]), vec![lost(), gap(4)]).await),
        Reply::Done
    );
    assert_eq!(
        done(told(commit(1, (1, 4), vec![]), vec![gap(4)]).await),
        Reply::Done
    );
    assert_eq!(
        done(told(recover.clone(), vec![lost(), gone()]).await),
        Reply::Done
    );
    let offered = Attempt::Refused(Refused::Offered(JobId(9)));
    assert_eq!(
        done(told(offer.clone(), vec![lost(), offered]).await),
        Reply::Offered { job: JobId(9) }
    );
    let abandon = Command::Abandon { ticket: TICKET };
    assert_eq!(
        done(told(abandon.clone(), vec![lost(), gone()]).await),
        Reply::Done
    );

    // Without a lost answer the same refusals are refusals.
    let offered = Attempt::Refused(Refused::Offered(JobId(9)));
    for (command, answer) in [
        (commit(1, (1, 4), vec![]), gap(3)),
        (recover, gone()),
        (offer, offered),
        (abandon, gone()),
    ] {
        let refused = told(command, vec![not_done(), answer]).await;
        let refused = refused.expect_err("nothing had happened before");
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_never_told_as_a_failure() {
    let command = || commit(1, (1, 4), vec![]);
    let refused = told(command(), vec![lost(), gap(2)])
        .await
        .expect_err("not known");
    assert!(
        matches!(
            refused,
            Error::Unknown {
                refused: Some(_),
                ..
            }
        ),
        "{refused}"
    );
    let silent = told(command(), vec![]).await.expect_err("not known");
    assert!(
        matches!(silent, Error::Unknown { refused: None, .. }),
        "{silent}"
    );
    let late = told(command(), vec![lost(), not_done()])
        .await
        .expect_err("not known");
    assert!(
        matches!(late, Error::Unknown { refused: None, .. }),
        "{late}"
    );
    let endless = (0..100).map(|_| not_done()).collect();
    let surely = told(command(), endless).await.expect_err("no leader");
    assert!(matches!(surely, Error::Unavailable(_)), "{surely}");
}
