//! Taking one file in: received within bounds, identified, converted, kept.

use std::future::Future;

use bytes::Bytes;
use cairn_model::{BuildId, TenantId};
use cairn_symbols::Identity;
use cairn_wire::cairn::symbols::v1::upload_request::Part;
use cairn_wire::cairn::symbols::v1::{FileInfo, UploadRequest};
use futures::{Stream, StreamExt};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt as _;
use tonic::Status;

use crate::cache::Slot;
use crate::config::UploadConfig;
use crate::error::Error;
use crate::files::Files;

/// A file that is stored.
pub(crate) struct Stored {
    pub(crate) build_id: BuildId,
    pub(crate) bytes: u64,
}

/// What arrived.
struct Received {
    tenant: TenantId,
    claimed: Option<BuildId>,
    path: TempPath,
}

/// Receives a file and stores it. Only the arrival is bounded in time here: conversion has its own
/// bound.
pub(crate) async fn upload<S>(
    files: &Files,
    config: &UploadConfig,
    cx: &cairn_chassis::Context,
    stream: S,
) -> Result<Stored, Error>
where
    S: Stream<Item = Result<UploadRequest, Status>> + Unpin,
{
    let bytes_max = config.bytes_max.as_u64();
    let path = files.converter().scratch_file()?;
    let receiving = receive(stream, path, bytes_max);
    let received = within(receiving, cx, config.time_max).await?;
    let elf = Bytes::from(tokio::fs::read(&received.path).await?);
    let identity = {
        let elf = elf.clone();
        cx.compute(move || Identity::read(&elf)).await
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => return refuse_all(files, &received, error.to_string()).await,
    };
    let build_id = named(received.claimed.as_ref(), &identity)?;
    let slot = Slot {
        tenant: received.tenant,
        build_id,
        kind: identity.kind,
    };
    let symbols = match files.converter().convert(&received.path, &cx.clock()).await {
        Ok(symbols) => Bytes::from(symbols),
        Err(Error::Refused(reason)) => {
            files.keep_refusal(&slot, &reason).await?;
            return Err(Error::Refused(reason));
        }
        Err(error) => return Err(error),
    };
    let aliases: Vec<BuildId> = identity
        .build_ids()
        .filter(|&id| *id != slot.build_id)
        .cloned()
        .collect();
    let bytes = elf.len() as u64;
    files.keep(&slot, &aliases, elf, symbols).await?;
    Ok(Stored {
        build_id: slot.build_id,
        bytes,
    })
}

async fn within<T>(
    work: impl Future<Output = Result<T, Error>>,
    cx: &cairn_chassis::Context,
    time_max: std::time::Duration,
) -> Result<T, Error> {
    let clock = cx.clock();
    tokio::select! {
        result = work => result,
        () = clock.sleep(time_max) => Err(Error::Slow(time_max)),
    }
}

async fn receive<S>(mut stream: S, path: TempPath, bytes_max: u64) -> Result<Received, Error>
where
    S: Stream<Item = Result<UploadRequest, Status>> + Unpin,
{
    let FileInfo {
        tenant,
        build_id,
        // What a file is good for is read from the file.
        r#type: _,
    } = match next(&mut stream).await? {
        Some(Part::Info(info)) => info,
        Some(Part::Chunk(_)) | None => {
            return Err(Error::Invalid(
                "the first message must say what follows".into(),
            ));
        }
    };
    let tenant = tenant_of(&tenant)?;
    let claimed = match build_id.as_str() {
        "" => None,
        text => Some(BuildId::parse(text)?),
    };
    let mut file = tokio::fs::File::create(&path).await?;
    let mut bytes = 0;
    while let Some(part) = next(&mut stream).await? {
        let Part::Chunk(chunk) = part else {
            return Err(Error::Invalid(
                "only the first message says what follows".into(),
            ));
        };
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            let text = format!("the file has more than the {bytes_max} bytes that are allowed");
            return Err(Error::Invalid(text));
        }
        file.write_all(&chunk).await?;
    }
    // Writes are buffered in another thread until flushed.
    file.flush().await?;
    Ok(Received {
        tenant,
        claimed,
        path,
    })
}

async fn next<S>(stream: &mut S) -> Result<Option<Part>, Error>
where
    S: Stream<Item = Result<UploadRequest, Status>> + Unpin,
{
    match stream.next().await {
        None => Ok(None),
        Some(Ok(request)) => match request.part {
            Some(part) => Ok(Some(part)),
            None => Err(Error::Invalid("a message is empty".into())),
        },
        Some(Err(status)) => Err(Error::Broken(status.message().to_owned())),
    }
}

/// The tenant that a request names; nobody in particular is `anonymous`.
pub(crate) fn tenant_of(name: &str) -> Result<TenantId, Error> {
    match name {
        "" => Ok(TenantId::anonymous()),
        name => Ok(TenantId::parse(name)?),
    }
}

/// The build id to store a file under. One that the client claims is taken unless the file carries
/// another.
fn named(claimed: Option<&BuildId>, identity: &Identity) -> Result<BuildId, Error> {
    let own = identity.build_ids().next();
    match (claimed, own) {
        (None, Some(own)) => Ok(own.clone()),
        (None, None) => Err(Error::Invalid(
            "the file carries no build id: say which build it is of".into(),
        )),
        (Some(claimed), Some(own))
            if identity.is_stated() && identity.build_ids().all(|id| id != claimed) =>
        {
            Err(Error::Invalid(format!(
                "the file says that its build id is {own}, not {claimed}"
            )))
        }
        (Some(claimed), _) => Ok(claimed.clone()),
    }
}

/// Refuses a file that does not even say what it is.
async fn refuse_all(files: &Files, received: &Received, reason: String) -> Result<Stored, Error> {
    if let Some(build_id) = &received.claimed {
        let slot = Slot {
            tenant: received.tenant.clone(),
            build_id: build_id.clone(),
            kind: cairn_model::FileKind::Debuginfo,
        };
        files.keep_refusal(&slot, &reason).await?;
    }
    Err(Error::Refused(reason))
}
