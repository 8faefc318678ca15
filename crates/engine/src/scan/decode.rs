//! Decodes the rows of a block: in the task of the scan, and beside it on cores that nobody uses.
//!
//! Rows are added up in the task of the scan only, so whoever helps needs nothing of it. A scan
//! never waits for a core that it has not got: what nobody has begun it decodes itself.

use cairn_block::{Error, Rows, SampleColumns};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

/// Decoding that goes on beside a scan.
pub type Work = BoxFuture<'static, ()>;

/// What a scan may use besides the core that it has.
pub trait Budget: Sync {
    /// How many cores nobody uses now.
    fn free_cores(&self) -> usize;

    /// About how much memory its sums may take if there is too little, more than one per stack of
    /// the block.
    fn bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Told how much they take; says whether that is too much.
    fn is_over(&self, bytes: usize) -> bool {
        bytes > self.bytes_max()
    }

    /// Does the work when there is a core for it, by itself once this was polled; ends it early if
    /// nobody waits any more. Work that is dropped undone is done by the scan.
    fn run(&self, work: Work) -> Work;
}

/// No other core, and all memory that it wants.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Budget for Alone {
    fn free_cores(&self) -> usize {
        0
    }

    fn run(&self, work: Work) -> Work {
        work
    }
}

/// Rows that are handed to somebody at a time: some milliseconds of work.
const PIECE_ROWS: u64 = 256 << 10;
/// Runs that wait to be added up, of all who help.
const RUNS: usize = 8;
/// Runs between two moments at which others may have the core: about a millisecond.
const TURN_RUNS: usize = 4;
/// More gain nothing: their runs are added up by one.
const HELPERS_MAX: usize = 7;

/// Rows that lie together: the number of the first one, and their columns.
type Run = (u64, SampleColumns);

type Visit<'a> = dyn FnMut(u64, &SampleColumns) -> Result<(), Error> + Send + 'a;

/// How many may help with so many rows.
pub(super) fn helpers(rows: u64, budget: &dyn Budget) -> usize {
    let pieces = usize::try_from(rows / PIECE_ROWS).unwrap_or(usize::MAX);
    // The first piece is for the scan itself.
    match pieces.saturating_sub(1).min(HELPERS_MAX) {
        0 => 0,
        most => most.min(budget.free_cores()),
    }
}

/// Gives all rows to `visit`; in order, unless somebody helps.
pub(super) async fn visit(
    fetched: impl Stream<Item = Result<Rows, Error>> + Send,
    (budget, helpers): (&dyn Budget, usize),
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    let (sender, mut runs) = mpsc::channel(RUNS);
    let mut queues = Vec::new();
    let mut helping = FuturesUnordered::new();
    for _ in 0..helpers {
        let (queue, pieces) = mpsc::channel(1);
        queues.push(queue);
        helping.push(budget.run(Box::pin(help(pieces, sender.clone()))));
    }
    drop(sender);
    // They begin at once.
    let _ = futures::poll!(helping.next());
    let (mut run, mut pause) = (SampleColumns::default(), Pause::default());
    let mut fetched = std::pin::pin!(fetched);
    loop {
        let rows = tokio::select! {
            biased;
            rows = fetched.next() => match rows {
                Some(rows) => rows?,
                None => break,
            },
            Some(decoded) = runs.recv(), if helpers > 0 => {
                let (first, run) = decoded?;
                visit(first, &run)?;
                pause.after_run().await;
                continue;
            }
        };
        for piece in rows.cut(PIECE_ROWS) {
            let Some(piece) = hand_over(piece, &queues) else {
                continue;
            };
            let mut decoder = piece.decoder()?;
            while let Some(first) = decoder.next(&mut run)? {
                visit(first, &run)?;
                while let Ok(decoded) = runs.try_recv() {
                    let (first, run) = decoded?;
                    visit(first, &run)?;
                    pause.after_run().await;
                }
                pause.after_run().await;
            }
        }
    }
    drop(queues);
    let rest = async {
        while let Some(decoded) = runs.recv().await {
            let (first, run) = decoded?;
            visit(first, &run)?;
            pause.after_run().await;
        }
        Ok(())
    };
    futures::try_join!(helping.map(Ok).try_collect::<()>(), rest)?;
    Ok(())
}

/// Leaves the core to others who want it: not after each run, so that scans of many blocks do not
/// take turns all the time.
#[derive(Default)]
struct Pause {
    runs: usize,
}

impl Pause {
    async fn after_run(&mut self) {
        self.runs += 1;
        if self.runs.is_multiple_of(TURN_RUNS) {
            tokio::task::yield_now().await;
        }
    }
}

/// Gives the piece back if all are busy.
fn hand_over(mut piece: Rows, queues: &[mpsc::Sender<Rows>]) -> Option<Rows> {
    for queue in queues {
        match queue.try_send(piece) {
            Ok(()) => return None,
            Err(refused) => piece = refused.into_inner(),
        }
    }
    Some(piece)
}

/// Decodes pieces until there are no more, or nobody wants them.
async fn help(mut pieces: mpsc::Receiver<Rows>, runs: mpsc::Sender<Result<Run, Error>>) {
    while let Some(piece) = pieces.recv().await {
        if let Err(error) = decode(&piece, &runs).await {
            // Nobody has to hear it.
            let _ = runs.send(Err(error)).await;
        }
    }
}

async fn decode(piece: &Rows, runs: &mpsc::Sender<Result<Run, Error>>) -> Result<(), Error> {
    let mut decoder = piece.decoder()?;
    let (mut run, mut pause) = (SampleColumns::default(), Pause::default());
    while let Some(first) = decoder.next(&mut run)? {
        if runs
            .send(Ok((first, std::mem::take(&mut run))))
            .await
            .is_err()
        {
            break;
        }
        pause.after_run().await;
    }
    Ok(())
}
