//! `cairn.symbols.v1.SymbolService` over gRPC: requests checked, errors told.

use std::time::Duration;

use cairn_chassis::Context;
use cairn_model::{Addressing, Ask, BuildId, Code};
use cairn_wire::cairn::symbols::v1::symbol_service_server::{SymbolService, SymbolServiceServer};
use cairn_wire::cairn::symbols::v1::{self as wire, SymbolizeRequest, SymbolizeResponse};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use crate::builds::Builds;
use crate::config::Config;
use crate::error::Error;
use crate::files;
use crate::metrics::{AddressLabel, Metrics, Named};
use crate::symbolize::{Asked, symbolize};
use crate::uploads::tenant_of;

/// Bytes of the addresses of one request.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Bytes of an answer: less than queriers let in.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// How long a question takes at most that does not say it.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Symbols {
    builds: Builds,
    addresses_max: usize,
    metrics: Metrics,
    cx: Context,
}

impl Symbols {
    pub(crate) fn new(builds: Builds, config: &Config, metrics: Metrics, cx: Context) -> Self {
        Self {
            builds,
            addresses_max: config.addresses_max,
            metrics,
            cx,
        }
    }

    pub(crate) fn into_server(self) -> SymbolServiceServer<Self> {
        SymbolServiceServer::new(self)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    async fn symbolize(
        &self,
        request: SymbolizeRequest,
        wait: Duration,
    ) -> Result<SymbolizeResponse, Error> {
        let SymbolizeRequest {
            tenant,
            binaries,
            bytes_max,
        } = request;
        let bytes_max = match usize::try_from(bytes_max) {
            Ok(0) | Err(_) => ANSWER_BYTES_MAX,
            Ok(bytes_max) => bytes_max.min(ANSWER_BYTES_MAX),
        };
        let tenant = tenant_of(&tenant)?;
        let asked: usize = binaries.iter().map(|binary| binary.addresses.len()).sum();
        if asked.max(binaries.len()) > self.addresses_max {
            let (asked, max) = (asked.max(binaries.len()), self.addresses_max);
            let text = format!("{asked} addresses are more than the {max} that are allowed");
            return Err(Error::Invalid(text));
        }
        let binaries: Vec<Binary> = binaries.into_iter().map(binary).collect::<Result<_, _>>()?;
        let asked = binaries.into_iter().map(async |(build_id, asked)| {
            let (ask, addresses) = asked;
            let code = match ask {
                Ask::Addresses(_) => files::Code::Machine,
                Ask::Positions => files::Code::Script,
            };
            let build = self.builds.get(&tenant, &build_id, code, wait).await;
            Asked {
                build,
                ask,
                addresses,
            }
        });
        let asked = futures::future::join_all(asked).await;
        let answer = self.cx.compute(move || symbolize(&asked, bytes_max)).await;
        self.count(&answer);
        Ok(answer)
    }

    fn count(&self, answer: &SymbolizeResponse) {
        let is_named = |&at: &u32| !answer.symbols[at as usize].frames.is_empty();
        let all = answer.binaries.iter().flat_map(|binary| &binary.symbols);
        // What is left is asked for again.
        let all = all.filter(|&&at| !answer.symbols[at as usize].left);
        let (named, unnamed) = all.fold((0, 0), |(named, unnamed), at| match is_named(at) {
            true => (named + 1, unnamed),
            false => (named, unnamed + 1),
        });
        for (label, count) in [(Named::Yes, named), (Named::No, unnamed)] {
            let label = AddressLabel { named: label };
            self.metrics.addresses.get_or_create(&label).inc_by(count);
        }
    }
}

#[tonic::async_trait]
impl SymbolService for Symbols {
    async fn symbolize(
        &self,
        request: Request<SymbolizeRequest>,
    ) -> Result<Response<SymbolizeResponse>, Status> {
        let timeout = cairn_wire::grpc_timeout(request.metadata().as_ref());
        // What is known by then still has to be sent.
        let wait = timeout.unwrap_or(TIMEOUT) / 10 * 9;
        let answer = self.symbolize(request.into_inner(), wait).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }
}

type Binary = (BuildId, (Ask, Vec<u64>));

fn binary(binary: wire::Binary) -> Result<Binary, Error> {
    let wire::Binary {
        build_id,
        addressing,
        addresses,
    } = binary;
    let ask = match wire::Addressing::try_from(addressing) {
        Ok(wire::Addressing::FileOffset) => Ask::Addresses(Addressing::FileOffset),
        Ok(wire::Addressing::Virtual) => Ask::Addresses(Addressing::Virtual),
        Ok(wire::Addressing::Position) => Ask::Positions,
        Err(_) => return Err(Error::Invalid(format!("no addressing {addressing}"))),
    };
    Ok((BuildId::parse(&build_id)?, (ask, addresses)))
}

/// What the client reads. Faults of ours are logged here, since clients are not told them.
pub(crate) fn told(error: &Error) -> Status {
    let code = error.code();
    if matches!(code, Code::Internal | Code::Corrupt) {
        tracing::error!(error = error.chain(), "a request failed");
    }
    let text = error.to_string();
    match error {
        Error::Unwanted(_) => cairn_wire::already_exists(&text),
        Error::OnlySigned => cairn_wire::unimplemented(&text),
        Error::Unasked(_) | Error::NotNow(_) => cairn_wire::failed_precondition(&text),
        _ => cairn_wire::status(code, &text),
    }
}
