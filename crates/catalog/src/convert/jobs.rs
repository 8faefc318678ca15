//! Jobs as messages.

use cairn_model::WriterId;
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::job::{self, Work as WireWork};

use super::{block_ids, invalid, tenant};
use crate::{Error, Job, JobId, Work};

impl TryFrom<wire::Job> for Job {
    type Error = Error;

    fn try_from(job: wire::Job) -> Result<Self, Self::Error> {
        let wire::Job {
            id,
            work,
            worker,
            until_unix_ms,
        } = job;
        let work = match work {
            Some(WireWork::Recover(job::Recover {
                writer,
                incarnation,
            })) => Work::Recover {
                writer: WriterId::parse(&writer)?,
                incarnation,
            },
            Some(WireWork::Merge(job::Merge {
                tenant: owner,
                inputs,
            })) => Work::Merge {
                tenant: tenant(&owner)?,
                inputs: block_ids(&inputs)?,
            },
            Some(WireWork::Sweep(job::Sweep {})) => Work::Sweep,
            None => return Err(invalid("job")(&"its work is missing").into()),
        };
        Ok(Self {
            id: JobId(id),
            work,
            worker: (!worker.is_empty()).then_some((worker, until_unix_ms)),
        })
    }
}

impl From<Job> for wire::Job {
    fn from(job: Job) -> Self {
        let Job { id, work, worker } = job;
        let work = match work {
            Work::Recover {
                writer,
                incarnation,
            } => WireWork::Recover(job::Recover {
                writer: writer.to_string(),
                incarnation,
            }),
            Work::Merge { tenant, inputs } => WireWork::Merge(job::Merge {
                tenant: tenant.to_string(),
                inputs: inputs.iter().map(ToString::to_string).collect(),
            }),
            Work::Sweep => WireWork::Sweep(job::Sweep {}),
        };
        let (worker, until_unix_ms) = worker.unwrap_or_default();
        Self {
            id: id.0,
            work: Some(work),
            worker,
            until_unix_ms,
        }
    }
}
