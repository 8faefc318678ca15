//! A symbolizer that knows every address: `inner`, inlined into `outer` of `/src/app.c`. Of build
//! [`REFUSED`] it knows none, and of [`FETCHED`] none yet.

use cairn_chassis::{Options, Process, Routes};
use cairn_wire::cairn::symbols::v1::symbol_service_server::{SymbolService, SymbolServiceServer};
use cairn_wire::cairn::symbols::v1::{
    BinarySymbols, Frame, Function, SymbolizeRequest, SymbolizeResponse, Symbols,
};
use tonic::{Request, Response, Status};

pub(crate) const REFUSED: &str = "dead";
pub(crate) const FETCHED: &str = "beef";

struct Known;

/// A process that serves it.
pub(crate) async fn start() -> Process {
    let process = Process::bind(Options::for_tests(), &["symbolizer"])
        .await
        .unwrap();
    process.run("symbolizer", |cx| async move {
        cx.serve(Routes::new().grpc(SymbolServiceServer::new(Known)))
            .await
    });
    process.ready().await;
    process
}

fn unnamed(reason: &str, passing: bool) -> Symbols {
    Symbols {
        frames: Vec::new(),
        reason: reason.to_owned(),
        passing,
    }
}

#[tonic::async_trait]
impl SymbolService for Known {
    async fn symbolize(
        &self,
        request: Request<SymbolizeRequest>,
    ) -> Result<Response<SymbolizeResponse>, Status> {
        let binaries = request.get_ref().binaries.iter();
        let strings = ["", "inner", "_Zinner", "/src/app.c", "outer", "_Zouter"];
        let function = |name, system_name, start_line| Function {
            name,
            system_name,
            file: 3,
            start_line,
        };
        let frame = |function, line, column| Frame {
            function,
            line,
            column,
            inlined: function == 0,
        };
        Ok(Response::new(SymbolizeResponse {
            strings: strings.map(str::to_owned).to_vec(),
            functions: vec![function(1, 2, 5), function(4, 5, 18)],
            symbols: vec![
                Symbols {
                    frames: vec![frame(0, 7, 3), frame(1, 20, 9)],
                    ..Symbols::default()
                },
                unnamed("it was refused", false),
                unnamed("it is being fetched", true),
            ],
            binaries: binaries
                .map(|binary| BinarySymbols {
                    symbols: match binary.build_id.as_str() {
                        REFUSED => vec![1; binary.addresses.len()],
                        FETCHED => vec![2; binary.addresses.len()],
                        _ => vec![0; binary.addresses.len()],
                    },
                })
                .collect(),
        }))
    }
}
